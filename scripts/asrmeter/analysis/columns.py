"""The columns of the tables `cells`, `passes`, `transcripts` and `repeatability`. Adding a column is one line here."""

import datetime
import json
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pyarrow as pa

from asrmeter.analysis import repeatability
from asrmeter.analysis.cell_parts.accuracy import ERROR_RATES
from asrmeter.analysis.measured_cell import MeasuredCell
from asrmeter.analysis.table_rows import CELL_KEY
from asrmeter.common.stats import ratio
from asrmeter.common.table_types import FLAG, INTEGER, NUMBER, TEXT
from asrmeter.common.typed_json import JsonObject
from asrmeter.common.vocabulary import ENDINGS, STAGES, DecoderWork, Errors
from asrmeter.records import cell_record
from asrmeter.records.events import Energy, Event, Latency, Memory, Ready, Waited

# Name, type, and the value of a cell.
Column = tuple[str, pa.DataType, Callable[[MeasuredCell], Any]]
# `transcripts` and `cells` name their counts alike, but for these.
_COUNTS_OF_CELLS = {"n_errors": "wer_errors", "n_words": "wer_words"}


def _header(name: str) -> Callable[[MeasuredCell], Any]:
    return lambda cell: getattr(cell.header, name)


def _event(kind: type[Event], key: str) -> Callable[[MeasuredCell], Any]:
    return lambda cell: cell.event(kind, key)


def _version(package: str) -> Callable[[MeasuredCell], str | None]:
    return lambda cell: cell.header.versions.get(package)


def _watched(when: str, key: str) -> Callable[[MeasuredCell], Any]:
    return lambda cell: cell.watched(when, key)


def _count(name: str) -> Callable[[MeasuredCell], int | None]:
    return lambda cell: cell.accuracy.count(name)


def _energy(part: str | None) -> Callable[[MeasuredCell], float | None]:
    return lambda cell: cell.energy.j_per_sample(part)


def _decoder_per_pass(name: str) -> Callable[[MeasuredCell], float | None]:
    return lambda cell: cell.work.decoder_per_pass(name)


def _audio_s(cell: MeasuredCell) -> float | None:
    return cell.timing.per_pass(lambda entry: entry["audio_s"])


def _utc(seconds: float | None) -> str | None:
    """Return seconds since the epoch as `measured_at` is written: UTC, to the second."""
    if seconds is None:
        return None
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")


def _as_json(settings: JsonObject | None) -> str | None:
    return None if settings is None else json.dumps(settings, sort_keys=True)


def _accuracy_columns(ending: str) -> list[Column]:
    """Return the columns of `cells` that a normaliser fills."""
    rates = [f"{rate}{part}{ending}" for rate in ERROR_RATES for part in ("", "_ci_low", "_ci_high")]
    counts = [count.name for count in fields(Errors)]
    return [
        (f"normaliser{ending}", TEXT, lambda cell: cell.accuracy.normaliser(ending)),
        *((rate, NUMBER, lambda cell, rate=rate: cell.accuracy.error_rates[rate]) for rate in rates),
        *((f"{_COUNTS_OF_CELLS.get(name, name)}{ending}", INTEGER, _count(f"{name}{ending}")) for name in counts),
    ]


