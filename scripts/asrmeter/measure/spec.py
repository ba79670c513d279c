"""The input of a worker: the spec of its task, and how it was started. Standard library only."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

from asrmeter.common.typed_json import JsonObject
from asrmeter.records.cell_settings import CellSettings


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Spec:
    """The input of every task.

    Attributes:
        runtime: the name of the runtime whose libraries the process imports.
        device: `cpu` or `cuda`.
        threads: CPU threads to compute with.
        check_cpu_s: CPU time of checking the inputs, which is not part of the start-up.
        hidden: packages that look as if they were not installed.
    """

    task: ClassVar[str]

    runtime: str = "transformers"
    device: str
    threads: int
    check_cpu_s: float | None = None
    hidden: Sequence[str] = ()

    @property
    def own_file(self) -> str | None:
        """The name of the user's file that runs the model, None if another runtime does."""
        return None

    def to_message(self) -> dict[str, Any]:
        """Return the task and its spec as a JSON object."""
        return {"task": self.task} | vars(self)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CellSpec(CellSettings, Spec):
    """How to measure a cell.

    Attributes:
        model_folder: the folder of the model.
        converted_folder: the folder that the variant's conversion made of it, None where it has none.
        refused: why the cell need not be tried, None if it may run.
        segments: those of the class, each with the `file` of its audio.
        batches: the ids of the segments of each batch.
        to_measure: the positions of the batches that are measured; None: all.
        ends_at_s: when the job should be done, by the clock `time.monotonic`; None where `budget_s` says how long.
    """

    task = "cell"

    model_folder: str
    converted_folder: str | None = None
    refused: str | None = None
    segments: Sequence[JsonObject]
    batches: Sequence[Sequence[str]]
    to_measure: Sequence[int] | None = None
    ends_at_s: float | None = None

    @property
    def own_file(self) -> str | None:
        """See `Spec`."""
        runtime = self.options["runtime"]
        return None if isinstance(runtime, str) else Path(runtime["path"]).name

    @property
    def settings(self) -> dict[str, Any]:
        """The values that a record keeps, without paths and values drawn from the seed."""
        kept = {name: getattr(self, name) for name in (field.name for field in fields(CellSettings))}
        return kept | {"segments": [{key: row[key] for key in row if key != "file"} for row in self.segments]}


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ProfileSpec(CellSpec):
    """How to profile a cell; the last profiled pass is written to `trace_file`."""

    task = "profile"

    trace_file: str


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class NodeProfileSpec(ProfileSpec):
    """How to profile a cell whose engine times its nodes itself. There is no trace."""

    task = "node_profile"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SilenceSpec(CellSpec):
    """Transcription of clips without speech by a model and variant, one clip after the other.

    Attributes:
        clips: the fields of each; see `asrmeter.corpora.silence.Clip`.
        language_told: what the model is told that is spoken; None where it is to find out.
    """

    task = "silence"

    segments: Sequence[JsonObject] = ()
    batches: Sequence[Sequence[str]] = ()
    clips: Sequence[JsonObject]
    language_told: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LoadSpec(CellSpec):
    """How to find the capacity of a model and variant on a device; `batch_size` is the most requests of a batch.

    Attributes:
        probe_s: how long requests of one rate come, at least.
        search_s: the time for all rates.
        target_latency_s: the limit of the latency.
        percentile: the share of requests (0 to 1) that must keep it.
        max_wait_s: how long the first request of a batch waits for others, at most.
        predicted_per_s: the rate (1/s) that the search starts at.
    """

    task = "load"

    probe_s: float
    search_s: float
    target_latency_s: float
    percentile: float
    max_wait_s: float
    predicted_per_s: float


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LayoutSpec(CellSpec):
    """How one of several processes runs a cell beside the others.

    Attributes:
        processes: how many there are.
        process: which of them it is, from 0.
        cpus: the CPUs that are its own; None where it has none for itself.
        window_s: for how many seconds all run passes.
        arrived: the descriptor that it writes a byte to where it waits for the others.
        gates: the descriptors that end when it may go on: to its passes, and to its end.
    """

    task = "layout"

    processes: int
    process: int = 0
    cpus: Sequence[int] | None = None
    window_s: float
    arrived: int = -1
    gates: Sequence[int] = ()


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PeaksSpec(Spec):
    """How to measure the peak rates of a device.

    Attributes:
        dtypes: number formats of the matrices.
        budget_s: seconds for each dtype and each way to move memory.
    """

    task = "peaks"

    dtypes: Sequence[str]
    budget_s: float


@dataclass(frozen=True)
class Start:
    """How a worker was started: CPU seconds of the job, and of the server that forked it (None: it was not forked)."""

    parent_cpu_s: float = 0.0
    preload_cpu_s: float | None = None
