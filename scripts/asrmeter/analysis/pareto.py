"""The Pareto front: the results that no other one dominates in WER, latency and energy together.

The rule. Results are compared in one duration class, as other audio is other work, and only those with pretrained
weights and a WER that were not disturbed in every lap. Whether the others are on the front is not known, and they are
named. One dominates another if it is at least as good by value in every objective, and clearly better (beyond the
interval of their ratio and the noise floor) in at least one; modelled energy has no interval and is never clearly
better. So ties stay on the front. A dominating result is strictly better by value in one objective and worse in none.
That is a strict order, so domination has no cycles.

Energy counts between two results whose energies can be compared: measured and modelled ones never are. Where only one
of two has such an energy, WER and latency decide. That adds no cycle either: all results in it would be equal in WER
and latency, so that energy alone would order them, and energy orders strictly.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from asrmeter.analysis.ranking import comparison_duration
from asrmeter.analysis.results import CellResult, are_apart, comparable_energy, undisturbed
from asrmeter.analysis.unmeasured import Unmeasured
from asrmeter.common.stats import Estimate

Objectives = tuple[Estimate, Estimate, Estimate | None]


@dataclass(frozen=True)
class Front:
    """The results on the front and those that are dominated, each sorted by WER, then latency.

    `duration_s` is the class in which they were compared, None where no result has a WER. `energies` are those that
    took part, in Wh per hour of audio. `unknown` are results with a WER that were disturbed, `unplaced` the names of
    cells of the class that failed or were not scored: each may be on the front, and dominate who is.
    """

    duration_s: int | None
    members: tuple[CellResult, ...]
    dominated: tuple[CellResult, ...]
    energies: Mapping[CellResult, Estimate]
    unknown: tuple[CellResult, ...] = ()
    unplaced: tuple[str, ...] = ()

    @property
    def with_energy(self) -> bool:
        """Whether energy is one of the objectives; if not, they are WER and latency only."""
        return bool(self.energies)


def front(results: Sequence[CellResult], unmeasured: Sequence[Unmeasured]) -> Front:
    """Apply the rule at the top of this module, in the class by which models are compared (`comparison_duration`)."""
    duration_s = comparison_duration(results, unmeasured)
    of_class = [result for result in results if result.duration_s == duration_s and result.writes_words]
    scored = [result for result in of_class if result.wer is not None]
    compared = undisturbed(scored)
    energies = comparable_energy(compared)
    ranked = sorted(_objectives(compared, energies), key=lambda pair: (_values(pair[1]), pair[0].cell))
    beaten = {one: any(_dominates(other, objectives) for _, other in ranked) for one, objectives in ranked}
    return Front(
        duration_s if compared else None,
        tuple(result for result, is_beaten in beaten.items() if not is_beaten),
        tuple(result for result, is_beaten in beaten.items() if is_beaten),
        energies,
        unknown=tuple(result for result in scored if result.disturbance),
        unplaced=(
            *(one.cell for one in of_class if one.wer is None),
            *(one.cell for one in unmeasured if one.duration_s == duration_s and one.is_contender),
        ),
    )


def _objectives(
    results: Sequence[CellResult], energies: Mapping[CellResult, Estimate]
) -> Iterator[tuple[CellResult, Objectives]]:
    for result in results:
        if result.wer is not None:
            yield result, (result.wer, result.latency, energies.get(result))


def _values(objectives: Objectives) -> tuple[float, float]:
    wer, latency, _ = objectives
    return wer.value, latency.value


def _dominates(one: Objectives, other: Objectives) -> bool:
    # By value first: that is cheap, and settles most of the pairs of a large study.
    if one[0].value > other[0].value or one[1].value > other[1].value:
        return False
    pairs = [(mine, theirs) for mine, theirs in zip(one[1:], other[1:], strict=True) if mine and theirs]
    return all(mine.value <= theirs.value for mine, theirs in pairs) and (
        are_apart(one[0], other[0]) or any(mine.differs_from(theirs) for mine, theirs in pairs)
    )
