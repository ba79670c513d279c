"""What follows from the cells of a run: who is as accurate as can be told, and who comes first by each measure.

Accuracy is compared in one duration class, the decisive one. The most accurate model has the lowest WER there; every
model that cannot be told from it is as accurate. All transcribe the same segments, so they are compared by these: two
WERs differ if the 95 % interval of their paired difference does not hold zero (`stats.difference_interval`); without
the transcripts, if their intervals do not overlap. Models with random weights say nothing about accuracy and are
compared by speed only. What to run for a purpose follows in `scenarios`.

Nobody wins by less than the noise. Two settings are told apart only if their intervals do not overlap and their
relative difference is more than the noise floor, the larger one of their two devices: see `stats.Estimate`, which
everything that ranks asks.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from asrmeter.analysis.results import Candidate, Setting, comparable_energy
from asrmeter.common import stats
from asrmeter.common.stats import Estimate
from asrmeter.study.grid import WHISPER_WINDOW_S

# From the smallest to the largest of n values lies an interval that holds their median with a probability of
# 1 - 2^(1 - n), whatever their distribution: 95 % take six segments, and no resampling of fewer carries more.
LEAST_SEGMENTS = 6


@dataclass(frozen=True)
class Pick:
    """A setting that comes first by some measure, and who comes next.

    The first only has the best value: it is no better than its `ties`, and whether it is better than those that are
    `unclear` cannot be told for want of an interval.
    """

    setting: Setting
    runner_up: Setting | None
    ties: tuple[Setting, ...]
    unclear: tuple[Setting, ...]

    @property
    def runner_up_ties(self) -> bool:
        """Whether the runner-up is as good as the first."""
        return self.runner_up in self.ties

    @property
    def runner_up_unclear(self) -> bool:
        """Whether it cannot be told if the first is better than the runner-up."""
        return self.runner_up in self.unclear


@dataclass(frozen=True)
class ByDuration:
    """What to run for audio of one duration class: for throughput, and for the shortest wait."""

    duration_s: int
    throughput: Pick
    latency: Pick


@dataclass(frozen=True)
class Recommendation:
    """What can be told of all models at once.

    `duration_s` is the decisive class, None if nothing was measured. `accuracies` has the setting of each model that
    was scored, the most accurate first; `as_accurate` those that cannot be told from it.
    """

    duration_s: int | None
    accuracies: tuple[Setting, ...]
    as_accurate: tuple[Candidate, ...]
    interactive: Pick | None
    fastest: Pick | None
    frugal: Pick | None
    by_duration: tuple[ByDuration, ...]

    def accuracy_of(self, candidate: Candidate) -> Estimate | None:
        """Return the WER of a model and variant, or None if it has none."""
        return next((setting.wer for setting in self.accuracies if setting.candidate == candidate), None)


def recommend(settings: Sequence[Setting]) -> Recommendation:
    """Rank all settings of a study; where some were scored, only those as accurate as can be told are candidates.

    The fastest is that of all, whatever the accuracy. Energy is ranked among measured figures only where there are any,
    and among modelled ones otherwise.
    """
    accuracies = accuracies_of(settings)
    as_accurate = tuple(one.candidate for one in as_accurate_as(accuracies)) if accuracies else ()
    pool = [setting for setting in settings if setting.candidate in as_accurate] or settings
    return Recommendation(
        duration_s=decisive_duration(settings),
        accuracies=tuple(accuracies),
        as_accurate=as_accurate,
        interactive=lowest_latency(pool),
        fastest=highest_rtfx(settings),
        frugal=lowest_energy(pool),
        by_duration=tuple(_by_duration(pool)),
    )


def decisive_duration(settings: Sequence[Setting]) -> int | None:
    """Return the duration class (s) by which models are compared; None without settings.

    One that all scored models have, and of at most 30 s, where there is such; then the longest one with segments enough
    to tell accuracies, or the one with most.
    """
    compared = [setting for setting in settings if setting.wer] or settings
    n_segments: dict[int, int] = {}
    of_candidate: dict[Candidate, set[int]] = {}
    for setting in compared:
        n_segments[setting.duration_s] = max(setting.n_segments, n_segments.get(setting.duration_s, 0))
        of_candidate.setdefault(setting.candidate, set()).add(setting.duration_s)
    classes = (of_candidate and set.intersection(*of_candidate.values())) or set(n_segments)
    if all(n_segments[duration_s] < LEAST_SEGMENTS for duration_s in classes):
        # Better without a model that lacks the class than by a handful of segments.
        classes = {duration_s for duration_s, n in n_segments.items() if n >= LEAST_SEGMENTS} or classes
    usual = {duration_s for duration_s in classes if duration_s <= WHISPER_WINDOW_S} or classes
    return max(usual, key=lambda duration_s: (min(n_segments[duration_s], LEAST_SEGMENTS), duration_s), default=None)


def accuracies_of(settings: Sequence[Setting]) -> list[Setting]:
    """Return one scored setting of each model and variant, the most accurate first.

    All are of the decisive class and of the smallest batch size that all of them have there; where one was run on
    several devices, the first by name counts. An empty list: there is nothing that all have.
    """
    candidates = {setting.candidate for setting in settings if setting.wer}
    duration_s = decisive_duration(settings)
    of_class = [setting for setting in settings if setting.wer and setting.duration_s == duration_s]
    for batch_size in sorted({setting.batch_size for setting in of_class}):
        at_batch: dict[Candidate, Setting] = {}
        for setting in sorted(of_class, key=lambda setting: setting.device):
            if setting.batch_size == batch_size:
                at_batch.setdefault(setting.candidate, setting)
        if at_batch.keys() == candidates:
            return sorted(at_batch.values(), key=lambda setting: (_wer(setting).value, setting.candidate))
    return []


def as_accurate_as(ranked: Sequence[Setting]) -> list[Setting]:
    """Return those of scored settings, the most accurate first, that cannot be told from the first one."""
    return [setting for setting in ranked if not wer_differs(ranked[0], setting)]


def wer_differs(one: Setting, other: Setting) -> bool:
    """Tell whether the WERs of two scored settings can be told apart: by the same segments, else by their intervals."""
    if not same_segments(one, other):
        return _wer(one).differs_from(_wer(other))
    ours, theirs = ([wrong for _, wrong, _ in setting.errors] for setting in (one, other))
    interval = stats.difference_interval(ours, theirs, [n_words for *_, n_words in one.errors])
    return interval is not None and not interval[0] <= 0 <= interval[1]


def same_segments(one: Setting, other: Setting) -> bool:
    """Tell whether the errors of both are known, and of the same segments."""
    return bool(one.errors) and [name for name, *_ in one.errors] == [name for name, *_ in other.errors]


def highest_rtfx(settings: Sequence[Setting]) -> Pick | None:
    """Return the setting with the highest RTFx, or None if there are no settings."""
    return _pick(settings, lambda setting: setting.rtfx, highest=True)


def lowest_latency(settings: Sequence[Setting]) -> Pick | None:
    """Return the setting with the lowest latency; only its duration class is compared, as other audio is other work."""
    lowest = min(settings, key=lambda setting: setting.latency.value, default=None)
    same_class = [setting for setting in settings if lowest and setting.duration_s == lowest.duration_s]
    return _pick(same_class, lambda setting: setting.latency, highest=False)


def lowest_energy(settings: Iterable[Setting]) -> Pick | None:
    """Return the setting with the least of the energies that can be compared, or None."""
    energies = comparable_energy(settings)
    return _pick(list(energies), energies.__getitem__, highest=False)


def lowest_wer(settings: Iterable[Setting]) -> Pick | None:
    """Return the setting with the highest RTFx among those that cannot be told from the lowest WER, or None.

    It ties with every other model whose WER cannot be told from its own, however fast. Where there is none, the
    runner-up is the next most accurate model.
    """
    ranked = sorted((setting for setting in settings if setting.wer), key=lambda setting: _wer(setting).value)
    fastest = highest_rtfx(as_accurate_as(ranked)) if ranked else None
    if fastest is None:
        return None
    first = fastest.setting
    best_of: dict[Candidate, Setting] = {}
    for setting in ranked:
        best_of.setdefault(setting.candidate, setting)
    others = [setting for candidate, setting in best_of.items() if candidate != first.candidate]
    ties = tuple(other for other in others if not wer_differs(first, other))
    return Pick(first, next(iter([*ties, *others]), None), ties, ())


def _wer(setting: Setting) -> Estimate:
    assert setting.wer is not None
    return setting.wer


def _pick(settings: Sequence[Setting], estimate: Callable[[Setting], Estimate], highest: bool) -> Pick | None:
    """Return the first by an estimate, the best setting of another candidate, and all that are not told from it."""
    ranked = sorted(settings, key=lambda setting: estimate(setting).value, reverse=highest)
    if not ranked:
        return None
    first, others = ranked[0], ranked[1:]
    return Pick(
        setting=first,
        runner_up=next((other for other in others if other.candidate != first.candidate), None),
        ties=tuple(other for other in others if estimate(first).ties_with(estimate(other))),
        unclear=tuple(
            other
            for other in others
            if not estimate(first).ties_with(estimate(other)) and not estimate(first).differs_from(estimate(other))
        ),
    )


def _by_duration(settings: Sequence[Setting]) -> Iterable[ByDuration]:
    for duration_s in sorted({setting.duration_s for setting in settings}):
        of_class = [setting for setting in settings if setting.duration_s == duration_s]
        throughput, latency = highest_rtfx(of_class), lowest_latency(of_class)
        if throughput and latency:
            yield ByDuration(duration_s, throughput, latency)
