"""Capacities as the simulated queue has them, from measured passes: modelled, and never called measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from asrmeter.analysis.queueing import Batching, ServiceTimes, capacity_per_s, percentiles_s, valid_per_s
from asrmeter.common.typed_json import JsonObject

# Nobody plans a thousand machines by a model of one queue.
MOST_MACHINES = 1000
# Where even a lone request is late, a search starts at this part of what a machine does without a queue.
_TRIED_ANYWAY = 0.25


@dataclass(frozen=True)
class Target:
    """What is asked of a server: a percentile (0 to 1) of the latency within a limit, and how it forms batches.

    `test_s` is how long a load test asks, at each rate.
    """

    target_latency_s: float
    percentile: float
    max_batch: int
    max_wait_s: float
    test_s: float

    @classmethod
    def of(cls, load: JsonObject) -> "Target":
        """Return that of the settings of a load test, as a study has them."""
        return cls(
            load["target_latency_s"],
            load["percentile"],
            load["max_batch"],
            load["max_wait_ms"] / 1000,
            load["duration_s"],
        )


@dataclass(frozen=True)
class Modelled:
    """What a queue before machines would carry whose passes were measured: their latencies (s) by batch size."""

    passes_s: Mapping[int, Sequence[float]]
    target: Target

    @cached_property
    def service(self) -> ServiceTimes:
        """How long batches take."""
        return ServiceTimes(self.passes_s)

    @property
    def max_batch(self) -> int:
        """The largest batch that is modelled: of larger ones than were measured nothing is known."""
        return min(self.target.max_batch, self.service.max_batch)

    @property
    def batching(self) -> Batching:
        """How batches form."""
        return Batching(self.max_batch, self.target.max_wait_s)

    @cached_property
    def capacity_per_s(self) -> float:
        """The highest rate (1/s) that one machine carries."""
        return capacity_per_s(self.service, self.batching, self.target.target_latency_s, self.target.percentile)

    def valid_per_s(self, share: float) -> float:
        """Return the highest rate (1/s) that so many of the load tests (a share, 0 to 1) would call valid."""
        target = self.target
        return valid_per_s(
            self.service, self.batching, target.target_latency_s, target.percentile, target.test_s, share
        )

    @cached_property
    def load_test_per_s(self) -> float:
        """The rate (1/s) that a load test finds, in the middle: half of them call it valid."""
        return self.valid_per_s(0.5)

    @property
    def start_per_s(self) -> float:
        """The rate (1/s) that a search starts at."""
        return self.load_test_per_s or _TRIED_ANYWAY / self.service.median_s(1)

    def percentiles_s(self, rate_per_s: float, shares: Sequence[float]) -> list[float]:
        """Return percentiles (0 to 1) of the latency at a rate, in seconds."""
        return percentiles_s(rate_per_s, self.service, self.batching, shares)

    def machines_for(self, rate_per_s: float) -> int | None:
        """Return how many machines at one queue carry a rate; None for more than `MOST_MACHINES`, or if none can."""

        def carry(n: int) -> bool:
            found = percentiles_s(rate_per_s, self.service, self.batching, [self.target.percentile], n)
            return found[0] <= self.target.target_latency_s

        if not self.capacity_per_s or rate_per_s > MOST_MACHINES * self.capacity_per_s:
            return None
        # Machines at one queue carry more than as many queues, so that this many are enough.
        high = -int(-rate_per_s // self.capacity_per_s)
        low = 0
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if carry(middle) else (middle, high)
        return high

    def scaled(self, factors: Mapping[int, float]) -> "Modelled":
        """Return the same of batches that take so many times as long, by their size."""
        scaled = {size: [factors[size] * one for one in passes] for size, passes in self.passes_s.items()}
        return Modelled(scaled, self.target)
