"""When a cell is warm, and when it has been measured enough (protocol 1)."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from asrmeter.stats import median_interval

# Warm when a pass is no more than this much faster than the one before it, or when a second has been worked:
# what a first pass pays for (page faults, allocations, lazy set-up) is over by then.
STEADY = 0.05
WARM_AFTER_S = 1.0
MAX_WARMUP_PASSES = 5


@dataclass(frozen=True)
class StopRule:
    """Decides after each timed pass; see `protocol` in the study's schema for the fields."""

    target: float
    min_passes: int
    max_passes: int
    budget_s: float

    def warm(self, latencies_s: Sequence[float]) -> bool:
        """Return whether the warm-up is over."""
        if sum(latencies_s) >= WARM_AFTER_S or len(latencies_s) >= MAX_WARMUP_PASSES:
            return True
        return len(latencies_s) >= 2 and latencies_s[-1] >= latencies_s[-2] * (1 - STEADY)

    def converged(self, latencies_s: Sequence[float]) -> bool:
        """Return whether the interval of the median is narrow enough, and rests on enough passes."""
        interval = median_interval(latencies_s)
        if interval is None or len(latencies_s) < self.min_passes:
            return False
        low, high = interval
        middle = statistics.median(latencies_s)
        return max(high - middle, middle - low) <= self.target * middle

    def exhausted(self, latencies_s: Sequence[float]) -> str | None:
        """Return why measuring must end although it has not converged, or None."""
        if len(latencies_s) >= self.max_passes:
            return f"max_passes = {self.max_passes} ran"
        if sum(latencies_s) >= self.budget_s:
            return f"budget_s = {self.budget_s:g} was spent"
        return None
