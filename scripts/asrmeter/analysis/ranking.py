"""Rankings of a run's results: the most accurate models, and the first result by each measure.

Accuracy is compared in one duration class. The most accurate model has the lowest WER there; every model whose WER does
not differ from it is as accurate. All models transcribe the same segments and are compared segment by segment: two WERs
differ if the 95 % interval of their paired difference excludes zero (`stats.difference_interval`); without transcripts,
if their intervals do not overlap. Models with random weights have no accuracy and are compared by speed only.
`scenarios` recommends a model for a purpose.

No result wins by less than the noise. Two results differ only if the 95 % interval of their ratio, taken within laps
where they share these, excludes 1, and their relative difference is above the noise floor, the larger one of their two
devices: every ranking uses `stats.Estimate`. What was disturbed in every lap wins and loses nothing. It is named beside
the ranking, as what failed: it could come first if it were known.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from asrmeter.analysis.results import Candidate, CellResult, are_apart, comparable_energy, undisturbed
from asrmeter.analysis.unmeasured import Setting, Unmeasured
from asrmeter.common import stats
from asrmeter.common.constants import LEAST_SEGMENTS
from asrmeter.common.stats import Estimate
from asrmeter.study.grid import WHISPER_WINDOW_S


@dataclass(frozen=True)
class Ranking:
    """The result that comes first by some measure, and the next one of another model or variant.

    The first has the best value, but is not better than its `ties`. For those that are `undecided` an interval is
    missing, so it is unknown whether it is better. `unknown` are the names of cells that take no part, since their
    value is not known.
    """

    first: CellResult
    runner_up: CellResult | None
    ties: tuple[CellResult, ...]
    undecided: tuple[CellResult, ...]
    unknown: tuple[str, ...] = ()

    @property
    def runner_up_ties(self) -> bool:
        """Whether the runner-up is as good as the first."""
        return self.runner_up in self.ties

    @property
    def runner_up_undecided(self) -> bool:
        """Whether it is unknown if the first is better than the runner-up."""
        return self.runner_up in self.undecided


@dataclass(frozen=True)
class ByDuration:
    """What to run for audio of one duration class: for throughput, and for the shortest wait."""

    duration_s: int
    throughput: Ranking
    latency: Ranking


@dataclass(frozen=True)
class StudyRankings:
    """All models ranked by each measure.

    `duration_s` is the class in which accuracy is compared, None if nothing was measured. `accuracies` has a result of
    each scored model, the most accurate first; `as_accurate` names those whose WER does not differ from it, `unscored`
    those whose WER is not known there.
    """

    duration_s: int | None
    accuracies: tuple[CellResult, ...]
    as_accurate: tuple[Candidate, ...]
    unscored: tuple[Candidate, ...]
    interactive: Ranking | None
    fastest: Ranking | None
    frugal: Ranking | None
    by_duration: tuple[ByDuration, ...]

    def accuracy_of(self, candidate: Candidate) -> Estimate | None:
        """Return the WER of a model and variant, or None if it has none."""
        return next((result.wer for result in self.accuracies if result.candidate == candidate), None)


def rank_all(results: Sequence[CellResult], unmeasured: Sequence[Unmeasured]) -> StudyRankings:
    """Rank all results of a study; where some were scored, only the most accurate models are candidates.

    The fastest is that of all, whatever its accuracy. Energy is ranked among measured values only where there are any,
    and among modelled ones otherwise.
    """
    accuracies = accuracies_of(results, unmeasured)
    scored = {one.candidate for one in accuracies}
    contenders = _contenders(results, unmeasured)
    as_accurate = tuple(one.candidate for one in as_accurate_as(accuracies)) if accuracies else ()
    pool = [result for result in results if result.candidate in as_accurate] or results
    return StudyRankings(
        duration_s=comparison_duration(results, unmeasured),
        accuracies=tuple(accuracies),
        as_accurate=as_accurate,
        unscored=tuple(sorted({one.candidate for one in contenders} - scored)),
        interactive=_beside(lowest_latency(pool), unmeasured),
        fastest=_beside(highest_rtfx(results), unmeasured),
        frugal=_beside(lowest_energy(pool), unmeasured),
        by_duration=tuple(_by_duration(pool, unmeasured)),
    )


def comparison_duration(results: Sequence[CellResult], unmeasured: Sequence[Unmeasured]) -> int | None:
    """Return the duration class (s) in which models are compared; None without results.

    Preferred are classes that all models have which can be scored, then those of at most 30 s, then those with enough
    segments to compare accuracies, or with most of them; the longest of these. A model has a class in which it failed:
    who fails does not choose where the others are compared.
    """
    compared = _contenders(results, unmeasured) or [*results, *unmeasured]
    n_segments: dict[int, int] = {}
    of_candidate: dict[Candidate, set[int]] = {}
    for result in compared:
        n_segments[result.duration_s] = max(result.n_segments, n_segments.get(result.duration_s, 0))
        of_candidate.setdefault(result.candidate, set()).add(result.duration_s)
    classes = (of_candidate and set.intersection(*of_candidate.values())) or set(n_segments)
    if all(n_segments[duration_s] < LEAST_SEGMENTS for duration_s in classes):
        # Better to leave out a model that lacks the class than to compare by a handful of segments.
        classes = {duration_s for duration_s, n in n_segments.items() if n >= LEAST_SEGMENTS} or classes
    usual = {duration_s for duration_s in classes if duration_s <= WHISPER_WINDOW_S} or classes
    return max(usual, key=lambda duration_s: (min(n_segments[duration_s], LEAST_SEGMENTS), duration_s), default=None)


def _contenders(results: Iterable[CellResult], unmeasured: Iterable[Unmeasured]) -> list[Setting]:
    """Return what could have a WER."""
    return [*(one for one in results if one.writes_words), *(one for one in unmeasured if one.is_contender)]


def is_well_scored(result: CellResult) -> bool:
    """Return whether a WER has enough segments to base anything on."""
    return result.n_segments >= LEAST_SEGMENTS and result.wer is not None and result.wer.low is not None


def accuracies_of(results: Sequence[CellResult], unmeasured: Sequence[Unmeasured]) -> list[CellResult]:
    """Return one scored result of each model and variant, the most accurate first.

    All are of the class in which models are compared, and of the smallest batch size that all of them have there; where
    one was run on several devices, the first by name counts. Empty where no batch size is common to all. A model all of
    whose cells of the class failed is left out.
    """
    duration_s = comparison_duration(results, unmeasured)
    of_class = [result for result in results if result.wer and result.duration_s == duration_s]
    failed = {one.candidate for one in unmeasured if one.duration_s == duration_s}
    known = {result.candidate for result in of_class}
    candidates = {result.candidate for result in results if result.wer} - (failed - known)
    for batch_size in sorted({result.batch_size for result in of_class}):
        at_batch: dict[Candidate, CellResult] = {}
        for result in sorted(of_class, key=lambda result: result.device):
            if result.batch_size == batch_size:
                at_batch.setdefault(result.candidate, result)
        if at_batch.keys() == candidates:
            return sorted(at_batch.values(), key=lambda result: (_wer(result).value, result.candidate))
    return []


def as_accurate_as(ranked: Sequence[CellResult]) -> list[CellResult]:
    """Return those of scored results, the most accurate first, whose WER does not differ from the first one's."""
    return [result for result in ranked if not wer_differs(ranked[0], result)]


