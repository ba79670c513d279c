"""From start to first text: what a model costs before it answers, by model, variant and device."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path

import pyarrow as pa

from asrmeter.analysis.columns import CELLS
from asrmeter.analysis.hardware import split_by_hardware
from asrmeter.analysis.results import is_measured
from asrmeter.analysis.table_rows import CELL_WORDS, cell_of, read_rows
from asrmeter.common.table_types import INTEGER, MESSAGE, NUMBER, Row, Source, column

_KEY = ("model", "variant", "device")
_NO_CELL = "no cell was measured; `reason` says why"
# What a row takes from its cell as it is.
_COSTS = ("load_s", "first_pass_s")
_BESIDE = (
    *("compile_s", "compile_cached_s", "conversion_format", "conversion_s", "model_bytes"),
    *("peak_rss_bytes", "peak_device_bytes"),
)

START = pa.schema(
    [
        *map(CELLS.field, ("model", "weights", "variant", "device")),
        column(
            "duration_s",
            INTEGER,
            "The duration class of the cell that the row is of: the shortest, at the smallest batch size, that all "
            "measured variants of the model have in common on the device; where they have none, that this one has.",
            Source.COMPUTED,
            unit="s",
            null_when=_NO_CELL,
        ),
        column(
            "batch_size",
            INTEGER,
            "The batch size of the cell that the row is of.",
            Source.COMPUTED,
            unit="segments",
            null_when=_NO_CELL,
        ),
        column(
            "imports_cpu_s",
            NUMBER,
            "The CPU time of importing the runtime and its libraries, in the fork server.",
            Source.MEASURED,
            unit="CPU s",
            null_when=f"there was no fork server, so `load_s` includes the imports; or {_NO_CELL}",
        ),
        *map(CELLS.field, _COSTS),
        column(
            "first_text_s",
            NUMBER,
            "The sum of `imports_cpu_s`, `load_s` and `first_pass_s`. Compiling is part of the last, converting of "
            "none.",
            Source.COMPUTED,
            unit="s",
            null_when=f"the record does not say a part of it, or {_NO_CELL}",
        ),
        *map(CELLS.field, _BESIDE),
        column(
            "reason",
            MESSAGE,
            "Why no cell of the variant was measured.",
            Source.RECORDED,
            null_when="one was",
        ),
    ]
)


def read(path: Path) -> list[Row]:
    """Read the table.

    Raises:
        AsrmeterError: it is not there, or lacks a column.
    """
    return read_rows(path, START, _KEY, CELL_WORDS)


def table(tables: Mapping[str, pa.Table]) -> pa.Table:
    """Return the table of a study, made of its table `cells`."""
    return pa.Table.from_pylist(rows(tables["cells"].to_pylist()), schema=START)


def rows(cells: Sequence[Row]) -> list[Row]:
    """Return a row for each model, variant and device, in this order; `cells` are the rows of that table."""
    comparable, elsewhere = split_by_hardware(cells)
    counts = {cell_of(row) for row in comparable if is_measured(row)}
    found: list[Row] = []
    everything = sorted([*comparable, *elsewhere], key=lambda row: (row["model"], row["device"], cell_of(row)))
    for _, own in groupby(everything, key=lambda row: (row["model"], row["device"])):
        of_variant = [list(same) for _, same in groupby(own, key=lambda row: row["variant"])]
        known = [{_size(row): row for row in same if cell_of(row) in counts} for same in of_variant]
        common = set.intersection(*(set(one) for one in known if one)) if any(known) else set()
        for same, by_size in zip(of_variant, known, strict=True):
            smallest = min(common or by_size, default=None)
            found.append(_row(by_size.get(smallest) if smallest else None, same))
    return sorted(found, key=lambda row: tuple(row[name] for name in _KEY))


def _size(row: Row) -> tuple[int, int]:
    return row["batch_size"], row["duration_s"]


def _row(cell: Row | None, same: Sequence[Row]) -> Row:
    """Return the row of a variant: of one of its cells, or of why none was measured; `same` are all of them."""
    row = dict.fromkeys(START.names) | {name: same[0][name] for name in (*_KEY, "weights")}
    if cell is None:
        return row | {"reason": _why(same)}
    imports_s = cell["fork_server_import_cpu_s"]
    costs = [cell[name] for name in _COSTS]
    return (
        row
        | {name: cell[name] for name in ("duration_s", "batch_size", *_COSTS, *_BESIDE)}
        | {"imports_cpu_s": imports_s, "first_text_s": None if None in costs else sum(costs) + (imports_s or 0)}
    )


def _why(same: Iterable[Row]) -> str:
    reasons = ("measured on other hardware" if is_measured(row) else row["reason"] or row["status"] for row in same)
    return "; ".join(dict.fromkeys(reasons))
