"""Distribution-free intervals of percentiles, from ordered values. Standard library only."""

import functools
import itertools
import math

from asrmeter.common.constants import CONFIDENCE


@functools.cache
def least_n(share: float) -> int:
    """Return the number of values that the interval of a percentile needs: 59 for the 95th."""
    return next(n for n in itertools.count(1) if order_interval(n, share))


@functools.cache
def order_interval(n: int, share: float) -> tuple[int, int] | None:
    """Return the ranks (from 1) of the two of n values that enclose a percentile with 95 %; None for too few values.

    The number of values below a percentile is binomial for any distribution. The closest of all such pairs is returned.
    """
    below = _below(n, share)
    best: tuple[int, float, int, int] | None = None
    high = 1
    for low in range(1, n + 1):
        high = max(high, low + 1)
        while high <= n and below[high] - below[low] < CONFIDENCE:
            high += 1
        if high > n:
            break
        found = (high - low, below[high] - below[low], low, high)
        best = min(best or found, found)
    return best and best[2:]


@functools.cache
def least_rank(n: int, share: float) -> int | None:
    """Return the rank (from 1) of the one-sided lower 95 % bound of a percentile among n values; None for too few.

    It needs far fewer values than an upper bound.
    """
    below = _below(n, share)
    return next((low for low in range(n, 0, -1) if 1 - below[low] >= CONFIDENCE), None)


def _below(n: int, share: float) -> list[float]:
    """Return for k from 0 to n + 1 the probability that fewer than k of n values lie below a percentile."""
    logs = [math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in range(n + 1)]
    odds = (math.log(share), math.log1p(-share))
    mass = (math.exp(log + k * odds[0] + (n - k) * odds[1]) for k, log in enumerate(logs))
    return [0.0, *itertools.accumulate(mass)]
