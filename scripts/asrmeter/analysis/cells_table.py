"""The tidy tables: what a row is, and every column in one place. Adding a column is one line here."""

import datetime
import itertools
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from asrmeter.analysis import repeatability
from asrmeter.analysis.scoring import ENDINGS, Errors, Normaliser, compare, is_empty, is_hallucinated
from asrmeter.common import stats
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.vocabulary import STAGES, DecoderWork
from asrmeter.records import cell_record
from asrmeter.study import grid

Row = dict[str, Any]
_TEXT, _INTEGER, _NUMBER, _FLAG = pa.string(), pa.int64(), pa.float64(), pa.bool_()
# What an error rate divides by what, summed over the segments.
_ERROR_RATES = {"wer": ("n_errors", "n_words"), "cer": ("n_character_errors", "n_characters")}
# What `transcripts` counts, `cells` sums up under the same name, but for these.
_COUNTS_OF_CELLS = {"n_errors": "wer_errors", "n_words": "wer_words"}


@dataclass(frozen=True)
class Measured:
    """One cell's record with what is worked out from it. `pairs` are the rows of the table `repeatability`."""

    header: Row
    passes: list[Row]
    scored: list[Row]
    study: str
    pairs: Sequence[Row] = ()
    flops: Row = field(default_factory=dict)

    @property
    def device_name(self) -> str | None:
        """The name of the GPU or the processor; None of a GPU that was never reached."""
        return self.event("ready", "gpu_name") or (self.header["cpu_name"] if self.own_part == "cpu" else None)

    @property
    def noise(self) -> Row:
        """The noise floor of where the cell was measured, by the `pairs` of the study."""
        place = {name: self.header.get(name) for name in ("device", "machine_id")}
        return repeatability.floor(self.pairs, place | {"device_name": self.device_name})

    def of_phase(self, phase: str) -> list[Row]:
        """Return the passes of a phase of the measurement."""
        return [entry for entry in self.passes if entry["phase"] == phase]

    @cached_property
    def timed(self) -> list[Row]:
        """The passes that were timed for latency."""
        return self.of_phase("latency")

    @cached_property
    def rounds(self) -> list[list[Row]]:
        """The timed passes in whole rounds, each over the same batches in the same order."""
        by_round: dict[int, list[Row]] = {}
        for entry in self.timed:
            by_round.setdefault(entry["round"], []).append(entry)
        return [entries for entries in by_round.values() if len(entries) == self.n_batches]

    @property
    def n_batches(self) -> int:
        """Batches that were timed."""
        return len({entry["batch"] for entry in self.timed})

    def event(self, name: str, key: str) -> Any:
        """Return what the worker told, or None if it did not come that far."""
        return self.header["events"].get(name, {}).get(key)

    def values(self, name: str) -> list[list[float]]:
        """Return a value of the timed passes, a row for each round and a column for each batch."""
        return [[entry[name] for entry in entries] for entries in self.rounds]

    def median(self, name: str) -> float | None:
        """Return the median of a value of the timed passes, blocked by batch; None without a whole round."""
        return stats.blocked_median(self.values(name)) if self.rounds else None

    @cached_property
    def latency_s(self) -> float | None:
        """The median latency of a pass."""
        return self.median("latency_s")

    @cached_property
    def latency_interval(self) -> tuple[float | None, float | None]:
        """The 95 % bootstrap interval of the median latency."""
        return stats.blocked_interval(self.values("latency_s")) or (None, None)

    def per_pass(self, value: Callable[[Row], float]) -> float | None:
        """Return the mean of a value over the timed passes; None without any."""
        return statistics.fmean(map(value, self.timed)) if self.timed else None

    def per_segment(self, name: str) -> float | None:
        """Return the mean over the segments of the timed passes of a value that each pass lists by segment."""
        return statistics.fmean(itertools.chain.from_iterable(p[name] for p in self.timed)) if self.timed else None

    @property
    def stage_coverage(self) -> float | None:
        """The sum of a pass' stages over its latency, the median of the passes: 1 if the stages are the whole."""
        shares = [sum(entry[f"{stage}_s"] for stage in STAGES) / entry["latency_s"] for entry in self.timed]
        return statistics.median(shares) if shares else None

    @property
    def windows(self) -> list[Row]:
        """The windows of energy."""
        return self.event("energy", "windows") or []

    def energies_j_per_sample(self, part: str) -> list[float]:
        """Return the joules of a part by sample in each window; nothing without a meter.

        `part` is cpu, gpu or ram by codecarbon, counter_cpu or counter_gpu by the hardware's counter read directly.
        """
        return [
            window[f"{part}_j"] / (window["n_passes"] * self.header["batch_size"])
            for window in self.windows
            if window[f"{part}_j"] is not None
        ]

    def energy_j_per_sample(self, part: str) -> float | None:
        """Return the joules of a part by sample, the median of the windows; None without a meter."""
        per_sample = self.energies_j_per_sample(part)
        return statistics.median(per_sample) if per_sample else None

    @property
    def energy_range_rel(self) -> float | None:
        """Range of the own part's windows over their median; None for a single window."""
        per_sample = self.energies_j_per_sample(self.own_part)
        if len(per_sample) < 2:
            return None
        return (max(per_sample) - min(per_sample)) / statistics.median(per_sample)

    @property
    def energy_counter_difference(self) -> float | None:
        """What codecarbon says of the own part beyond the counter that was read beside it, relative to the counter."""
        ours = self.energy_j_per_sample(f"counter_{self.own_part}")
        codecarbons = self.energy_j_per_sample(self.own_part)
        return None if ours is None or codecarbons is None else codecarbons / ours - 1

    @property
    def own_part(self) -> str:
        """The part whose energy stands for the cell: that of its device."""
        return "gpu" if self.header["device"] == "cuda" else "cpu"

    @property
    def idle_power_w(self) -> float | None:
        """Power of the cell's device with the model loaded and nothing to do; None where no counter says."""
        idle = [window for window in self.event("energy", "idle") or [] if window[f"{self.own_part}_j"] is not None]
        return idle[0][f"{self.own_part}_j"] / idle[0]["seconds"] if idle else None

    def energy_net_j_per_sample(self) -> float | None:
        """Return the energy above idling by sample; None where idling was not measured."""
        gross, idle_w = self.energy_j_per_sample(self.own_part), self.idle_power_w
        if gross is None or idle_w is None:
            return None
        seconds = statistics.median(w["seconds"] / (w["n_passes"] * self.header["batch_size"]) for w in self.windows)
        return gross - idle_w * seconds

    def method(self, part: str) -> str:
        """Return where the energy of a part comes from."""
        return self.event("energy", f"method_{part}") or "none"

    def count(self, name: str) -> int | None:
        """Return the sum of a column of the transcripts over the segments; None without a score."""
        return sum(row[name] for row in self.scored) if self.scored and name in self.scored[0] else None

    @cached_property
    def error_rates(self) -> Row:
        """WER and CER over all segments, each with its 95 % bootstrap interval over segments, by column."""
        rates: Row = {}
        for (rate, (errors, units)), ending in itertools.product(_ERROR_RATES.items(), ENDINGS):
            scored = [row for row in self.scored if f"{errors}{ending}" in row]
            wrong, all_of_them = ([row[f"{name}{ending}"] for row in scored] for name in (errors, units))
            low, high = stats.ratio_interval(wrong, all_of_them) or (None, None)
            rates[f"{rate}{ending}"] = _ratio(sum(wrong), sum(all_of_them))
            rates |= {f"{rate}_ci_low{ending}": low, f"{rate}_ci_high{ending}": high}
        return rates

    @property
    def n_nondeterministic(self) -> int | None:
        """Segments whose text was not the same in every pass; None where none was transcribed twice.

        Greedy decoding repeats itself to the letter, but for rounding: that of CUDA, and that of other padding where a
        segment is part of several batches.
        """
        repeated = [texts for texts in _texts(self.passes).values() if len(texts) > 1]
        return sum(len(set(texts)) > 1 for texts in repeated) if repeated else None

    @property
    def encoder_padding_share(self) -> float | None:
        """Share of the seconds that the encoder worked through in the timed passes beyond those of the audio.

        That is padding, and what windows share. Never below 0: long-form decoding may stop before the audio does. None
        where the record does not tell.
        """
        processed_s: list[Any] = [entry.get("processed_s") for entry in self.timed]
        if None in processed_s:
            return None
        audio_share = _ratio(sum(entry["audio_s"] for entry in self.timed), sum(map(sum, processed_s)))
        return None if audio_share is None else max(0.0, 1 - audio_share)

    def decoder_per_pass(self, name: str) -> float | None:
        """Return what a timed pass ran the decoder on, by a field of `DecoderWork`; None where no record tells."""
        return None if any(entry.get(name) is None for entry in self.timed) else self.per_pass(lambda p: p[name])

    @property
    def decoder_padding_share(self) -> float | None:
        """Share of the rows that the decoder was run on whose text had ended: a batch waits for its longest text.

        A row's own runs are one for each token of its text, and the one that reads the prompt. None where a segment
        took several windows, whose timestamps are not in the text, and where there is no decoder. With random weights
        all rows take the same number of runs.
        """
        rows = self.decoder_per_pass("n_decoder_rows")
        if rows and self.header["weights"] == "random":
            return 0.0
        if not rows or any(n > 1 for entry in self.timed for n in entry["n_windows"]):
            return None
        own = self.per_pass(lambda entry: sum(entry["n_tokens"]) + len(entry["n_tokens"]))
        return None if own is None else max(0.0, 1 - own / rows)

    @cached_property
    def encoder_gflop(self) -> float | None:
        """What the encoder computes in a pass, padding included; a CTC model's head is in it."""
        per_window = self.flops.get("encoder_mac_per_window")
        n_windows = self.per_pass(lambda entry: sum(entry["n_windows"]))
        return None if per_window is None or n_windows is None else 2e-9 * per_window * n_windows

    @cached_property
    def decoder_gflop(self) -> float | None:
        """What the decoder computes in a pass, waiting rows and the keys and values of each window included.

        None where there is no decoder, or no record tells what it was run on.
        """
        tokens, positions = (self.decoder_per_pass(f"n_decoder_{name}") for name in ("tokens", "positions"))
        n_windows = self.per_pass(lambda entry: sum(entry["n_windows"]))
        if self.flops.get("decoder_mac_per_token") is None or None in (tokens, positions, n_windows):
            return None
        counts = (n_windows, tokens, positions)
        macs = [self.flops[name] for name in _DECODER_MACS]
        return 2e-9 * sum(n * mac for n, mac in zip(counts, macs, strict=True) if n is not None)

    @property
    def gflop(self) -> float | None:
        """What a pass computes; None where a part of it is not known."""
        if self.header["family"] == "ctc":
            return self.encoder_gflop
        return (
            None
            if self.encoder_gflop is None or self.decoder_gflop is None
            else self.encoder_gflop + self.decoder_gflop
        )

    @property
    def gflop_note(self) -> str | None:
        """Why there is no count of floating-point operations."""
        if self.gflop is not None:
            return None
        if not self.timed:
            return "no pass was timed"
        return self.flops.get("note") or "the record does not tell what the decoder was run on; measure it again"

    def watched(self, when: str, key: str) -> Any:
        """Return what was seen of the machine during the timed passes; None if nothing was."""
        return (self.event("latency", "watch") or {}).get(when, {}).get(key)


