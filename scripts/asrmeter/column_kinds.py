"""What the columns of the tables hold, as far as figures and report rely on it: a table of others' making is refused.

Standard library only but for Arrow's types, which come with the column.
"""

import datetime
from collections.abc import Iterable, Sequence
from typing import Any

# Of all tables that are read; all that is not named here is a number, or true or false.
TEXT = frozenset(
    (
        "checked_against", "commit", "corpus_sha256", "counter_note", "cpu_name", "cuda_note", "decoding", "device",
        "device_name", "disturbance", "driver_version", "dtype", "edlm2025_unit", "energy_method_cpu",
        "energy_method_gpu", "energy_note", "family", "gflop_note", "gpu_name", "group", "hypothesis",
        "hypothesis_normalised", "kind", "limit", "machine_id", "measured_at", "metric", "model", "noise_floor_note",
        "normaliser", "normaliser_corpus", "normaliser_plain", "not_counted", "note", "operator", "os", "ours_unit",
        "published_note", "published_text", "python_version", "reason", "reference", "reference_normalised",
        "segment_id", "stage", "started_at", "status", "table", "torch_version", "trace", "transformers_version",
        "unit", "variant", "verdict", "weights", "weights_sha256",
    )
)  # fmt: skip
LISTS = frozenset(("batch_sizes",))
TIMES = frozenset(("started_at", "measured_at"))
_CELL = ("model", "variant", "device", "duration_s", "batch_size")
_SCORES = ("segment_id", "n_words", "n_substitutions", "n_deletions", "n_insertions")
_WHOLE = frozenset(("duration_s", "batch_size", *_SCORES[1:]))


def required(columns: Sequence[str]) -> frozenset[str]:
    """Return those columns without which a row says nothing: the cell's name, and what was counted of a transcript."""
    found = _CELL if set(_CELL) <= set(columns) else ()
    return frozenset((*found, *(_SCORES if "segment_id" in columns else ())))


def complaint(name: str, kind: Any, values: Iterable[Any], needed: bool) -> str:
    """Return what is wrong with a column of the Arrow type `kind`, or "".

    `values` are those of its rows; `needed` says that none may be missing.
    """
    from pyarrow import types

    tests: tuple[Any, ...] = (types.is_integer, types.is_floating, types.is_boolean)
    if name in TEXT:
        tests = types.is_string, types.is_large_string
    elif name in LISTS:
        tests = types.is_list, types.is_large_list
    values = list(values)
    if not (types.is_null(kind) or any(test(kind) for test in tests)):
        return f"{name} is of type {kind}"
    if needed and None in values:
        return f"{name} is missing in a row"
    if name in _WHOLE and needed and not all(value == int(value) for value in values):
        return f"{name} is not a whole number in a row"
    if name in TIMES and not all(_is_time(value) for value in values if value is not None):
        return f"{name} is no time in a row"
    return ""


def _is_time(text: str) -> bool:
    try:
        return bool(datetime.datetime.fromisoformat(text))
    except ValueError:
        return False
