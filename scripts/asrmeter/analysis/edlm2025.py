"""The published tables of the 2025 study (resources/edlm2025.csv), row by row, beside this run's values.

Each published value is a range over durations and batch sizes, and so is that of this run; where it has none, a note
says why. Disturbed cells are left out. Floating-point operations are given a third time, by that study's own formulas,
which its note names.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from asrmeter.analysis.results import BASELINE
from asrmeter.common.paths import RESOURCES
from asrmeter.common.table_types import INTEGER, LABEL, MESSAGE, NUMBER, Row, Source, column
from asrmeter.common.vocabulary import MEASURED_STATUS
from asrmeter.study.edlm2025 import DURATIONS_S

PUBLISHED = RESOURCES / "edlm2025.csv"
BATCH_SIZE = 16
# The study's metrics of operators -> (group, column of the share).
_OPERATORS = {
    "addmm_share": ("matmul", "cuda_share"),
    "attention_share": ("attention", "cuda_share"),
    "layer_norm_share": ("normalisation", "cuda_share"),
    "convolution_share": ("convolution", "cuda_share"),
    "matmul_share": ("matmul", "cuda_share"),
    "cuda_sync_share": ("synchronisation", "cpu_share"),
}

_ENDS = (("low", "lower"), ("high", "upper"))


def _published(name: str, meaning: str, null_when: str = "") -> pa.Field:
    return column(name, LABEL, meaning, Source.PUBLISHED, null_when=null_when)


def _range(prefix: str, of: str, source: Source, unit: str, null_when: str) -> list[pa.Field]:
    return [
        column(f"{prefix}_{end}", NUMBER, f"The {which} end of the range {of}.", source, unit=unit, null_when=null_when)
        for end, which in _ENDS
    ]


EDLM2025 = pa.schema(
    [
        _published("table", "The published table."),
        _published("model", "The model as it is named there; `all` stands for all.", "the row is not of a model"),
        _published("device", "`cpu` or `cuda`.", "the row is not of a device"),
        _published("metric", "What was published."),
        _published("unit", "The unit of what was published.", "none is said"),
        *_range("published", "as published", Source.PUBLISHED, "that of `unit`", "it is not a number"),
        _published("published_text", "What was published, where it is not a number.", "it is a number"),
        _published("published_note", "What is to be known of it.", "nothing"),
        *_range(
            "reproduced",
            "by that study's own formula, from this run's counts",
            Source.COMPUTED,
            "that of `unit`",
            "it has no formula",
        ),
        *_range(
            "measured",
            "of this run, over durations and batch sizes",
            Source.COMPUTED,
            "that of `measured_unit`",
            "this run has none; `note` says why",
        ),
        column("measured_unit", LABEL, "The unit of this run's values.", Source.RECORDED, null_when="there are none"),
        column("n", INTEGER, "This run's values.", Source.COUNTED, unit="values"),
        column(
            "note", MESSAGE, "Why there are none, or what is to be known of them.", Source.RECORDED, null_when="nothing"
        ),
    ]
)


@dataclass(frozen=True)
class Run:
    """The tables of a run that values are taken from."""

    cells: Sequence[Row]
    flops: Sequence[Row]
    operators: Sequence[Row]


@dataclass(frozen=True)
class Found:
    """This run's figures for a published row, in `unit` (that of the published one, if it says none); or why none."""

    values: Sequence[float]
    note: str | None = None
    unit: str | None = None
    reproduced: Sequence[float] = ()