# Of what the decoder's work is a sum, with the counts of windows, tokens and positions.
_DECODER_MACS = ("cross_kv_mac_per_window", "decoder_mac_per_token", "decoder_mac_per_position")

Column = tuple[str, pa.DataType, Callable[[Measured], Any]]


def _ratio(numerator: float | None, denominator: float | None) -> float | None:
    return None if numerator is None or not denominator else numerator / denominator


def _from_header(name: str) -> Callable[[Measured], Any]:
    return lambda cell: cell.header.get(name)


def _told(event: str, key: str) -> Callable[[Measured], Any]:
    return lambda cell: cell.event(event, key)


def _counted(name: str) -> Callable[[Measured], int | None]:
    return lambda cell: cell.count(name)


def _decoder_per_pass(name: str) -> Callable[[Measured], float | None]:
    return lambda cell: cell.decoder_per_pass(name)


def _utc(seconds: float | None) -> str | None:
    """Return seconds since the epoch as `measured_at` is written: UTC, to the second."""
    if seconds is None:
        return None
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")


def _as_json(settings: Row | None) -> str | None:
    return None if settings is None else json.dumps(settings, sort_keys=True)


def _accuracy_columns(ending: str) -> list[Column]:
    """Return the columns of `cells` that a normaliser fills."""
    normaliser = f"normaliser{ending}"
    rates = [f"{rate}{part}{ending}" for rate in _ERROR_RATES for part in ("", "_ci_low", "_ci_high")]
    counts = [count.name for count in fields(Errors)]
    return [
        (normaliser, _TEXT, lambda cell: cell.scored[0].get(normaliser) if cell.scored else None),
        *((rate, _NUMBER, lambda cell, rate=rate: cell.error_rates[rate]) for rate in rates),
        *((f"{_COUNTS_OF_CELLS.get(name, name)}{ending}", _INTEGER, _counted(f"{name}{ending}")) for name in counts),
    ]


