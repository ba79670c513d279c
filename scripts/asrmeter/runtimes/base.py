"""The interface of runtimes: waveforms in, text out, with a mark at the beginning of each stage.

A runtime is a module of this package with `OPTIONS`, `load` and `preload`, or a Python file that a study names.
`Runtime` is what measuring needs of a loaded model. Nothing here imports a library: a process that measures has the
memory of its own runtime.
"""

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from asrmeter.common.options import FORBID_OTHERS
from asrmeter.common.vocabulary import STAGES, DecoderWork

if TYPE_CHECKING:
    import numpy as np

    from asrmeter.machine import cuda
    from asrmeter.machine.host import Host


class UnsupportedError(Exception):
    """This machine or runtime does not support a variant. The message says why."""


@dataclass(frozen=True)
class Setup:
    """The input for loading a runtime.

    Attributes:
        folder: the model folder, as `prepare_model.py` makes it.
        family: the name of the model's family.
        options: the variant's options; for a file of one's own those under `runtime.options`.
        device: `cpu` or `cuda`.
        threads: CPU threads to compute with.
        random_weights: whether the weights are random. Such a model never emits an end token reliably, so its work is
            fixed beforehand.
        converted: the folder that the variant's conversion made of the model, None where it has none.
        profiled: whether the runtime is to time the nodes of its graphs, if it can.
    """

    folder: Path
    family: str
    options: Mapping[str, Any] = field(default_factory=dict)
    device: str = "cpu"
    threads: int = 1
    random_weights: bool = False
    converted: Path | None = None
    profiled: bool = False


@dataclass(frozen=True)
class SpeechBatch:
    """The segments that a model is given at once.

    Attributes:
        waveforms: float32 of shape (n,), 16 kHz, in host memory.
        references: their texts, for random weights only: these write as many tokens as the reference has.
        languages: what the model is told of each (ISO 639-1, or Whisper's code where that has none), None where it is
            to find out. A model that is told no language takes no notice.
    """

    waveforms: "list[np.ndarray]"
    references: list[str]
    languages: list[str | None]


@dataclass(frozen=True)
class Hypothesis:
    """The transcript of one segment, and the work that it took; None is what a runtime does not know.

    `n_tokens` are text tokens, `n_windows` runs of the encoder. `processed_s` are the seconds that the encoder worked
    through: padding counts, and audio in two windows counts twice. `language` is the one that the model found, None
    where it was told one or looks for none.
    """

    text: str
    n_tokens: int | None = None
    n_windows: int | None = None
    processed_s: float | None = None
    language: str | None = None


@dataclass(frozen=True)
class Effective:
    """The true settings of a loaded model, which may differ from the requested ones; None if unknown.

    Attributes:
        dtype: number format of the weights, such as float32 or int8_float32.
        threads: CPU threads of a pass.
        library: what computes, such as `torch 2.13.0, oneDNN`.
        attention: implementation of attention, `sdpa` or `eager`.
        instructions: the processor's instructions that the library computes with, such as `AVX2`.
        emulated: whether the processor lacks the instructions for the number format, so that the library imitates them.
    """

    dtype: str | None = None
    threads: int | None = None
    library: str | None = None
    attention: str | None = None
    instructions: str | None = None
    emulated: bool | None = None


class NodeTime(NamedTuple):
    """A node of a graph that ran: which graph, its name, what it does as the engine calls it, how long in all calls."""

    graph: str
    name: str
    operator: str
    seconds: float
    n_calls: int = 1


@dataclass(frozen=True)
class Conversion:
    """The conversion of a model folder that a runtime needs before it can load the model.

    Attributes:
        format: the name of the folder that is made, such as `ctranslate2-int8`.
        settings: what `convert` of the runtime's module is told; whatever JSON can hold.
        packages: the Python packages that the files depend on.
    """

    format: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    packages: tuple[str, ...] = ()