def rows(run: Run, published: Path = PUBLISHED) -> Iterator[dict[str, Any]]:
    """Yield a row for each published one."""
    variant = _baseline(run)
    cells = [cell for cell in run.cells if cell["status"] in MEASURED_STATUS and not cell["disturbed"]]
    run = Run(_of_variant(cells, variant), run.flops, _of_variant(run.operators, variant))
    with open(published, encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            found = _TABLES[row["table"]](run, row)
            note = found.note
            if not found.values and not note:
                note = "not measured in this run"
            elif found.values and row["table"] != "flops" and variant != BASELINE:
                note = f"{note}; variant {variant}" if note else f"variant {variant}"
            yield {
                **{name: row[name] or None for name in ("table", "model", "device", "metric", "unit")},
                "published_low": float(row["low"]) if _is_number(row["low"]) else None,
                "published_high": float(row["high"]) if _is_number(row["high"]) else None,
                "published_text": None if _is_number(row["low"] or row["high"]) else row["low"],
                "published_note": row["note"] or None,
                "reproduced_low": min(found.reproduced, default=None),
                "reproduced_high": max(found.reproduced, default=None),
                "measured_low": min(found.values, default=None),
                "measured_high": max(found.values, default=None),
                "measured_unit": (found.unit or row["unit"] or None) if found.values else None,
                "n": len(found.values),
                "note": note,
            }


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _baseline(run: Run) -> str | None:
    """Return the variant that stands for how the study ran its models: fp32, or the first by name."""
    variants = {cell["variant"] for cell in run.cells}
    return BASELINE if BASELINE in variants else min(variants, default=None)


def _of_variant(rows: Sequence[Row], variant: str | None) -> list[Row]:
    return [row for row in rows if row["variant"] == variant]


def _of(cells: Sequence[Row], row: Row) -> list[Row]:
    return [cell for cell in cells if row["model"] in ("all", cell["model"]) and cell["device"] == row["device"]]


def _each(column: str, scale: float = 1.0, by_sample: bool = False) -> Callable[[Run, Row], Found]:
    """Return a function for the values of a column of `cells`, of one segment where the column is of a pass."""

    def values(run: Run, row: Row) -> Found:
        measured = [cell for cell in _of(run.cells, row) if cell[column] is not None]
        return Found([scale * cell[column] / (cell["batch_size"] if by_sample else 1) for cell in measured])

    return values


def _devices(column: str) -> Callable[[Run, Row], Found]:
    """Return a function for the ratio of a column of `cells`, CPU over CUDA, at the same duration and batch size."""

    def ratios(run: Run, row: Row) -> Found:
        found: dict[Any, dict[str, float]] = {}
        for cell in run.cells:
            if row["model"] in ("all", cell["model"]) and cell[column] is not None:
                key = cell["model"], cell["duration_s"], cell["batch_size"]
                found.setdefault(key, {})[cell["device"]] = cell[column]
        both = [pair for pair in found.values() if {"cpu", "cuda"} <= pair.keys()]
        return Found([pair["cpu"] / pair["cuda"] for pair in both], None if both else "needs the CPU and a GPU")

    return ratios


def _batches(column: str, larger_is_better: bool) -> Callable[[Run, Row], Found]:
    """Return a function for what batch 16, or the largest there is, gains over batch 1 by a column of `cells`."""

    def ratios(run: Run, row: Row) -> Found:
        groups: dict[Any, dict[int, float]] = {}
        for cell in _of(run.cells, row):
            if cell[column] is not None:
                groups.setdefault((cell["model"], cell["duration_s"]), {})[cell["batch_size"]] = cell[column]
        values, sizes = [], set()
        for by_size in groups.values():
            largest = BATCH_SIZE if BATCH_SIZE in by_size else max(by_size)
            if 1 in by_size and largest > 1:
                sizes.add(largest)
                gain = by_size[largest] / by_size[1]
                values.append(gain if larger_is_better else 1 / gain)
        if not values:
            return Found([], "needs batch 1 and a larger one")
        others = sorted(sizes - {BATCH_SIZE})
        return Found(values, f"batch {', '.join(map(str, others))} over 1, not 16" if others else None)

    return ratios


def _flops(run: Run, row: Row) -> Found:
    """FLOP as they are, and the published figure by its formula. Whisper's encoder: one window of 30 s."""
    counted = [f for f in run.flops if f["model"] == row["model"] and f["encoder_gflop"] is not None]
    # Those of a batch are those of its segments, and only the study's own have a transcript: the last one stays.
    ranked = sorted(counted, key=lambda f: (f["is_studied"], -f["batch_size"]))
    by_duration = {f["duration_s"]: f for f in ranked if f["duration_s"] in DURATIONS_S}
    own = [f for _, f in sorted(by_duration.items())]
    if not own:
        return Found([], "not counted")
    if row["metric"] == "decoder_gflops_per_step":
        steps = [f["decoder_gflop_per_step"] / f["batch_size"] for f in own if f["decoder_gflop_per_step"] is not None]
        note = None
        if not steps:
            note = "the first step: no transcript of it says how many there are"
            steps = [2e-9 * (own[0]["decoder_mac_per_token"] + 2 * own[0]["decoder_mac_per_position"])]
        return Found(steps, note, "GFLOP", [own[0]["edlm2025_decoder_gflop_per_step"]])
    encoders = [f["encoder_gflop"] / f["n_windows"] / f["batch_size"] for f in own]
    return Found(encoders, None, "GFLOP", [f["edlm2025_encoder"] for f in own])


def _operators(run: Run, row: Row) -> Found:
    group, share = _OPERATORS[row["metric"]]
    whisper = row["model"] == "whisper"
    shares: dict[Any, float] = {}
    for part in run.operators:
        of_model = part["model"].startswith("whisper") if whisper else part["model"] == row["model"]
        if of_model and part["device"] == "cuda" and part[share] is not None:
            cell = part["model"], part["variant"], part["duration_s"], part["batch_size"], part["repeat"]
            shares[cell] = shares.get(cell, 0.0) + (part[share] if part["group"] == group else 0.0)
    return Found([100 * value for value in shares.values()], None if shares else "no profile on a GPU")


def _throughput(run: Run, row: Row) -> Found:
    speeds = [cell["samples_per_s"] for cell in _of(run.cells, row) if cell["samples_per_s"] is not None]
    return Found([max(speeds)] if speeds else [])


def _accuracy(run: Run, row: Row) -> Found:
    own = [cell["wer"] for cell in run.cells if cell["model"] == row["model"] and cell["wer"] is not None]
    return Found(own, None if own else "no pretrained weights of it in this run", "errors a word")


def _stars(_run: Run, _row: Row) -> Found:
    return Found([], "a judgement, not a measurement")


_TABLES: dict[str, Callable[[Run, Row], Found]] = {
    "latency": _each("latency_s_median", scale=1000, by_sample=True),
    "speedup": _devices("latency_s_median"),
    "batching": _batches("samples_per_s", larger_is_better=True),
    "energy": _each("energy_j_per_sample"),
    "energy_saving": _devices("energy_j_per_sample"),
    "energy_batching": _batches("energy_j_per_sample", larger_is_better=False),
    "flops": _flops,
    "operators": _operators,
    "throughput": _throughput,
    "wer": _accuracy,
    "stars": _stars,
}
