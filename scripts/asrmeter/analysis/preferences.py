"""What a purpose can prefer among settings that meet its limits, and what that ranks them by."""

from collections.abc import Callable, Sequence

from asrmeter.analysis.ranking import (
    Ranking,
    highest_capacity,
    highest_rtfx,
    is_well_scored,
    lowest_energy,
    lowest_latency,
    lowest_wer,
)
from asrmeter.analysis.results import CellResult, comparable_energy, undisturbed
from asrmeter.common.stats import Estimate

PREFERENCES: dict[str, Callable[[Sequence[CellResult]], Ranking | None]] = {
    "throughput": highest_rtfx,
    "capacity": highest_capacity,
    "latency": lowest_latency,
    "energy": lowest_energy,
    "accuracy": lowest_wer,
}
# Of these the highest value comes first, of others the lowest.
HIGHEST = ("throughput", "capacity")
# What each preference ranks by; None where it was not measured.
VALUES: dict[str, Callable[[CellResult], Estimate | None]] = {
    "throughput": lambda result: result.rtfx,
    "capacity": lambda result: result.capacity,
    "latency": lambda result: result.latency,
    "energy": lambda result: result.energy,
    "accuracy": lambda result: result.wer,
}


def values_of(prefer: str, settings: Sequence[CellResult], passing: Sequence[CellResult]) -> dict[CellResult, Estimate]:
    """Return what the preference ranks by, of those settings of which it is known, and fit to be compared."""
    known = undisturbed(settings)
    if prefer == "energy":
        # Measured ones if one of those that meet the limits is, else modelled ones.
        kinds = {one.energy_is_modelled for one in comparable_energy(undisturbed(passing))}
        return {one: one.energy for one in known if one.energy and one.energy_is_modelled in kinds}
    if prefer == "accuracy":
        return {one: one.wer for one in known if one.wer and is_well_scored(one)}
    return {one: value for one in known if (value := VALUES[prefer](one))}
