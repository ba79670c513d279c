"""The events that a worker reports. A record keeps the last event of each kind. Standard library only.

A field that is None was not measured, or was not yet reported by the version that wrote a record.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NotRequired, TypedDict

from asrmeter.common import typed_json
from asrmeter.common.typed_json import JsonObject

EVENTS: dict[str, type["Event"]] = {}


@dataclass(frozen=True, kw_only=True)
class Event:
    """An event of a worker, with its own name."""

    name: ClassVar[str]

    def __init_subclass__(cls, name: str) -> None:
        """Make the class known by its name in JSON."""
        cls.name = name
        EVENTS[name] = cls

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {"event": self.name, **vars(self)}


def from_json(content: JsonObject) -> Event:
    """Return the event of a JSON object.

    Raises:
        KeyError: there is no event of this name.
    """
    return typed_json.from_json(EVENTS[content["event"]], content)


def parse(line: str) -> Event:
    """Return the event of a line of JSON."""
    return from_json(json.loads(line))


@dataclass(frozen=True, kw_only=True)
class Ready(Event, name="ready"):
    """The model is loaded. `startup_cpu_s` is the CPU time until then, `preload_cpu_s` that of a server's imports.

    `load_s` is the wall time of loading the model, imports of a server apart. `attention`, `dtype`, `threads`,
    `library`, `instructions` and `emulated` are what the model really runs at; `differences` is what differs by nature
    from the baseline; `versions` are those of its packages.
    """

    startup_cpu_s: float | None = None
    preload_cpu_s: float | None = None
    load_s: float | None = None
    model_rss_bytes: int | None = None
    model_device_bytes: int | None = None
    gpu_name: str | None = None
    gpu_uuid: str | None = None
    driver_version: str | None = None
    decoding: JsonObject | None = None
    attention: str | None = None
    dtype: str | None = None
    threads: int | None = None
    library: str | None = None
    instructions: str | None = None
    emulated: bool | None = None
    differences: Sequence[str] | None = None
    versions: Mapping[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Warm(Event, name="warm"):
    """The warm-up is over. `first_pass_s` is its first pass, over at most 5 s of each segment: that of a first request.

    `compile_s` is what compiling took of the warm-up; `n_compile_cache_hits` parts of it came from an earlier process.
    """

    first_pass_s: float
    compile_s: float | None = None
    n_compile_cache_hits: int | None = None


@dataclass(frozen=True, kw_only=True)
class Memory(Event, name="memory"):
    """The peaks of memory in the first timed pass, which is over the longest batch."""

    peak_rss_bytes: int | None = None
    peak_device_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Pass(Event, name="pass"):
    """One pass. Lists have a value for each segment; stages and counts that the runtime does not report are None.

    `languages` are those that the model found; see `asrmeter.runtimes.base.Hypothesis`.
    A pass of the warm-up hears segments that are cut off, and has none in its lists: its texts are those of no segment.
    """

    phase: str
    round: int | None = None
    batch: int | None = None
    segment_ids: Sequence[str] = ()
    started_at_s: float | None = None
    ended_at_s: float | None = None
    latency_s: float
    features_s: float | None = None
    encoder_s: float | None = None
    decoder_s: float | None = None
    text_s: float | None = None
    audio_s: float
    texts: Sequence[str] = ()
    n_tokens: Sequence[int | None] = ()
    n_windows: Sequence[int | None] = ()
    processed_s: Sequence[float | None] = ()
    languages: Sequence[str | None] = ()
    n_decoder_runs: int | None = None
    n_decoder_rows: int | None = None
    n_decoder_tokens: int | None = None
    n_decoder_positions: int | None = None


class Rates(TypedDict, total=False):
    """Readings of the machine over all timed rounds; see `asrmeter.machine.interference.Watch`."""

    foreign_cpu_cores: float | None
    waiting_threads: float | None
    steal_share: float | None


class Extremes(TypedDict, total=False):
    """Readings of the machine in the worst of all intervals."""

    cpu_mhz_min: float | None
    temperature_c_max: float | None
    n_throttle_events: int | None
    n_foreign_gpu_processes: int | None


class Watched(TypedDict, total=False):
    """Readings of the machine during the timed rounds, including some that are in no table."""

    mean: Rates
    worst: Extremes


@dataclass(frozen=True, kw_only=True)
class Latency(Event, name="latency"):
    """The timed rounds: why they ended, and the readings of the machine.

    The first `n_unsteady` of the `n_rounds` belong to the warm-up. `timed_s` is the sum of all timed passes, and
    `budget_s` what they were given. `own_cpu_s` is the CPU time of the process meanwhile, in `wall_s` seconds.
    `stage_marks_s` is what setting the marks of a pass takes.
    """

    reason: str | None = None
    n_rounds: int | None = None
    n_unsteady: int = 0
    timed_s: float | None = None
    budget_s: float | None = None
    own_cpu_s: float | None = None
    wall_s: float | None = None
    watch: Watched | None = None
    disturbance: str | None = None
    stage_marks_s: float | None = None


class Speed(TypedDict):
    """The rates of the control kernel: of a product of matrices in cache, and of a copy out of cache."""

    matmul_flop_per_s: float
    copy_bytes_per_s: float


@dataclass(frozen=True, kw_only=True)
class Control(Event, name="control"):
    """How fast the machine was before the passes, and after them; see `asrmeter.measure.control`.

    `seconds` is what that took. Where the kernel failed, `note` says why.
    """

    library: str
    device: str
    n_threads: int
    before: Speed | None = None
    after: Speed | None = None
    seconds: float | None = None
    note: str | None = None


class Window(TypedDict):
    """Joules of one window, by codecarbon and by counters that were read directly; None if there is no value."""

    n_passes: int
    seconds: float
    cpu_j: float | None
    gpu_j: float | None
    ram_j: float | None
    counter_cpu_j: NotRequired[float | None]
    counter_gpu_j: NotRequired[float | None]


@dataclass(frozen=True, kw_only=True)
class Energy(Event, name="energy"):
    """The windows of the energy measurement; see `asrmeter.measure.energy`."""

    method_cpu: str = "none"
    method_gpu: str = "none"
    note: str | None = None
    windows: Sequence[Window] = ()
    idle: Sequence[Window] = ()
    idle_settled_s: float | None = None
    counter_tick_s: float | None = None
    counter_note: str | None = None


@dataclass(frozen=True, kw_only=True)
class Spent(Event, name="spent"):
    """Wall seconds of the worker by activity."""

    seconds: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Waited(Event, name="waited"):
    """The CPU time that the job took while it waited for the worker."""

    parent_cpu_s: float


@dataclass(frozen=True, kw_only=True)
class Profile(Event, name="profile"):
    """A profiled pass: `rows` are its operators, `covered` the share of the pass that they are.

    `plain_pass_s` is the median pass without the profiler, `overhead` what profiling added to it.
    """

    repeat: int
    pass_s: float
    rows: Sequence[JsonObject]
    covered: float
    device_idle_share: float | None = None
    plain_pass_s: float
    overhead: float
    disturbance: str | None = None


@dataclass(frozen=True, kw_only=True)
class Heard(Event, name="heard"):
    """The transcript of a clip without speech, by the clip's name.

    `sha256` is that of its samples, `language` what the model found to be spoken; see `Hypothesis.language`.
    """

    clip: str
    sha256: str
    text: str
    language: str | None = None


@dataclass(frozen=True, kw_only=True)
class Probe(Event, name="probe"):
    """One rate of requests that a load test tried; see `asrmeter.measure.load_generator.Answered`.

    `latencies_s` are those of the requests that were answered, in their order, of `n_requests` that came;
    `batch_sizes` those of the batches that formed. `took_s` is the time from the first request to the last answer,
    `busy_s` what of it the model was at work. `window` has the joules of the whole probe.
    """

    number: int
    target_per_s: float
    offered_per_s: float
    completed_per_s: float
    n_requests: int
    is_valid: bool
    gave_up: bool
    took_s: float
    busy_s: float
    generator_cpu_s: float
    latencies_s: Sequence[float]
    batch_sizes: Sequence[int]
    summary: str
    window: Window | None = None
    method_cpu: str = "none"
    method_gpu: str = "none"
    energy_note: str | None = None


@dataclass(frozen=True, kw_only=True)
class Searched(Event, name="searched"):
    """The end of a load test: the bounds (1/s) of the capacity, and the readings of the machine."""

    low_per_s: float | None = None
    high_per_s: float | None = None
    is_narrow: bool = False
    watch: Watched | None = None
    disturbance: str | None = None


@dataclass(frozen=True, kw_only=True)
class ProcessPasses(Event, name="process_passes"):
    """The passes of one process of a layout in the window; every list has a value for each pass.

    `began_s` and `ended_s` are by the machine's clock that nobody sets, the same for all of its processes. The memory
    is that after the passes and, `peak`, in them.
    """

    process: int
    cpus: Sequence[int] | None = None
    batches: Sequence[int]
    began_s: Sequence[float]
    ended_s: Sequence[float]
    latency_s: Sequence[float]
    rss_bytes: int | None = None
    peak_rss_bytes: int | None = None
    peak_device_bytes: int | None = None
    disturbance: str | None = None


@dataclass(frozen=True, kw_only=True)
class Together(Event, name="together"):
    """The memory of the processes of a layout after their passes, while all were still running.

    `pss_bytes` is the memory of each, what they share divided among them; None in it where it could not be read.
    """

    pss_bytes: Sequence[int | None]


@dataclass(frozen=True, kw_only=True)
class Device(Event, name="device"):
    """The device whose peak rates are measured."""

    device_name: str | None = None
    float32_matmul_precision: str | None = None


@dataclass(frozen=True, kw_only=True)
class Rate(Event, name="rate"):
    """One of a device's peak rates; see `asrmeter.records.machine_peaks.PEAK_RATES`."""

    kind: str
    dtype: str | None = None
    matrix_size: int | None = None
    working_set_bytes: int | None = None
    flop_per_s: float | None = None
    bytes_per_s: float | None = None
    n_runs: int | None = None
    status: str = "ok"
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Done(Event, name="done"):
    """The task was done."""


@dataclass(frozen=True, kw_only=True)
class Unsupported(Event, name="unsupported"):
    """The task cannot be done on this machine, or by this runtime."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Failed(Event, name="failed"):
    """The task failed: the status of the cell, and the reason."""

    status: str
    reason: str
