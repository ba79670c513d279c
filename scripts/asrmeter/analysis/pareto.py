"""The Pareto front: the settings that no other one beats in WER, latency and energy together.

The rule. Settings are compared in one duration class, as other audio is other work, and only those with pretrained
weights and a WER. One leaves another behind if it is at least as good by value in every objective, and clearly better
(beyond intervals and noise floor) in at least one; modelled energy has no interval and is never clearly better. So ties
stay on the front. Whoever leaves another behind is strictly
better by value in one objective and worse in none; the relation is a part of that strict order, so nobody can be left
behind in a circle.

Energy counts between two settings whose energies can be compared: measured and modelled ones never are. Where only one
of two has such an energy, WER and latency decide. No circle comes of that either: all in it would be equal in WER and
latency, so that energy alone would order them, and energy orders strictly.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from asrmeter.analysis.ranking import decisive_duration
from asrmeter.analysis.results import Setting, comparable_energy
from asrmeter.common.stats import Estimate

Objectives = tuple[Estimate, Estimate, Estimate | None]


@dataclass(frozen=True)
class Front:
    """The settings on the front and those left behind, each sorted by WER, then latency.

    `duration_s` is the class in which they were compared, None where no setting has a WER. `energies` are those that
    took part, in Wh per hour of audio.
    """

    duration_s: int | None
    members: tuple[Setting, ...]
    others: tuple[Setting, ...]
    energies: Mapping[Setting, Estimate]

    @property
    def with_energy(self) -> bool:
        """Whether energy is one of the objectives; if not, the front is one of WER and latency only."""
        return bool(self.energies)


def front(settings: Iterable[Setting]) -> Front:
    """Apply the rule at the top of this module, in the class by which models are compared (`decisive_duration`)."""
    scored = [setting for setting in settings if setting.wer is not None]
    if not scored:
        return Front(None, (), (), {})
    duration_s = decisive_duration(scored)
    compared = [setting for setting in scored if setting.duration_s == duration_s]
    energies = comparable_energy(compared)
    ranked = sorted(_objectives(compared, energies), key=lambda pair: (_values(pair[1]), pair[0].cell))
    beaten = {one: any(_leaves_behind(other, objectives) for _, other in ranked) for one, objectives in ranked}
    return Front(
        duration_s,
        tuple(setting for setting, is_beaten in beaten.items() if not is_beaten),
        tuple(setting for setting, is_beaten in beaten.items() if is_beaten),
        energies,
    )


def _objectives(
    settings: Sequence[Setting], energies: Mapping[Setting, Estimate]
) -> Iterator[tuple[Setting, Objectives]]:
    for setting in settings:
        if setting.wer is not None:
            yield setting, (setting.wer, setting.latency, energies.get(setting))


def _values(objectives: Objectives) -> tuple[float, float]:
    wer, latency, _ = objectives
    return wer.value, latency.value


def _leaves_behind(one: Objectives, other: Objectives) -> bool:
    # By value first: that is cheap, and settles most of the pairs of a large study.
    if one[0].value > other[0].value or one[1].value > other[1].value:
        return False
    pairs = [(mine, theirs) for mine, theirs in zip(one, other, strict=True) if mine and theirs]
    return all(mine.value <= theirs.value for mine, theirs in pairs) and any(
        mine.differs_from(theirs) for mine, theirs in pairs
    )