# name, type, value: the columns of `cells` in their order. A value that was not measured is None.
CELL_COLUMNS: list[Column] = [
    ("study", _TEXT, lambda cell: cell.study),
    ("model", _TEXT, _from_header("model")),
    ("family", _TEXT, _from_header("family")),
    ("weights", _TEXT, _from_header("weights")),
    ("variant", _TEXT, _from_header("variant")),
    ("attention", _TEXT, _told("ready", "attention")),
    ("device", _TEXT, _from_header("device")),
    ("device_name", _TEXT, lambda cell: cell.device_name),
    ("duration_s", _INTEGER, _from_header("duration_s")),
    ("batch_size", _INTEGER, _from_header("batch_size")),
    ("threads", _INTEGER, _from_header("threads")),
    ("status", _TEXT, _from_header("status")),
    ("reason", _TEXT, _from_header("reason")),
    ("n_passes", _INTEGER, lambda cell: len(cell.timed)),
    ("n_rounds", _INTEGER, lambda cell: len(cell.rounds)),
    ("n_batches", _INTEGER, lambda cell: cell.n_batches),
    ("n_warmup_passes", _INTEGER, lambda cell: len(cell.of_phase("warmup"))),
    ("converged", _FLAG, _told("latency", "converged")),
    ("latency_s_median", _NUMBER, lambda cell: cell.latency_s),
    ("latency_s_ci_low", _NUMBER, lambda cell: cell.latency_interval[0]),
    ("latency_s_ci_high", _NUMBER, lambda cell: cell.latency_interval[1]),
    ("latency_s_p95", _NUMBER, lambda cell: stats.p95([entry["latency_s"] for entry in cell.timed])),
    *((f"{stage}_s_median", _NUMBER, lambda cell, stage=stage: cell.median(f"{stage}_s")) for stage in STAGES),
    ("stage_coverage", _NUMBER, lambda cell: cell.stage_coverage),
    ("stage_timer_overhead_s", _NUMBER, _told("latency", "stage_marks_s")),
    ("noise_floor", _NUMBER, lambda cell: cell.noise.get("floor")),
    ("noise_floor_note", _TEXT, lambda cell: cell.noise.get("note")),
    ("disturbed", _FLAG, lambda cell: bool(cell.event("latency", "disturbance")) if cell.timed else None),
    ("disturbance", _TEXT, _told("latency", "disturbance")),
    ("n_attempts", _INTEGER, _told("latency", "attempt")),
    ("other_processes_cpu_cores", _NUMBER, lambda cell: cell.watched("mean", "foreign_cpu_cores")),
    ("waiting_threads", _NUMBER, lambda cell: cell.watched("mean", "waiting_threads")),
    ("steal_share", _NUMBER, lambda cell: cell.watched("mean", "steal_share")),
    ("cpu_mhz_min", _NUMBER, lambda cell: cell.watched("worst", "cpu_mhz_min")),
    ("temperature_c_max", _NUMBER, lambda cell: cell.watched("worst", "temperature_c_max")),
    ("n_throttle_events", _INTEGER, lambda cell: cell.watched("worst", "n_throttle_events")),
    ("n_foreign_gpu_processes", _INTEGER, lambda cell: cell.watched("worst", "n_foreign_gpu_processes")),
    ("samples_per_s", _NUMBER, lambda cell: _ratio(cell.header["batch_size"], cell.latency_s)),
    ("rtfx", _NUMBER, lambda cell: _ratio(cell.per_pass(lambda p: p["audio_s"]), cell.latency_s)),
    ("tokens_per_s", _NUMBER, lambda cell: _ratio(cell.per_pass(lambda p: sum(p["n_tokens"])), cell.latency_s)),
    ("n_tokens_mean", _NUMBER, lambda cell: cell.per_segment("n_tokens")),
    ("n_windows_mean", _NUMBER, lambda cell: cell.per_segment("n_windows")),
    ("audio_s_mean", _NUMBER, lambda cell: _ratio(cell.per_pass(lambda p: p["audio_s"]), cell.header["batch_size"])),
    ("encoder_padding_share", _NUMBER, lambda cell: cell.encoder_padding_share),
    ("energy_j_per_sample", _NUMBER, lambda cell: cell.energy_j_per_sample(cell.own_part)),
    ("energy_net_j_per_sample", _NUMBER, lambda cell: cell.energy_net_j_per_sample()),
    ("energy_cpu_j_per_sample", _NUMBER, lambda cell: cell.energy_j_per_sample("cpu")),
    ("energy_gpu_j_per_sample", _NUMBER, lambda cell: cell.energy_j_per_sample("gpu")),
    ("energy_ram_j_per_sample", _NUMBER, lambda cell: cell.energy_j_per_sample("ram")),
    ("energy_counter_cpu_j_per_sample", _NUMBER, lambda cell: cell.energy_j_per_sample("counter_cpu")),
    ("energy_counter_gpu_j_per_sample", _NUMBER, lambda cell: cell.energy_j_per_sample("counter_gpu")),
    ("energy_counter_difference", _NUMBER, lambda cell: cell.energy_counter_difference),
    ("energy_range_rel", _NUMBER, lambda cell: cell.energy_range_rel),
    ("n_energy_windows", _INTEGER, lambda cell: len(cell.windows)),
    ("counter_tick_s", _NUMBER, _told("energy", "counter_tick_s")),
    ("counter_note", _TEXT, _told("energy", "counter_note")),
    ("energy_method_cpu", _TEXT, lambda cell: cell.method("cpu")),
    ("energy_method_gpu", _TEXT, lambda cell: cell.method("gpu")),
    ("energy_note", _TEXT, _told("energy", "note")),
    ("idle_power_w", _NUMBER, lambda cell: cell.idle_power_w),
    ("peak_rss_bytes", _INTEGER, _told("memory", "peak_rss_bytes")),
    ("model_rss_bytes", _INTEGER, _told("ready", "model_rss_bytes")),
    ("peak_device_bytes", _INTEGER, _told("memory", "peak_device_bytes")),
    ("model_device_bytes", _INTEGER, _told("ready", "model_device_bytes")),
    *(column for ending in ENDINGS for column in _accuracy_columns(ending)),
    ("n_empty", _INTEGER, _counted("is_empty")),
    ("n_hallucinated", _INTEGER, _counted("is_hallucinated")),
    ("wer_note", _TEXT, lambda cell: wer_note(cell.header, cell.passes)),
    ("n_segments", _INTEGER, lambda cell: len(cell.header["segments"])),
    ("n_nondeterministic", _INTEGER, lambda cell: cell.n_nondeterministic),
    ("decoding", _TEXT, lambda cell: _as_json(cell.event("ready", "decoding"))),
    ("encoder_gflop", _NUMBER, lambda cell: cell.encoder_gflop),
    ("decoder_gflop", _NUMBER, lambda cell: cell.decoder_gflop),
    ("gflop_per_sample", _NUMBER, lambda cell: _ratio(cell.gflop, cell.header["batch_size"])),
    ("achieved_gflops", _NUMBER, lambda cell: _ratio(cell.gflop, cell.latency_s)),
    ("gflop_note", _TEXT, lambda cell: cell.gflop_note),
    *((f"{count.name}_mean", _NUMBER, _decoder_per_pass(count.name)) for count in fields(DecoderWork)),
    ("decoder_padding_share", _NUMBER, lambda cell: cell.decoder_padding_share),
    ("startup_cpu_s", _NUMBER, _told("ready", "startup_cpu_s")),
    ("fork_server_import_cpu_s", _NUMBER, _told("ready", "preload_cpu_s")),
    ("parent_cpu_s", _NUMBER, _told("waited", "parent_cpu_s")),
    ("integrity_check_cpu_s", _NUMBER, _from_header("check_cpu_s")),
    ("protocol", _INTEGER, _from_header("protocol")),
    ("machine_id", _TEXT, _from_header("machine_id")),
    ("node", _TEXT, _from_header("node")),
    ("slurm_job_id", _TEXT, _from_header("slurm_job_id")),
    ("cpu_name", _TEXT, _from_header("cpu_name")),
    ("n_cpus", _INTEGER, _from_header("n_cpus")),
    ("memory_bytes", _INTEGER, _from_header("memory_bytes")),
    ("os", _TEXT, _from_header("os")),
    ("governor", _TEXT, _from_header("governor")),
    ("gpu_name", _TEXT, _told("ready", "gpu_name")),
    ("gpu_uuid", _TEXT, _told("ready", "gpu_uuid")),
    ("visible_gpus", _TEXT, _from_header("visible_gpus")),
    ("driver_version", _TEXT, _told("ready", "driver_version")),
    ("load_1min_before", _NUMBER, lambda cell: cell.header["before"]["load_1min"]),
    ("load_1min_after", _NUMBER, lambda cell: cell.header["after"]["load_1min"]),
    ("python_version", _TEXT, _from_header("python_version")),
    ("torch_version", _TEXT, _from_header("torch_version")),
    ("transformers_version", _TEXT, _from_header("transformers_version")),
    ("codecarbon_version", _TEXT, _from_header("codecarbon_version")),
    ("corpus_sha256", _TEXT, _from_header("corpus_sha256")),
    ("weights_sha256", _TEXT, _from_header("weights_sha256")),
    ("commit", _TEXT, _from_header("commit")),
    ("clock_jump_s", _NUMBER, _from_header("clock_jump_s")),
    ("started_at", _TEXT, lambda cell: _utc(cell.header.get("started_at_s"))),
    ("measured_at", _TEXT, _from_header("measured_at")),
]
CELLS = pa.schema([(name, kind) for name, kind, _ in CELL_COLUMNS])
PASSES = cell_record.SCHEMA
REPEATABILITY = pa.schema(
    [
        *(CELLS.field(name) for name in repeatability.IDENTITY),
        *((f"{name}{ending}", _NUMBER) for ending in ("", "_again") for name in repeatability.LATENCY),
        ("relative_difference", _NUMBER),
        ("overlap", _FLAG),
        ("note", _TEXT),
    ]
)
TRANSCRIPTS = pa.schema(
    [
        *(
            (name, kind)
            for name, kind in cell_record.CELL_FIELDS
            if name in ("model", "variant", "device", "duration_s", "batch_size")
        ),
        ("segment_id", _TEXT),
        ("audio_s", _NUMBER),
        ("reference", _TEXT),
        ("hypothesis", _TEXT),
        ("is_empty", _FLAG),
        ("is_hallucinated", _FLAG),
        *(
            (f"{name}{ending}", kind)
            for ending in ENDINGS
            for name, kind in [
                *((name, _TEXT) for name in ("normaliser", "reference_normalised", "hypothesis_normalised")),
                *((count.name, _INTEGER) for count in fields(Errors)),
            ]
        ),
    ]
)