def wer_differs(one: CellResult, other: CellResult) -> bool:
    """Tell whether the WERs of two scored results differ: by the same segments, else by their intervals."""
    if not same_segments(one, other):
        return are_apart(_wer(one), _wer(other))
    ours, theirs = ([wrong for _, wrong, _ in result.errors] for result in (one, other))
    interval = stats.difference_interval(ours, theirs, [n_words for *_, n_words in one.errors])
    return interval is not None and not interval[0] <= 0 <= interval[1]


def same_segments(one: CellResult, other: CellResult) -> bool:
    """Tell whether the errors of both are known, and of the same segments."""
    return bool(one.errors) and [name for name, *_ in one.errors] == [name for name, *_ in other.errors]


def highest_rtfx(results: Sequence[CellResult]) -> Ranking | None:
    """Return the ranking by RTFx, or None without results."""
    return _ranking(results, lambda result: result.rtfx, highest=True)


def lowest_latency(results: Sequence[CellResult]) -> Ranking | None:
    """Return the ranking by latency within the duration class of the lowest: other audio is other work."""
    known = undisturbed(results)
    lowest = min(known, key=lambda result: result.latency.value, default=None)
    compared = [one for one in results if one.disturbance or (lowest and one.duration_s == lowest.duration_s)]
    return _ranking(compared, lambda result: result.latency, highest=False)


