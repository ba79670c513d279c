"""The types of a study: every key with its description, limits and default.

`schemas/study.schema.json` is generated from it (`study/schema.py`). Options that jobs without pydantic read are
described where they are used: those of a corpus in `corpora/kinds/`, of a model in `models/catalogue.py`, of a variant
in `runtimes/`.
"""

import functools
import operator
import posixpath
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    Tag,
    ValidationInfo,
    WrapValidator,
)

from asrmeter import runtimes
from asrmeter.common.options import NAME
from asrmeter.corpora.kinds import CLASSES
from asrmeter.corpora.kinds.packages import PackagesCorpus
from asrmeter.machine.facts import available_cpus
from asrmeter.models.catalogue import ModelSettings
from asrmeter.runtimes import DEFAULT_RUNTIME
from asrmeter.study import layouts, proposals


def _runtime(variant: Any) -> str | None:
    """Return the name of the runtime of a variant's options, None if the name cannot be a runtime."""
    if not isinstance(variant, dict):
        known = runtimes.options().items()
        return next((name for name, options in known if isinstance(variant, options)), DEFAULT_RUNTIME)
    runtime = variant.get("runtime", DEFAULT_RUNTIME)
    if isinstance(runtime, dict):
        return runtimes.OWN_FILE
    return runtime if isinstance(runtime, str) and runtime != runtimes.OWN_FILE else None


if TYPE_CHECKING:
    from asrmeter.corpora.kinds.base import CorpusKind as Corpus
    from asrmeter.runtimes.base import RuntimeOptions as Variant
else:
    Corpus = Annotated[functools.reduce(operator.or_, CLASSES), Field(discriminator="kind")]
    _OPTIONS = [Annotated[options, Tag(name)] for name, options in runtimes.options().items()]
    Variant = Annotated[functools.reduce(operator.or_, _OPTIONS), Discriminator(_runtime)]


# Default time of the timed passes of a cell in one lap, in seconds.
BUDGET_S = 10


class NotDistinctError(ValueError):
    """A list contains a value twice."""


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) < len(values):
        raise NotDistinctError
    return values


def _as_written(value: Any, check: Callable[[Any], float]) -> Any:
    check(value)
    return value


def _devices(value: Any, info: ValidationInfo) -> Any:
    """Resolve `auto`: the context has this machine's `cuda_missing`, and is None on a cluster."""
    if value == "auto":
        if info.context is None:
            raise ValueError(
                "auto checks this machine, and --jobs runs on a cluster; name the devices of its nodes (devices: "
                "[cpu, cuda], or --config devices=[cpu,cuda]), or omit --jobs to measure here",
            )
        return ("cpu",) if info.context["cuda_missing"] else ("cpu", "cuda")
    return tuple(value) if isinstance(value, list) else value


def _variants(value: Any) -> Any:
    """Resolve `proposals`: the baseline and the variants that measure a proposal."""
    return proposals.variants() if value == proposals.ALL else value


def _with_tuples(value: Any) -> Any:
    """Return an object with its lists as tuples."""
    if not isinstance(value, dict):
        return value
    return {key: tuple(inner) if isinstance(inner, list) else inner for key, inner in value.items()}


def _layouts(value: Any, info: ValidationInfo) -> Any:
    """Resolve `auto` for the CPU of this machine; see `_devices`."""
    if value != "auto":
        # Values are not converted to another type, except lists to tuples.
        return tuple(map(_with_tuples, value)) if isinstance(value, list) else value
    threads = info.data.get("threads", "auto")
    if threads == "auto" and info.context is None:
        raise ValueError(
            "auto counts the cores of this machine, and --jobs runs on a cluster; give threads a number, or name the "
            "layouts of its nodes (layouts: [{processes: 2, threads: 4}])"
        )
    found = layouts.usual(available_cpus() if threads == "auto" else threads)
    return tuple(Layout(processes=processes, threads=each, devices=("cpu",)) for processes, each in found)