def gather(
    study: Row,
    measurements: Path,
    normalisers: Mapping[str, Normaliser],
    flops: Sequence[Row],
    keys: grid.Keys = grid.NO_KEYS,
) -> dict[str, pa.Table]:
    """Return the tables `cells`, `passes`, `transcripts` and `repeatability` of a complete study, cells sorted.

    `flops` are the rows of the table of that name; `keys` those of what had to be measured with.

    Raises:
        AsrmeterError: a cell's file is missing or broken, is of another study or version, or cells that belong together
            were measured on different audio or weights.
    """
    records = {cell: cell_record.read(_path(measurements, cell)) for cell in grid.order(study)}
    grid.check_records(
        study, {_path(measurements, cell): (cell, header) for cell, (header, _) in records.items()}, keys
    )
    headers = {str(_path(measurements, cell)): header for cell, (header, _) in records.items()}
    _check_alike(headers, "corpus_sha256", ("duration_s",), "audio")
    _check_alike(headers, "weights_sha256", ("model",), "weights")
    pairs = [
        repeatability.pair(*(_latency(Measured(*records[cell], [], study["name"])) for cell in (first, again)))
        for first, again in grid.aa_pairs(study)
    ]
    counted = {(row["model"], row["duration_s"], row["batch_size"]): row for row in flops if row["is_studied"]}

    cells: list[Row] = []
    passes: list[Row] = []
    transcripts: list[Row] = []
    for cell in sorted(grid.cells(study)):
        header, own_passes = records[cell]
        scored = score(header, own_passes, normalisers)
        own_flops = counted.get((cell.model, cell.duration_s, cell.batch_size), {})
        measured = Measured(header, own_passes, scored, study["name"], pairs, own_flops)
        cells.append({name: value(measured) for name, _, value in CELL_COLUMNS})
        passes += own_passes
        identity = {name: header[name] for name in TRANSCRIPTS.names if name in header}
        transcripts += [identity | row for row in scored]
    return {
        "cells": pa.Table.from_pylist(cells, schema=CELLS),
        "passes": pa.Table.from_pylist(passes, schema=PASSES),
        "transcripts": pa.Table.from_pylist(transcripts, schema=TRANSCRIPTS),
        "repeatability": pa.Table.from_pylist(pairs, schema=REPEATABILITY),
    }


