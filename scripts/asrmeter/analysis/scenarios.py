"""Recommendations for the study's scenarios: each is a set of limits, and a preference among what meets them.

Considered are the settings of one duration class on the allowed devices, with pretrained weights. A result meets a
limit if its value does, surely if its whole interval does. It misses a limit if its value does. Otherwise that is not
known: the value was not measured, or disturbed in every lap, or rests on too few requests or segments. Of a setting
that failed nothing is known, but where it is known that it does not run. Recommended is who is known to meet every
limit and to come first. Settings that could win if they were known are named, with what it takes to know them; while
there are any, nothing is sure. A variant other than fp32 also has to keep a share of the word accuracy (1 - WER) of the
same model's fp32, as MLPerf Inference asks of its submissions. A WER is asked for by a limit on it, by this gate and by
the preference of accuracy alone. How sure a recommendation is: see `certainty`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from asrmeter.analysis.certainty import Certainty, certainty
from asrmeter.analysis.limits import Check, Outcome, checks_of, speed_missing, wer_missing
from asrmeter.analysis.preferences import HIGHEST, PREFERENCES, VALUES, values_of
from asrmeter.analysis.ranking import Ranking, comparison_duration, is_well_scored
from asrmeter.analysis.results import BASELINE, Candidate, CellResult
from asrmeter.analysis.unknowns import Remedies, Unknown, Why
from asrmeter.analysis.unmeasured import Setting, Unmeasured
from asrmeter.common.stats import Estimate
from asrmeter.study.model import Scenario, Study


class NoRecommendation(StrEnum):
    """Why nothing is recommended."""

    NOTHING_MEASURED = "nothing_measured"
    ALL_RANDOM = "all_random"
    NOTHING_SCORED = "nothing_scored"
    TOO_FEW_SEGMENTS = "too_few_segments"
    ALL_DISTURBED = "all_disturbed"
    NONE_MEETS = "none_meets"
    NOT_KNOWN = "not_known"
    NO_ENERGY = "no_energy"


@dataclass(frozen=True)
class Recommendation:
    """The recommendation for one scenario.

    `asked` is the scenario as the study states it, `duration_s` the class that was considered. `ranking` has the
    recommended result and its runner-up, `checks` compare it with the limits; where there is none, `missing` says why.
    Of `n_considered` settings those of `meeting` are known to meet all limits, those of `missing_limit` to miss one,
    those of `does_not_run` cannot run on this machine, and of `n_unknown` that is not known: those of `unclear`, and
    some that failed. `ruled_out` has how many miss each limit.
    `unknowns` are settings that could win if they were known, the most promising first. WERs are over `n_segments`
    segments. `nearest` is the result of another model that misses the fewest limits, with its checks; where nothing is
    recommended, of any model. `n_unranked` results meet the limits, but their energy cannot be compared. `left_out` are
    models and variants that lack the class. `certainty` says how sure the recommendation is.
    """

    name: str
    asked: Scenario
    duration_s: int | None
    ranking: Ranking | None = None
    checks: tuple[Check, ...] = ()
    n_considered: int = 0
    meeting: tuple[CellResult, ...] = ()
    missing_limit: tuple[CellResult, ...] = ()
    unclear: tuple[CellResult, ...] = ()
    n_unknown: int = 0
    unknowns: tuple[Unknown, ...] = ()
    does_not_run: tuple[Unmeasured, ...] = ()
    ruled_out: Mapping[str, int] = field(default_factory=dict)
    nearest: tuple[CellResult, tuple[Check, ...]] | None = None
    n_segments: int = 0
    n_unranked: int = 0
    left_out: tuple[Candidate, ...] = ()
    missing: NoRecommendation | None = None
    certainty: Certainty | None = None

    @property
    def n_meeting(self) -> int:
        """How many settings are known to meet all limits."""
        return len(self.meeting)

    @property
    def n_missing_limit(self) -> int:
        """How many settings are known to miss a limit."""
        return len(self.missing_limit)

    @property
    def is_sure(self) -> bool:
        """Whether the recommendation is right with a probability of 95 %, and nothing unknown could win instead.

        Nobody surely wins by less than the noise floor, nor against another machine.
        """
        if self.ranking is None or self.unknowns or self.left_out or self.certainty is None:
            return False
        result, runner_up = self.ranking.first, self.ranking.runner_up
        wins = {tied.candidate for tied in self.ranking.ties} <= {result.candidate}
        fair = runner_up is None or runner_up.hardware[0] == result.hardware[0]
        return wins and fair and self.certainty.is_sure


def recommend(results: Sequence[CellResult], unmeasured: Sequence[Unmeasured], study: Study) -> list[Recommendation]:
    """Return the recommendation for each scenario of a complete study.

    `results` are all that were measured, `unmeasured` the other cells of the study.
    """
    return list(_recommendations(results, unmeasured, study))


def recommend_first(
    results: Sequence[CellResult], unmeasured: Sequence[Unmeasured], study: Study
) -> Recommendation | None:
    """Return the recommendation for the first scenario of a study; None if it states none."""
    return next(_recommendations(results, unmeasured, study), None)


def _recommendations(
    results: Sequence[CellResult], unmeasured: Sequence[Unmeasured], study: Study
) -> Iterator[Recommendation]:
    # A study that never runs fp32 has nothing to compare a variant with.
    gate = study.report.accuracy_gate if BASELINE in study.variants else None
    remedies = Remedies(study, [*results, *unmeasured])
    for name, asked in study.report.scenarios.items():
        yield _recommend(name, asked, results, unmeasured, gate, remedies)


def _recommend(
    name: str,
    asked: Scenario,
    results: Sequence[CellResult],
    unmeasured: Sequence[Unmeasured],
    gate: float | None,
    remedies: Remedies,
) -> Recommendation:
    allowed = [one for one in results if asked.devices is None or one.device in asked.devices]
    failed = [one for one in unmeasured if asked.devices is None or one.device in asked.devices]
    duration_s = asked.duration_s or comparison_duration(allowed, failed)
    of_class = [one for one in allowed if one.duration_s == duration_s]
    failed_of_class = [one for one in failed if one.duration_s == duration_s]
    settings = [one for one in of_class if one.writes_words]
    references = [one for one in results if (one.variant, one.duration_s) == (BASELINE, duration_s)]
    checks = {one: tuple(checks_of(one, asked, references, gate)) for one in settings}
    passing = [one for one in settings if all(check.passes for check in checks[one])]
    values = values_of(asked.prefer, settings, passing)
    meeting = [one for one in passing if one in values]
    missing_limit = [one for one in settings if any(check.outcome is Outcome.MISSED for check in checks[one])]
    unclear = [one for one in settings if one not in meeting and one not in missing_limit]
    not_measured = [one for one in failed_of_class if one.is_contender]
    everything: list[Setting] = [*allowed, *failed]
    compared = {one.candidate for one in everything if one.duration_s == duration_s}
    everyone = dict.fromkeys(one.candidate for one in everything if one.writes_words)
    found = Recommendation(
        name,
        asked,
        duration_s,
        n_considered=len(settings) + sum(one.writes_words for one in failed_of_class),
        meeting=tuple(meeting),
        missing_limit=tuple(missing_limit),
        unclear=tuple(unclear),
        n_unknown=len(unclear) + len(not_measured),
        does_not_run=tuple(one for one in failed_of_class if one.does_not_run and one.writes_words),
        ruled_out=Counter(check.key for own in checks.values() for check in own if check.outcome is Outcome.MISSED),
        n_segments=max((one.n_segments for one in settings if one.wer), default=0),
        n_unranked=len(passing) - len(meeting) if asked.prefer == "energy" else 0,
        left_out=tuple(candidate for candidate in everyone if candidate not in compared),
    )
    rank = PREFERENCES[asked.prefer]
    ranking = rank(meeting)
    others = [one for one in missing_limit if not ranking or one.candidate != ranking.first.candidate]
    found = replace(found, ranking=ranking, nearest=_nearest(others, checks, rank))
    if ranking is None:
        unknowns = _unknowns(asked.prefer, unclear, not_measured, (), checks, remedies)
        return replace(found, unknowns=unknowns, missing=_why_none(found, asked, of_class, passing, values))
    sure = certainty(ranking.first, asked.prefer, checks, values)
    unknowns = _unknowns(asked.prefer, sure.could_win, not_measured, ranking.undecided, checks, remedies)
    return replace(found, checks=checks[ranking.first], certainty=sure, unknowns=unknowns)


def _unknowns(
    prefer: str,
    results: Iterable[CellResult],
    not_measured: Iterable[Unmeasured],
    undecided: Iterable[CellResult],
    checks: Mapping[CellResult, tuple[Check, ...]],
    remedies: Remedies,
) -> tuple[Unknown, ...]:
    """Return what is not known of each setting that could win, the most promising first."""

    def worth(result: CellResult) -> tuple[bool, float, str]:
        value = VALUES[prefer](result)
        sign = -1 if prefer in HIGHEST else 1
        return value is None, 0.0 if value is None else sign * value.value, result.cell

    found = []
    for result in sorted(results, key=worth):
        lacking = [(check.missing, check.key) for check in checks[result] if check.missing]
        lacking.sort(key=lambda pair: pair[0] is not Why.DISTURBED)
        why, measure = next(iter(lacking), (_why_no_value(prefer, result), prefer))
        found.append(remedies.unknown(result, why, measure))
    found += [remedies.unknown(result, Why.NO_INTERVAL, prefer) for result in sorted(undecided, key=worth)]
    for one in not_measured:
        found.append(remedies.unknown(one, Why.FAILED if one.elsewhere is None else Why.NOT_MEASURED, None))
    return tuple(found)


def _why_no_value(prefer: str, result: CellResult) -> Why:
    """Return why what the preference ranks by is not known of a result."""
    if prefer == "accuracy":
        return wer_missing(result) or Why.DISTURBED
    return speed_missing(result) or (Why.NO_CAPACITY if prefer == "capacity" else Why.NO_ENERGY)


def _why_none(
    found: Recommendation,
    asked: Scenario,
    of_class: Sequence[CellResult],
    passing: Sequence[CellResult],
    values: Mapping[CellResult, Estimate],
) -> NoRecommendation:
    """Return why nothing is recommended: a reason that holds for all settings, if there is one."""
    settings = [one for one in of_class if one.writes_words]
    scored = [one for one in settings if one.wer]
    if not settings:
        if found.n_considered or not of_class:
            return NoRecommendation.NOTHING_MEASURED
        random = all(one.weights == "random" for one in of_class)
        return NoRecommendation.ALL_RANDOM if random else NoRecommendation.NOTHING_SCORED
    if asked.prefer == "energy" and any(not one.disturbance and one not in values for one in passing):
        return NoRecommendation.NO_ENERGY
    if not found.n_unknown:
        return NoRecommendation.NONE_MEETS
    if found.n_unknown == len(settings) and all(one.disturbance for one in settings):
        return NoRecommendation.ALL_DISTURBED
    asks_wer = asked.max_wer is not None or asked.prefer == "accuracy"
    if found.n_unknown > len(settings) or found.n_missing_limit or not asks_wer:
        return NoRecommendation.NOT_KNOWN
    if not scored:
        return NoRecommendation.NOTHING_SCORED
    return NoRecommendation.NOT_KNOWN if any(map(is_well_scored, scored)) else NoRecommendation.TOO_FEW_SEGMENTS


def _nearest(
    results: Sequence[CellResult],
    checks: Mapping[CellResult, tuple[Check, ...]],
    rank: Callable[[Sequence[CellResult]], Ranking | None],
) -> tuple[CellResult, tuple[Check, ...]] | None:
    """Return the first by rank of those that miss the fewest limits."""

    def n_missed(result: CellResult) -> int:
        return sum(check.outcome is Outcome.MISSED for check in checks[result])

    fewest = min(map(n_missed, results), default=0)
    first = rank([result for result in results if n_missed(result) == fewest])
    return (first.first, checks[first.first]) if first else None
