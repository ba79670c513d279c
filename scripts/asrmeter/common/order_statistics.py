"""Which of n ordered values hold a percentile between them, whatever the distribution. Standard library only."""

import functools
import itertools
import math

from asrmeter.common.constants import CONFIDENCE


@functools.cache
def least_n(share: float) -> int:
    """Return how many values the interval of a percentile takes: 59 for the 95th."""
    return next(n for n in itertools.count(1) if order_interval(n, share))


@functools.cache
def order_interval(n: int, share: float) -> tuple[int, int] | None:
    """Return which two of n values, the smallest being 1, hold a percentile between them with 95 %; None for too few.

    Of n values k are below it with the probability of a binomial, whatever the distribution. It is the closest of all
    such pairs.
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
    """Return the largest of n values, the smallest being 1, that a percentile is not below with 95 %; None for too few.

    That is a bound from one side, which takes far fewer values than one from above.
    """
    below = _below(n, share)
    return next((low for low in range(n, 0, -1) if 1 - below[low] >= CONFIDENCE), None)


def _below(n: int, share: float) -> list[float]:
    """Return for k from 0 to n + 1 the probability that fewer than k of n values lie below a percentile."""
    logs = [math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in range(n + 1)]
    odds = (math.log(share), math.log1p(-share))
    mass = (math.exp(log + k * odds[0] + (n - k) * odds[1]) for k, log in enumerate(logs))
    return [0.0, *itertools.accumulate(mass)]