def _path(measurements: Path, cell: grid.Cell) -> Path:
    return measurements / f"{cell.id}.parquet"


def _latency(cell: Measured) -> Row:
    """Return the columns of `cells` that a pair is compared by."""
    return {name: value(cell) for name, _, value in CELL_COLUMNS if name in repeatability.CELL_COLUMNS}


def score(header: Row, passes: list[Row], normalisers: Mapping[str, Normaliser]) -> list[Row]:
    """Return a row for each segment of the class: texts and errors; nothing where `wer_note` says why.

    Decoding is deterministic, so the first text of a segment counts; `n_nondeterministic` says how many had others.
    `normalisers` are those of `scoring.normalisers`; the one without an ending decides what is empty or hallucinated.
    """
    if wer_note(header, passes):
        return []
    texts = _texts(passes)
    return [_scored(segment, texts[segment["segment_id"]][0], normalisers) for segment in header["segments"]]


def _scored(segment: Row, hypothesis: str, normalisers: Mapping[str, Normaliser]) -> Row:
    reference = segment["text"]
    row: Row = {}
    for ending, normaliser in normalisers.items():
        texts = {"reference_normalised": normaliser(reference), "hypothesis_normalised": normaliser(hypothesis)}
        scores = {"normaliser": str(normaliser), **texts, **asdict(compare(*texts.values()))}
        row |= {f"{name}{ending}": value for name, value in scores.items()}
    return row | {
        "segment_id": segment["segment_id"],
        "audio_s": segment["audio_s"],
        "reference": reference,
        "hypothesis": hypothesis,
        "is_empty": is_empty(row["hypothesis_normalised"]) and not is_empty(row["reference_normalised"]),
        "is_hallucinated": is_hallucinated(reference, hypothesis, row["n_insertions"], row["n_words"]),
    }


