"""A queue before machines that transcribe in batches, simulated request by request: modelled, never measured.

Requests come at random (a Poisson process). A free machine takes what waits, up to the largest batch; if that is less,
it waits for more until the first request has waited `max_wait_s`. So does the server that a load test drives, in
`measure/tasks/load`. With batches of one and a constant service time this is the queue M/D/1, whose waiting time is
known: Pollaczek and Khinchine.
"""

import heapq
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from asrmeter.common.early_stopping import least_judged, most_late

# Requests of one simulation; the first ones find an empty queue and are left out.
N_REQUESTS, N_LEFT_OUT = 20_000, 2_000
# Seconds of batches that are drawn, of each size; then they come again.
_N_DRAWN = 4096
# Load tests that are simulated, unless they have more requests together than the last number.
_N_TESTS, _MOST_REQUESTS = 100, 200_000
# The rate is found to a part of itself. Of this part of the highest one hardly any request meets another.
_PRECISION, _ALONE = 0.005, 0.001


@dataclass(frozen=True)
class Batching:
    """How a server forms batches: the most requests of one, and the longest that the first one waits for others."""

    max_batch: int
    max_wait_s: float


@dataclass(frozen=True)
class Served:
    """What became of requests: `latencies_s`, shape (n,), from arrival to text, in their order; the batches' sizes."""

    latencies_s: np.ndarray
    batch_sizes: np.ndarray


@dataclass(frozen=True)
class ServiceTimes:
    """How long batches take: measured latencies of passes, in seconds, by batch size.

    Between two sizes that were measured the median is interpolated linearly, below the smallest it is that of the
    smallest: less was not measured. The scatter is that of the passes of the nearest size, relative to their median.
    """

    passes_s: Mapping[int, Sequence[float]]
    _sizes: np.ndarray = field(init=False, repr=False)
    _medians_s: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Sort what was measured."""
        sizes = sorted(self.passes_s)
        object.__setattr__(self, "_sizes", np.array(sizes))
        object.__setattr__(self, "_medians_s", np.array([np.median(self.passes_s[size]) for size in sizes]))

    @property
    def max_batch(self) -> int:
        """The largest batch that was measured: nothing is told of larger ones."""
        return int(self._sizes[-1])

    def median_s(self, size: int) -> float:
        """Return the median latency of a batch, in seconds."""
        return float(np.interp(size, self._sizes, self._medians_s))

    def drawn(self, seed: int) -> Callable[[int], float]:
        """Return a function that draws the seconds of a batch of a size, up to the largest that was measured.

        It draws the same ones for the same seed.
        """
        rng = np.random.default_rng(seed)
        # Drawn at once: one by one it takes longer than all the rest.
        drawn = {
            int(size): itertools.cycle((rng.choice(self.passes_s[int(size)], _N_DRAWN) / median).tolist())
            for size, median in zip(self._sizes, self._medians_s, strict=True)
        }
        most = 1 + self.max_batch
        nearest = [drawn[int(self._sizes[np.abs(self._sizes - size).argmin()])] for size in range(most)]
        medians_s = [self.median_s(size) for size in range(most)]

        def draw(size: int) -> float:
            return medians_s[size] * next(nearest[size])

        return draw


def arrivals_s(rate_per_s: float, n: int, seed: int) -> np.ndarray:
    """Return when `n` requests of a Poisson process come, shape (n,), in seconds; another rate scales the same ones."""
    return np.random.default_rng(seed).exponential(size=n).cumsum() / rate_per_s


def simulate(
    arrivals: np.ndarray, service_s: Callable[[int], float], batching: Batching, n_machines: int = 1
) -> Served:
    """Serve requests that come at `arrivals` (seconds, ascending) by machines that share one queue.

    `service_s` gives the seconds that a batch of a size takes.
    """
    comes_s = arrivals.tolist()  # a list: single values of an array take long
    n = len(comes_s)
    ended_s: list[float] = []
    free_s = [0.0] * n_machines  # a heap
    sizes: list[int] = []
    first = 0
    while first < n:
        last = first + batching.max_batch - 1
        full_s = comes_s[last] if last < n else math.inf
        begin_s = max(free_s[0], comes_s[first], min(full_s, comes_s[first] + batching.max_wait_s))
        end = first + 1
        while end < n and end <= last and comes_s[end] <= begin_s:
            end += 1
        end_s = begin_s + service_s(end - first)
        ended_s += [end_s] * (end - first)
        heapq.heapreplace(free_s, end_s)
        sizes.append(end - first)
        first = end
    return Served(np.array(ended_s) - arrivals, np.array(sizes))


def percentiles_s(
    rate_per_s: float,
    service: ServiceTimes,
    batching: Batching,
    shares: Sequence[float],
    n_machines: int = 1,
    seed: int = 0,
) -> list[float]:
    """Return the modelled percentiles (shares, 0 to 1) of the latency at a rate, in seconds."""
    served = simulate(arrivals_s(rate_per_s, N_REQUESTS, seed), service.drawn(seed), batching, n_machines)
    return [float(one) for one in np.quantile(served.latencies_s[N_LEFT_OUT:], shares)]


def capacity_per_s(
    service: ServiceTimes,
    batching: Batching,
    target_latency_s: float,
    percentile: float,
    n_machines: int = 1,
    seed: int = 0,
) -> float:
    """Return the highest modelled rate at which a percentile of the latency stays within its target; 0 if none does."""

    def holds(rate_per_s: float) -> bool:
        found = percentiles_s(rate_per_s, service, batching, [percentile], n_machines, seed)
        return found[0] <= target_latency_s

    return _highest_rate(holds, service, batching, n_machines)


def valid_per_s(
    service: ServiceTimes,
    batching: Batching,
    target_latency_s: float,
    percentile: float,
    test_s: float,
    share: float,
    seed: int = 0,
) -> float:
    """Return the highest modelled rate that so many of the load tests (a share, 0 to 1) call valid; 0 if none does.

    A load test takes `test_s`, or longer until a verdict is possible, and is judged as LoadGen does it
    (`common/early_stopping`). With few requests most tests are stricter than the percentile itself.
    """

    def holds(rate_per_s: float) -> bool:
        n = max(least_judged(percentile), round(test_s * rate_per_s))
        n_tests = max(1, min(_N_TESTS, _MOST_REQUESTS // n))
        arrivals = arrivals_s(rate_per_s, N_LEFT_OUT + n_tests * n, seed)
        latencies_s = simulate(arrivals, service.drawn(seed), batching).latencies_s[N_LEFT_OUT:]
        n_late = (latencies_s.reshape(n_tests, n) > target_latency_s).sum(axis=1)
        return bool((n_late <= most_late(n, percentile)).mean() >= share)

    return _highest_rate(holds, service, batching)


def _highest_rate(
    holds: Callable[[float], bool], service: ServiceTimes, batching: Batching, n_machines: int = 1
) -> float:
    """Return the highest rate (1/s) that holds, by bisection; 0 if none does."""
    sizes = range(1, batching.max_batch + 1)
    # More than machines that never wait can do.
    high = n_machines * max(size / service.median_s(size) for size in sizes)
    low = _ALONE * high
    if not holds(low):
        return 0.0
    while high - low > _PRECISION * high:
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
