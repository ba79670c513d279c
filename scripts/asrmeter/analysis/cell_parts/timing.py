"""How long the timed passes of a cell took."""

import itertools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from asrmeter.common import stats
from asrmeter.common.table_types import Row
from asrmeter.common.vocabulary import STAGES


@dataclass(frozen=True)
class Timing:
    """The passes of a cell that were timed for latency."""

    passes: Sequence[Row]

    @cached_property
    def rounds(self) -> list[list[Row]]:
        """The passes in complete rounds, each over the same batches in the same order."""
        by_round: dict[int, list[Row]] = {}
        for entry in self.passes:
            by_round.setdefault(entry["round"], []).append(entry)
        return [entries for entries in by_round.values() if len(entries) == self.n_batches]

    @property
    def n_batches(self) -> int:
        """Batches that were timed."""
        return len({entry["batch"] for entry in self.passes})

    def values(self, name: str) -> list[list[float]]:
        """Return a value of the passes, a row for each round and a column for each batch."""
        return [[entry[name] for entry in entries] for entries in self.rounds]

    def median(self, name: str) -> float | None:
        """Return the median of a value of the passes, blocked by batch; None without a complete round.

        None also where a pass lacks the value: not every runtime marks every stage.
        """
        if not self.rounds or any(entry[name] is None for entries in self.rounds for entry in entries):
            return None
        return stats.blocked_median(self.values(name))

    @cached_property
    def latency_s(self) -> float | None:
        """The median latency of a pass."""
        return self.median("latency_s")

    @cached_property
    def latency_interval(self) -> tuple[float | None, float | None]:
        """The 95 % bootstrap interval of the median latency."""
        return stats.blocked_interval(self.values("latency_s")) or (None, None)

    @property
    def latency_s_p95(self) -> float | None:
        """The 95th percentile of the latency; None where the passes are too few for it."""
        return stats.p95([entry["latency_s"] for entry in self.passes])

    @property
    def stage_coverage(self) -> float | None:
        """The sum of a pass' stages over its latency, the median of the passes: 1 if the stages are the whole.

        None where no stage was marked.
        """
        marked = [[s for stage in STAGES if (s := entry[f"{stage}_s"]) is not None] for entry in self.passes]
        if not any(marked):
            return None
        return statistics.median(sum(s) / entry["latency_s"] for s, entry in zip(marked, self.passes, strict=True))

    def per_pass(self, value: Callable[[Row], float]) -> float | None:
        """Return the mean of a value over the passes; None without any."""
        return statistics.fmean(map(value, self.passes)) if self.passes else None

    def sum_per_pass(self, name: str) -> float | None:
        """Return the mean over the passes of the sum of a value that each lists by segment; see `per_segment`."""
        values = [entry[name] for entry in self.passes]
        return None if _is_incomplete(values) else statistics.fmean(map(sum, values))

    def per_segment(self, name: str) -> float | None:
        """Return the mean over the segments of the passes of a value that each pass lists by segment.

        None without passes, and where the runtime does not know the value.
        """
        values = [entry[name] for entry in self.passes]
        return None if _is_incomplete(values) else statistics.fmean(itertools.chain.from_iterable(values))


def _is_incomplete(values: Sequence[Sequence[float | None] | None]) -> bool:
    return not values or any(of_pass is None or None in of_pass for of_pass in values)
