"""The alternatives for one purpose: what was chosen, and what else there is, by speed and errors."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from asrmeter.analysis.results import CellResult
from asrmeter.analysis.scenarios import Recommendation

# More than these cannot be told apart in a small picture.
MOST = 24


class Standing(StrEnum):
    """How a setting stands: chosen, meets every limit, misses one, or that is not known."""

    CHOSEN = "chosen"
    MEETS = "meets"
    MISSES = "misses"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Alternative:
    """A setting with a WER, and how it stands."""

    result: CellResult
    standing: Standing


def alternatives(recommendation: Recommendation) -> list[Alternative]:
    """Return the chosen setting, then of each model, variant and device the best one of each standing.

    What meets the limits comes before what is not known, and that before what misses one. Settings without a WER have
    no place among errors. Empty if there is nothing to choose between.
    """
    chosen = recommendation.ranking.first if recommendation.ranking else None
    standings: tuple[tuple[Standing, Iterable[CellResult]], ...] = (
        (Standing.CHOSEN, [chosen] if chosen else []),
        (Standing.MEETS, (one for one in recommendation.meeting if one != chosen)),
        (Standing.UNKNOWN, recommendation.unclear),
        (Standing.MISSES, recommendation.missing_limit),
    )
    found = []
    for standing, results in standings:
        best: dict[tuple[str, str, str], CellResult] = {}
        for result in sorted(results, key=lambda one: (_rank(one, recommendation.asked.prefer), one.cell)):
            if result.wer is not None:
                best.setdefault((*result.candidate, result.device), result)
        found += [Alternative(result, standing) for result in best.values()]
    return found[:MOST] if len(found) > 1 else []


def _rank(result: CellResult, prefer: str) -> float:
    """Return what a setting is ranked by among those of its model, the lower the better."""
    if prefer == "latency":
        return result.latency.value
    return result.energy.value if prefer == "energy" and result.energy else -result.rtfx.value
