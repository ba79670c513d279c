"""The columns of the tables `cells`, `passes` and `transcripts`. Adding a column is one line here."""

import datetime
import json
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import pyarrow as pa

from asrmeter.analysis.cell_parts.accuracy import ERROR_RATES
from asrmeter.analysis.measured_cell import MeasuredCell
from asrmeter.analysis.measured_sitting import WATCHED
from asrmeter.analysis.table_rows import CELL_KEY
from asrmeter.common.stats import ratio
from asrmeter.common.table_types import FLAG, INTEGER, NUMBER, TEXT
from asrmeter.common.typed_json import JsonObject
from asrmeter.common.vocabulary import ENDINGS, STAGES, DecoderWork, Errors
from asrmeter.records import cell_record
from asrmeter.records.events import Event, Latency, Memory, Ready, Waited

# Name, type, and the value of a cell.
Column = tuple[str, pa.DataType, Callable[[MeasuredCell], Any]]
# `transcripts` and `cells` name their counts alike, but for these.
_COUNTS_OF_CELLS = {"n_errors": "wer_errors", "n_words": "wer_words"}


def _header(name: str) -> Callable[[MeasuredCell], Any]:
    return lambda cell: getattr(cell.header, name)


def _event(kind: type[Event], key: str) -> Callable[[MeasuredCell], Any]:
    return lambda cell: cell.main.event(kind, key)


def _of_laps(kind: type[Event], key: str, summary: Callable[[Sequence[Any]], Any]) -> Callable[[MeasuredCell], Any]:
    """Return a function for a value of all laps, such as the largest; None where no lap has it."""

    def value(cell: MeasuredCell) -> Any:
        known = cell.of_laps(kind, key)
        return summary(known) if known else None

    return value


def _fitted(name: str) -> Callable[[MeasuredCell], Any]:
    return lambda cell: cell.fitted and getattr(cell.fitted, name)


def _component(name: str) -> Callable[[MeasuredCell], Any]:
    return lambda cell: cell.fitted and getattr(cell.fitted.components, name)


def _outcome(name: str) -> Callable[[MeasuredCell], Any]:
    return lambda cell: getattr(cell.outcome, name)


def _control(name: str) -> Callable[[MeasuredCell], float | None]:
    return lambda cell: cell.control_rate(name)


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
    return cell.content.per_pass(lambda entry: entry["audio_s"])


