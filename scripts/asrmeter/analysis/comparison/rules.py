"""The rules by which two runs are compared: one for a cell and one for a model, the same for every metric.

The rule for a cell. It is `not_comparable` if the two runs did not do the same work (other audio, weights, batches,
protocol, normaliser or energy method), or if it was not measured again: then both hold one measurement. It is
`inconclusive` if a run has no value with an interval (a failed cell, one that was disturbed in every lap, a single lap,
too few segments). It is `same` if the measurements do not differ. Otherwise the verdict says how the second run
compares with the first, at a confidence of 95 %.

When measurements do not differ. Latency: the 95 % interval of the ratio of both runs contains 1, or the difference is
within the noise floor of either run. The interval carries all components of both runs: pass, lap, and what is common to
a lap. Where the control kernels of both runs explain what all cells share, it is taken out (`machine_speeds`). Energy:
likewise, and the range of the windows counts as a floor too. WER: both runs transcribed the same segments, so they are
paired, and the interval of the difference contains zero.

The rule for a model. By latency and energy it changed only if at least three of its cells did, these are more than half
of those that can be compared, and none has the opposite verdict. One cell in twenty may differ by chance, and what a
run's laps have in common is as large for all of its cells. By WER the segments of all its cells are pooled, and the
interval of that difference decides.
"""

import statistics
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from asrmeter.analysis.comparison.large_changes import LargeChange, is_large
from asrmeter.analysis.comparison.possible_causes import possible_causes
from asrmeter.analysis.results import Candidate, disturbance_of
from asrmeter.analysis.table_rows import cell_of
from asrmeter.common import stats
from asrmeter.common.constants import PROTOCOL_VERSION
from asrmeter.common.stats import Estimate
from asrmeter.common.table_types import Row
from asrmeter.common.vocabulary import MEASURED_STATUS
from asrmeter.study.grid import Cell

LEAST_CHANGED_CELLS = 3
# Columns that must agree for two cells to be the same work, with the reason that is given if they do not.
SAME_WORK = {
    "protocol": "another protocol",
    "corpus_sha256": "other audio",
    "weights": "other weights",
    "weights_sha256": "other weights",
}

NOT_AGAIN = "not measured again: both runs have the same measurement"


class Verdict(StrEnum):
    """How the second run compares with the first: by latency, WER or energy."""

    SAME = "same"
    FASTER = "faster"
    SLOWER = "slower"
    BETTER = "better"
    WORSE = "worse"
    LOWER = "lower"
    HIGHER = "higher"
    INCONCLUSIVE = "inconclusive"
    NOT_COMPARABLE = "not_comparable"


UNDECIDED = (Verdict.INCONCLUSIVE, Verdict.NOT_COMPARABLE)


@dataclass(frozen=True)
class CellInRun:
    """A cell of one of two runs: its row of the table `cells`, and its transcripts by segment.

    `elsewhere`: it was measured on other hardware than most of its run. `machine_speed`: how fast its machine was, as a
    multiple of the speed in the run that it is compared with; 1 where that explains nothing, or is not known.
    """

    run: str
    row: Row
    texts: Mapping[str, Row]
    elsewhere: bool = False
    machine_speed: float = 1.0

    @property
    def is_measured(self) -> bool:
        """Whether the cell was measured, however wide its interval is."""
        return self.row["status"] in MEASURED_STATUS and self.row["latency_s_median"] is not None

    @property
    def failure(self) -> str:
        """The status of a cell that failed, with its reason; "" if it was measured."""
        return "" if self.is_measured else f"{self.row['status']}, {self.row['reason'] or 'no reason was recorded'}"


CellPair = tuple[CellInRun, CellInRun]


@dataclass(frozen=True)
class Pair:
    """A cell that both runs have, by one metric: its value in each, the effect, and the verdict.

    `effect` is the ratio of second to first, or their difference, as the metric defines it; None where a value is
    missing. `reason` says why the cell is inconclusive or not comparable, and is "" otherwise. `predicted` says whether
    the second value lies where the first run said that another run's would; None where it did not say. `large` is
    there where the value changed by far, whatever the verdict.
    """

    cell: Cell
    first: Estimate | None
    second: Estimate | None
    effect: Estimate | None
    verdict: Verdict
    reason: str
    predicted: bool | None = None
    large: LargeChange | None = None

    @property
    def candidate(self) -> Candidate:
        """The model and its variant."""
        return self.cell.model, self.cell.variant

    @property
    def overlap(self) -> bool | None:
        """Whether the intervals overlap; None without two intervals of the same work."""
        if self.first is None or self.second is None or self.verdict is Verdict.NOT_COMPARABLE:
            return None
        return None if None in (self.first.low, self.second.low) else self.first.overlaps(self.second)


