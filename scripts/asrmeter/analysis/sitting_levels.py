"""From the passes of a cell to one latency a lap, as if each lap had timed every batch of the class."""

import math
import statistics
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from asrmeter.analysis.additive_fit import AdditiveFit, additive_fit


@dataclass(frozen=True)
class Sitting:
    """One cell in one lap: the latencies in seconds of its timed passes, by batch.

    `speed` is that of the control kernel relative to the machine's best, None where there was none. Cells of the same
    `content` have the same batches.
    """

    cell: Hashable
    lap: int
    batches: Mapping[int, Sequence[float]]
    disturbed: bool = False
    speed: float | None = None
    content: Hashable = None


@dataclass(frozen=True)
class CellLevels:
    """The sittings of one cell on the scale of logarithms, each pass relative to others over the same batch.

    Sittings that were disturbed do not count where others stand: what disturbs need not slow down each pass as much.
    `made_up` are the log-latencies of batches that only they timed; see `made_up_by_others`.
    """

    sittings: Sequence[Sitting]
    made_up: Mapping[int, float] = field(default_factory=dict)

    @cached_property
    def counted(self) -> list[Sitting]:
        """The sittings that make the value: undisturbed, or all if every one was disturbed.

        A lap without a batch of the first one cannot be compared with it, and says nothing of how laps scatter.
        """
        standing = [sitting for sitting in self.sittings if not sitting.disturbed] or list(self.sittings)
        first = standing[0].batches.keys()
        return [sitting for sitting in standing if not first.isdisjoint(sitting.batches)]

    @property
    def always_disturbed(self) -> bool:
        """Whether no lap says how long the cell takes on its own."""
        return all(sitting.disturbed for sitting in self.sittings)

    @property
    def value(self) -> float:
        """The latency in seconds: the mean over batches of the geometric mean over laps of the median pass."""
        return float(np.exp(np.mean(list(self.by_lap.values()))))

    @property
    def speeds(self) -> dict[int, float]:
        """The speed of the control in each lap that counts, where it is known."""
        return {one.lap: one.speed for one in self.counted if one.speed}

    @cached_property
    def batches(self) -> list[int]:
        """The batches that were timed in a lap that counts."""
        return sorted(set().union(*(sitting.batches for sitting in self.counted)))

    @property
    def missing(self) -> set[int]:
        """The batches that were timed in no lap that counts."""
        return set().union(*(sitting.batches for sitting in self.sittings)).difference(self.batches)

    @property
    def by_batch(self) -> dict[int, float]:
        """The log-latency of each batch in the usual lap."""
        return dict(zip(self.batches, self.content.rows.tolist(), strict=True))

    @cached_property
    def counts(self) -> np.ndarray:
        """The passes of each batch (rows) in each sitting that counts (columns)."""
        return np.array([[len(one.batches.get(batch, ())) for one in self.counted] for batch in self.batches])

    @cached_property
    def content(self) -> AdditiveFit:
        """The log-median passes as the effect of a batch and of a lap; long batches weigh more, as in the mean."""
        return additive_fit(self._medians, self.counts > 0, self.weights)

    @cached_property
    def weights(self) -> np.ndarray:
        """The share of each batch in the latency of the class."""
        times = np.exp(self._medians).sum(axis=1, where=self.counts > 0) / (self.counts > 0).sum(axis=1)
        return times / times.sum()

    @cached_property
    def by_lap(self) -> dict[int, float]:
        """The log-latency of the class in each lap that counts."""
        of_class = np.log(np.exp([*self.content.rows, *self.made_up.values()]).mean())
        effects = zip(self.counted, self.content.columns, strict=True)
        return {sitting.lap: float(of_class + effect) for sitting, effect in effects}

    @cached_property
    def pass_scatter(self) -> tuple[float, int]:
        """The sum of squares of log-passes about the mean of their batch and lap, and its degrees of freedom."""
        repeated = [passes for one in self.counted for passes in one.batches.values() if len(passes) > 1]
        logs = [[math.log(seconds) for seconds in passes] for passes in repeated]
        squares = [sum((log - math.fsum(one) / len(one)) ** 2 for log in one) for one in logs]
        return sum(squares), sum(len(one) - 1 for one in logs)

    @cached_property
    def pass_parts(self) -> tuple[float, float]:
        """How much of the variance of one pass is in a lap's latency, and in that of the cell."""
        seen, part = self.counts > 0, _variance_of_median(self.counts)
        shared = seen & (seen.sum(axis=1) > 1)[:, None] if len(self.counted) > 1 else seen
        in_lap = (self.weights[:, None] ** 2 * part).sum(axis=0, where=shared)
        in_lap /= (self.weights[:, None] * shared).sum(axis=0) ** 2
        return float(in_lap.mean()), float((self.weights**2 / (seen / part).sum(axis=1)).sum())

    @cached_property
    def _medians(self) -> np.ndarray:
        passes = [[one.batches.get(batch, ()) for one in self.counted] for batch in self.batches]
        return np.array(
            [[statistics.median(map(math.log, one)) if len(one) else math.nan for one in row] for row in passes]
        )


def made_up_by_others(one: CellLevels, others: Iterable[CellLevels]) -> CellLevels:
    """Return a cell with the batches that only its disturbed sittings timed, as others of the same content have them.

    A batch is as much longer than those that were timed as it is in the median of the others. What none of them has is
    left out.
    """
    known = one.by_batch
    found = {}
    for batch in sorted(one.missing):
        estimates = []
        for other in (other.by_batch for other in others):
            shared = known.keys() & other.keys()
            if shared and batch in other:
                estimates.append(other[batch] + statistics.fmean(known[i] - other[i] for i in shared))
        if estimates:
            found[batch] = statistics.median(estimates)
    return replace(one, made_up=found)


def _variance_of_median(counts: np.ndarray) -> np.ndarray:
    """Return the variance of the median of so many normal values, as a part of that of one value."""
    return np.pi / 2 / (np.maximum(counts, 1) + np.pi / 2 - 1)
