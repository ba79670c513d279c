"""Stars from one to five by a rule: the best has five, and each doubling of what is better small costs one (rounded).

What is better small is the time that an hour of audio takes, its energy, the peak memory, and the share of words that
are wrong. A model and variant is judged by its best setting of the class by which models are compared. Who cannot be
told from the best has five as well.
"""

import math
from collections.abc import Callable, Mapping, Sequence

from asrmeter.settings import Candidate, Setting, comparable_energy
from asrmeter.stats import Estimate

MOST = 5
MEASURES = ("accuracy", "speed", "energy", "memory")


def stars(settings: Sequence[Setting]) -> dict[Candidate, Mapping[str, int | None]]:
    """Return for each model and variant the stars of each measure; None where it was not measured.

    `settings` are those of one duration class.
    """
    energies = comparable_energy(settings)
    measures: dict[str, Callable[[Setting], Estimate | None]] = {
        "accuracy": lambda setting: setting.wer,
        "speed": _seconds_per_audio_second,
        "energy": energies.get,
        "memory": lambda setting: Estimate(setting.memory_bytes) if setting.memory_bytes else None,
    }
    given = {name: _of_measure(settings, value) for name, value in measures.items()}
    return {
        candidate: {name: given[name].get(candidate) for name in MEASURES}
        for candidate in dict.fromkeys(setting.candidate for setting in settings)
    }


def _of_measure(settings: Sequence[Setting], value: Callable[[Setting], Estimate | None]) -> dict[Candidate, int]:
    best: dict[Candidate, Estimate] = {}
    for setting in settings:
        estimate = value(setting)
        own = best.get(setting.candidate)
        if estimate and (own is None or estimate.value < own.value):
            best[setting.candidate] = estimate
    first = min(best.values(), key=lambda estimate: estimate.value, default=None)
    return {candidate: _stars(estimate, first) for candidate, estimate in best.items() if first}


def _stars(estimate: Estimate, first: Estimate) -> int:
    if estimate.ties_with(first) or first.value == estimate.value:
        return MOST
    if not first.value:
        return 1
    return max(1, MOST - round(math.log2(estimate.value / first.value)))


def _seconds_per_audio_second(setting: Setting) -> Estimate:
    rtfx = setting.rtfx
    low, high = (1 / end if end else None for end in (rtfx.high, rtfx.low))
    return Estimate(1 / rtfx.value, low, high, rtfx.floor)
