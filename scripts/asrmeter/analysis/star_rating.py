"""Stars from one to five by a rule: the best has five, and each doubling of what is better small costs one (rounded).

What is better small is the time that an hour of audio takes, its energy, the peak memory, and the share of words that
are wrong. A model and variant is judged by its best setting of the class by which models are compared. Who cannot be
told from the best has five as well.
"""

import math
from collections.abc import Callable, Mapping, Sequence

from asrmeter.analysis.ranking import wer_differs
from asrmeter.analysis.results import Candidate, Setting, comparable_energy
from asrmeter.common.stats import Estimate

MOST = 5
MEASURES = ("accuracy", "speed", "energy", "memory")


def stars(settings: Sequence[Setting]) -> dict[Candidate, Mapping[str, int | None]]:
    """Return for each model and variant the stars of each measure; None where it was not measured.

    `settings` are those of one duration class.
    """
    energies = comparable_energy(settings)
    measures: dict[str, Callable[[Setting], Estimate | None]] = {
        "accuracy": lambda setting: setting.wer,
        "speed": lambda setting: 1.0 / setting.rtfx,
        "energy": energies.get,
        "memory": lambda setting: Estimate.exact(setting.memory_bytes) if setting.memory_bytes else None,
    }
    ties = {name: _ties(value) for name, value in measures.items()}
    ties["accuracy"] = lambda one, other: not wer_differs(one, other)
    given = {name: _of_measure(settings, value, ties[name]) for name, value in measures.items()}
    return {
        candidate: {name: given[name].get(candidate) for name in MEASURES}
        for candidate in dict.fromkeys(setting.candidate for setting in settings)
    }


def _of_measure(
    settings: Sequence[Setting],
    value: Callable[[Setting], Estimate | None],
    as_good: Callable[[Setting, Setting], bool],
) -> dict[Candidate, int]:
    best: dict[Candidate, tuple[Estimate, Setting]] = {}
    for setting in settings:
        estimate = value(setting)
        own = best.get(setting.candidate)
        if estimate and (own is None or estimate.value < own[0].value):
            best[setting.candidate] = estimate, setting
    if not best:
        return {}
    first, leader = min(best.values(), key=lambda pair: pair[0].value)
    return {
        candidate: MOST if setting is leader or as_good(leader, setting) else _stars(estimate.value, first.value)
        for candidate, (estimate, setting) in best.items()
    }


def _stars(value: float, best: float) -> int:
    return max(1, MOST - round(math.log2(value / best))) if best else 1


def _ties(value: Callable[[Setting], Estimate | None]) -> Callable[[Setting, Setting], bool]:
    """Return a function that tells whether two settings are the same by a value, as far as was measured."""

    def tie(one: Setting, other: Setting) -> bool:
        first, second = value(one), value(other)
        return first is not None and second is not None and first.ties_with(second)

    return tie
