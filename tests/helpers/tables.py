"""Constructed tables, shaped like those of a real study; the figures are invented and for tests only."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from asrmeter.analysis import capacity_columns, languages_table, start_table
from asrmeter.analysis import silence as silence_tables
from asrmeter.analysis.columns import CELLS, TRANSCRIPTS
from asrmeter.analysis.layouts import LAYOUTS
from asrmeter.analysis.optimisation_columns import OPTIMISATIONS
from asrmeter.analysis.sitting_columns import SITTINGS
from asrmeter.common import parquet
from asrmeter.records.disturbance import RATES
from asrmeter.study import validation
from asrmeter.study.model import Study

Cell = dict[str, Any]
CELL_COLUMNS = CELLS.names

MODELS = {
    "whisper-tiny.en": ("pretrained", 1.0),
    "whisper-base": ("pretrained", 1.9),
    "wav2vec2-base-960h": ("random", 0.6),
}
WORD_ERRORS = {"whisper-tiny.en": 0.09, "whisper-base": 0.06}
SPEED_OF_DEVICE = {"cpu": 1.0, "cuda": 0.06}
NOISE_FLOORS = {"cpu": 0.012, "cuda": 0.004}
SEGMENTS_OF_CLASS = {5: 16, 15: 12, 30: 8, 60: 4}


def cell(
    model: str = "whisper-base", device: str = "cpu", duration_s: int = 30, batch_size: int = 1, **changes: Any
) -> Cell:
    """Return one row of the cells table; `changes` replace columns.

    Where they replace the interval of the latency, ratios are of whole intervals, unless they say how far laps scatter.
    """
    weights, slowness = MODELS.get(model, ("pretrained", 1.0))
    whisper = not model.startswith("wav2vec2")
    seconds = slowness * SPEED_OF_DEVICE[device] * (0.35 + 0.012 * duration_s if whisper else 0.03 * duration_s)
    latency_s = seconds * batch_size**0.9
    energy_j = latency_s / batch_size * (38 if device == "cpu" else 190)
    wer = WORD_ERRORS.get(model, 0.05) if weights == "pretrained" else None
    row = dict.fromkeys(CELL_COLUMNS) | {
        "model": model,
        "weights": weights,
        "family": "whisper" if whisper else "ctc",
        "has_decoder": whisper,
        "variant": "fp32",
        "device": device,
        "device_name": "Example CPU @ 2.60GHz" if device == "cpu" else "Example GPU",
        "duration_s": duration_s,
        "batch_size": batch_size,
        "threads": 2,
        "status": "ok",
        "n_laps": 3,
        "laps": "1 2 3",
        "n_laps_disturbed": 0,
        "n_tries": 3,
        "n_passes": 12,
        "n_rounds": 6,
        "n_batches": 2,
        "n_warmup_passes": 6,
        "stage_coverage": 0.998,
        "encoder_padding_share": 0.04,
        "pass_scatter": 0.02,
        "pass_scatter_df": 120.0,
        "noise_floor": NOISE_FLOORS[device],
        "noise_floor_df": 50.0,
        "lap_scatter": 0.9 * NOISE_FLOORS[device],
        "common_scatter": 0.008,
        "common_scatter_df": 2.0,
        "disturbed": False,
        "machine_speed": 0.97,
        "other_processes_cpu_cores": 0.01,
        "steal_share": 0.0,
        "n_throttle_events": 0,
        "latency_s_median": latency_s,
        "latency_s_ci_low": latency_s * 0.985,
        "latency_s_ci_high": latency_s * 1.02,
        "latency_s_next_low": latency_s * 0.97,
        "latency_s_next_high": latency_s * 1.035,
        "latency_own_se": 0.005,
        "latency_own_df": 20.0,
        "converged": True,
        "features_s_median": latency_s * 0.03,
        "encoder_s_median": latency_s * 0.36,
        "decoder_s_median": latency_s * 0.6 if whisper else None,
        "text_s_median": latency_s * 0.01,
        "samples_per_s": batch_size / latency_s,
        "rtfx": duration_s * batch_size / latency_s,
        "energy_j_per_sample": energy_j,
        "energy_cpu_j_per_sample": energy_j if device == "cpu" else 4.2,
        "energy_gpu_j_per_sample": energy_j if device == "cuda" else None,
        "energy_ram_j_per_sample": 0.4,
        "energy_method_cpu": "cpu_load_model",
        "energy_method_gpu": "nvml_counter" if device == "cuda" else "none",
        "energy_note": "no RAPL counter on this machine: CPU energy is modelled from load and TDP",
        "n_energy_windows": 3 if device == "cuda" else 1,
        "energy_range_rel": 0.008 if device == "cuda" else None,
        "energy_counter_difference": 0.001 if device == "cuda" else None,
        "counter_note": None if device == "cuda" else "no counter of the CPU can be read",
        "peak_rss_bytes": 1.24e9 * slowness,
        "model_rss_bytes": 3.1e8 * slowness,
        "peak_device_bytes": 9.4e8 if device == "cuda" else None,
        "model_device_bytes": 2.9e8 if device == "cuda" else None,
        "n_windows_mean": max(1.0, duration_s / 30),
        "n_tokens_mean": duration_s * 3.1,
        "wer": wer,
        "wer_ci_low": wer and wer * 0.7,
        "wer_ci_high": wer and wer * 1.35,
        "wer_plain": wer and wer * 1.8,
        "wer_corpus": None,
        "wer_words": wer and 480,
        "cer": wer and wer * 0.4,
        "cer_ci_low": wer and wer * 0.3,
        "cer_ci_high": wer and wer * 0.5,
        "n_empty": wer and 0,
        "n_hallucinated": wer and 1,
        "n_nondeterministic": 0,
        "n_substitutions": wer and 20,
        "n_deletions": wer and 6,
        "n_insertions": wer and 4,
        "n_segments": SEGMENTS_OF_CLASS.get(duration_s, 4),
        "audio_s_mean": float(duration_s),
        "tokens_per_s": duration_s * 3.1 * batch_size / latency_s,
        "gflop_per_sample": 74.0 * slowness,
        "achieved_gflops": 74.0 * slowness * batch_size / latency_s,
        "startup_cpu_s": 3.1,
        "load_s": 0.9 * slowness,
        "first_pass_s": 0.6 * slowness,
        "model_bytes": 150_000_000,
        "equal_settings": True,
        "busy_threads": 1.9,
        "timed_s": 12 * latency_s,
        "job_s": 14 * latency_s + 3,
        "protocol": 2,
        "machine_id": "a1b2c3",
        "cpu_name": "Example CPU @ 2.60GHz",
        "n_cpus": 2,
        "memory_bytes": 8.2e9,
        "os": "Linux 6.1",
        "gpu_name": "Example GPU" if device == "cuda" else None,
        "driver_version": "550.54" if device == "cuda" else None,
        "python_version": "3.11.9",
        "torch_version": "2.8.0",
        "transformers_version": "4.57.0",
        "language": "en",
        "language_told": "en",
        "language_accuracy": None,
        "error_unit": "words",
        "normaliser": "whisper-english",
        "normaliser_plain": "plain",
        "normaliser_corpus": None,
        "decoding": "greedy",
        "corpus_sha256": "5d41402abc4b2a76b9719d911017c5925d41402abc4b2a76b9719d911017c592",
        "weights_sha256": "7d793037a0760186574b0282f2f435e77d793037a0760186574b0282f2f435e7"
        if weights == "pretrained"
        else None,
        "commit": "0123abc",
        "started_at": "2026-03-01T09:59:30+00:00",
        "measured_at": "2026-03-01T10:00:00+00:00",
    }
    if any(name.startswith("latency_s_ci") for name in changes):
        row |= {"latency_own_se": None, "latency_own_df": None}
    return row | changes


def failed(row: Cell, status: str, reason: str) -> Cell:
    """Return a cell that failed: its results are null."""
    settings = CELL_COLUMNS[: CELL_COLUMNS.index("status")]
    machine = CELL_COLUMNS[CELL_COLUMNS.index("protocol") :]
    kept = {column: row[column] for column in (*settings, *machine)}
    counts = {"n_laps": 0, "laps": "", "n_laps_disturbed": 0, "n_passes": 0, "n_rounds": 0, "n_batches": 0}
    return dict.fromkeys(CELL_COLUMNS) | kept | counts | {"status": status, "reason": reason}


def transcripts_of(row: Cell, error_rate: float | None = None, n_segments: int | None = None) -> list[Cell]:
    """Return the transcripts of a cell with about that share of words wrong; the same for every batch and device."""
    if row["wer"] is None:
        return []
    rate = row["wer"] if error_rate is None else error_rate
    dice = random.Random(f"{row['model']}{row['duration_s']}")
    vocabulary = ["so", "the", "old", "house", "stood", "by", "itself", "on", "a", "hill", "and", "nobody", "lived"]
    rows = []
    for index in range(n_segments or SEGMENTS_OF_CLASS.get(row["duration_s"], 4)):
        words = [dice.choice(vocabulary) for _ in range(row["duration_s"] * 2 + 3)]
        heard = [word if dice.random() > rate else "hill's" for word in words]
        rows.append(
            {
                **{key: row[key] for key in ("model", "variant", "device", "duration_s", "batch_size")},
                "segment_id": f"house-{row['duration_s']}-{index}",
                "audio_s": float(row["duration_s"]),
                "reference": " ".join(words).capitalize() + ".",
                "hypothesis": " ".join(heard).capitalize() + ".",
                "reference_normalised": " ".join(words),
                "hypothesis_normalised": " ".join(heard),
                **{"language": "en", "language_told": "en", "language_found": None},
                "n_words": len(words),
                "n_errors": sum(one != other for one, other in zip(words, heard, strict=True)),
                **{"n_characters": 5 * len(words), "n_character_errors": 3},
                "n_substitutions": sum(one != other for one, other in zip(words, heard, strict=True)),
                "n_deletions": 0,
                "n_insertions": 0,
            }
        )
    return rows


def sittings_of(row: Cell) -> list[Cell]:
    """Return the sittings of a cell, one a lap: each as the cell, a little faster or slower."""
    n_laps = max(row["n_laps"], row["n_laps_disturbed"]) or 1
    measured = row["latency_s_median"] is not None
    told = [one.partition(": ")[2] or one for one in (row["disturbance"] or "").split("; ")]
    rows = []
    for lap in range(1, n_laps + 1):
        own = {name: row.get(name) for name in SITTINGS.names} | {
            "lap": lap,
            "attempt": 1,
            "n_tries": (row["n_tries"] or 1) // n_laps,
            "latency_s": row["latency_s_median"] * (1 + 0.004 * (lap - 2)) if measured else None,
            "counts": measured and not row["disturbed"],
            "disturbance": told[min(lap, len(told)) - 1] or None,
        }
        own |= {name: row[name] / n_laps for name in ("timed_s", "job_s") if row[name] is not None}
        if measured:
            own |= {f"control_{rate}_{when}": 1e10 * lap for rate in RATES for when in ("before", "after")}
            own |= {"control_s": 0.2}
        rows.append(own)
    return rows


def all_sittings(cells: list[Cell]) -> list[Cell]:
    """Return the sittings of cells."""
    return [sitting for row in cells for sitting in sittings_of(row)]


def example_cells(devices: tuple[str, ...] = ("cpu",)) -> list[Cell]:
    """Return a study of three models with a killed, an unconverged and a disturbed cell."""
    cells = [
        cell(model, device, duration_s, batch_size)
        for model in MODELS
        for device in devices
        for duration_s in (5, 15, 30, 60)
        for batch_size in (1, 2, 4)
        if duration_s * batch_size <= 60
    ]
    for index, row in enumerate(cells):
        place = (row["model"], row["device"], row["duration_s"], row["batch_size"])
        if place == ("wav2vec2-base-960h", "cpu", 60, 1):
            cells[index] = failed(row, "killed", "the kernel killed the worker: out of memory at 7.9 of 8.2 GB")
        if place == ("whisper-base", "cpu", 15, 2):
            wide = {
                "latency_s_ci_low": row["latency_s_median"] * 0.85,
                "latency_s_ci_high": row["latency_s_median"] * 1.2,
            }
            reason = "the interval is 20 % wide to a side, the target is 5 %"
            own = {"latency_own_se": 0.08, "time_factor_for_target": 16.0, "converged": False}
            cells[index] = row | wide | own | {"status": "unconverged", "reason": reason}
        if place == ("whisper-base", "cpu", 30, 1):
            seen = {"other_processes_cpu_cores": 0.6, "steal_share": 0.02, "n_tries": 9}
            seen |= {"n_laps_disturbed": 3, "n_laps": 0, "laps": ""}
            why = "; ".join(f"lap {lap}: other processes took 0.6 cores" for lap in (1, 2, 3))
            cells[index] = without_interval(row) | seen | {"disturbed": True, "disturbance": why}
    return cells


def without_interval(row: Cell, note: str = "disturbed in every lap") -> Cell:
    """Return a cell whose latency has no interval, for a reason."""
    ends = (f"latency_s_{part}_{end}" for part in ("ci", "next") for end in ("low", "high"))
    unknown = dict.fromkeys((*ends, "latency_own_se", "latency_own_df", "lap_scatter"))
    return row | unknown | {"status": "unconverged", "reason": note, "interval_note": note, "converged": False}


def measured_again(cells: list[Cell]) -> list[Cell]:
    """Return cells as another run has them: measured an hour later."""
    return [
        row | {"started_at": "2026-03-01T10:59:30+00:00", "measured_at": "2026-03-01T11:00:00+00:00"} for row in cells
    ]


def example_transcripts(cells: list[Cell]) -> list[Cell]:
    """Return the transcripts of all cells that have a WER."""
    return [transcript for row in cells for transcript in transcripts_of(row)]


def example_study(report: dict[str, Any] | None = None, **changes: Any) -> Study:
    """Return a complete study with that `report`; `changes` replace parts of it, whether allowed or not."""
    written: dict[str, Any] = {
        "name": "quickstart",
        "corpus": {"kind": "packages", "name": "quickstart"},
        "models": {"whisper-tiny.en": {"weights": "packaged"}, "whisper-base": {"weights": "packaged"}},
        "devices": ["cpu"],
        "durations_s": [5, 15, 30, 60],
        "batch_sizes": [1, 2, 4],
    }
    return validation.with_defaults(written | {"report": report or {}}, "a test").model_copy(update=changes)


def example_selection(**changes: Any) -> dict[str, Any]:
    """Return the record of a corpus' selection, as build_corpus.py writes it."""
    selection: dict[str, Any] = {
        "corpus": {"kind": "packages", "name": "quickstart", "segments_per_class": 4, "selection_sha256": None},
        "origin": {"packages": ["aeneas-ng"]},
        "seed": 42,
        "selection_sha256": "5e1ec7" * 10 + "abcd",
        "classes": [{"duration_s": duration_s, "n_segments": 4, "n_possible": 9} for duration_s in (5, 15, 30, 60)],
        "skipped": [],
        "mended": [],
        "dropped": {},
    }
    return selection | changes