class Timeline:
    """The stages of one pass. A mark ends one stage and begins the next; a stage may come more than once.

    `decoder_work` is what the decoder ran on, None if nobody counts it. Setting a mark reads the clock.
    """

    def __init__(self) -> None:
        self.decoder_work: DecoderWork | None = None
        self._marks: list[tuple[str, Any]] = []
        self._mark: Callable[[], Any] = time.perf_counter

    def begin(self, stage: str) -> None:
        """End the running stage and begin `stage`: one of `features`, `encoder`, `decoder` and `text`."""
        self._marks.append((stage, self._mark()))

    def end(self) -> None:
        """End the last stage."""
        self.begin("")

    @property
    def stages(self) -> list[str]:
        """The stages that have begun, in their order."""
        return [stage for stage, _ in self._marks]

    @property
    def n_marks(self) -> int:
        """How many marks were set."""
        return len(self._marks)

    def seconds(self) -> dict[str, float | None]:
        """Return the seconds of each stage, None for a stage that never began. Work on a device must be over.

        Raises:
            ValueError: a mark names no stage.
        """
        total: dict[str, float | None] = dict.fromkeys(STAGES)
        for (stage, begin), (_, end) in zip(self._marks, self._marks[1:], strict=False):
            if stage not in total:
                raise ValueError(f"{stage!r} is not a stage of a pass; stages are {', '.join(STAGES)}")
            total[stage] = (total[stage] or 0.0) + self._elapsed_s(begin, end)
        return total

    def _elapsed_s(self, begin: Any, end: Any) -> float:
        return float(end - begin)


class DeviceMemory(Protocol):
    """Memory of a runtime on the GPU, in bytes."""

    def reset_peak(self) -> None:
        """Begin a new peak."""

    def now_bytes(self) -> int:
        """Return the memory in use now."""

    def peak_bytes(self) -> int:
        """Return the peak since `reset_peak`."""


class Runtime(ABC):
    """A loaded model. To measure an engine of your own, write a subclass: docs/own-runtime.md has an example.

    Attributes:
        packages: the Python packages that compute; their versions are recorded.
    """

    packages: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def __init__(self, setup: Setup) -> None:
        """Load the model.

        Raises:
            AsrmeterError: the model in the folder cannot be run.
            UnsupportedError: the machine or the library cannot do what is asked for.
        """

    @abstractmethod
    def transcribe(self, speech: SpeechBatch, timeline: Timeline) -> list[Hypothesis]:
        """Transcribe a batch. Return a hypothesis for each segment, in their order."""

    def decoding(self) -> dict[str, Any]:
        """Return the settings of decoding for the record, as JSON values."""
        return {}

    def effective(self) -> Effective:
        """Return the true settings of the model."""
        return Effective()

    def differences(self) -> tuple[str, ...]:
        """Return the inherent differences from the baseline, transformers in float32: words of `DIFFERENCES`."""
        return ()

    def compile_s(self) -> float | None:
        """Return the seconds that compiling took, all of them within the warm-up; None where nothing is compiled."""
        return None

    def n_compile_cache_hits(self) -> int | None:
        """Return how many compiled parts came from the cache of an earlier process; None where nothing is compiled."""
        return None

    def versions(self) -> dict[str, str]:
        """Return the versions of the `packages`."""
        import importlib.metadata

        return {package: importlib.metadata.version(package) for package in self.packages}

    def timeline(self) -> Timeline:
        """Return an empty timeline for one pass."""
        return Timeline()

    def synchronize(self) -> None:  # noqa: B027  (most have nothing to do)
        """Wait until the device has done all that it was given; passes are timed from one such moment to the next."""

    def check_scores(self) -> AbstractContextManager[None]:
        """Reject a model whose scores are not finite in a pass of the block: it would be fast, and wrong.

        Raises:
            FloatingPointError: a score is infinite or not a number.
        """
        return contextlib.nullcontext()

    def begin_profile(self) -> None:
        """Forget the nodes that ran; see `nodes`.

        Raises:
            UnsupportedError: the runtime times no nodes: its options say so by `has_nodes`.
        """
        raise UnsupportedError("the runtime times no nodes")

    def nodes(self) -> list[NodeTime]:
        """Return the nodes that ran since `begin_profile`, in the order of each graph; asked once.

        The setup must be `profiled`.

        Raises:
            UnsupportedError: see `begin_profile`.
        """
        raise UnsupportedError("the runtime times no nodes")

    def gpu(self) -> "cuda.Gpu | None":
        """Return the GPU that the model is on; this is only asked where the device is CUDA."""
        from asrmeter.machine import cuda

        return cuda.first_gpu()

    def device_memory(self) -> DeviceMemory | None:
        """Return the memory on the GPU; None on the CPU, and where the library does not tell."""
        return None

    def close(self) -> None:  # noqa: B027
        """Release resources that must not outlive the measurement, such as a server. The process then ends."""