def utc(seconds: float | None) -> str | None:
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
    ("runtime", TEXT, lambda cell: cell.main.runtime),
    ("dtype", TEXT, _event(Ready, "dtype")),
    ("attention", TEXT, _event(Ready, "attention")),
    ("device", TEXT, _header("device")),
    ("device_name", TEXT, lambda cell: cell.main.device_name),
    ("duration_s", INTEGER, _header("duration_s")),
    ("batch_size", INTEGER, _header("batch_size")),
    ("threads", INTEGER, _header("threads")),
    ("status", TEXT, _outcome("status")),
    ("reason", TEXT, _outcome("reason")),
    ("n_laps", INTEGER, lambda cell: len(cell.laps)),
    ("laps", TEXT, lambda cell: " ".join(map(str, cell.laps))),
    ("n_laps_disturbed", INTEGER, lambda cell: sum(bool(one.disturbance) for one in cell.sittings)),
    ("n_tries", INTEGER, lambda cell: sum(one.n_tries for one in cell.sittings)),
    ("n_passes", INTEGER, lambda cell: len(cell.timing.passes)),
    ("n_rounds", INTEGER, lambda cell: cell.timing.n_rounds),
    ("n_batches", INTEGER, lambda cell: len(cell.content.by_batch)),
    ("n_warmup_passes", INTEGER, lambda cell: len(cell.of_phase("warmup"))),
    ("converged", FLAG, _outcome("converged")),
    ("latency_s_median", NUMBER, _fitted("value")),
    ("latency_s_ci_low", NUMBER, _fitted("low")),
    ("latency_s_ci_high", NUMBER, _fitted("high")),
    ("latency_s_next_low", NUMBER, _fitted("next_low")),
    ("latency_s_next_high", NUMBER, _fitted("next_high")),
    ("latency_own_se", NUMBER, _fitted("own_se")),
    ("latency_own_df", NUMBER, lambda cell: cell.own_df),
    ("interval_note", TEXT, _fitted("note")),
    ("time_factor_for_target", NUMBER, _outcome("time_factor")),
    ("lap_scatter", NUMBER, _fitted("lap_scatter")),
    ("latency_s_p95", NUMBER, lambda cell: cell.timing.latency_s_p95),
    *((f"{stage}_s_median", NUMBER, lambda cell, stage=stage: cell.timing.of_class(f"{stage}_s")) for stage in STAGES),
    ("stage_coverage", NUMBER, lambda cell: cell.timing.stage_coverage),
    ("stage_timer_overhead_s", NUMBER, _event(Latency, "stage_marks_s")),
    ("pass_scatter", NUMBER, _component("pass_sd")),
    ("pass_scatter_df", NUMBER, _component("pass_df")),
    ("noise_floor", NUMBER, _component("lap_sd")),
    ("noise_floor_df", NUMBER, _component("sitting_df")),
    ("common_scatter", NUMBER, _component("common_sd")),
    ("common_scatter_df", NUMBER, _component("common_df")),
    ("disturbed", FLAG, _outcome("disturbed")),
    ("disturbance", TEXT, _outcome("disturbance")),
    ("machine_speed", NUMBER, lambda cell: cell.machine_speed),
    ("control_matmul_flop_per_s", NUMBER, _control("matmul_flop_per_s")),
    ("control_copy_bytes_per_s", NUMBER, _control("copy_bytes_per_s")),
    ("control_slope", NUMBER, lambda cell: cell.control_slope),
    *((column, kind, _watched(when, key)) for column, kind, when, key in WATCHED),
    ("samples_per_s", NUMBER, lambda cell: ratio(cell.header.batch_size, cell.timing.latency_s)),
    ("rtfx", NUMBER, lambda cell: ratio(_audio_s(cell), cell.timing.latency_s)),
    ("tokens_per_s", NUMBER, lambda cell: ratio(cell.content.sum_per_pass("n_tokens"), cell.timing.latency_s)),
    ("n_tokens_mean", NUMBER, lambda cell: cell.content.per_segment("n_tokens")),
    ("n_windows_mean", NUMBER, lambda cell: cell.content.per_segment("n_windows")),
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
    ("counter_tick_s", NUMBER, lambda cell: cell.energy.first.counter_tick_s),
    ("counter_note", TEXT, lambda cell: cell.energy.first.counter_note),
    ("energy_method_cpu", TEXT, lambda cell: cell.energy.method("cpu")),
    ("energy_method_gpu", TEXT, lambda cell: cell.energy.method("gpu")),
    ("energy_note", TEXT, lambda cell: cell.energy.first.note),
    ("idle_power_w", NUMBER, lambda cell: cell.energy.idle_power_w),
    ("peak_rss_bytes", INTEGER, _of_laps(Memory, "peak_rss_bytes", max)),
    ("model_rss_bytes", INTEGER, _of_laps(Ready, "model_rss_bytes", max)),
    ("peak_device_bytes", INTEGER, _of_laps(Memory, "peak_device_bytes", max)),
    ("model_device_bytes", INTEGER, _of_laps(Ready, "model_device_bytes", max)),
    *(column for ending in ENDINGS for column in _accuracy_columns(ending)),
    ("n_empty", INTEGER, _count("is_empty")),
    ("n_hallucinated", INTEGER, _count("is_hallucinated")),
    ("wer_note", TEXT, lambda cell: cell.wer_note),
    ("n_segments", INTEGER, lambda cell: len(cell.header.segments)),
    ("n_nondeterministic", INTEGER, lambda cell: cell.accuracy.n_nondeterministic),
    ("decoding", TEXT, lambda cell: _as_json(cell.main.event(Ready, "decoding"))),
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
    ("timed_s", NUMBER, _of_laps(Latency, "timed_s", sum)),
    ("job_s", NUMBER, lambda cell: cell.job_s),
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
    ("library_versions", TEXT, lambda cell: _as_json(cell.main.library_versions)),
    ("codecarbon_version", TEXT, _version("codecarbon")),
    ("corpus_sha256", TEXT, _header("corpus_sha256")),
    ("weights_sha256", TEXT, _header("weights_sha256")),
    ("commit", TEXT, _header("commit")),
    ("clock_jump_s", NUMBER, _header("clock_jump_s")),
    ("started_at", TEXT, lambda cell: utc(min(cell.of_headers("started_at_s"), default=None))),
    ("measured_at", TEXT, lambda cell: max(cell.of_headers("measured_at"), default=None)),
]
CELLS = pa.schema([(name, kind) for name, kind, _ in CELL_COLUMNS])
PASSES = cell_record.SCHEMA

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
