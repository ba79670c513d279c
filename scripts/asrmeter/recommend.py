"""Which model to take, on which device and at which batch size: computed from the cells and transcripts tables.

The rule. Models are compared by their WER in the duration class that says most. The most accurate has the lowest. Every
model whose 95 % interval overlaps its interval is as accurate as can be told. Among those the one with the highest RTFx
is recommended, on the device and at the batch size where it is highest. Models with random weights say nothing about
accuracy and are never recommended for it; they are compared by speed only.

Nobody wins by less than the noise. Two settings are told apart only if their intervals do not overlap and their
relative difference is more than the noise floor, the larger one of their two devices: see `stats.Estimate`, which
everything that ranks asks.

A table is a list of rows, a row maps a column's name to its value, and a value that was not measured is None.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from asrmeter import energy as metering
from asrmeter import stats
from asrmeter.errors import AsrmeterError
from asrmeter.plan import Cell
from asrmeter.stats import Estimate

Row = Mapping[str, Any]
Candidate = tuple[str, str]

# More segments than these make an interval over segments narrower, but no longer another thing.
ENOUGH_SEGMENTS = 5
MEASURED_STATUS = ("ok", "unconverged")
MODELLED_METHODS = ("cpu_load_model", "tdp_constant")

# What figures and report read of the tables.
CELL_COLUMNS = (
    "model", "weights", "family", "variant", "device", "device_name", "duration_s", "batch_size", "threads", "status",
    "reason", "n_passes", "latency_s_median", "latency_s_ci_low", "latency_s_ci_high", "latency_s_p95",
    "features_s_median", "encoder_s_median", "decoder_s_median", "text_s_median", "samples_per_s", "rtfx",
    "energy_j_per_sample", "energy_cpu_j_per_sample", "energy_gpu_j_per_sample", "energy_ram_j_per_sample",
    "energy_net_j_per_sample", "energy_method_cpu", "energy_method_gpu", "energy_note", "energy_spread",
    "n_energy_windows", "energy_counter_difference", "counter_note", "idle_power_w", "peak_rss_bytes",
    "model_rss_bytes", "peak_device_bytes", "model_device_bytes", "n_windows_mean", "n_tokens_mean", "padding_share",
    "wer", "wer_ci_low", "wer_ci_high", "wer_plain", "wer_corpus", "wer_words", "cer", "cer_ci_low", "cer_ci_high",
    "n_substitutions", "n_deletions", "n_insertions", "n_empty", "n_hallucinated", "n_unstable", "n_segments",
    "audio_s_mean", "tokens_per_s", "gflop_per_sample", "achieved_gflops", "gflop_note", "preload_cpu_s",
    "startup_cpu_s",
    "n_batches", "n_warmup_passes", "stages_share", "disturbed", "disturbance", "n_attempts", "foreign_cpu_cores",
    "steal_share", "cpu_mhz_min", "temperature_c_max", "n_throttle_events", "n_foreign_gpu_processes",
    "protocol", "noise_floor", "noise_floor_note", "machine_id", "cpu_name", "n_cpus", "memory_bytes", "os",
    "gpu_name", "driver_version", "python_version", "torch_version", "transformers_version", "normaliser",
    "normaliser_plain", "normaliser_corpus", "decoding", "corpus_sha256", "weights_sha256", "commit", "measured_at",
)  # fmt: skip
NOISE_COLUMNS = (
    "model", "variant", "device", "duration_s", "batch_size", "latency_s_median", "latency_s_ci_low",
    "latency_s_ci_high", "latency_s_median_again", "latency_s_ci_low_again", "latency_s_ci_high_again",
    "relative_difference", "overlap", "note",
)  # fmt: skip
TRANSCRIPT_COLUMNS = (
    "model", "variant", "device", "duration_s", "batch_size", "segment_id", "reference", "hypothesis",
    "reference_normalised", "hypothesis_normalised", "n_words", "n_substitutions", "n_deletions", "n_insertions",
)  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """One measured cell: a model and variant on a device, for a duration class, at a batch size.

    `latency` is in seconds a pass, `rtfx` in seconds of audio per second, `energy` in watt-hours per hour of audio
    (the same number as joules per second of audio); `energy_method` says where the last one came from. `disturbance`
    says what disturbed the measurement, "" if nothing did.
    """

    cell: str
    model: str
    variant: str
    weights: str
    device: str
    duration_s: int
    batch_size: int
    converged: bool
    disturbance: str
    latency: Estimate
    rtfx: Estimate
    energy: Estimate | None
    energy_method: str

    @property
    def candidate(self) -> Candidate:
        """The model and its variant: what is chosen between."""
        return self.model, self.variant

    @property
    def energy_is_modelled(self) -> bool:
        """Whether the energy comes from a model of the device instead of a counter."""
        return self.energy_method in MODELLED_METHODS


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


def read_rows(path: Path, columns: Sequence[str]) -> list[Row]:
    """Read a Parquet table; null and NaN become None.

    Raises:
        AsrmeterError: there is no such file, it is no Parquet file, or it lacks one of `columns`.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (OSError, pyarrow.ArrowInvalid) as error:
        raise AsrmeterError(f"{path}: cannot be read as a table; make it with scripts/collect.py ({error})") from error
    lacking = [column for column in columns if column not in table.column_names]
    if lacking:
        raise AsrmeterError(f"{path}: lacks {', '.join(lacking)}; make the tables again")
    return [{name: _without_nan(value) for name, value in row.items()} for row in table.to_pylist()]


