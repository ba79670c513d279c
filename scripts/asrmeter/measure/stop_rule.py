"""The stop rule of a cell: when it is warm, and when it has been measured enough (protocol 1).

A round is one pass over each timed batch, always in the same order.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asrmeter.common.stats import blocked_interval, blocked_median

# The one-off costs of first passes (page faults, allocations, lazy set-up, rising clocks) are over after a second of
# work, ...
WARM_AFTER_S = 1.0
# ... and if they are not, the first rounds are slower than those after them by more than this.
STEADY = 0.05
MAX_UNSTEADY_ROUNDS = 5

Rounds = Sequence[Sequence[float]]


@dataclass(frozen=True)
class StopRule:
    """Decides after each round of timed passes; see `protocol` in the study's schema for the fields."""

    target: float
    min_passes: int
    max_passes: int
    budget_s: float

    def warm(self, worked_s: float) -> bool:
        """Return whether rounds may begin."""
        return worked_s >= WARM_AFTER_S

    def n_unsteady(self, rounds: Rounds) -> int:
        """Return how many of the first rounds belong to the warm-up: those slower than the rounds after them."""
        table = np.asarray(rounds)
        for i in range(min(len(table) - 1, MAX_UNSTEADY_ROUNDS)):
            if np.median(table[i] / np.median(table[i + 1 :], axis=0)) <= 1 + STEADY:
                return i
        return min(len(table) - 1, MAX_UNSTEADY_ROUNDS)

    def steady(self, rounds: Rounds) -> Rounds:
        """Return the rounds after the warm-up."""
        return rounds[self.n_unsteady(rounds) :]

    def converged(self, rounds: Rounds) -> bool:
        """Return whether the interval of the median is narrow enough, and based on enough passes."""
        interval = blocked_interval(rounds)
        if interval is None or n_passes(rounds) < self.min_passes:
            return False
        low, high = interval
        middle = blocked_median(rounds)
        return max(high - middle, middle - low) <= self.target * middle

    def exhausted(self, rounds: Rounds) -> str | None:
        """Return why measuring must stop without convergence, or None."""
        if n_passes(rounds) >= self.max_passes:
            return f"max_passes = {self.max_passes} ran"
        if sum(map(sum, rounds)) >= self.budget_s:
            return f"budget_s = {self.budget_s:g} was spent"
        return None


def n_passes(rounds: Rounds) -> int:
    """Return the number of passes in rounds."""
    return sum(map(len, rounds))
