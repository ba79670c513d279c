"""Rows of tables as their readers see them, and the cell that a row belongs to.

Readers take every column that a table has. A column that it lacks is an error only where somebody asks for it.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from asrmeter.common import parquet
from asrmeter.common.errors import AsrmeterError, one_line
from asrmeter.common.table_types import Row
from asrmeter.study.grid import Cell

# The columns that name a cell, and those that a transcript needs besides: a row without them says nothing.
CELL_KEY = ("model", "variant", "device", "duration_s", "batch_size")
TRANSCRIPT_KEY = (*CELL_KEY, "segment_id", "n_words")


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


def read_rows(path: Path, key: Sequence[str] = CELL_KEY) -> list[Row]:
    """Read a Parquet table; null and what is not a finite number become None.

    Raises:
        AsrmeterError: there is no such file, it is not a Parquet file, or a column of `key` is missing or has a null.
    """
    try:
        table = parquet.opened(path).read()
        columns = {
            name: [_without_nan(value) for value in column.to_pylist()]
            for name, column in zip(table.column_names, table.columns, strict=True)
        }
    except (OSError, ValueError, pa.ArrowException) as error:
        why = one_line(error)
        raise AsrmeterError(f"{path}: cannot be read as a table; delete it and run again ({why})") from error
    for name in key:
        if name not in columns:
            raise AsrmeterError(_lacks(path, name))
        if None in columns[name]:
            raise AsrmeterError(f"{path}: {name} is missing in a row; delete it and run again")
    return [TableRow(dict(zip(columns, row, strict=True)), path) for row in zip(*columns.values(), strict=True)]


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