def _budget(value: float | None, info: ValidationInfo) -> float | None:
    """Return the budget of a cell in a lap: a default if the study gives no time at all."""
    # Missing if the value itself is wrong.
    minutes = info.data.get("minutes", 0)
    if value is None:
        return BUDGET_S if minutes is None else None
    if minutes:
        raise ValueError(
            "give either protocol.minutes, the time of the whole study, or protocol.budget_s, the time of a cell in a "
            "lap, and null for the other"
        )
    return value


# A number keeps its form: 10 does not become 10.0, because options of measuring jobs contain it.
AS_WRITTEN = WrapValidator(_as_written)
SAID_AS_WRITTEN = PlainSerializer(lambda value: value)
DISTINCT = AfterValidator(_distinct)
SAID_DISTINCT = Field(json_schema_extra={"uniqueItems": True})
Name = Annotated[str, Field(**NAME)]
Device = Literal["cpu", "cuda"]
Devices = Annotated[tuple[Device, ...], Field(min_length=1), DISTINCT, SAID_DISTINCT]
Variants = Annotated[Mapping[Name, Variant], Field(min_length=1)]
DurationS = Annotated[int, Field(ge=1, le=600)]
BatchSize = Annotated[int, Field(ge=1, le=1024)]
Limit = Annotated[float, Field(gt=0), AS_WRITTEN, SAID_AS_WRITTEN]
Share = Annotated[float, Field(gt=0, le=1), AS_WRITTEN, SAID_AS_WRITTEN]
Price = Annotated[float, Field(gt=0, le=1_000_000), AS_WRITTEN, SAID_AS_WRITTEN]
Text = Annotated[str, Field(min_length=1)]
Auto = Annotated[Literal["auto"], Tag("auto")]
AUTO_OR_GIVEN = Discriminator(lambda value: "auto" if value == "auto" else "given")


