"""The tidy tables: what a row is, and every column in one place. Adding a column is one line here."""

import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from asrmeter import plan, record, stats
from asrmeter.errors import AsrmeterError
from asrmeter.files import atomic
from asrmeter.runtimes.base import STAGES
from asrmeter.scoring import Normaliser, compare, plain

Row = dict[str, Any]
_TEXT, _INTEGER, _NUMBER, _FLAG = pa.string(), pa.int64(), pa.float64(), pa.bool_()


@dataclass(frozen=True)
class Measured:
    """One cell's record with what is worked out from it."""

    header: Row
    passes: list[Row]
    scored: list[Row]
    study: str

    @property
    def timed(self) -> list[Row]:
        """The passes that were timed for latency."""
        return [entry for entry in self.passes if entry["phase"] == "latency"]

    @property
    def latencies_s(self) -> list[float]:
        """Latency of each timed pass."""
        return [entry["latency_s"] for entry in self.timed]

    def event(self, name: str, key: str) -> Any:
        """Return what the worker told, or None if it did not come that far."""
        return self.header["events"].get(name, {}).get(key)

    def median(self, value: Callable[[Row], float]) -> float | None:
        """Return the median of a value over the timed passes; None without any."""
        return statistics.median(map(value, self.timed)) if self.timed else None

    def energy_j_per_sample(self, part: str) -> float | None:
        """Return the joules of a part (cpu, gpu, ram) by sample, the median of the windows; None without a meter."""
        per_sample = [
            window[f"{part}_j"] / (window["n_passes"] * self.header["batch_size"])
            for window in self.event("energy", "windows") or []
            if window[f"{part}_j"] is not None
        ]
        return statistics.median(per_sample) if per_sample else None

    @property
    def own_part(self) -> str:
        """The part whose energy stands for the cell: that of its device."""
        return "gpu" if self.header["device"] == "cuda" else "cpu"

    @property
    def idle_power_w(self) -> float | None:
        """Power of the cell's device with the model loaded and nothing to do; None where no counter says."""
        idle = self.event("energy", "idle")
        return idle[0][f"{self.own_part}_j"] / idle[0]["seconds"] if idle else None

    def energy_net_j_per_sample(self) -> float | None:
        """Return the energy above idling by sample; None where idling was not measured."""
        gross, idle_w = self.energy_j_per_sample(self.own_part), self.idle_power_w
        if gross is None or idle_w is None:
            return None
        windows = self.event("energy", "windows")
        seconds = statistics.median(w["seconds"] / (w["n_passes"] * self.header["batch_size"]) for w in windows)
        return gross - idle_w * seconds

    def method(self, part: str) -> str:
        """Return where the energy of a part comes from."""
        return self.event("energy", f"method_{part}") or "none"

    def errors(self, kind: str) -> int | None:
        """Return the sum of an error count over the segments; None without a score."""
        return sum(row[kind] for row in self.scored) if self.scored else None

    def wer(self, errors: str, words: str) -> float | None:
        """Return errors by reference words over all segments of the class."""
        return _ratio(self.errors(errors), self.errors(words))

    def wer_interval(self) -> tuple[float | None, float | None]:
        """Return the 95 % bootstrap interval of the WER over segments."""
        found = stats.ratio_interval([row["n_errors"] for row in self.scored], [row["n_words"] for row in self.scored])
        return found or (None, None)

    def latency_interval(self) -> tuple[float | None, float | None]:
        """Return the 95 % bootstrap interval of the median latency."""
        return stats.median_interval(self.latencies_s) or (None, None)


def _ratio(numerator: float | None, denominator: float | None) -> float | None:
    return None if numerator is None or not denominator else numerator / denominator


def _from_header(name: str) -> Callable[[Measured], Any]:
    return lambda cell: cell.header.get(name)


def _told(event: str, key: str) -> Callable[[Measured], Any]:
    return lambda cell: cell.event(event, key)


