"""How much a sitting measures: which batches, how many rounds over them, and which rounds were still warm-up.

A round is one pass over each batch of the sitting, always in the same order. Standard library only.
"""

import statistics
from collections.abc import Sequence

from asrmeter.corpora.batches import share_of_lap

# The one-off costs of first passes (page faults, allocations, lazy set-up, rising clocks) are over after a second of
# work, ...
WARM_AFTER_S = 1.0
# ... and if they are not, the first rounds are slower than those after them by more than this.
STEADY = 0.05
MAX_UNSTEADY_ROUNDS = 5
# As many rounds remain at least: what is slower than a single one may be that one's luck.
MIN_STEADY_ROUNDS = 2

Rounds = Sequence[Sequence[float]]


def batches_of_sitting(
    ranked: Sequence[int], lap: int, n_laps: int, longest_s: float, budget_s: float, max_passes: int
) -> list[int]:
    """Return the batches that a sitting makes, in the order of a round: the longest first, then as they are numbered.

    All of the class, if a round of them fits; otherwise the share of the lap.

    Args:
        ranked: the batches of the class by length; see `corpora.batches.by_length`.
        lap: the lap, from 1.
        n_laps: how many laps there are.
        longest_s: the latency of the longest batch, which none of the others exceeds.
        budget_s: the seconds that the sitting may take.
        max_passes: the passes that the sitting may take.
    """
    fits = len(ranked) * longest_s <= budget_s and len(ranked) <= max_passes
    longest, *others = ranked if fits else share_of_lap(ranked, lap, n_laps)
    return [longest, *sorted(others)]


def why_no_more(rounds: Rounds, budget_s: float, max_passes: int) -> str | None:
    """Return why no further round begins; None if one does.

    One begins while half of it still fits, so that on average the budget is spent.
    """
    spent_s, n_passes = sum(map(sum, rounds)), sum(map(len, rounds))
    if n_passes + len(rounds[0]) > max_passes:
        return f"max_passes = {max_passes} allows no further round"
    if spent_s + spent_s / len(rounds) / 2 > budget_s:
        return f"no further round fits into {budget_s:.3g} s"
    return None


def n_unsteady(rounds: Rounds) -> int:
    """Return how many of the first rounds belong to the warm-up: those slower than the rounds after them."""
    most = max(0, min(len(rounds) - MIN_STEADY_ROUNDS, MAX_UNSTEADY_ROUNDS))
    return next((i for i in range(most) if not _is_slower(rounds[i], rounds[i + 1 :])), most)


def _is_slower(one: Sequence[float], later: Rounds) -> bool:
    medians = [statistics.median(passes) for passes in zip(*later, strict=True)]
    return statistics.median(a / b for a, b in zip(one, medians, strict=True)) > 1 + STEADY
