"""Rankings of a run's results: the most accurate models, and the first result by each measure.

Accuracy is compared in one duration class. The most accurate model has the lowest WER there; every model whose WER does
not differ from it is as accurate. All models transcribe the same segments and are compared segment by segment: two WERs
differ if the 95 % interval of their paired difference excludes zero (`stats.difference_interval`); without transcripts,
if their intervals do not overlap. Models with random weights have no accuracy and are compared by speed only.
`scenarios` recommends a model for a purpose.

No result wins by less than the noise. Two results differ only if the 95 % interval of their ratio, taken within laps
where they share these, excludes 1, and their relative difference is above the noise floor, the larger one of their two
devices: every ranking uses `stats.Estimate`. What was disturbed in every lap wins and loses nothing.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from asrmeter.analysis.results import Candidate, CellResult, are_apart, comparable_energy, undisturbed
from asrmeter.common import stats
from asrmeter.common.stats import Estimate
from asrmeter.study.grid import WHISPER_WINDOW_S

# From the smallest to the largest of n values lies an interval that holds their median with a probability of
# 1 - 2^(1 - n), whatever their distribution. 95 % need six segments; resampling fewer cannot reach it.
LEAST_SEGMENTS = 6


@dataclass(frozen=True)
class Ranking:
    """The result that comes first by some measure, and the next one of another model or variant.

    The first has the best value, but is not better than its `ties`. For those that are `undecided` an interval is
    missing, so it is unknown whether it is better.
    """

    first: CellResult
    runner_up: CellResult | None
    ties: tuple[CellResult, ...]
    undecided: tuple[CellResult, ...]

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
    each scored model, the most accurate first; `as_accurate` names those whose WER does not differ from it.
    """

    duration_s: int | None
    accuracies: tuple[CellResult, ...]
    as_accurate: tuple[Candidate, ...]
    interactive: Ranking | None
    fastest: Ranking | None
    frugal: Ranking | None
    by_duration: tuple[ByDuration, ...]

    def accuracy_of(self, candidate: Candidate) -> Estimate | None:
        """Return the WER of a model and variant, or None if it has none."""
        return next((result.wer for result in self.accuracies if result.candidate == candidate), None)


def rank_all(results: Sequence[CellResult]) -> StudyRankings:
    """Rank all results of a study; where some were scored, only the most accurate models are candidates.

    The fastest is that of all, whatever its accuracy. Energy is ranked among measured values only where there are any,
    and among modelled ones otherwise.
    """
    accuracies = accuracies_of(results)
    as_accurate = tuple(one.candidate for one in as_accurate_as(accuracies)) if accuracies else ()
    pool = [result for result in results if result.candidate in as_accurate] or results
    return StudyRankings(
        duration_s=comparison_duration(results),
        accuracies=tuple(accuracies),
        as_accurate=as_accurate,
        interactive=lowest_latency(pool),
        fastest=highest_rtfx(results),
        frugal=lowest_energy(pool),
        by_duration=tuple(_by_duration(pool)),
    )


def comparison_duration(results: Sequence[CellResult]) -> int | None:
    """Return the duration class (s) in which models are compared; None without results.

    Preferred are classes that all scored models have, then those of at most 30 s, then those with enough segments to
    compare accuracies, or with most of them; the longest of these.
    """
    compared = [result for result in results if result.wer] or results
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


def accuracies_of(results: Sequence[CellResult]) -> list[CellResult]:
    """Return one scored result of each model and variant, the most accurate first.

    All are of the class in which models are compared, and of the smallest batch size that all of them have there; where
    one was run on several devices, the first by name counts. Empty where no batch size is common to all.
    """
    candidates = {result.candidate for result in results if result.wer}
    duration_s = comparison_duration(results)
    of_class = [result for result in results if result.wer and result.duration_s == duration_s]
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
    results = undisturbed(results)
    lowest = min(results, key=lambda result: result.latency.value, default=None)
    same_class = [result for result in results if lowest and result.duration_s == lowest.duration_s]
    return _ranking(same_class, lambda result: result.latency, highest=False)


def lowest_energy(results: Iterable[CellResult]) -> Ranking | None:
    """Return the ranking by energy of the results whose energies can be compared, or None."""
    energies = comparable_energy(undisturbed(results))
    return _ranking(list(energies), energies.__getitem__, highest=False)


def lowest_wer(results: Iterable[CellResult]) -> Ranking | None:
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
    return Ranking(first, next(iter([*ties, *others]), None), ties, ())


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
    )


def _by_duration(results: Sequence[CellResult]) -> Iterable[ByDuration]:
    for duration_s in sorted({result.duration_s for result in results}):
        of_class = [result for result in results if result.duration_s == duration_s]
        throughput, latency = highest_rtfx(of_class), lowest_latency(of_class)
        if throughput and latency:
            yield ByDuration(duration_s, throughput, latency)