def example_segments() -> dict[str, dict[str, Any]]:
    """Return the rows of the corpus by segment, as segments.json has them."""
    return {
        f"house-{duration_s}-{index}": {
            "segment_id": f"house-{duration_s}-{index}",
            "duration_s": duration_s,
            "audio_s": float(duration_s),
            "path": f"audio/house-{duration_s}-{index}.flac",
            "source": "An old house",
            "utterances": [f"house.wav:{index}-{index + duration_s}"],
        }
        for duration_s, n_segments in SEGMENTS_OF_CLASS.items()
        for index in range(n_segments)
    }


def write_tables(
    folder: Path,
    cells: list[Cell],
    transcripts: list[Cell],
    optimisations: Sequence[Cell] = (),
    silence: Sequence[Cell] = (),
    layouts: Sequence[Cell] = (),
) -> tuple[Path, Path, Path]:
    """Write cells, transcripts and sittings the way the pipeline does, and return the paths.

    What is made of cells lies beside them (`languages`, `optimisations`, `start`), those of silence and of layouts, and
    without a load test `loads` and `capacities`.
    """
    paths = folder / "cells.parquet", folder / "transcripts.parquet", folder / "sittings.parquet"
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(cells, columns=CELL_COLUMNS).to_parquet(paths[0])
    pd.DataFrame(transcripts, columns=TRANSCRIPTS.names).to_parquet(paths[1])
    pd.DataFrame(all_sittings(cells), columns=SITTINGS.names).to_parquet(paths[2])
    whole = [row for row in transcripts if row.get("n_words") is not None and "language" in row]
    for name, rows, schema in (
        ("optimisations", list(optimisations), OPTIMISATIONS),
        ("start", start_table.rows(cells), start_table.START),
        ("languages", languages_table.rows(whole), languages_table.LANGUAGES),
        ("silence", list(silence), silence_tables.SILENCE),
        ("silence_models", silence_tables.model_rows(silence), silence_tables.SILENCE_MODELS),
        *((name, [], schema) for name, schema in capacity_columns.TABLES.items()),
        ("layouts", list(layouts), LAYOUTS),
    ):
        parquet.save(folder / f"{name}.parquet", pa.Table.from_pylist(rows, schema=schema))
    return paths
