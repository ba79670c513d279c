"""Percentiles of the latency over requests, with their intervals.

A request is one segment: sent alone, or in a batch, whose latency each of its segments has. Segments are what users
send, so each counts once, however often it was timed: its passes of all laps share its weight, and their scatter is
part of the percentile. Passes of one segment are no requests of their own. Neither are the segments of one batch: they
wait for the same pass.

An interval comes from two sources. Other requests would have been other segments: of n values, order statistics bound a
percentile whatever the distribution. And the machine was slower in some laps than in others: that is the interval of
the cell's latency. Both are added in quadrature on the scale of logarithms. Whether a percentile is known at all is
decided by the number of different batches; where passes of one segment scatter as much as segments differ, they make
its interval narrower (`_n_independent`).
"""

import bisect
import functools
import itertools
import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from asrmeter.common.order_statistics import least_n, least_rank, order_interval
from asrmeter.common.table_types import Row

# Where a percentile is named, as in a column's name.
SHARES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
# A request that is timed again and again shows its jitter from so many passes on.
LEAST_REPETITIONS = 5
# Far less than the weight of a pass.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Percentile:
    """A percentile in seconds with its 95 % interval.

    All are None where the batches are too few. From fewer of them on there is `low` alone: the percentile is at least
    that. There is no interval where the latency has none.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Requests:
    """The requests of a cell, of its timed passes in the laps that count.

    `faster` and `slower` are the ends of the latency's interval as shares of the latency, None where it has none.
    """

    passes: Sequence[Row]
    faster: float | None = None
    slower: float | None = None

    @functools.cached_property
    def n(self) -> int:
        """How many different segments were timed."""
        return len({name for entry in self.passes for name in entry["segment_ids"]})

    @property
    def n_batches(self) -> int:
        """How many different batches were timed."""
        return len(self._of_batch)

    def percentile(self, share: float) -> Percentile:
        """Return a percentile of the latency over requests."""
        if order_interval(self.n_batches, share) is None:
            least = least_rank(self.n_batches, share)
            if least is None or self.faster is None:
                return Percentile()
            return Percentile(low=self._value(least, self.n_batches) * self.faster)
        value = self._at(share)
        n = self._n_independent(value)
        ranks = order_interval(n, share)
        if ranks is None or self.faster is None or self.slower is None:
            return Percentile(value)
        low, high = (self._value(rank, n) for rank in ranks)
        return Percentile(
            value,
            value / math.exp(math.hypot(math.log(low / value), math.log(self.faster))),
            value * math.exp(math.hypot(math.log(high / value), math.log(self.slower))),
        )

    @property
    def jitter_s_p95(self) -> float | None:
        """By how many seconds 95 % of the repetitions of a request exceed its median at most; None for too few."""
        beyond = [
            # Farther than from a median that the pass had a part in.
            (seconds - statistics.median(own)) * math.sqrt(len(own) / (len(own) - 1))
            for own in self._of_batch.values()
            if len(own) >= LEAST_REPETITIONS
            for seconds in own
        ]
        share = SHARES["p95"]
        if len(beyond) < least_n(share):
            return None
        return max(0.0, sorted(beyond)[math.ceil(share * len(beyond) - _ROUNDING) - 1])

    def _n_independent(self, latency_s: float) -> int:
        """Return how many independent passes would tell as well how many requests take longer than this.

        As many as there are batches if a batch takes longer in all of its passes or in none, as many as there are
        passes if that changes from pass to pass.
        """
        above = [sum(one > latency_s for one in own) / len(own) for own in self._of_batch.values()]
        # Of few that are above little is known: one more that always is.
        above.append(1.0)
        mean, variance = statistics.fmean(above), statistics.pvariance(above)
        n = round(self.n_batches * mean * (1 - mean) / variance) if variance else 0
        return min(max(n, self.n_batches), len(self.passes))

    def _value(self, rank: int, n: int) -> float:
        """Return the latency of that rank among n requests, the fastest being 1."""
        return self._at((rank - 0.5) / n)

    def _at(self, share: float) -> float:
        """Return the least latency that this share of the requests does not exceed."""
        place = bisect.bisect_left(self._shares, share - _ROUNDING)
        return self._latencies[min(place, len(self._latencies) - 1)]

    @functools.cached_property
    def _of_batch(self) -> dict[int, list[float]]:
        found: dict[int, list[float]] = {}
        for entry in self.passes:
            found.setdefault(entry["batch"], []).append(entry["latency_s"])
        return found

    @functools.cached_property
    def _latencies(self) -> list[float]:
        return sorted(entry["latency_s"] for entry in self.passes)

    @functools.cached_property
    def _shares(self) -> list[float]:
        """The share of requests that are no slower than each of the latencies."""
        n_timed = Counter(name for entry in self.passes for name in entry["segment_ids"])
        ranked = sorted(self.passes, key=lambda entry: entry["latency_s"])
        weights = (sum(1 / n_timed[name] for name in entry["segment_ids"]) / len(n_timed) for entry in ranked)
        return list(itertools.accumulate(weights))
