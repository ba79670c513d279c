"""One cell's record with what is worked out from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePath
from typing import Any

from asrmeter.analysis import repeatability
from asrmeter.analysis.cell_parts.accuracy import Accuracy, wer_note
from asrmeter.analysis.cell_parts.energy import Energy
from asrmeter.analysis.cell_parts.timing import Timing
from asrmeter.analysis.cell_parts.work import Work
from asrmeter.common.table_types import Row
from asrmeter.records.events import Energy as EnergyEvent
from asrmeter.records.events import Event, Latency, Ready
from asrmeter.records.header import RecordHeader


@dataclass(frozen=True)
class MeasuredCell:
    """A cell: its record, its scored transcripts, and rows of other tables that some of its columns need.

    `pairs` are the rows of the table `repeatability`, `flops` is the cell's row of that table.
    """

    header: RecordHeader
    passes: Sequence[Row]
    scored: Sequence[Row] = ()
    study: str = ""
    pairs: Sequence[Row] = ()
    flops: Row = field(default_factory=dict)

    def of_phase(self, phase: str) -> list[Row]:
        """Return the passes of a phase of the measurement."""
        return [entry for entry in self.passes if entry["phase"] == phase]

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
    def device_name(self) -> str | None:
        """The name of the GPU or the processor; None for a GPU that was never reached."""
        return self.event(Ready, "gpu_name") or (self.header.cpu_name if self._part == "cpu" else None)

    @property
    def noise_floor(self) -> Row:
        """The noise floor of the hardware that the cell was measured on, by the `pairs` of the study."""
        hardware = {"device": self.header.device, "machine_id": self.header.machine_id}
        return repeatability.floor(self.pairs, hardware | {"device_name": self.device_name})

    @property
    def disturbed(self) -> bool | None:
        """Whether something else disturbed the timed passes; None without any."""
        return bool(self.event(Latency, "disturbance")) if self.timing.passes else None

    @property
    def _part(self) -> str:
        return "gpu" if self.header.device == "cuda" else "cpu"

    @cached_property
    def timing(self) -> Timing:
        """The timed passes."""
        return Timing(self.of_phase("latency"))

    @cached_property
    def energy(self) -> Energy:
        """What was consumed."""
        return Energy(self.header.last(EnergyEvent) or EnergyEvent(), self.header.batch_size, self._part)

    @cached_property
    def work(self) -> Work:
        """What was computed."""
        return Work(self.header.weights, self.timing, self.flops)

    @cached_property
    def accuracy(self) -> Accuracy:
        """What was transcribed."""
        return Accuracy(self.passes, self.scored)

    @property
    def wer_note(self) -> str | None:
        """Why the cell has no WER, or which of its segments were scored in another way; None if there is nothing."""
        return wer_note(self.header, self.passes) or self.accuracy.scoring_note