# name, type, value: the columns of `cells` in their order. A value that was not measured is None.
CELL_COLUMNS: list[tuple[str, pa.DataType, Callable[[Measured], Any]]] = [
    ("study", _TEXT, lambda cell: cell.study),
    ("model", _TEXT, _from_header("model")),
    ("family", _TEXT, _from_header("family")),
    ("weights", _TEXT, _from_header("weights")),
    ("variant", _TEXT, _from_header("variant")),
    ("device", _TEXT, _from_header("device")),
    (
        "device_name",
        _TEXT,
        lambda cell: cell.event("ready", "gpu_name") or (cell.header["cpu_name"] if cell.own_part == "cpu" else None),
    ),
    ("duration_s", _INTEGER, _from_header("duration_s")),
    ("batch_size", _INTEGER, _from_header("batch_size")),
    ("threads", _INTEGER, _from_header("threads")),
    ("status", _TEXT, _from_header("status")),
    ("reason", _TEXT, _from_header("reason")),
    ("n_passes", _INTEGER, lambda cell: len(cell.timed)),
    ("converged", _FLAG, _told("latency", "converged")),
    ("latency_s_median", _NUMBER, lambda cell: cell.median(lambda p: p["latency_s"])),
    ("latency_s_ci_low", _NUMBER, lambda cell: cell.latency_interval()[0]),
    ("latency_s_ci_high", _NUMBER, lambda cell: cell.latency_interval()[1]),
    ("latency_s_p95", _NUMBER, lambda cell: stats.p95(cell.latencies_s)),
    *(
        (f"{stage}_s_median", _NUMBER, lambda cell, stage=stage: cell.median(lambda p: p[f"{stage}_s"]))
        for stage in STAGES
    ),
    ("samples_per_s", _NUMBER, lambda cell: _ratio(cell.header["batch_size"], cell.median(lambda p: p["latency_s"]))),
    ("rtfx", _NUMBER, lambda cell: _ratio(sum(p["audio_s"] for p in cell.timed), sum(cell.latencies_s))),
    ("tokens_per_s", _NUMBER, lambda cell: _ratio(sum(sum(p["n_tokens"]) for p in cell.timed), sum(cell.latencies_s))),
    (
        "n_tokens_mean",
        _NUMBER,
        lambda cell: _ratio(sum(sum(p["n_tokens"]) for p in cell.timed), sum(len(p["n_tokens"]) for p in cell.timed)),
    ),
    (
        "n_windows_mean",
        _NUMBER,
        lambda cell: _ratio(sum(sum(p["n_windows"]) for p in cell.timed), sum(len(p["n_windows"]) for p in cell.timed)),
    ),
    (
        "audio_s_mean",
        _NUMBER,
        lambda cell: _ratio(sum(p["audio_s"] for p in cell.timed), sum(len(p["n_tokens"]) for p in cell.timed)),
    ),
    ("energy_j_per_sample", _NUMBER, lambda cell: cell.energy_j_per_sample(cell.own_part)),
    ("energy_net_j_per_sample", _NUMBER, lambda cell: cell.energy_net_j_per_sample()),
    ("energy_cpu_j_per_sample", _NUMBER, lambda cell: cell.energy_j_per_sample("cpu")),
    ("energy_gpu_j_per_sample", _NUMBER, lambda cell: cell.energy_j_per_sample("gpu")),
    ("energy_ram_j_per_sample", _NUMBER, lambda cell: cell.energy_j_per_sample("ram")),
    ("energy_method_cpu", _TEXT, lambda cell: cell.method("cpu")),
    ("energy_method_gpu", _TEXT, lambda cell: cell.method("gpu")),
    ("energy_note", _TEXT, _told("energy", "note")),
    ("idle_power_w", _NUMBER, lambda cell: cell.idle_power_w),
    ("peak_rss_bytes", _INTEGER, _told("memory", "peak_rss_bytes")),
    ("model_rss_bytes", _INTEGER, _told("ready", "model_rss_bytes")),
    ("peak_device_bytes", _INTEGER, _told("memory", "peak_device_bytes")),
    ("wer", _NUMBER, lambda cell: cell.wer("n_errors", "n_words")),
    ("wer_ci_low", _NUMBER, lambda cell: cell.wer_interval()[0]),
    ("wer_ci_high", _NUMBER, lambda cell: cell.wer_interval()[1]),
    ("wer_plain", _NUMBER, lambda cell: cell.wer("n_errors_plain", "n_words_plain")),
    ("wer_errors", _INTEGER, lambda cell: cell.errors("n_errors")),
    ("wer_words", _INTEGER, lambda cell: cell.errors("n_words")),
    ("n_substitutions", _INTEGER, lambda cell: cell.errors("n_substitutions")),
    ("n_deletions", _INTEGER, lambda cell: cell.errors("n_deletions")),
    ("n_insertions", _INTEGER, lambda cell: cell.errors("n_insertions")),
    ("wer_note", _TEXT, lambda cell: wer_note(cell.header, cell.passes)),
    ("n_segments", _INTEGER, lambda cell: len(cell.header["segments"])),
    ("gflop_per_sample", _NUMBER, lambda cell: None),
    ("achieved_gflops", _NUMBER, lambda cell: None),
    ("gflop_note", _TEXT, lambda cell: "FLOPs are not counted by this version"),
    ("startup_cpu_s", _NUMBER, _told("ready", "startup_cpu_s")),
    ("preload_cpu_s", _NUMBER, _told("ready", "preload_cpu_s")),
    ("protocol", _INTEGER, _from_header("protocol")),
    ("machine_id", _TEXT, _from_header("machine_id")),
    ("cpu_name", _TEXT, _from_header("cpu_name")),
    ("n_cpus", _INTEGER, _from_header("n_cpus")),
    ("memory_bytes", _INTEGER, _from_header("memory_bytes")),
    ("os", _TEXT, _from_header("os")),
    ("governor", _TEXT, _from_header("governor")),
    ("gpu_name", _TEXT, _told("ready", "gpu_name")),
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
    ("measured_at", _TEXT, _from_header("measured_at")),
]
CELLS = pa.schema([(name, kind) for name, kind, _ in CELL_COLUMNS])
PASSES = record.SCHEMA
TRANSCRIPTS = pa.schema(
    [
        *(
            (name, kind)
            for name, kind in record.CELL_FIELDS
            if name in ("model", "variant", "device", "duration_s", "batch_size")
        ),
        ("segment_id", _TEXT),
        ("audio_s", _NUMBER),
        ("reference", _TEXT),
        ("hypothesis", _TEXT),
        ("reference_normalised", _TEXT),
        ("hypothesis_normalised", _TEXT),
        ("n_words", _INTEGER),
        ("n_errors", _INTEGER),
        ("n_substitutions", _INTEGER),
        ("n_deletions", _INTEGER),
        ("n_insertions", _INTEGER),
        ("n_errors_plain", _INTEGER),
        ("n_words_plain", _INTEGER),
    ]
)


