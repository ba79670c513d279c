"""Stars from one to five by a rule: the best has five, and each doubling of a cost takes one (rounded).

Costs are the time that an hour of audio takes, its energy, the peak memory, and the word error rate. A model and
variant is judged by its best result in the class in which models are compared. One that does not differ from the best
has five stars as well. What was disturbed in every lap has no speed and no energy to be judged by.
"""

import math
from collections.abc import Callable, Mapping, Sequence

from asrmeter.analysis.ranking import wer_differs
from asrmeter.analysis.results import Candidate, CellResult, comparable_energy, undisturbed
from asrmeter.common.stats import Estimate

MOST = 5
MEASURES = ("accuracy", "speed", "energy", "memory")


def stars(results: Sequence[CellResult]) -> dict[Candidate, Mapping[str, int | None]]:
    """Return for each model and variant the stars of each measure; None where it was not measured.

    `results` are of one duration class.
    """
    energies = comparable_energy(undisturbed(results))
    measures: dict[str, Callable[[CellResult], Estimate | None]] = {
        "accuracy": lambda result: result.wer,
        "speed": lambda result: None if result.disturbance else 1.0 / result.rtfx,
        "energy": energies.get,
        "memory": lambda result: Estimate.exact(result.memory_bytes) if result.memory_bytes else None,
    }
    ties = {name: _ties(value) for name, value in measures.items()}
    ties["accuracy"] = lambda one, other: not wer_differs(one, other)
    given = {name: _of_measure(results, value, ties[name]) for name, value in measures.items()}
    return {
        candidate: {name: given[name].get(candidate) for name in MEASURES}
        for candidate in dict.fromkeys(result.candidate for result in results)
    }


def _of_measure(
    results: Sequence[CellResult],
    value: Callable[[CellResult], Estimate | None],
    as_good: Callable[[CellResult, CellResult], bool],
) -> dict[Candidate, int]:
    best: dict[Candidate, tuple[Estimate, CellResult]] = {}
    for result in results:
        estimate = value(result)
        own = best.get(result.candidate)
        if estimate and (own is None or estimate.value < own[0].value):
            best[result.candidate] = estimate, result
    if not best:
        return {}
    first, leader = min(best.values(), key=lambda pair: pair[0].value)
    return {
        candidate: MOST if result is leader or as_good(leader, result) else _stars(estimate.value, first.value)
        for candidate, (estimate, result) in best.items()
    }


def _stars(value: float, best: float) -> int:
    return max(1, MOST - round(math.log2(value / best))) if best else 1


def _ties(value: Callable[[CellResult], Estimate | None]) -> Callable[[CellResult, CellResult], bool]:
    """Return a function that tells whether two results tie by a value."""

    def tie(one: CellResult, other: CellResult) -> bool:
        first, second = value(one), value(other)
        return first is not None and second is not None and first.ties_with(second)

    return tie