class Part(BaseModel):
    """A part of a study."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Protocol(Part):
    """The protocol of a measurement."""

    version: Literal[2] = Field(
        default=2, description="Version of the measuring protocol; raised when the meaning of measurements changes."
    )
    laps: int = Field(
        default=3,
        ge=1,
        le=9,
        description="Number of laps. Each lap measures every cell once, in a fresh process and in another order. "
        "Intervals need two laps. An additional lap measures nothing again.",
    )
    minutes: Annotated[float, Field(ge=0.1, le=10_080), AS_WRITTEN, SAID_AS_WRITTEN] | None = Field(
        default=None,
        description="Time in minutes for all measuring jobs of the study together; every cell gets at least one round "
        "over its batches in each lap. null: budget_s sets the time of each cell.",
    )
    budget_s: Annotated[
        Annotated[float, Field(gt=0, le=604_800), AS_WRITTEN, SAID_AS_WRITTEN] | None, AfterValidator(_budget)
    ] = Field(
        default=None,
        validate_default=True,
        description="Seconds of timed passes of a cell in one lap, as an alternative to minutes; a started round is "
        f"finished. null: {BUDGET_S} if minutes is not given either.",
    )
    target: Share = Field(
        default=0.05,
        description="Largest half-width of the 95 % interval of a cell's latency, relative to the latency; a cell with "
        "a wider interval is unconverged.",
    )
    max_passes: int = Field(
        default=300, ge=5, le=1_000_000, description="Maximum number of timed passes of a cell in one lap."
    )
    larger_than_oom: bool = Field(
        default=False, description="Run a batch size even if a smaller one ran out of memory."
    )
    timeout_s: Annotated[float, Field(ge=1, le=604_800), AS_WRITTEN, SAID_AS_WRITTEN] = Field(
        default=600,
        description="Maximum seconds of a cell in one lap, including loading. A slower cell is stopped with the status "
        "timeout.",
    )
    energy_window_s: Annotated[float, Field(ge=5, le=3600), AS_WRITTEN, SAID_AS_WRITTEN] = Field(
        default=5, description="Minimum length of an energy window in seconds, on a device with an energy counter."
    )


class Profile(Part):
    """The cells that are profiled."""

    durations_s: Annotated[
        Auto | Annotated[tuple[DurationS, ...], DISTINCT, SAID_DISTINCT, Tag("given")],
        AUTO_OR_GIVEN,
    ] = Field(
        default="auto",
        description="Duration classes in seconds; auto: the longest of at most 30 s, or else the shortest.",
    )
    batch_sizes: Annotated[
        Auto | Annotated[tuple[BatchSize, ...], DISTINCT, SAID_DISTINCT, Tag("given")],
        AUTO_OR_GIVEN,
    ] = Field(default="auto", description="Batch sizes; auto: the smallest and the largest of each class.")


class Robustness(Part):
    """Additional input for the models, beside the speech that is scored."""

    silence: bool = Field(
        default=False,
        description="Let each pretrained model and variant transcribe clips without speech: digital silence, white "
        "noise, mains hum, room tone, and the corpus' own silent recordings. All text it writes is invented.",
    )


class Load(Part):
    """A load test: requests at random times, to find the capacity of a machine in requests per second."""

    models: Annotated[tuple[Name, ...], DISTINCT, SAID_DISTINCT] | None = Field(
        default=None, description="Models to test; null: all; []: none, capacities are only modelled."
    )
    variants: Annotated[tuple[Name, ...], DISTINCT, SAID_DISTINCT] | None = Field(
        default=None, description="Variants to test; null: all."
    )
    devices: Devices | None = Field(default=None, description="Devices to test; null: all.")
    segments_s: DurationS | None = Field(
        default=None,
        description="Duration class of the requested segments, one of durations_s; null: the longest of at most 30 s, "
        "or else the shortest.",
    )
    duration_s: Annotated[float, Field(ge=5, le=3600), AS_WRITTEN, SAID_AS_WRITTEN] = Field(
        default=60,
        description="Time in seconds for which requests arrive at one rate; longer if there are too few for a verdict "
        "on the percentile.",
    )
    target_latency_s: Limit = Field(
        default=1.0, description="Limit of the latency from a request to its text, in seconds."
    )
    percentile: Annotated[float, Field(ge=0.5, le=0.999), AS_WRITTEN, SAID_AS_WRITTEN] = Field(
        default=0.95, description="Share of requests that must keep the limit."
    )
    max_batch: BatchSize = Field(
        default=8, description="Maximum number of requests that the server transcribes at once."
    )
    max_wait_ms: Annotated[float, Field(ge=0, le=60_000), AS_WRITTEN, SAID_AS_WRITTEN] = Field(
        default=50, description="Maximum wait of the first request of a batch for others, in milliseconds."
    )
    minutes: Annotated[float, Field(ge=0.1, le=1440), AS_WRITTEN, SAID_AS_WRITTEN] | None = Field(
        default=None,
        description="Time in minutes to find the capacity of one model and variant on a device; null: the time of "
        "twelve rates.",
    )


class Layout(Part):
    """A number of simultaneous processes, each with its own model."""

    processes: int = Field(ge=1, le=1024, description="Number of processes; on cuda they share the GPU.")
    threads: int = Field(
        ge=1,
        le=4096,
        description="CPU threads of each process; on cpu each process has the same number of cores for itself.",
    )
    devices: Devices | None = Field(
        default=None, description="Devices to measure the layout on; null: all of the study."
    )


class Scenario(Part):
    """The limits of a purpose, and the preference among the models that meet them."""

    description: Annotated[str, Field(max_length=500)] | None = Field(
        default=None,
        description="Sentence about the purpose, for the report; null: that of the default scenario of this name.",
    )
    devices: Devices | None = Field(default=None, description="Devices that may be used; null: any.")
    duration_s: int | None = Field(
        default=None,
        description="Duration class, one of durations_s; null: the longest of at most 30 s with enough segments to "
        "compare accuracies.",
    )
    max_wer: Share | None = Field(default=None, description="Maximum WER, as a share of the words (0.1: one in ten).")
    max_latency_s_median: Limit | None = Field(
        default=None, description="Maximum median latency of a pass, in seconds."
    )
    max_latency_s_p95: Limit | None = Field(
        default=None,
        description="Maximum 95th percentile of the latency over requests, in seconds: 95 of 100 segments are "
        "transcribed within it. To confirm the limit takes 59 segments of the class, times the batch size "
        "(segments_per_class); six can show that it is missed.",
    )
    load_per_s: Limit | None = Field(
        default=None,
        description="Requests per second that the machine must carry within the limit of load, measured or modelled; "
        "max_latency_s_p95 then limits the waiting time at this rate. Needs load in the study, and its class.",
    )
    min_rtfx: Limit | None = Field(default=None, description="Minimum seconds of audio per second (1: real time).")
    max_memory_gb: Limit | None = Field(
        default=None,
        description="Maximum peak memory, in GB (1e9 bytes): of the process on cpu, of the GPU on cuda.",
    )
    prefer: Literal["throughput", "latency", "energy", "accuracy", "capacity"] = Field(
        default="throughput",
        description="Criterion among models that meet the limits: throughput (highest RTFx), latency (lowest median), "
        "energy (least per hour of audio), accuracy (lowest WER; among models that tie with it, the highest RTFx), or "
        "capacity (most requests per second, as defined by load).",
    )


class DevicePrices(Part):
    """Price per hour of each device."""

    cpu: Price | None = Field(default=None, description="Price per hour of the CPU machine.")
    cuda: Price | None = Field(default=None, description="Price per hour of the GPU machine.")


class Tariff(Part):
    """Prices of energy and devices, and the CO2 of the local grid."""

    currency: Annotated[str, Field(min_length=1, max_length=10)] | None = Field(
        default=None, description="Currency of the prices, as shown in the report (EUR)."
    )
    price_per_kwh: Price | None = Field(default=None, description="Price per kilowatt-hour.")
    price_per_device_hour: DevicePrices = Field(
        default=DevicePrices(),
        description="Price per hour of each device (its rent, or its share of a purchase).",
    )
    co2_g_per_kwh: Price | None = Field(
        default=None, description="Grams of CO2 equivalent per kilowatt-hour of the local grid."
    )


class Report(Part):
    """Content and language of the report."""

    language: Literal["en", "ru"] = Field(default="en", description="Language of the report and its figures.")
    scenarios: Mapping[Name, Scenario] = Field(
        default={
            "production": Scenario(max_wer=0.15, max_latency_s_median=1, prefer="throughput"),
            "research": Scenario(prefer="accuracy"),
            "edge": Scenario(devices=("cpu",), max_wer=0.25, min_rtfx=1, max_memory_gb=4, prefer="latency"),
        },
        description="Purposes by name, with their limits; the report recommends a model for each. A limit that is null "
        "is ignored. Your scenarios replace the three default ones; {}: no recommendation.",
    )
    accuracy_gate: Share | None = Field(
        default=0.99,
        description="Share of the word accuracy (1 - WER) of a model's variant fp32 that its other variants must "
        "reach to be recommended (99 %, as in MLPerf Inference); null: no gate.",
    )
    tariff: Tariff = Field(default=Tariff(), description="Prices for the cost of an hour of audio; null: not given.")
    study_2025: bool = Field(
        default=False,
        description="Compare with the published tables of the 2025 study. studies/edlm2025.yaml has its grid.",
    )
    transcripts: Literal["all", "worst", "none"] = Field(
        default="all",
        description="Texts in the report. all: the segments with the most errors, and links to the tables with all "
        "texts. worst: only the texts of the three segments with the largest share of wrong words. none: no texts.",
    )
    paths: bool = Field(
        default=True,
        description="false: placeholders such as FILE-1 and RESULTS replace the names of recordings, folders, machines "
        "and users in the report. `make share` packs report and tables for others, both without withheld content.",
    )
    embed_audio: bool = Field(
        default=False,
        description="Embed the audio of the shown transcripts in the report. Check its licence before you share the "
        "report.",
    )


class Compare(Part):
    """Comparison of two runs of the same cells."""

    first: Text | None = Field(
        default=None, description="Name of a kept run, or results folder of a run, to compare with; null: none."
    )
    second: Text | None = Field(
        default=None,
        description="Name of a kept run, or results folder of a run, to judge; null: this study's results.",
    )
    guard: bool = Field(
        default=False,
        description="Let `snakemake compare` fail with REGRESSION if the second run is worse, and with NOTHING TO "
        "JUDGE if this cannot be decided.",
    )


class Study(Part):
    """What to measure: models, variants, devices, durations, batch sizes, speech and protocol."""

    name: Name = Field(description="Name of the study; shown in the report. A results folder belongs to one study.")
    results: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._/-]*$", max_length=200), AfterValidator(posixpath.normpath)
    ] = Field(
        default="results",
        description="Folder of this study's results, relative to the checkout. Give a second study its own folder to "
        "keep both.",
    )
    seed: int = Field(
        default=42,
        ge=0,
        le=2**32 - 1,
        description="Seed for everything random: order of the cells, batches, random weights.",
    )
    corpus: Corpus = Field(
        default=PackagesCorpus(kind="packages", name="quickstart"),
        description="The speech. The other keys depend on `kind`.",
    )
    models: Mapping[Name, ModelSettings] = Field(
        min_length=1,
        description="The models by name. A model in resources/models.toml needs its name only; any other Whisper- or "
        "CTC-type model needs id and revision, or path.",
    )
    variants: Annotated[
        Variants, BeforeValidator(_variants, json_schema_input_type=Literal["proposals"] | Variants)
    ] = Field(
        default={"fp32": runtimes.options_of(DEFAULT_RUNTIME)()},
        description="Ways to run each model, by name. fp32 is the baseline. proposals: the baseline and every variant "
        "that measures a proposal of resources/proposals.toml.",
    )
    devices: Annotated[Devices, BeforeValidator(_devices, json_schema_input_type=Literal["auto"] | Devices)] = Field(
        default="auto",
        validate_default=True,
        description="auto: the CPU, and CUDA if there is a GPU; or a list.",
    )
    durations_s: Annotated[tuple[DurationS, ...], DISTINCT, SAID_DISTINCT] = Field(
        default=(5, 15, 30, 60), min_length=1, description="Duration classes in seconds."
    )
    batch_sizes: Annotated[tuple[BatchSize, ...], DISTINCT, SAID_DISTINCT] = Field(
        default=(1, 4), min_length=1, description="Numbers of segments in a batch."
    )
    max_batch_audio_s: Annotated[int, Field(ge=1, le=614_400)] | None = Field(
        default=None,
        description="Leave out cells whose duration class times batch size exceeds this many seconds; null: leave out "
        "none.",
    )
    threads: Annotated[Auto | Annotated[int, Field(ge=1, le=4096), Tag("given")], AUTO_OR_GIVEN] = Field(
        default="auto", description="CPU threads of a measurement; auto: all cores that the job may use."
    )
    protocol: Protocol = Field(default=Protocol(), description="Protocol of the measurements.")
    profile: Profile = Field(
        default=Profile(),
        description="Cells whose operators are profiled, in separate jobs; an empty list: none.",
    )
    robustness: Robustness = Field(
        default=Robustness(),
        description="Additional input for the models, beside the speech that is scored, in separate jobs.",
    )
    load: Load | None = Field(
        default=None,
        description="Capacity in requests per second, measured with MLPerf's load generator and otherwise modelled; "
        "null: none.",
    )
    layouts: Annotated[
        Annotated[tuple[Layout, ...], DISTINCT, SAID_DISTINCT],
        BeforeValidator(
            _layouts, json_schema_input_type=Literal["auto"] | Annotated[tuple[Layout, ...], SAID_DISTINCT]
        ),
    ] = Field(
        default=(),
        description="Layouts to compare for every model and variant: processes that transcribe the same batches at "
        "once, each on its own cores. auto: one process on all cores, one per core, and on four or more cores one per "
        "two cores. []: none.",
    )
    report: Report = Field(default=Report(), description="The report.")
    compare: Compare = Field(
        default=Compare(),
        description="Compare two runs of the same cells: `snakemake compare`, and a section of the report if the "
        "second run is this study's.",
    )
    # Why `devices: auto` found no GPU: a note on the run in study.json, not a key for users.
    device_note: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the complete study in the form of `study.json`."""
        variants = {name: variant.as_json() for name, variant in self.variants.items()}
        return self.model_dump(mode="json") | {"corpus": self.corpus.as_json(), "variants": variants}
