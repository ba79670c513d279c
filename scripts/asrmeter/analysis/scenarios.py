"""Recommendations for the study's scenarios: each is a set of limits, and a preference among what meets them.

Considered are the results of one duration class on the allowed devices, with pretrained weights and a WER over enough
segments for an interval: without one nothing is recommended. A result meets a limit if its value does; it surely does
if its whole interval does. A value that was not measured meets no limit. A variant other than fp32 also has to keep a
share of the word accuracy (1 - WER) of the same model's fp32, as MLPerf Inference asks of its submissions.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from asrmeter.analysis.ranking import (
    LEAST_SEGMENTS,
    Ranking,
    comparison_duration,
    highest_rtfx,
    lowest_energy,
    lowest_latency,
    lowest_wer,
)
from asrmeter.analysis.results import BASELINE, Candidate, CellResult, comparable_energy
from asrmeter.common.stats import Estimate
from asrmeter.study.model import Scenario, Study

GATE = "accuracy_gate"


class Outcome(StrEnum):
    """Whether a result meets a limit; `likely`: its value does, but its interval extends beyond or is not known."""

    MET = "met"
    LIKELY = "likely"
    MISSED = "missed"
    UNKNOWN = "unknown"


class NoRecommendation(StrEnum):
    """Why nothing is recommended."""

    NOTHING_MEASURED = "nothing_measured"
    ALL_RANDOM = "all_random"
    NOTHING_SCORED = "nothing_scored"
    TOO_FEW_SEGMENTS = "too_few_segments"
    NONE_MEETS = "none_meets"
    NO_ENERGY = "no_energy"


@dataclass(frozen=True)
class Limit:
    """A constraint of a scenario: the value that it limits, and whether from above or from below."""

    value: Callable[[CellResult], Estimate | None]
    at_most: bool = True

    def check(self, key: str, result: CellResult, limit: float) -> "Check":
        """Compare a result with the limit."""
        return Check(key, self.value(result), limit, self.at_most)


# A constraint is a line here, a key in the study's schema, and words in the catalogue.
LIMITS: dict[str, Limit] = {
    "max_wer": Limit(lambda result: result.wer),
    "max_latency_s_median": Limit(lambda result: result.latency),
    "max_latency_s_p95": Limit(lambda result: result.latency_p95),
    "min_rtfx": Limit(lambda result: result.rtfx, at_most=False),
    "max_memory_gb": Limit(
        lambda result: Estimate.exact(result.memory_bytes / 1e9) if result.memory_bytes is not None else None
    ),
}
PREFERENCES: dict[str, Callable[[Sequence[CellResult]], Ranking | None]] = {
    "throughput": highest_rtfx,
    "latency": lowest_latency,
    "energy": lowest_energy,
    "accuracy": lowest_wer,
}


@dataclass(frozen=True)
class Check:
    """A result compared with one limit: its value (None where it was not measured), the limit, and the outcome."""

    key: str
    value: Estimate | None
    limit: float
    at_most: bool

    @property
    def outcome(self) -> Outcome:
        """Whether the value meets the limit."""
        if self.value is None:
            return Outcome.UNKNOWN
        if not self._holds(self.value.value):
            return Outcome.MISSED
        worse = self.value.high if self.at_most else self.value.low
        return Outcome.MET if worse is not None and self._holds(worse) else Outcome.LIKELY

    def _holds(self, value: float) -> bool:
        return value <= self.limit if self.at_most else value >= self.limit


@dataclass(frozen=True)
class Recommendation:
    """The recommendation for one scenario.

    `asked` is the scenario as the study states it, `duration_s` the class that was considered. `ranking` has the
    recommended result and its runner-up, `checks` compare it with the limits; where there is none, `missing` says why.
    `n_considered` results have a WER over `n_segments` segments, `n_meeting` of them meet all limits; `ruled_out` has
    how many each limit rules out. `nearest` is the result of another model that misses the fewest limits, with its
    checks; where nothing is recommended, of any model.
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

    @property
    def is_sure(self) -> bool:
        """Whether the evidence is complete: limits met by whole intervals, the runner-up beaten, nothing disturbed."""
        if self.ranking is None or self.n_unranked or self.left_out:
            return False
        result, runner_up = self.ranking.first, self.ranking.runner_up
        rivals = {other.candidate for other in (*self.ranking.ties, *self.ranking.undecided)} - {result.candidate}
        if self.asked.prefer == "energy" and result.energy_is_modelled:
            return False
        fair = runner_up is None or (not runner_up.disturbance and runner_up.hardware[0] == result.hardware[0])
        met = all(check.outcome is Outcome.MET for check in self.checks)
        return not rivals and fair and met and result.converged and not result.disturbance


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
    well_scored = [result for result in scored if _is_well_scored(result)]
    n_segments = max((result.n_segments for result in scored), default=0)
    nothing = Recommendation(name, asked, duration_s, n_segments=n_segments)
    if missing := _why_none(of_class, scored, well_scored):
        return replace(nothing, missing=missing)
    references = [result for result in results if (result.variant, result.duration_s) == (BASELINE, duration_s)]
    compared = {result.candidate for result in scored}
    pretrained = dict.fromkeys(result.candidate for result in allowed if result.weights != "random")
    left_out = tuple(candidate for candidate in pretrained if candidate not in compared)
    checks = {result: tuple(_checks(result, asked, references, gate)) for result in well_scored}
    meeting = [result for result in well_scored if all(map(_passes, checks[result]))]
    failed = Counter(check.key for own in checks.values() for check in own if not _passes(check))
    considered = replace(
        nothing, n_considered=len(well_scored), n_meeting=len(meeting), ruled_out=failed, left_out=left_out
    )
    if asked.prefer == "energy":
        considered = replace(considered, n_unranked=len(meeting) - len(comparable_energy(meeting)))
    rank = PREFERENCES[asked.prefer]
    ranking = rank(meeting)
    others = [
        one for one in well_scored if one not in meeting and (not ranking or one.candidate != ranking.first.candidate)
    ]
    nearest = _nearest(others, checks, rank)
    if ranking is None:
        missing = NoRecommendation.NO_ENERGY if meeting else NoRecommendation.NONE_MEETS
        return replace(considered, missing=missing, nearest=nearest)
    return replace(considered, ranking=ranking, checks=checks[ranking.first], nearest=nearest)


def _is_well_scored(result: CellResult) -> bool:
    """Whether a WER has enough segments to base a recommendation on."""
    return result.n_segments >= LEAST_SEGMENTS and result.wer is not None and result.wer.low is not None


def _why_none(
    of_class: Sequence[CellResult], scored: Sequence[CellResult], well_scored: Sequence[CellResult]
) -> NoRecommendation | None:
    if well_scored:
        return None
    if scored:
        return NoRecommendation.TOO_FEW_SEGMENTS
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


def _passes(check: Check) -> bool:
    return check.outcome in (Outcome.MET, Outcome.LIKELY)


def _nearest(
    results: Sequence[CellResult],
    checks: Mapping[CellResult, tuple[Check, ...]],
    rank: Callable[[Sequence[CellResult]], Ranking | None],
) -> tuple[CellResult, tuple[Check, ...]] | None:
    """Return the first by rank of those that fail the fewest limits."""

    def n_failed(result: CellResult) -> int:
        return sum(not _passes(check) for check in checks[result])

    fewest = min(map(n_failed, results), default=0)
    first = rank([result for result in results if n_failed(result) == fewest])
    return (first.first, checks[first.first]) if first else None
