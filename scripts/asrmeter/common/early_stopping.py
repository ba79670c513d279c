"""MLPerf's early stopping: how many requests a verdict on a percentile takes, and how many of them may be late.

The source is MLCommons' "Early stopping in the MLPerf inference benchmarks": a run is valid if, were the true share of
late requests just too high, so few late ones would come with a probability of at most 1 %. Standard library only.
"""

import functools
import math

# How sure a verdict has to be.
SURE = 0.99


def least_judged(percentile: float) -> int:
    """Return how many requests a verdict takes at least, if none of them is late: 90 for the 95th percentile."""
    return math.ceil(math.log(1 - SURE) / math.log(percentile))


@functools.cache
def most_late(n: int, percentile: float) -> int:
    """Return how many of n requests may be late in a valid run; -1 if even none is too many, since n is too small."""
    log_late, log_in_time = math.log1p(-percentile), math.log(percentile)
    below = 0.0
    for late in range(n + 1):
        ways = math.lgamma(n + 1) - math.lgamma(late + 1) - math.lgamma(n - late + 1)
        below += math.exp(ways + late * log_late + (n - late) * log_in_time)
        if below > 1 - SURE:
            return late - 1
    return n