# In the order of the table.
CELL_COLUMNS: list[Column] = [
    ("study", TEXT, lambda cell: cell.study),
    ("model", TEXT, _header("model")),
    ("family", TEXT, _header("family")),
    ("has_decoder", FLAG, lambda cell: cell.work.has_decoder),
    ("weights", TEXT, _header("weights")),
    ("variant", TEXT, _header("variant")),
    ("runtime", TEXT, lambda cell: cell.runtime),
    ("dtype", TEXT, _event(Ready, "dtype")),
    ("attention", TEXT, _event(Ready, "attention")),
    ("device", TEXT, _header("device")),
    ("device_name", TEXT, lambda cell: cell.device_name),
    ("duration_s", INTEGER, _header("duration_s")),
    ("batch_size", INTEGER, _header("batch_size")),
    ("threads", INTEGER, _header("threads")),
    ("status", TEXT, _header("status")),
    ("reason", TEXT, _header("reason")),
    ("n_passes", INTEGER, lambda cell: len(cell.timing.passes)),
    ("n_rounds", INTEGER, lambda cell: len(cell.timing.rounds)),
    ("n_batches", INTEGER, lambda cell: cell.timing.n_batches),
    ("n_warmup_passes", INTEGER, lambda cell: len(cell.of_phase("warmup"))),
    ("converged", FLAG, _event(Latency, "converged")),
    ("latency_s_median", NUMBER, lambda cell: cell.timing.latency_s),
    ("latency_s_ci_low", NUMBER, lambda cell: cell.timing.latency_interval[0]),
    ("latency_s_ci_high", NUMBER, lambda cell: cell.timing.latency_interval[1]),
    ("latency_s_p95", NUMBER, lambda cell: cell.timing.latency_s_p95),
    *((f"{stage}_s_median", NUMBER, lambda cell, stage=stage: cell.timing.median(f"{stage}_s")) for stage in STAGES),
    ("stage_coverage", NUMBER, lambda cell: cell.timing.stage_coverage),
    ("stage_timer_overhead_s", NUMBER, _event(Latency, "stage_marks_s")),
    ("noise_floor", NUMBER, lambda cell: cell.noise_floor.get("floor")),
    ("noise_floor_note", TEXT, lambda cell: cell.noise_floor.get("note")),
    ("disturbed", FLAG, lambda cell: cell.disturbed),
    ("disturbance", TEXT, _event(Latency, "disturbance")),
    ("n_attempts", INTEGER, _event(Latency, "attempt")),
    ("other_processes_cpu_cores", NUMBER, _watched("mean", "foreign_cpu_cores")),
    ("waiting_threads", NUMBER, _watched("mean", "waiting_threads")),
    ("steal_share", NUMBER, _watched("mean", "steal_share")),
    ("cpu_mhz_min", NUMBER, _watched("worst", "cpu_mhz_min")),
    ("temperature_c_max", NUMBER, _watched("worst", "temperature_c_max")),
    ("n_throttle_events", INTEGER, _watched("worst", "n_throttle_events")),
    ("n_foreign_gpu_processes", INTEGER, _watched("worst", "n_foreign_gpu_processes")),
    ("samples_per_s", NUMBER, lambda cell: ratio(cell.header.batch_size, cell.timing.latency_s)),
    ("rtfx", NUMBER, lambda cell: ratio(_audio_s(cell), cell.timing.latency_s)),
    ("tokens_per_s", NUMBER, lambda cell: ratio(cell.timing.sum_per_pass("n_tokens"), cell.timing.latency_s)),
    ("n_tokens_mean", NUMBER, lambda cell: cell.timing.per_segment("n_tokens")),
    ("n_windows_mean", NUMBER, lambda cell: cell.timing.per_segment("n_windows")),
    ("audio_s_mean", NUMBER, lambda cell: ratio(_audio_s(cell), cell.header.batch_size)),
    ("encoder_padding_share", NUMBER, lambda cell: cell.work.encoder_padding_share),
    ("energy_j_per_sample", NUMBER, _energy(None)),
    ("energy_net_j_per_sample", NUMBER, lambda cell: cell.energy.net_j_per_sample),
    ("energy_cpu_j_per_sample", NUMBER, _energy("cpu")),
    ("energy_gpu_j_per_sample", NUMBER, _energy("gpu")),
    ("energy_ram_j_per_sample", NUMBER, _energy("ram")),
    ("energy_counter_cpu_j_per_sample", NUMBER, _energy("counter_cpu")),
    ("energy_counter_gpu_j_per_sample", NUMBER, _energy("counter_gpu")),
    ("energy_counter_difference", NUMBER, lambda cell: cell.energy.counter_difference),
    ("energy_range_rel", NUMBER, lambda cell: cell.energy.range_rel),
    ("n_energy_windows", INTEGER, lambda cell: len(cell.energy.windows)),
    ("counter_tick_s", NUMBER, _event(Energy, "counter_tick_s")),
    ("counter_note", TEXT, _event(Energy, "counter_note")),
    ("energy_method_cpu", TEXT, lambda cell: cell.energy.method("cpu")),
    ("energy_method_gpu", TEXT, lambda cell: cell.energy.method("gpu")),
    ("energy_note", TEXT, _event(Energy, "note")),
    ("idle_power_w", NUMBER, lambda cell: cell.energy.idle_power_w),
    ("peak_rss_bytes", INTEGER, _event(Memory, "peak_rss_bytes")),
    ("model_rss_bytes", INTEGER, _event(Ready, "model_rss_bytes")),
    ("peak_device_bytes", INTEGER, _event(Memory, "peak_device_bytes")),
    ("model_device_bytes", INTEGER, _event(Ready, "model_device_bytes")),
    *(column for ending in ENDINGS for column in _accuracy_columns(ending)),
    ("n_empty", INTEGER, _count("is_empty")),
    ("n_hallucinated", INTEGER, _count("is_hallucinated")),
    ("wer_note", TEXT, lambda cell: cell.wer_note),
    ("n_segments", INTEGER, lambda cell: len(cell.header.segments)),
    ("n_nondeterministic", INTEGER, lambda cell: cell.accuracy.n_nondeterministic),
    ("decoding", TEXT, lambda cell: _as_json(cell.event(Ready, "decoding"))),
    ("encoder_gflop", NUMBER, lambda cell: cell.work.encoder_gflop),
    ("decoder_gflop", NUMBER, lambda cell: cell.work.decoder_gflop),
    ("gflop_per_sample", NUMBER, lambda cell: ratio(cell.work.gflop, cell.header.batch_size)),
    ("achieved_gflops", NUMBER, lambda cell: ratio(cell.work.gflop, cell.timing.latency_s)),
    ("gflop_note", TEXT, lambda cell: cell.work.gflop_note),
    *((f"{count.name}_mean", NUMBER, _decoder_per_pass(count.name)) for count in fields(DecoderWork)),
    ("decoder_padding_share", NUMBER, lambda cell: cell.work.decoder_padding_share),
    ("startup_cpu_s", NUMBER, _event(Ready, "startup_cpu_s")),
    ("fork_server_import_cpu_s", NUMBER, _event(Ready, "preload_cpu_s")),
    ("parent_cpu_s", NUMBER, _event(Waited, "parent_cpu_s")),
    ("integrity_check_cpu_s", NUMBER, _header("check_cpu_s")),
    ("protocol", INTEGER, _header("protocol")),
    ("machine_id", TEXT, _header("machine_id")),
    ("node", TEXT, _header("node")),
    ("slurm_job_id", TEXT, _header("slurm_job_id")),
    ("cpu_name", TEXT, _header("cpu_name")),
    ("n_cpus", INTEGER, _header("n_cpus")),
    ("memory_bytes", INTEGER, _header("memory_bytes")),
    ("os", TEXT, _header("os")),
    ("governor", TEXT, _header("governor")),
    ("gpu_name", TEXT, _event(Ready, "gpu_name")),
    ("gpu_uuid", TEXT, _event(Ready, "gpu_uuid")),
    ("visible_gpus", TEXT, _header("visible_gpus")),
    ("driver_version", TEXT, _event(Ready, "driver_version")),
    ("load_1min_before", NUMBER, lambda cell: cell.header.before.get("load_1min")),
    ("load_1min_after", NUMBER, lambda cell: cell.header.after.get("load_1min")),
    ("python_version", TEXT, _header("python_version")),
    ("torch_version", TEXT, _version("torch")),
    ("transformers_version", TEXT, _version("transformers")),
    ("library", TEXT, _event(Ready, "library")),
    ("library_versions", TEXT, lambda cell: _as_json(cell.library_versions)),
    ("codecarbon_version", TEXT, _version("codecarbon")),
    ("corpus_sha256", TEXT, _header("corpus_sha256")),
    ("weights_sha256", TEXT, _header("weights_sha256")),
    ("commit", TEXT, _header("commit")),
    ("clock_jump_s", NUMBER, _header("clock_jump_s")),
    ("started_at", TEXT, lambda cell: _utc(cell.header.started_at_s)),
    ("measured_at", TEXT, _header("measured_at")),
]
CELLS = pa.schema([(name, kind) for name, kind, _ in CELL_COLUMNS])
PASSES = cell_record.SCHEMA
REPEATABILITY = pa.schema(
    [
        *(CELLS.field(name) for name in CELL_KEY),
        *((f"{name}{ending}", NUMBER) for ending in ("", "_again") for name in repeatability.LATENCY),
        ("relative_difference", NUMBER),
        ("overlap", FLAG),
        ("note", TEXT),
    ]
)
TRANSCRIPTS = pa.schema(
    [
        *((name, kind) for name, kind in cell_record.CELL_FIELDS if name in CELL_KEY),
        ("segment_id", TEXT),
        ("audio_s", NUMBER),
        ("reference", TEXT),
        ("hypothesis", TEXT),
        ("scoring_note", TEXT),
        ("is_empty", FLAG),
        ("is_hallucinated", FLAG),
        *(
            (f"{name}{ending}", kind)
            for ending in ENDINGS
            for name, kind in [
                *((name, TEXT) for name in ("normaliser", "reference_normalised", "hypothesis_normalised")),
                *((count.name, INTEGER) for count in fields(Errors)),
            ]
        ),
    ]
)