@dataclass(frozen=True)
class ModelSummary:
    """All pairs of a model and variant by one metric: how many have each verdict, and whether the model changed.

    `effect` is the median ratio of its cells, or the difference of all segments pooled. `judged` says whether there
    was enough evidence to judge by.
    """

    candidate: Candidate
    counts: Mapping[Verdict, int]
    effect: Estimate | None
    change: Verdict | None
    judged: bool


class Metric(ABC):
    """A quantity that runs are compared by; lower is better.

    `lower` and `higher` are the verdicts on a second run with less or more of it, `unit` is that of the values times
    `scale`. `effect` is `ratio` or `difference`. `drifts`: a machine may change it for all models alike. `guarded`:
    more of it is a regression. `min_evidence` says what a model needs to be judged.
    """

    name: ClassVar[str]
    unit: ClassVar[str]
    lower: ClassVar[Verdict]
    higher: ClassVar[Verdict]
    effect: ClassVar[str] = "ratio"
    scale: ClassVar[float] = 1.0
    drifts: ClassVar[bool] = True
    guarded: ClassVar[bool] = True
    min_evidence: ClassVar[str]

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The verdicts that this metric can have."""
        return Verdict.SAME, self.lower, self.higher, *UNDECIDED

    def has(self, sides: CellPair) -> bool:
        """Tell whether a pair of cells is to be compared: one of them has a value."""
        return any(self.estimate(side) is not None for side in sides)

    @abstractmethod
    def estimate(self, side: CellInRun) -> Estimate | None:
        """Return the value of a cell, or None if it has none."""

    @abstractmethod
    def missing_reason(self, side: CellInRun) -> str:
        """Return why a cell has no value to judge by, or ""."""

    def incomparable_reason(self, first: CellInRun, second: CellInRun) -> str:
        """Return why two cells of the same name did not do the same work, or not on the runs' own hardware, or ""."""
        work = next((why for key, why in SAME_WORK.items() if first.row[key] != second.row[key]), "")
        work = work or of_either(_old_protocol, (first, second)) or _same_measurement(first, second)
        return work or (of_either(_other_hardware, (first, second)) if self.drifts else "")

    def inconclusive_reason(self, first: CellInRun, second: CellInRun) -> str:
        """Return why two cells that did the same work cannot be judged, or ""."""
        return of_either(self.missing_reason, (first, second))

    def effect_of(self, first: CellInRun, second: CellInRun) -> Estimate | None:
        """Return the effect with its interval; None without two values."""
        before, after = self.estimate(first), self.estimate(second)
        return stats.quotient(before, after) if before and after else None

    def are_same(self, first: CellInRun, second: CellInRun) -> bool:
        """Tell whether two cells with values do not differ: by the interval of their ratio, or the noise floor."""
        effect = self.effect_of(first, second)
        if effect is None:
            return False
        one = Estimate.exact(1.0)
        contains_one = effect.low is not None and effect.high is not None and effect.low <= 1 <= effect.high
        return contains_one or effect.relative_difference(one) <= (effect.floor or 0.0)

    def predicted(self, first: CellInRun, second: CellInRun) -> bool | None:
        """Tell whether the second value lies where the first run expects another run's; None if it does not say."""
        return None

    def expected(self, first: CellInRun) -> tuple[float, float] | None:
        """Return where the first run expects another run's value, None if it does not say."""
        return None

    def least(self, side: CellInRun) -> float:
        """Return the smallest value that a cell could have had and that is not zero."""
        return 0.0

    def large_change(self, first: CellInRun, second: CellInRun) -> LargeChange | None:
        """Return by how much a value changed and what may be why, None if it is not by far."""
        values = self.estimate(first), self.estimate(second)
        if not self.guarded or values[0] is None or values[1] is None:
            return None
        least = max(self.least(first), self.least(second))
        before, after = (max(value.value, least) for value in values if value)
        if min(before, after) <= 0 or not is_large(before, after, self.expected(first)):
            return None
        return LargeChange(after / before, possible_causes(first.row, second.row))

    def judge(self, sides: CellPair) -> Pair:
        """Apply the rule for a cell."""
        first, second = map(self.estimate, sides)
        verdict, reason = self._verdict(sides)
        effect = None if verdict is Verdict.NOT_COMPARABLE else self.effect_of(*sides)
        predicted = None if verdict is Verdict.NOT_COMPARABLE else self.predicted(*sides)
        large = self.large_change(*sides)
        return Pair(cell_of(sides[0].row), first, second, effect, verdict, reason, predicted, large)

    def summary(self, candidate: Candidate, pairs: Mapping[Pair, CellPair]) -> ModelSummary:
        """Apply the rule for a model to its pairs, each with its cells."""
        counts = counted(pairs)
        n_comparable = len(pairs) - counts.get(Verdict.NOT_COMPARABLE, 0)
        n_told = len(pairs) - sum(counts.get(verdict, 0) for verdict in UNDECIDED)
        change = None
        for verdict, opposite in ((self.lower, self.higher), (self.higher, self.lower)):
            if _is_enough(counts.get(verdict, 0), n_comparable) and opposite not in counts:
                change = verdict
        ratios = [pair.effect.value for pair in pairs if pair.effect is not None]
        effect = Estimate(statistics.median(ratios)) if ratios else None
        return ModelSummary(candidate, counts, effect, change, _is_enough(n_told, n_comparable))

    def direction(self, effect: Estimate | None) -> Verdict:
        """Return the direction of a change; a value that was zero has no ratio and can only increase."""
        neutral = 1.0 if self.effect == "ratio" else 0.0
        return self.lower if effect is not None and effect.value < neutral else self.higher

    def _verdict(self, sides: CellPair) -> tuple[Verdict, str]:
        if reason := self.incomparable_reason(*sides):
            return Verdict.NOT_COMPARABLE, reason
        if reason := self.inconclusive_reason(*sides):
            return Verdict.INCONCLUSIVE, reason
        if self.are_same(*sides):
            return Verdict.SAME, ""
        return self.direction(self.effect_of(*sides)), ""