def gather(study: Row, measurements: Path, normaliser: Normaliser) -> dict[str, pa.Table]:
    """Return the tables `cells`, `passes` and `transcripts` of a complete study, cells sorted.

    Raises:
        AsrmeterError: a cell's file is missing or broken, or cells that belong together were measured on different
            audio or weights.
    """
    cells: list[Row] = []
    passes: list[Row] = []
    transcripts: list[Row] = []
    headers: dict[str, Row] = {}
    for planned in sorted(plan.cells(study)):
        path = measurements / f"{planned.id}.parquet"
        header, own_passes = record.read(path)
        headers[str(path)] = header
        scored = score(header, own_passes, normaliser)
        measured = Measured(header, own_passes, scored, study["name"])
        cells.append({name: value(measured) for name, _, value in CELL_COLUMNS})
        passes += own_passes
        identity = {name: header[name] for name in TRANSCRIPTS.names if name in header}
        transcripts += [identity | row for row in scored]
    _check_alike(headers, "corpus_sha256", ("duration_s",), "audio")
    _check_alike(headers, "weights_sha256", ("model",), "weights")
    return {
        "cells": pa.Table.from_pylist(cells, schema=CELLS),
        "passes": pa.Table.from_pylist(passes, schema=PASSES),
        "transcripts": pa.Table.from_pylist(transcripts, schema=TRANSCRIPTS),
    }


def score(header: Row, passes: list[Row], normaliser: Normaliser) -> list[Row]:
    """Return a row for each segment of the class: texts and word errors; nothing where `wer_note` says why.

    Decoding is deterministic, so the first timed pass in which a segment occurs stands for all.
    """
    if wer_note(header, passes):
        return []
    first = _first_texts(passes)
    rows = []
    for segment in header["segments"]:
        text = first[segment["segment_id"]]
        reference, hypothesis = normaliser(segment["text"]), normaliser(text)
        errors = compare(reference, hypothesis)
        errors_plain = compare(plain(segment["text"]), plain(text))
        rows.append(
            {
                "segment_id": segment["segment_id"],
                "audio_s": segment["audio_s"],
                "reference": segment["text"],
                "hypothesis": text,
                "reference_normalised": reference,
                "hypothesis_normalised": hypothesis,
                "n_words": errors.n_words,
                "n_errors": errors.total,
                "n_substitutions": errors.n_substitutions,
                "n_deletions": errors.n_deletions,
                "n_insertions": errors.n_insertions,
                "n_errors_plain": errors_plain.total,
                "n_words_plain": errors_plain.n_words,
            }
        )
    return rows


def wer_note(header: Row, passes: list[Row]) -> str | None:
    """Return why a cell has no WER, or None if it has one."""
    if header["weights"] == "random":
        return "random weights transcribe nothing"
    n_seen, n_all = len(_first_texts(passes)), len(header["segments"])
    return None if n_seen == n_all else f"{n_seen} of {n_all} segments were transcribed"


def write(tables: dict[str, pa.Table], folder: Path) -> None:
    """Write every table as Parquet and CSV; lists become JSON in CSV."""
    for name, table in tables.items():
        with atomic(folder / f"{name}.parquet") as part:
            pq.write_table(table, part)
        with atomic(folder / f"{name}.csv") as part:
            pa.csv.write_csv(_flat(table), part)


def _first_texts(passes: list[Row]) -> dict[str, str]:
    first: dict[str, str] = {}
    for entry in passes:
        if entry["phase"] == "latency":
            for segment_id, text in zip(entry["segment_ids"], entry["texts"], strict=True):
                first.setdefault(segment_id, text)
    return first


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


def _flat(table: pa.Table) -> pa.Table:
    for i, field in enumerate(table.schema):
        if pa.types.is_list(field.type):
            as_json = [
                None if value is None else json.dumps(value, ensure_ascii=False) for value in table[i].to_pylist()
            ]
            table = table.set_column(i, field.name, pa.array(as_json, pa.string()))
    return table
