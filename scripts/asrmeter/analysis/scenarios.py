"""Recommendations for the study's scenarios: each is a set of limits, and a preference among what meets them.

Considered are the results of one duration class on the allowed devices, with pretrained weights and a WER over enough
segments for an interval: without one nothing is recommended. A result meets a limit if its value does; it surely does
if its whole interval does. A value that was not measured meets no limit. What was disturbed in every lap is not
considered. A variant other than fp32 also has to keep a share of the word accuracy (1 - WER) of the same model's fp32,
as MLPerf Inference asks of its submissions. How sure a recommendation is: see `certainty`.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from asrmeter.analysis.certainty import Certainty, certainty
from asrmeter.analysis.limits import GATE, LIMITS, Check
from asrmeter.analysis.ranking import (
    LEAST_SEGMENTS,
    Ranking,
    comparison_duration,
    highest_rtfx,
    lowest_energy,
    lowest_latency,
    lowest_wer,
)
from asrmeter.analysis.results import BASELINE, Candidate, CellResult, comparable_energy, undisturbed
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
    NO_ENERGY = "no_energy"


PREFERENCES: dict[str, Callable[[Sequence[CellResult]], Ranking | None]] = {
    "throughput": highest_rtfx,
    "latency": lowest_latency,
    "energy": lowest_energy,
    "accuracy": lowest_wer,
}
# What each preference ranks by; None where it was not measured.
VALUES: dict[str, Callable[[CellResult], Estimate | None]] = {
    "throughput": lambda result: result.rtfx,
    "latency": lambda result: result.latency,
    "energy": lambda result: result.energy,
    "accuracy": lambda result: result.wer,
}


@dataclass(frozen=True)
class Recommendation:
    """The recommendation for one scenario.

    `asked` is the scenario as the study states it, `duration_s` the class that was considered. `ranking` has the
    recommended result and its runner-up, `checks` compare it with the limits; where there is none, `missing` says why.
    `n_considered` results have a WER over `n_segments` segments, `n_meeting` of them meet all limits; `ruled_out` has
    how many each limit rules out. `nearest` is the result of another model that misses the fewest limits, with its
    checks; where nothing is recommended, of any model. `left_out` are models and variants that could not take part, as
    they lack the class or were disturbed in every lap. `certainty` says how sure the recommendation is.
    """

    name: str
    asked: Scenario
    duration_s: int | None
    ranking: Ranking | None = None
    checks: tuple[Check, ...] = ()
    n_considered: int = 0
    n_meeting: int = 0
    ruled_out: Mapping[str, int] = field(default_factory=dict)
    nearest: tuple[CellResult, tuple[Check, ...]] | None = None
    n_segments: int = 0
    n_unranked: int = 0
    left_out: tuple[Candidate, ...] = ()
    missing: NoRecommendation | None = None
    certainty: Certainty | None = None

    @property
    def is_sure(self) -> bool:
        """Whether the recommendation is right with a probability of 95 %, and nothing was left out of the comparison.

        Nobody surely wins by less than the noise floor, nor against another machine.
        """
        if self.ranking is None or self.n_unranked or self.left_out or self.certainty is None:
            return False
        result, runner_up = self.ranking.first, self.ranking.runner_up
        wins = {tied.candidate for tied in self.ranking.ties} <= {result.candidate}
        fair = runner_up is None or runner_up.hardware[0] == result.hardware[0]
        return wins and fair and self.certainty.is_sure


def recommend(results: Sequence[CellResult], study: Study) -> list[Recommendation]:
    """Return the recommendation for each scenario of a complete study; `results` are all that were measured."""
    # A study that never runs fp32 has nothing to compare a variant with.
    gate = study.report.accuracy_gate if BASELINE in study.variants else None
    return [_recommend(name, asked, results, gate) for name, asked in study.report.scenarios.items()]


def word_accuracy_kept(result: CellResult, results: Sequence[CellResult]) -> float | None:
    """Return the word accuracy of a result over that of the same model's fp32; None without both.

    fp32 is taken at the same duration, and where it was run there, on the same device and at the same batch size.
    """
    if result.wer is None:
        return None
    if result.variant == BASELINE:
        return 1.0
    references = [
        other
        for other in results
        if (other.model, other.variant, other.duration_s) == (result.model, BASELINE, result.duration_s) and other.wer
    ]

    def distance(other: CellResult) -> tuple[bool, int, str]:
        return other.device != result.device, abs(other.batch_size - result.batch_size), other.device

    reference = min(references, key=distance, default=None)
    if reference is None or reference.wer is None or reference.wer.value >= 1:
        return None
    return (1 - result.wer.value) / (1 - reference.wer.value)


def _recommend(name: str, asked: Scenario, results: Sequence[CellResult], gate: float | None) -> Recommendation:
    allowed = [result for result in results if asked.devices is None or result.device in asked.devices]
    duration_s = asked.duration_s or comparison_duration(allowed)
    of_class = [result for result in allowed if result.duration_s == duration_s]
    scored = [result for result in of_class if result.wer]
    well_scored = [result for result in undisturbed(scored) if _is_well_scored(result)]
    n_segments = max((result.n_segments for result in scored), default=0)
    nothing = Recommendation(name, asked, duration_s, n_segments=n_segments)
    if missing := _why_none(of_class, scored, well_scored):
        return replace(nothing, missing=missing)
    references = [result for result in results if (result.variant, result.duration_s) == (BASELINE, duration_s)]
    compared = {result.candidate for result in undisturbed(scored)}
    pretrained = dict.fromkeys(result.candidate for result in allowed if result.weights != "random")
    left_out = tuple(candidate for candidate in pretrained if candidate not in compared)
    checks = {result: tuple(_checks(result, asked, references, gate)) for result in well_scored}
    meeting = [result for result in well_scored if all(check.passes for check in checks[result])]
    failed = Counter(check.key for own in checks.values() for check in own if not check.passes)
    considered = replace(
        nothing, n_considered=len(well_scored), n_meeting=len(meeting), ruled_out=failed, left_out=left_out
    )
    if asked.prefer == "energy":
        considered = replace(considered, n_unranked=len(meeting) - len(comparable_energy(meeting)))
    rank = PREFERENCES[asked.prefer]
    ranking = rank(meeting)
    misses = [one for one in well_scored if not all(check.passes for check in checks[one])]
    others = [one for one in misses if not ranking or one.candidate != ranking.first.candidate]
    nearest = _nearest(others, checks, rank)
    if ranking is None:
        missing = NoRecommendation.NO_ENERGY if meeting else NoRecommendation.NONE_MEETS
        return replace(considered, missing=missing, nearest=nearest)
    return replace(
        considered,
        ranking=ranking,
        checks=checks[ranking.first],
        nearest=nearest,
        certainty=_certainty(ranking.first, asked.prefer, checks),
    )


def _certainty(first: CellResult, prefer: str, checks: Mapping[CellResult, tuple[Check, ...]]) -> Certainty:
    known = comparable_energy(checks) if prefer == "energy" else {one: VALUES[prefer](one) for one in checks}
    return certainty(first, prefer, checks, {one: value for one, value in known.items() if value is not None})


def _is_well_scored(result: CellResult) -> bool:
    """Whether a WER has enough segments to base a recommendation on."""
    return result.n_segments >= LEAST_SEGMENTS and result.wer is not None and result.wer.low is not None


def _why_none(
    of_class: Sequence[CellResult], scored: Sequence[CellResult], well_scored: Sequence[CellResult]
) -> NoRecommendation | None:
    if well_scored:
        return None
    if scored:
        return NoRecommendation.TOO_FEW_SEGMENTS if undisturbed(scored) else NoRecommendation.ALL_DISTURBED
    if not of_class:
        return NoRecommendation.NOTHING_MEASURED
    random = all(result.weights == "random" for result in of_class)
    return NoRecommendation.ALL_RANDOM if random else NoRecommendation.NOTHING_SCORED


def _checks(result: CellResult, asked: Scenario, results: Sequence[CellResult], gate: float | None) -> Iterator[Check]:
    for key, limit in LIMITS.items():
        if (value := getattr(asked, key)) is not None:
            yield limit.check(key, result, value)
    if gate is not None:
        kept = word_accuracy_kept(result, results)
        # The same segments on both sides: a ratio without an interval, as MLPerf takes it.
        yield Check(GATE, None if kept is None else Estimate.exact(kept), gate, at_most=False)


def _nearest(
    results: Sequence[CellResult],
    checks: Mapping[CellResult, tuple[Check, ...]],
    rank: Callable[[Sequence[CellResult]], Ranking | None],
) -> tuple[CellResult, tuple[Check, ...]] | None:
    """Return the first by rank of those that fail the fewest limits."""

    def n_failed(result: CellResult) -> int:
        return sum(not check.passes for check in checks[result])

    fewest = min(map(n_failed, results), default=0)
    first = rank([result for result in results if n_failed(result) == fewest])
    return (first.first, checks[first.first]) if first else None
