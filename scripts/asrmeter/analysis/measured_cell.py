"""One cell's records of all laps, with what is worked out from them."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from asrmeter.analysis.cell_parts.accuracy import Accuracy, wer_note
from asrmeter.analysis.cell_parts.content import Content
from asrmeter.analysis.cell_parts.energy import Energy
from asrmeter.analysis.cell_parts.languages import Languages
from asrmeter.analysis.cell_parts.outcome import Outcome
from asrmeter.analysis.cell_parts.timing import Timing
from asrmeter.analysis.cell_parts.work import Work
from asrmeter.analysis.lap_estimates import Estimated
from asrmeter.analysis.measured_sitting import MeasuredSitting
from asrmeter.analysis.requests import Requests
from asrmeter.analysis.variance_components import Fitted
from asrmeter.common.table_types import Row
from asrmeter.records.events import Energy as EnergyEvent
from asrmeter.records.events import Event
from asrmeter.records.header import RecordHeader
from asrmeter.study.model import Tariff

# As good as infinitely many degrees of freedom.
_MANY = 1e6


@dataclass(frozen=True)
class MeasuredCell:
    """A cell: its sittings by lap (one at least), its scored transcripts, and what else some of its columns need.

    `estimated` is its latency, None if no lap has one; `target` is the half-width that the interval should have.
    `unreadable` says of laps whose records cannot be used why. `flops` is the cell's row of that table, `tariff` what
    energy and machine cost. `equal_settings` says whether the variant decodes as the baseline does.
    """

    sittings: Sequence[MeasuredSitting]
    estimated: Estimated | None = None
    scored: Sequence[Row] = ()
    study: str = ""
    target: float = 0.05
    unreadable: Mapping[int, str] = field(default_factory=dict)
    flops: Row = field(default_factory=dict)
    tariff: Tariff | None = None
    equal_settings: bool | None = None

    @property
    def counted(self) -> Sequence[MeasuredSitting]:
        """The sittings that the latency is made of."""
        return self.estimated.counted if self.estimated else ()

    @property
    def laps(self) -> tuple[int, ...]:
        """The laps that count."""
        return self.fitted.laps if self.fitted else ()

    @property
    def own_df(self) -> float | None:
        """The degrees of freedom of the cell's own scatter, as a number that a table can hold."""
        df = self.fitted.own_df if self.fitted else None
        return None if df is None else min(df, _MANY)

    @property
    def main(self) -> MeasuredSitting:
        """The sitting that stands for all in what is the same in each: the first that counts, else the first."""
        return next(iter(self.counted), self.sittings[0])

    @property
    def header(self) -> RecordHeader:
        """The header of the main sitting."""
        return self.main.header

    @property
    def fitted(self) -> Fitted | None:
        """The estimate of the latency; None if no lap has one."""
        return self.estimated.fitted if self.estimated else None

    @cached_property
    def passes(self) -> list[Row]:
        """All passes, lap by lap."""
        return [entry for one in self.sittings for entry in one.passes]

    def of_phase(self, phase: str) -> list[Row]:
        """Return the passes of a phase in the sittings that count."""
        return [entry for one in self.counted for entry in one.passes if entry["phase"] == phase]

    def of_laps(self, kind: type[Event], key: str) -> list[Any]:
        """Return what the workers of all laps reported under a key of an event; less than laps if some did not."""
        return _known(one.event(kind, key) for one in self.sittings)

    def of_headers(self, name: str) -> list[Any]:
        """Return what the headers of all laps say; less than laps if some do not."""
        return _known(getattr(one.header, name) for one in self.sittings)

    def watched(self, when: str, key: str) -> Any:
        """Return what was observed of the machine in the laps that count: the mean, or the worst; None if nothing."""
        seen = _known(one.watched(when, key) for one in self.counted)
        if not seen:
            return None
        return statistics.fmean(seen) if when == "mean" else (min if key.endswith("_min") else max)(seen)

    @property
    def machine_speed(self) -> float | None:
        """How fast the machine was, as a share of its best; None without a control kernel."""
        speeds = _known(one.machine_speed for one in self.counted)
        return statistics.fmean(speeds) if speeds else None

    def control_rate(self, name: str) -> float | None:
        """Return a rate of the control kernel, the mean of the laps that count; None where it did not run."""
        rates = _known(one.control_rates.get(name) for one in self.counted)
        return statistics.fmean(rates) if rates else None

    @property
    def control_slope(self) -> float | None:
        """By how much cells slow down with the control kernel (1: as much), where that explains drift between laps."""
        components = self.fitted and self.fitted.components
        return components.speed_slope if components and components.drift_explained else None

    @property
    def job_s(self) -> float | None:
        """How long the jobs of all laps held the machine; None where no record says so."""
        return sum(self.of_headers("job_s")) or None

    @cached_property
    def outcome(self) -> Outcome:
        """How it went."""
        return Outcome(self.sittings, self.fitted, self.target, self.unreadable)

    @cached_property
    def timing(self) -> Timing:
        """The timed passes."""
        latency_s = self.fitted.value if self.fitted else None
        return Timing([entry for one in self.counted for entry in one.timed], latency_s)

    @cached_property
    def requests(self) -> Requests:
        """The requests that the timed passes answered."""
        fitted = self.fitted
        if fitted is None or fitted.low is None or fitted.high is None:
            return Requests(self.timing.passes)
        return Requests(self.timing.passes, fitted.low / fitted.value, fitted.high / fitted.value)

    @cached_property
    def content(self) -> Content:
        """What the passes hold."""
        related = self.estimated.related if self.estimated else ()
        return Content([entry for one in related for entry in one.timed])

    @cached_property
    def energy(self) -> Energy:
        """What was consumed."""
        events = _known(one.header.last(EnergyEvent) for one in self.counted or self.sittings)
        return Energy(events, self.header.batch_size, self.main.part, self.timing.latency_s)

    @cached_property
    def work(self) -> Work:
        """What was computed."""
        return Work(self.header.weights, self.content, self.flops)

    @cached_property
    def accuracy(self) -> Accuracy:
        """What was transcribed."""
        return Accuracy(self.passes, self.scored)

    @cached_property
    def languages(self) -> Languages:
        """Which languages were heard, told and found."""
        return Languages(self.header.segments, self.passes)

    @property
    def wer_note(self) -> str | None:
        """Why the cell has no WER, or which of its segments were scored in another way; None if there is nothing."""
        return wer_note(self.header, self.passes) or self.accuracy.scoring_note


def _known(values: Iterable[Any]) -> list[Any]:
    return [value for value in values if value is not None]