def cell_of(row: Row) -> Cell:
    """Return the cell that a row of any table belongs to."""
    return Cell(*(row[name] for name in ("model", "variant", "device", "duration_s", "batch_size")))


def cell_name(row: Row) -> str:
    """Return the name of a row's cell, such as `whisper-base/fp32/cpu/30s-b4`."""
    return cell_of(row).id


def energy_method(row: Row) -> str:
    """Return where the energy of the cell's own device came from; `none` where it was not measured."""
    return row["energy_method_cpu" if row["device"] == "cpu" else "energy_method_gpu"] or "none"


def latency_of(row: Row) -> Estimate:
    """Return the latency of a measured cell in seconds a pass, with its interval and its device's noise floor."""
    median, low, high = (row[f"latency_s_{part}"] for part in ("median", "ci_low", "ci_high"))
    return Estimate(median, low, high, row["noise_floor"])


def disturbance_of(row: Row) -> str:
    """Return what disturbed the measurement of a cell, or ""."""
    return (row["disturbance"] or "disturbed") if row["disturbed"] else ""


def n_errors(transcript: Row) -> int:
    """Return the errors of one transcript: substitutions, deletions and insertions."""
    return int(transcript["n_substitutions"] + transcript["n_deletions"] + transcript["n_insertions"])


def settings_of(cells: Iterable[Row]) -> list[Setting]:
    """Return the cells that have a latency, in the order of their names; failed cells are left out."""
    measured = [row for row in cells if row["status"] in MEASURED_STATUS and row["latency_s_median"] and row["rtfx"]]
    return sorted((_setting(row) for row in measured), key=_order)


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


def comparable_energy(settings: Iterable[Setting]) -> dict[Setting, Estimate]:
    """Return the energies in Wh per hour of audio: the measured ones if there are any, else the modelled ones."""
    known = {setting: setting.energy for setting in settings if setting.energy is not None}
    measured = {setting: energy for setting, energy in known.items() if setting.energy_method in metering.MEASURED}
    return measured or known


def lowest_energy(settings: Iterable[Setting]) -> Pick | None:
    """Return the setting with the least of the energies that can be compared, or None."""
    energies = comparable_energy(settings)
    return _pick(list(energies), energies.__getitem__, highest=False)


def noise_floors(cells: Iterable[Row]) -> dict[str, Row]:
    """Return for each device a row that tells its `noise_floor`, the largest if there are several, or why it has none.

    Devices are sorted by name.
    """
    of_device: dict[str, Row] = {}
    for row in sorted(cells, key=lambda row: (row["device"], -(row["noise_floor"] or 0.0))):
        of_device.setdefault(row["device"], row)
    return of_device


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


def _without_nan(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def _order(setting: Setting) -> tuple[str, str, str, int, int]:
    return setting.model, setting.variant, setting.device, setting.duration_s, setting.batch_size


def _segment(transcript: Row) -> tuple[int, str]:
    return transcript["duration_s"], transcript["segment_id"]


def _setting(row: Row) -> Setting:
    latency = latency_of(row)
    audio_s = row["rtfx"] * latency.value
    return Setting(
        cell=cell_name(row),
        model=row["model"],
        variant=row["variant"],
        weights=row["weights"],
        device=row["device"],
        duration_s=row["duration_s"],
        batch_size=row["batch_size"],
        converged=row["status"] == "ok",
        disturbance=disturbance_of(row),
        latency=latency,
        rtfx=Estimate(
            row["rtfx"],
            audio_s / latency.high if latency.high else None,
            audio_s / latency.low if latency.low else None,
            floor=latency.floor,
        ),
        energy=_energy(row),
        energy_method=energy_method(row),
    )


def _energy(row: Row) -> Estimate | None:
    """Return the energy in Wh per hour of audio; two differ if they do by more than their windows among themselves."""
    if row["energy_j_per_sample"] is None or not row["audio_s_mean"]:
        return None
    value = row["energy_j_per_sample"] / row["audio_s_mean"]
    floors = [floor for floor in (row["noise_floor"], row["energy_spread"]) if floor is not None]
    return Estimate(value, value, value, max(floors, default=None))


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