def wer_note(header: Row, passes: list[Row]) -> str | None:
    """Return why a cell has no WER, or None if it has one."""
    if header["weights"] == "random":
        return "random weights transcribe nothing"
    n_seen, n_all = len(_texts(passes)), len(header["segments"])
    return None if n_seen == n_all else f"{n_seen} of {n_all} segments were transcribed"


def _texts(passes: list[Row]) -> dict[str, list[str]]:
    """Return the texts of each segment in the order of the passes, whatever they were for."""
    texts: dict[str, list[str]] = {}
    for entry in passes:
        for segment_id, text in zip(entry["segment_ids"], entry["texts"], strict=True):
            texts.setdefault(segment_id, []).append(text)
    return texts


def _check_alike(headers: dict[str, Row], name: str, group_by: tuple[str, ...], what: str) -> None:
    """Cells that agree in `group_by` must agree in `name`; the error names the fewest to measure again."""
    groups: dict[tuple[Any, ...], dict[str, list[str]]] = {}
    for path, header in headers.items():
        groups.setdefault(tuple(header[key] for key in group_by), {}).setdefault(header[name], []).append(path)
    for group, by_value in groups.items():
        if len(by_value) > 1:
            fewest = min(by_value.values(), key=len)
            raise AsrmeterError(
                f"cells of {' '.join(map(str, group))} were measured on different {what}: delete {', '.join(fewest)} "
                "and run again, or delete all of them"
            )