# The environment of every variant that needs no other.
DEFAULT_ENVIRONMENT = "measure"
# Packages that transformers imports wherever they are installed. Only a variant that needs one sees it.
ALWAYS_UNUSED = ("torchao",)

RUNTIME = {"description": "The library that runs the model; or the path of a Python file of your own."}


@dataclass(frozen=True, kw_only=True)
class RuntimeOptions:
    """What a study says of a variant: how each model is run. A change of an option measures the variant's cells again.

    A runtime has a subclass, which states facts besides, and imports no library. Its first field is `runtime`, which
    names it; the study's schema is made of the fields.

    Attributes:
        packages: the Python packages that compute; their versions are in the record's header.
        unused_packages: packages that the library imports where they are installed and that measuring has no use for.
        has_operators: whether torch runs the model, so that its operators can be profiled.
        has_nodes: whether the runtime times the nodes of its graphs itself; see `Runtime.nodes`.
        equal_settings: whether decoding is set as in the baseline: greedy, the same prompt, nothing left out.
        environments: the environments that variants of the runtime may need instead of the usual one, names of files in
            envs/, each with the packages that it has and the usual one lacks, as Python imports them.
        title: the library's name.
        classes: by family of models, the module within the runtime's package and the `Runtime` in it, such as
            `whisper:OpenVinoWhisper`. Without any, the runtime's module has `load` and `preload`.
    """

    title: ClassVar[str] = ""
    classes: ClassVar[Mapping[str, str]] = {}
    packages: ClassVar[tuple[str, ...]] = ()
    unused_packages: ClassVar[tuple[str, ...]] = ()
    has_operators: ClassVar[bool] = False
    has_nodes: ClassVar[bool] = False
    equal_settings: ClassVar[bool] = True
    environments: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    @property
    def environment(self) -> str:
        """The environment of the variant's jobs: the only one of `environments`, or the usual one."""
        return next(iter(self.environments), DEFAULT_ENVIRONMENT)

    @property
    def needs(self) -> tuple[str, ...]:
        """The packages of the variant's environment that the usual one lacks, as Python imports them."""
        return self.environments.get(self.environment, ())

    @property
    def hidden(self) -> tuple[str, ...]:
        """The packages that look as if they were not installed in the variant's processes."""
        return tuple(sorted({*self.unused_packages, *ALWAYS_UNUSED} - {*self.needs}))

    @property
    def wanted_dtype(self) -> str | None:
        """The number format that the study asks for, None where the runtime decides."""
        return getattr(self, "dtype", None)

    def check(self) -> None:
        """Raise AsrmeterError, beginning with the key, at what types cannot express."""

    @classmethod
    def why_no_model(cls, family: str) -> str | None:
        """Return why no model of a family is run, whatever the machine, or None."""
        is_run = family in cls.classes or not cls.classes
        return None if is_run else f"asrmeter cannot run {family} models by {cls.title}"

    def why_not(self, family: str | None, device: str, host: "Host") -> str | None:
        """Return why a machine cannot run models of a family so, as far as shows before anything is loaded, or None.

        `family` is None where it is not known yet, as of a model on the Hub.
        """
        return None if family is None else self.why_no_model(family)

    def conversion(self) -> Conversion | None:
        """Return what has to be made of a model folder first, None if the runtime loads it as it is."""
        return None

    def as_json(self) -> dict[str, Any]:
        """Return the options as JSON has them."""
        return dict(vars(self))


def options_config(runtime: str, description: str) -> dict[str, Any]:
    """Return pydantic's configuration of a runtime's options; the schema of a study shows the description."""
    return FORBID_OTHERS | {"title": runtime, "json_schema_extra": {"description": description}}


def mark_cost_s(new_timeline: Callable[[], Timeline], n: int = 200) -> float:
    """Return the seconds that setting one mark takes; times the marks of a pass, this is the cost of timing stages."""
    timeline = new_timeline()
    begin = time.perf_counter()
    for _ in range(n):
        timeline.begin("text")
    return (time.perf_counter() - begin) / n