def always_disturbed(side: CellInRun) -> str:
    """Return what disturbed a cell in every lap, or ""."""
    reason = disturbance_of(side.row) if side.is_measured else ""
    return f"disturbed in every lap: {reason}" if reason else ""


def _other_hardware(side: CellInRun) -> str:
    return "measured on other hardware than most of its run" if side.elsewhere else ""


def _old_protocol(side: CellInRun) -> str:
    protocol = side.row["protocol"]
    is_other = protocol is not None and protocol != PROTOCOL_VERSION
    return f"protocol {protocol}, which this version does not compare" if is_other else ""


def _same_measurement(first: CellInRun, second: CellInRun) -> str:
    """Return that both runs hold the same measurement, or one lap of it at least, or ""."""
    if not (first.is_measured and second.is_measured) or first.row["machine_id"] != second.row["machine_id"]:
        return ""
    times = ((first.row[name], second.row[name]) for name in ("started_at", "measured_at"))
    same = any(before is not None and before == after for before, after in times)
    return NOT_AGAIN if same else ""


def counted(pairs: Iterable[Pair]) -> dict[Verdict, int]:
    """Return how many pairs have each verdict, in the order of the verdicts."""
    found = Counter(pair.verdict for pair in pairs)
    return {verdict: found[verdict] for verdict in Verdict if found[verdict]}


def _is_enough(n: int, n_comparable: int) -> bool:
    return n >= LEAST_CHANGED_CELLS and n > n_comparable / 2


def of_either(why: Callable[[CellInRun], str], sides: CellPair) -> str:
    """Return the reasons of both cells, each with the name of its run, or ""."""
    reasons = [why(side) for side in sides]
    if reasons[0] and reasons[0] == reasons[1]:
        return f"both: {reasons[0]}"
    return "; ".join(f"{side.run}: {reason}" for side, reason in zip(sides, reasons, strict=True) if reason)
