"""One sitting: the record of a cell in one lap, with what is worked out from it."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

import pyarrow as pa

from asrmeter.analysis.hardware import Hardware
from asrmeter.common.stats import ratio
from asrmeter.common.table_types import INTEGER, NUMBER, Row, Source, column
from asrmeter.common.vocabulary import MEASURED_STATUS
from asrmeter.records import disturbance, status
from asrmeter.records.disturbance import ControlKey, Rates
from asrmeter.records.events import Event, Latency, Ready
from asrmeter.records.header import RecordHeader
from asrmeter.study.grid import Cell


@dataclass(frozen=True)
class Watched:
    """Something that is watched of the machine: its column, the mean or the worst, and its name in the record."""

    column: pa.Field
    when: str
    key: str


def _watched(name: str, kind: pa.DataType, unit: str, meaning: str, when: str, key: str = "") -> Watched:
    null_when = "no pass was timed, or it is unknown"
    return Watched(column(name, kind, meaning, Source.MEASURED, unit=unit, null_when=null_when), when, key or name)


WATCHED = (
    _watched(
        "other_processes_cpu_cores",
        NUMBER,
        "cores",
        "What all other processes took of the CPU during the timed passes, on average.",
        "mean",
        "foreign_cpu_cores",
    ),
    _watched(
        "waiting_threads",
        NUMBER,
        "threads",
        "The threads that could have run but had no core during the timed passes, on average.",
        "mean",
    ),
    _watched(
        "steal_share",
        NUMBER,
        "share",
        "The share of the CPUs' time that a hypervisor gave to others during the timed passes.",
        "mean",
    ),
    _watched("cpu_mhz_min", NUMBER, "MHz", "The slowest clock of a core that was seen between passes.", "worst"),
    _watched("temperature_c_max", NUMBER, "°C", "The hottest that the processor or the GPU was seen.", "worst"),
    _watched("n_throttle_events", INTEGER, "events", "How often the processor slowed down for heat.", "worst"),
    _watched(
        "n_foreign_gpu_processes", INTEGER, "processes", "How many other processes had the GPU open at most.", "worst"
    ),
)


@dataclass(frozen=True, eq=False)
class MeasuredSitting:
    """A record; `best_controls` are the best control rates of each machine in the study, `path` is its file."""

    header: RecordHeader
    passes: Sequence[Row]
    best_controls: Mapping[ControlKey, Rates] = field(default_factory=dict, repr=False)
    path: Path | None = None

    @property
    def cell(self) -> Cell:
        """The cell that was measured."""
        header = self.header
        return Cell(header.model, header.variant, header.device, header.duration_s, header.batch_size)

    @property
    def lap(self) -> int:
        """The lap that it belongs to."""
        return self.header.lap

    def event(self, kind: type[Event], key: str) -> Any:
        """Return a value of an event that the worker reported, or None if it did not come that far."""
        found = self.header.last(kind)
        return None if found is None else getattr(found, key)

    def watched(self, when: str, key: str) -> Any:
        """Return what was observed of the machine during the timed passes; None if nothing was."""
        return (self.event(Latency, "watch") or {}).get(when, {}).get(key)

    @property
    def runtime(self) -> str:
        """The name of the runtime, or that of the user's file that ran the model."""
        runtime = self.header.options["runtime"]
        return runtime if isinstance(runtime, str) else PurePath(runtime["path"]).name

    @property
    def library_versions(self) -> Mapping[str, str]:
        """The versions of the packages that were measured with, those that a file of the user's names among them."""
        return {**self.header.versions, **(self.event(Ready, "versions") or {})}

    @property
    def part(self) -> str:
        """The component of the cell's device, as figures of energy name it."""
        return "gpu" if self.header.device == "cuda" else "cpu"

    @property
    def device_name(self) -> str | None:
        """The name of the GPU or the processor; None for a GPU that was never reached."""
        return self.event(Ready, "gpu_name") or (self.header.cpu_name if self.part == "cpu" else None)

    @property
    def hardware(self) -> Hardware:
        """What it was measured on; see `hardware.hardware_of`."""
        threads = self.header.threads if self.header.device == "cpu" else None
        return self.header.machine_id, self.device_name, threads

    @cached_property
    def timed(self) -> list[Row]:
        """The passes that were timed for latency."""
        return [entry for entry in self.passes if entry["phase"] == "latency"]

    @property
    def is_measured(self) -> bool:
        """Whether it has a latency: it ran to its end, and timed a pass."""
        return self.header.status in MEASURED_STATUS and bool(self.timed)

    @cached_property
    def by_batch(self) -> dict[int, list[float]]:
        """The latencies of the timed passes in seconds, by batch."""
        found: dict[int, list[float]] = {}
        for entry in self.timed:
            found.setdefault(entry["batch"], []).append(entry["latency_s"])
        return found

    @property
    def n_rounds(self) -> int:
        """The rounds that were timed."""
        return len({entry["round"] for entry in self.timed})

    @property
    def latency_s(self) -> float | None:
        """The mean over its batches of the median pass; other laps may have timed other batches."""
        return statistics.fmean(map(statistics.median, self.by_batch.values())) if self.is_measured else None

    @property
    def busy_threads(self) -> float | None:
        """The threads that the process kept busy in its timed passes; None where the record does not say it."""
        return ratio(self.event(Latency, "own_cpu_s"), self.event(Latency, "wall_s"))

    @cached_property
    def control_rates(self) -> Rates:
        """How fast the control kernel was, before and after taken together; empty where it did not run."""
        return disturbance.control_rates(self.header) or {}

    @cached_property
    def machine_speed(self) -> float | None:
        """The control kernel's rates as a share of the best of the machine; None where it did not run."""
        return disturbance.machine_speed(self.header, self.best_controls)

    @cached_property
    def disturbance(self) -> str | None:
        """What disturbed it; None if nothing did, or no pass was timed."""
        return disturbance.why(self.header, self.best_controls) if self.timed else None

    @property
    def n_tries(self) -> int:
        """How often it was tried: where it stayed disturbed, the first record stands, and the later tries beside it."""
        in_vain = len(status.tries(self.path)) if self.path and self.disturbance else 0
        return self.header.attempt + in_vain
