"""How far the measurements of a run are, in numbers and in a line. Standard library only."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from asrmeter.common.vocabulary import MEASURED_STATUS
from asrmeter.records.status import UNKNOWN
from asrmeter.workflow.announcement import approx_duration
from asrmeter.workflow.further import Further, in_words, time_in_words

_NOT_FAILED = (*MEASURED_STATUS, UNKNOWN)
# Fewer sittings do not predict the others, because they may be short.
_LEAST_SITTINGS = 3
_MOST_NAMED = 3


@dataclass(frozen=True)
class CellsDone:
    """What a line about measurements says, for a bar: `left_s` is None where it is unknown, `has_news`: of failures."""

    n_over: int
    n_all: int
    lap: int
    n_laps: int
    left_s: float | None
    now: tuple[str, ...]
    has_news: bool


@dataclass
class Sittings:
    """The sittings of a run, by id, and their states; times are seconds of a monotonic clock.

    Layouts and load tests, by their names, begin and end as sittings do.

    Attributes:
        in_lap: number of sittings by lap, including those of earlier runs.
        earlier: status of sittings that this run does not measure.
        ended: status of sittings that this run has measured.
        without_record: sittings that ended without a record.
        running: node of each sitting that is being measured, "" on this machine.
        further: the layouts and load tests of this run, and `further_over` those of them that ended.
    """

    in_lap: Mapping[int, int]
    earlier: Mapping[str, str] = field(default_factory=dict)
    further: Mapping[str, Further] = field(default_factory=dict)
    further_over: set[str] = field(default_factory=set)
    ended: dict[str, str] = field(default_factory=dict)
    without_record: set[str] = field(default_factory=set)
    running: dict[str, str] = field(default_factory=dict)
    began_s: float | None = None
    ended_s: float | None = None
    _further_began_s: dict[str, float] = field(default_factory=dict)
    # What layouts and load tests took on this machine: no part of the pace of sittings.
    _further_s: float = 0.0

    def expect(self, sitting: str) -> None:
        """Record that a cell will be measured, perhaps again."""
        self.further_over.discard(sitting)
        self.ended.pop(sitting, None)
        self.without_record.discard(sitting)

    def begin(self, sitting: str, now_s: float, node: str = "") -> None:
        """Record that a cell is being measured."""
        self.running[sitting] = node
        if sitting not in self.further:
            self.began_s = now_s - self._further_s if self.began_s is None else self.began_s
        elif not node:
            self._further_began_s[sitting] = now_s

    def end(self, sitting: str, now_s: float, found: str | None) -> None:
        """Record that a sitting ended with the status `found`; None: without a record."""
        self.running.pop(sitting, None)
        self.without_record.discard(sitting)
        if sitting in self.further:
            self.further_over.add(sitting)
            self._further_s += now_s - self._further_began_s.pop(sitting, now_s)
        elif found is None:
            self.without_record.add(sitting)
        else:
            self.ended[sitting] = found
            self.ended_s = now_s - self._further_s

    @property
    def n_left(self) -> int:
        """Number of sittings that this run still has to measure."""
        n_over = len(self.earlier) + len(self.ended) + len(self.without_record)
        return sum(self.in_lap.values()) - n_over

    @property
    def left_s(self) -> float | None:
        """The time left (s) at the pace of this run so far; None: unknown."""
        if self.began_s is None or self.ended_s is None or len(self.ended) < _LEAST_SITTINGS or not self.n_left:
            return None
        return (self.ended_s - self.began_s) / len(self.ended) * self.n_left

    @property
    def lap(self) -> int:
        """The first lap that is not over, or the last."""
        over = Counter(map(lap_of, (*self.earlier, *self.ended, *self.without_record)))
        return next((lap for lap, n in sorted(self.in_lap.items()) if over[lap] < n), max(self.in_lap, default=1))

    @property
    def failed(self) -> Counter[str]:
        """The number of cells that failed in a lap, by status."""
        both = (*self.earlier.items(), *self.ended.items())
        return Counter({_cell(sitting): found for sitting, found in both if found not in _NOT_FAILED}.values())

    def line(self, news: Sequence[str] = ()) -> str:
        """Return the progress in one line, which names the failed sittings in `news`."""
        done, lap = Counter(map(lap_of, (*self.earlier, *self.ended))), self.lap
        several = len(self.in_lap) > 1
        said = f"lap {lap} of {max(self.in_lap)}: " if several else "cells: "
        said += f"{done[lap]} of {self.in_lap.get(lap, 0)}{' cells' if several else ''} done"
        if failed := self.failed:
            kinds = ", ".join(f"{n} {name}" for name, n in failed.most_common())
            said += f" ({failed.total()} failed: {kinds})"
        if self.without_record:
            said += f", {len(self.without_record)} ended without a record"
        if several:
            said += f", {self.n_left or 'no'} measurement{'' if self.n_left == 1 else 's'} left"
        else:
            said += f", {self.n_left or 'none'} left"
        if self.left_s is not None:
            said += f", about {approx_duration(self.left_s)}"
        if further := [one for name, one in self.further.items() if name not in self.further_over]:
            said += f"; {in_words(further)} left, {time_in_words(further)}"
        if named := self.failures(news):
            said += f"; {_few(named)}"
        if self.running:
            said += f"; now {_few([f'{one} on {node}' if node else one for one, node in self.running.items()])}"
        return said

    def summary(self, has_news: bool = False) -> CellsDone:
        """Return what `line` says, for a bar."""
        n_all = sum(self.in_lap.values())
        return CellsDone(
            n_over=n_all - self.n_left,
            n_all=n_all,
            lap=self.lap,
            n_laps=max(self.in_lap, default=1),
            left_s=self.left_s,
            now=tuple(self.running),
            has_news=has_news,
        )

    def failures(self, news: Sequence[str]) -> list[str]:
        """Return those of the sittings in `news` that failed, with their status."""
        return [f"{one} {self.ended[one]}" for one in news if self.ended.get(one) not in (None, *MEASURED_STATUS)]


def _cell(sitting: str) -> str:
    return sitting.rpartition("/")[0]


def lap_of(sitting: str) -> int:
    """Return the lap of a sitting."""
    return int(sitting.rpartition("/lap")[2])


def _few(names: Sequence[str]) -> str:
    rest = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")
