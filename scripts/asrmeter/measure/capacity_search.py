"""The search for a capacity: the highest rate that is called valid, by probes that take a while each.

A probe is a verdict on one rate, and verdicts near the capacity scatter. The search starts at a rate that was
predicted, moves away from it until it has a valid rate below an invalid one, and halves that bracket. Then it looks at
rates below the capacity, for the curve: where one of them is called invalid although a higher one is valid, both are
tried again.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

# The bracket is narrow enough once its ends differ by this part.
PRECISION = 0.1
# How far the first step away from a predicted rate goes; each further one is longer, up to a factor of two.
_FIRST_STEP, _LONGEST_STEP = 1.15, 2.0
# No lower part of a predicted rate is tried: what cannot do that is not where it was predicted.
_LEAST_PART = 0.05
# Points of the curve, as parts of the capacity: half of it is what a cautious operator runs.
_OF_CURVE = (0.5, 0.75, 0.25)


@dataclass(frozen=True)
class Verdict:
    """Whether a rate (1/s) was called valid; None: too few requests came for a verdict.

    `completed_per_s` is what the server did where it gave up, as far more came than it can do.
    """

    rate_per_s: float
    is_valid: bool | None
    completed_per_s: float | None = None


@dataclass
class Search:
    """A search by `probe`, which tries a rate and returns its verdict, until about `ends_at_s`.

    `probe_s` says how long a probe of a rate takes: none begins that would not end in time. `clock` is that of
    `ends_at_s`.

    Attributes:
        verdicts: all of them, in their order.
    """

    probe: Callable[[float], Verdict]
    probe_s: Callable[[float], float]
    ends_at_s: float
    clock: Callable[[], float] = time.monotonic
    verdicts: list[Verdict] = field(default_factory=list)

    def run(self, predicted_per_s: float) -> None:
        """Search from a predicted rate, then probe the points of the curve."""
        for rates in (lambda: self._rates(predicted_per_s), self._curve):
            for rate in rates():
                if not self._try(rate):
                    return

    @property
    def low_per_s(self) -> float | None:
        """The highest rate that is valid by most of its verdicts, and below all that are invalid."""
        ceiling = self.high_per_s
        valid = [rate for rate in self._rates_of(True) if ceiling is None or rate < ceiling]
        return max(valid, default=None)

    @property
    def high_per_s(self) -> float | None:
        """The lowest rate that is invalid by most of its verdicts."""
        return min(self._rates_of(False), default=None)

    @property
    def is_narrow(self) -> bool:
        """Whether both ends are known and close to each other."""
        low, high = self.low_per_s, self.high_per_s
        return low is not None and high is not None and high <= (1 + PRECISION) * low

    def _rates_of(self, valid: bool) -> list[float]:
        """Return the rates of which most verdicts say so; of a tie the last one counts."""
        by_rate: dict[float, list[bool]] = {}
        for verdict in self.verdicts:
            if verdict.is_valid is None:
                continue
            by_rate.setdefault(verdict.rate_per_s, []).append(verdict.is_valid)

        def judged(found: list[bool]) -> bool:
            n_valid = sum(found)
            return found[-1] if 2 * n_valid == len(found) else 2 * n_valid > len(found)

        return [rate for rate, found in by_rate.items() if judged(found) is valid]

    def _rates(self, predicted_per_s: float) -> Iterator[float]:
        """Yield the rates that lead to a narrow bracket, each by the verdicts before."""
        rate, expected_per_s, step = predicted_per_s, predicted_per_s, _FIRST_STEP
        yield rate
        while (low := self.low_per_s) is None or (high := self.high_per_s) is None:
            rate = rate * step if low is not None else rate / step
            step = min(step * step, _LONGEST_STEP)
            if (done := self.verdicts[-1].completed_per_s) is not None:
                # Far above the capacity: on from what the server did.
                rate = min(rate, done)
                expected_per_s = min(expected_per_s, done)
            if rate < _LEAST_PART * expected_per_s:
                return
            yield rate
        while not self.is_narrow:
            yield math.sqrt(low * high)
            low, high = self.low_per_s or low, self.high_per_s or high

    def _curve(self) -> Iterator[float]:
        """Yield the points below the capacity, and again what an invalid one of them contradicts."""
        capacity = self.low_per_s
        for part in _OF_CURVE if capacity else ():
            assert capacity is not None
            rate = part * capacity
            yield rate
            if not self.verdicts[-1].is_valid:
                yield rate
                if not self.verdicts[-1].is_valid:
                    yield capacity

    def _try(self, rate: float) -> bool:
        """Probe a rate if that ends in time; return whether the search can go on: a verdict was reached."""
        if self.verdicts and self.clock() + self.probe_s(rate) > self.ends_at_s:
            return False
        self.verdicts.append(self.probe(rate))
        return self.verdicts[-1].is_valid is not None
