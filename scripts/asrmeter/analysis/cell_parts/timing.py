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
        """Return the median of a value of the passes, blocked by batch; None without a complete round."""
        return stats.blocked_median(self.values(name)) if self.rounds else None

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
        """The sum of a pass' stages over its latency, the median of the passes: 1 if the stages are the whole."""
        shares = [sum(entry[f"{stage}_s"] for stage in STAGES) / entry["latency_s"] for entry in self.passes]
        return statistics.median(shares) if shares else None

    def per_pass(self, value: Callable[[Row], float]) -> float | None:
        """Return the mean of a value over the passes; None without any."""
        return statistics.fmean(map(value, self.passes)) if self.passes else None

    def per_segment(self, name: str) -> float | None:
        """Return the mean over the segments of the passes of a value that each pass lists by segment."""
        return statistics.fmean(itertools.chain.from_iterable(p[name] for p in self.passes)) if self.passes else None
