"""Changes between two runs that are too large to be a measurement's scatter: shown first, whatever the verdict.

A change is large by a factor of `FACTOR`, or, where the first run said how far off another run would be, by one that is
far beyond that. What is disturbed or not comparable counts too: there the cause is what matters.
"""

import math
from dataclasses import dataclass

from asrmeter.analysis.comparison.possible_causes import Cause

# Beyond this factor a change is large in any case.
FACTOR = 10.0
# From this factor on it is, if it is so many times as far, on a logarithmic scale, as the end of the interval in which
# the first run expected another one. That interval holds 95 % of runs.
UNEXPECTED_FACTOR = 2.0
TIMES_EXPECTED = 3.0


@dataclass(frozen=True)
class LargeChange:
    """The second value over the first, and what both runs recorded that may be why: see `possible_causes`."""

    ratio: float
    causes: tuple[Cause, ...]

    @property
    def factor(self) -> float:
        """By what factor the value changed, up or down: 1 or more."""
        return max(self.ratio, 1 / self.ratio)


def is_large(first: float, second: float, expected: tuple[float, float] | None = None) -> bool:
    """Tell whether a positive value changed too much; `expected` is where the first run expected the second value."""
    distance = math.log(second / first)
    if abs(distance) >= math.log(FACTOR):
        return True
    if expected is None or abs(distance) < math.log(UNEXPECTED_FACTOR):
        return False
    end = expected[1] if distance > 0 else expected[0]
    return abs(distance) >= TIMES_EXPECTED * abs(math.log(end / first))
