"""Which model to take, on which device and at which batch size: computed from the cells and transcripts tables.

The rule. Models are compared by their WER in the duration class that says most. The most accurate has the lowest. Every
model whose 95 % interval overlaps its interval is as accurate as can be told. Among those the one with the highest RTFx
is recommended, on the device and at the batch size where it is highest. Models with random weights say nothing about
accuracy and are never recommended for it; they are compared by speed only.

Nobody wins by less than the noise. Two settings are told apart only if their intervals do not overlap and their
relative difference is more than the noise floor, the larger one of their two devices: see `stats.Estimate`, which
everything that ranks asks.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from asrmeter import stats
from asrmeter.settings import (
    MEASURED_STATUS,
    Candidate,
    Row,
    Setting,
    cell_name,
    comparable_energy,
    n_errors,
    settings_of,
)
from asrmeter.stats import Estimate

# More segments than these make an interval over segments narrower, but no longer another thing.
ENOUGH_SEGMENTS = 5


@dataclass(frozen=True)
class Accuracy:
    """Pooled WER of a model and variant: all errors over all words of the duration classes, at one batch size."""

    model: str
    variant: str
    wer: Estimate
    n_errors: int
    n_words: int
    n_segments: int
    durations_s: tuple[int, ...]
    batch_size: int
    cells: tuple[str, ...]

    @property
    def candidate(self) -> Candidate:
        """The model and its variant."""
        return self.model, self.variant


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
    """Everything that the report claims; a claim that cannot be made is None and `missing` says why.

    `missing` is "" or one of `nothing_measured`, `all_random`, `nothing_scored`, `nothing_in_common`.
    """

    accuracies: tuple[Accuracy, ...]
    as_accurate: tuple[Candidate, ...]
    best: Pick | None
    interactive: Pick | None
    fastest: Pick | None
    frugal: Pick | None
    by_duration: tuple[ByDuration, ...]
    missing: str

    def accuracy_of(self, candidate: Candidate) -> Accuracy | None:
        """Return the pooled WER of a model and variant, or None if it has none."""
        return next((accuracy for accuracy in self.accuracies if accuracy.candidate == candidate), None)


def pooled_accuracies(cells: Sequence[Row], transcripts: Iterable[Row], seed: int) -> list[Accuracy]:
    """Return the pooled WER of every model that was scored, best first.

    All are taken from the same duration class, at the smallest batch size at which they have a class in common; an
    empty list means that there is nothing to compare. The interval comes from resampling segments 1,000 times.
    """
    scored = _scored_cells(cells, transcripts)
    candidates = {(row["model"], row["variant"]) for row, _ in scored}
    batch_size, durations = _common_classes(scored, candidates)
    pooled = [_pool(candidate, scored, batch_size, durations, seed) for candidate in candidates if durations]
    return sorted(pooled, key=lambda accuracy: (accuracy.wer.value, accuracy.candidate))


def wer_estimate(errors: Sequence[int], words: Sequence[int], seed: int) -> Estimate:
    """Return errors over words with a 95 % interval over segments; one segment alone carries no interval."""
    low, high = stats.ratio_interval(errors, words, seed) or (None, None)
    return Estimate(sum(errors) / sum(words), low, high)


def highest_rtfx(settings: list[Setting]) -> Pick | None:
    """Return the setting with the highest RTFx, or None if there are no settings."""
    return _pick(settings, lambda setting: setting.rtfx, highest=True)


def lowest_latency(settings: list[Setting]) -> Pick | None:
    """Return the setting with the lowest latency; only its duration class is compared, as other audio is other work."""
    lowest = min(settings, key=lambda setting: setting.latency.value, default=None)
    same_class = [setting for setting in settings if lowest and setting.duration_s == lowest.duration_s]
    return _pick(same_class, lambda setting: setting.latency, highest=False)


def lowest_energy(settings: Iterable[Setting]) -> Pick | None:
    """Return the setting with the least of the energies that can be compared, or None."""
    energies = comparable_energy(settings)
    return _pick(list(energies), energies.__getitem__, highest=False)


def recommend(cells: Sequence[Row], transcripts: Iterable[Row], seed: int) -> Recommendation:
    """Apply the rule at the top of this module; the fastest and the most frugal are named beside it.

    Energy is ranked among measured figures only where there are any, and among modelled ones otherwise.
    """
    settings = settings_of(cells)
    accuracies = pooled_accuracies(cells, transcripts, seed)
    as_accurate = tuple(other.candidate for other in accuracies if not other.wer.differs_from(accuracies[0].wer))
    contenders = [setting for setting in settings if setting.candidate in as_accurate]
    pool = contenders or settings
    return Recommendation(
        accuracies=tuple(accuracies),
        as_accurate=as_accurate,
        best=_best(contenders, settings, accuracies),
        interactive=lowest_latency(pool),
        fastest=highest_rtfx(settings),
        frugal=lowest_energy(pool),
        by_duration=tuple(_by_duration(pool)),
        missing=_why_missing(cells, settings, accuracies, contenders),
    )


def _why_missing(
    cells: Sequence[Row], settings: list[Setting], accuracies: list[Accuracy], contenders: list[Setting]
) -> str:
    """Return why no model can be recommended for accuracy, or ""."""
    if contenders:
        return ""
    if not settings:
        return "nothing_measured"
    if all(setting.weights == "random" for setting in settings):
        return "all_random"
    return "nothing_in_common" if any(row["wer"] is not None for row in cells) and not accuracies else "nothing_scored"


def _segment(transcript: Row) -> tuple[int, str]:
    return transcript["duration_s"], transcript["segment_id"]


def _scored_cells(cells: Iterable[Row], transcripts: Iterable[Row]) -> list[tuple[Row, list[Row]]]:
    """Return the measured cells with pretrained weights that have words to score, each with its transcripts."""
    of_cell: dict[str, list[Row]] = {}
    for transcript in transcripts:
        of_cell.setdefault(cell_name(transcript), []).append(transcript)
    pairs = [(row, of_cell.get(cell_name(row), [])) for row in cells]
    return [
        (row, texts)
        for row, texts in pairs
        if row["status"] in MEASURED_STATUS
        and row["weights"] == "pretrained"
        and sum(text["n_words"] or 0 for text in texts)
    ]


def _common_classes(scored: list[tuple[Row, list[Row]]], candidates: set[Candidate]) -> tuple[int, frozenset[int]]:
    """Return the smallest batch size at which all candidates share duration classes, and the one that says most."""
    for batch_size in sorted({row["batch_size"] for row, _ in scored}):
        classes = [
            {
                row["duration_s"]
                for row, _ in scored
                if (row["model"], row["variant"]) == candidate and row["batch_size"] == batch_size
            }
            for candidate in candidates
        ]
        if common := frozenset.intersection(*map(frozenset, classes)):
            return batch_size, frozenset({_most_telling(scored, batch_size, common)})
    return 0, frozenset()


def _most_telling(scored: list[tuple[Row, list[Row]]], batch_size: int, durations: frozenset[int]) -> int:
    """Return the duration class with the most words among those with segments enough.

    One class and not all: the same speech serves in several, and would be counted as often.
    """

    def weight(duration_s: int) -> tuple[int, int]:
        texts = next(t for row, t in scored if (row["duration_s"], row["batch_size"]) == (duration_s, batch_size))
        return min(len(texts), ENOUGH_SEGMENTS), sum(text["n_words"] for text in texts)

    return max(sorted(durations), key=weight)


def _pool(
    candidate: Candidate, scored: list[tuple[Row, list[Row]]], batch_size: int, durations: frozenset[int], seed: int
) -> Accuracy:
    """Pool a candidate's transcripts; where a class was run on several devices the first by name counts."""
    of_class: dict[int, tuple[Row, list[Row]]] = {}
    for row, texts in sorted(scored, key=lambda pair: pair[0]["device"]):
        if (row["model"], row["variant"], row["batch_size"]) == (*candidate, batch_size):
            of_class.setdefault(row["duration_s"], (row, texts))
    chosen = [of_class[duration_s] for duration_s in sorted(durations)]
    texts = sorted((text for _, texts in chosen for text in texts), key=_segment)
    errors = [n_errors(text) for text in texts]
    words = [text["n_words"] for text in texts]
    return Accuracy(
        model=candidate[0],
        variant=candidate[1],
        wer=wer_estimate(errors, words, seed),
        n_errors=sum(errors),
        n_words=sum(words),
        n_segments=len(texts),
        durations_s=tuple(sorted(durations)),
        batch_size=batch_size,
        cells=tuple(cell_name(row) for row, _ in chosen),
    )


def _pick(settings: list[Setting], estimate: Callable[[Setting], Estimate], highest: bool) -> Pick | None:
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


def _best(contenders: list[Setting], settings: list[Setting], accuracies: list[Accuracy]) -> Pick | None:
    """Return the recommended setting; with one contender, the next most accurate model is its runner-up."""
    pick = highest_rtfx(contenders)
    if pick is None or pick.runner_up is not None:
        return pick
    for accuracy in accuracies:
        of_other = [setting for setting in settings if setting.candidate == accuracy.candidate]
        if accuracy.candidate != pick.setting.candidate and (fastest := highest_rtfx(of_other)):
            return replace(pick, runner_up=fastest.setting)
    return pick


def _by_duration(settings: list[Setting]) -> Iterable[ByDuration]:
    for duration_s in sorted({setting.duration_s for setting in settings}):
        of_class = [setting for setting in settings if setting.duration_s == duration_s]
        throughput, latency = highest_rtfx(of_class), lowest_latency(of_class)
        if throughput and latency:
            yield ByDuration(duration_s, throughput, latency)