def lowest_energy(results: Sequence[CellResult]) -> Ranking | None:
    """Return the ranking by energy of the results whose energies can be compared, or None."""
    energies = comparable_energy(undisturbed(results))
    ranking = _ranking(list(energies), energies.__getitem__, highest=False)
    unknown = tuple(result.cell for result in results if result not in energies)
    return ranking and replace(ranking, unknown=unknown)


def highest_capacity(results: Sequence[CellResult]) -> Ranking | None:
    """Return the ranking by capacity of the results whose capacity is known, or None."""
    known = {result: result.capacity for result in results if result.capacity}
    ranking = _ranking(list(known), known.__getitem__, highest=True)
    return ranking and replace(ranking, unknown=tuple(result.cell for result in results if result not in known))


def lowest_wer(results: Sequence[CellResult]) -> Ranking | None:
    """Return the ranking by accuracy, or None.

    First is the highest RTFx among those whose WER does not differ from the lowest. It ties
    with every other model whose WER does not differ from its own, however fast. Where there is none, the runner-up is
    the next most accurate model.
    """
    scored = [result for result in undisturbed(results) if result.wer]
    ranked = sorted(scored, key=lambda result: _wer(result).value)
    fastest = highest_rtfx(as_accurate_as(ranked)) if ranked else None
    if fastest is None:
        return None
    first = fastest.first
    best_of: dict[Candidate, CellResult] = {}
    for result in ranked:
        best_of.setdefault(result.candidate, result)
    others = [result for candidate, result in best_of.items() if candidate != first.candidate]
    ties = tuple(other for other in others if not wer_differs(first, other))
    unknown = tuple(result.cell for result in results if result.disturbance or not result.wer)
    return Ranking(first, next(iter([*ties, *others]), None), ties, (), unknown)


def _wer(result: CellResult) -> Estimate:
    assert result.wer is not None
    return result.wer


def _ranking(
    results: Sequence[CellResult], estimate: Callable[[CellResult], Estimate], highest: bool
) -> Ranking | None:
    """Rank results by an estimate; the runner-up is the best result of another candidate."""
    ranked = sorted(undisturbed(results), key=lambda result: estimate(result).value, reverse=highest)
    if not ranked:
        return None
    first, others = ranked[0], ranked[1:]
    return Ranking(
        first,
        runner_up=next((other for other in others if other.candidate != first.candidate), None),
        ties=tuple(other for other in others if estimate(first).ties_with(estimate(other))),
        undecided=tuple(
            other
            for other in others
            if not estimate(first).ties_with(estimate(other)) and not estimate(first).differs_from(estimate(other))
        ),
        unknown=tuple(result.cell for result in results if result.disturbance),
    )


def _beside(ranking: Ranking | None, unmeasured: Iterable[Unmeasured]) -> Ranking | None:
    """Return a ranking that also names what failed, but for what is known not to run."""
    failed = tuple(one.cell for one in unmeasured if not one.does_not_run)
    return ranking and replace(ranking, unknown=ranking.unknown + failed)


def _by_duration(results: Sequence[CellResult], unmeasured: Sequence[Unmeasured]) -> Iterable[ByDuration]:
    for duration_s in sorted({result.duration_s for result in results}):
        of_class = [result for result in results if result.duration_s == duration_s]
        failed = [one for one in unmeasured if one.duration_s == duration_s]
        throughput, latency = (_beside(rank(of_class), failed) for rank in (highest_rtfx, lowest_latency))
        if throughput and latency:
            yield ByDuration(duration_s, throughput, latency)
