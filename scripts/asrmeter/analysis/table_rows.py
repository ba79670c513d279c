"""Rows of tables as their readers see them, and the cell that a row belongs to.

Readers take every column that a table has. A column that it lacks is an error only where somebody asks for it.
"""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import pyarrow as pa

from asrmeter.common import parquet
from asrmeter.common.errors import AsrmeterError, one_line
from asrmeter.common.printable import printable
from asrmeter.common.quantities import impossible, is_time
from asrmeter.common.table_types import Row
from asrmeter.common.vocabulary import DEVICES, STATUSES, UNREADABLE, WEIGHTS
from asrmeter.study.grid import Cell

# The columns that name a cell, and those that a transcript needs besides: a row without them says nothing.
CELL_KEY = ("model", "variant", "device", "duration_s", "batch_size")
TRANSCRIPT_KEY = (*CELL_KEY, "segment_id", "n_words")

# The values that a column of text can have, by its name.
Words = Mapping[str, AbstractSet[str]]
CELL_WORDS: Words = {"status": STATUSES, "device": DEVICES, "weights": WEIGHTS}
# Of a longer text its readers get the beginning, and how long it is; the table has the whole.
_MOST = 500
_MOST_CHARACTERS = {
    **dict.fromkeys(("model", "variant"), 100),
    **dict.fromkeys(("reference", "hypothesis", "decoding", "library_versions"), 50_000),
}


class TableRow(dict[str, Any]):
    """A row of the table `source`; asked for a column that this lacks, it says how to make the table again."""

    __slots__ = ("source",)

    def __init__(self, values: Row, source: Path) -> None:
        super().__init__(values)
        self.source = source

    def __missing__(self, column: str) -> Any:
        """Raise an AsrmeterError that names the table and the way out."""
        raise AsrmeterError(_lacks(self.source, column))


def with_columns(row: Row, columns: Row) -> Row:
    """Return a row with further columns, or other values in them."""
    values = {**row, **columns}
    return TableRow(values, row.source) if isinstance(row, TableRow) else values


def read_rows(path: Path, schema: pa.Schema, key: Sequence[str] = CELL_KEY, words: Words = CELL_WORDS) -> list[Row]:
    """Read a Parquet table of a results folder, which anybody may have written.

    Texts are made such that they can be shown. What is not a finite number becomes None. A row with a value that cannot
    be is left out, and the log says so; that of a cell stays, with the status `unreadable` and the reason. `words` are
    the values that columns of text can have.

    Raises:
        AsrmeterError: there is no such file, it is not a Parquet file, a column has another type than in `schema`, or a
            column of `key` is missing or has a null.
    """
    try:
        columns = parquet.columns_of(parquet.opened(path).read(), schema)
    except (OSError, ValueError, pa.ArrowException) as error:
        why = one_line(error)
        raise AsrmeterError(f"{path}: cannot be read as a table; delete it and run again ({why})") from error
    for name in key:
        if name not in columns:
            raise AsrmeterError(_lacks(path, name))
        if None in columns[name]:
            raise AsrmeterError(f"{path}: {name} is missing in a row; delete it and run again")
    for name, values in columns.items():
        if pa.types.is_string(schema.field(name).type):
            most = _MOST_CHARACTERS.get(name.partition("_normalised")[0], _MOST)
            columns[name] = [value if value is None else printable(value, most) for value in values]
        elif pa.types.is_floating(schema.field(name).type):
            columns[name] = [_without_nan(value) for value in values]
    faults = _faults(columns, parquet.numbers_of(schema), words)
    of_cells = {*CELL_KEY, "weights", "status", "reason"} <= columns.keys() and "operator" not in columns
    for place, status in enumerate(columns["status"] if of_cells else ()):
        if status is None:
            faults.setdefault(place, "status is missing")
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if faults:
        first = f"{path}: cannot be used: {next(iter(faults.values()))}"
        logging.warning("left out: %s%s", first, f" (and {len(faults) - 1} more rows)" if len(faults) > 1 else "")
    for place, fault in faults.items():
        if of_cells:
            kept = {name: rows[place][name] for name in (*CELL_KEY, "weights")}
            rows[place] = dict.fromkeys(columns) | kept | {"status": UNREADABLE, "reason": f"{path}: {fault}"}
    return [TableRow(row, path) for place, row in enumerate(rows) if of_cells or place not in faults]


def checked_rows(path: Path, table: pa.Table, schema: pa.Schema, words: Words) -> list[Row]:
    """Return the rows of the table of a file in the columns of a schema; what a file lacks is null.

    Raises:
        AsrmeterError: there is no row, or one has a value that cannot be.
    """
    try:
        found = parquet.columns_of(table, schema)
    except ValueError as error:
        raise AsrmeterError(f"{path}: cannot be used: {one_line(error)}; delete it and run again") from error
    columns = {name: found.get(name) or [None] * table.num_rows for name in schema.names}
    faults = _faults(columns, parquet.numbers_of(schema), words)
    if faults or not table.num_rows:
        why = faults[min(faults)] if faults else "it has no row"
        raise AsrmeterError(f"{path}: cannot be used: {why}; delete it and run again")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _faults(columns: Mapping[str, Sequence[Any]], numbers: Iterable[str], words: Words) -> dict[int, str]:
    """Return the places of the rows with a value that cannot be, each with that value."""
    found: dict[int, str] = {}
    for name in numbers:
        if name in columns and impossible(name, columns[name]) is not None:
            for place, value in enumerate(columns[name]):
                if impossible(name, (value,)) is not None:
                    found.setdefault(place, f"{name} is {value}, which is impossible")
    for name, allowed in words.items():
        for place, value in enumerate(columns.get(name, ())):
            if value is not None and value not in allowed:
                found.setdefault(place, f'{name} is "{value[:60]}", which is not known')
    for name in ("started_at", "measured_at"):
        for place, value in enumerate(columns.get(name, ())):
            if value is not None and not is_time(value):
                found.setdefault(place, f'{name} is "{value[:60]}", not a time')
    return found


def cell_of(row: Row) -> Cell:
    """Return the cell that a row of any table belongs to."""
    return Cell(*(row[name] for name in CELL_KEY))


def cell_name(row: Row) -> str:
    """Return the name of a row's cell, such as `whisper-base/fp32/cpu/30s-b4`."""
    return cell_of(row).id


def _lacks(path: Path, column: str) -> str:
    return (
        f"{path}: lacks the column {column}, as an older version of asrmeter made it; `snakemake` with the study of "
        "that run makes its tables again, and measures nothing"
    )


def _without_nan(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
