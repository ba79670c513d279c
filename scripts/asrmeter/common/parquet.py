"""Tables as files: Parquet and CSV, written completely or not at all. A Parquet file contains a hash of its bytes.

The sha256 is in the file's metadata. It covers all bytes, with `_BLANK` in its own place.
"""

import hashlib
import io
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from asrmeter.common.errors import AsrmeterError, one_line
from asrmeter.common.files import write_atomically
from asrmeter.common.printable import printable
from asrmeter.common.regular_files import read_regular

# Keys of a file's metadata.
_HEADER, _CHECKSUM = b"asrmeter", b"asrmeter.sha256"
_BLANK = b"0" * 64
# More than in the tables of a study with ten thousand cells.
MOST_BYTES, _MOST_ROWS = 2**31, 10_000_000
# All characters that `printable` may change, as an Arrow expression.
_UNSEEN = r"[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]"
# Half of a surrogate pair, or a whole one.
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")


def read(file: Path) -> pa.Table:
    """Return the table of a Parquet file.

    Raises:
        AsrmeterError: it is missing or broken.
    """
    try:
        return opened(file).read()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise AsrmeterError(f"{file}: cannot be read ({one_line(error)}); delete it and run again") from error


def opened(file: Path) -> pq.ParquetFile:
    """Return a Parquet file for reading, after a check of its bytes. A file without a checksum passes.

    Raises:
        AsrmeterError: the bytes differ from those that were written, or it is not a regular file.
        OSError, ValueError, pyarrow.ArrowException: the file is missing, or is not a Parquet file.
    """
    content = read_regular(file, MOST_BYTES)
    found = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
    if found.metadata.num_rows > _MOST_ROWS:
        raise AsrmeterError(
            f"{file}: has {found.metadata.num_rows:,} rows, more than {_MOST_ROWS:,}; delete it and run again"
        )
    checksum = (found.metadata.metadata or {}).get(_CHECKSUM)
    if checksum and hashlib.sha256(_replace_last(content, checksum, _BLANK)).hexdigest().encode() != checksum:
        raise AsrmeterError(
            f"{file}: is damaged: its bytes differ from those that were written; delete it and run again"
        )
    return found


def columns_of(table: pa.Table, schema: pa.Schema) -> dict[str, list[Any]]:
    """Return the columns of a schema that a table has, as Python values.

    Raises:
        ValueError: a column is of another type.
    """
    return (table if table.schema.equals(schema) else in_types(table, schema)).to_pydict()


def in_types(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return those columns of a schema that a table has, in the schema's types.

    Raises:
        ValueError: a column is of another type.
    """
    names = [name for name in table.column_names if name in schema.names]
    return pa.table({name: _as_type(name, table[name], schema.field(name).type) for name in names})


def _as_type(name: str, column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Convert a column to another type with the same values, never between text and numbers."""
    if column.type == kind:
        return column
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column), kind)])
    try:
        if _is_text(column.type) == _is_text(kind):
            return column.cast(kind)
    except pa.ArrowException:
        pass
    raise ValueError(f"{name} has values of the type {column.type}, not {kind}")


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)


def numbers_of(schema: pa.Schema) -> tuple[str, ...]:
    """Return the columns of a schema that are numbers, or lists of numbers."""

    def is_number(kind: pa.DataType) -> bool:
        kind = kind.value_type if pa.types.is_list(kind) else kind
        return pa.types.is_floating(kind) or pa.types.is_integer(kind)

    return tuple(field.name for field in schema if is_number(field.type))


def header_of(table: pa.Table) -> dict[str, Any]:
    """Return the saved header of a table.

    Raises:
        KeyError: there is no header.
        ValueError: the header is damaged.
    """
    written = (table.schema.metadata or {})[_HEADER]
    content = json.loads(written)
    if _HALF.search(written):  # JSON can name what UTF-8 cannot store
        content = json.loads(json.dumps(content, ensure_ascii=False).encode("utf-8", "replace"))
    return dict(content)


def save(file: Path, table: pa.Table, header: Mapping[str, Any] | None = None) -> None:
    """Write a table as a Parquet file, completely or not at all; its `header` is JSON."""
    write_atomically(file, as_parquet(table, header))


def as_parquet(table: pa.Table, header: Mapping[str, Any] | None = None) -> bytes:
    """Return the bytes of a Parquet file with its checksum."""
    if header is not None:
        table = table.replace_schema_metadata({_HEADER: json.dumps(header)})
    stream = io.BytesIO()
    with pq.ParquetWriter(stream, table.schema, write_page_checksum=True) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({_CHECKSUM: _BLANK})
    content = stream.getvalue()
    return _replace_last(content, _BLANK, hashlib.sha256(content).hexdigest().encode())


def _replace_last(content: bytes, old: bytes, new: bytes) -> bytes:
    before, _, after = content.rpartition(old)
    return before + new + after


def write(tables: Mapping[str, pa.Table], folder: Path) -> None:
    """Write every table as Parquet and CSV: invisible characters are escaped in both, and lists become JSON in CSV."""
    for name, table in tables.items():
        shown = _with_columns(table, pa.types.is_string, _visible)
        save(folder / f"{name}.parquet", shown)
        write_atomically(folder / f"{name}.csv", as_csv(shown))


def as_csv(table: pa.Table) -> bytes:
    """Return a table with escaped invisible characters as CSV; lists become JSON."""
    stream = io.BytesIO()
    pa.csv.write_csv(_with_columns(table, pa.types.is_list, _as_json), stream)
    return stream.getvalue()


def from_csv(content: bytes, schema: pa.Schema) -> pa.Table:
    """Return those columns of a schema that a CSV file of `as_csv` has: an empty field is null, "" an empty text.

    Raises:
        ValueError, pyarrow.ArrowException: it is not such a file, or a column is of another type.
    """
    lists = {field.name: field.type for field in schema if pa.types.is_list(field.type)}
    types = {field.name: pa.string() if field.name in lists else field.type for field in schema}
    table = pa.csv.read_csv(
        io.BytesIO(content),
        parse_options=pa.csv.ParseOptions(newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(
            column_types=types, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    )
    return pa.table(
        {
            name: _from_json(column, lists[name]) if name in lists else column
            for name, column in zip(table.column_names, table.columns, strict=True)
            if name in types
        }
    )


def _from_json(column: pa.ChunkedArray, kind: pa.DataType) -> pa.Array:
    """Return a column of texts in JSON as lists."""
    return pa.array([None if text is None else json.loads(text) for text in column.to_pylist()], kind)


def _with_columns(
    table: pa.Table, are_meant: Callable[[pa.DataType], bool], change: Callable[[pa.ChunkedArray], pa.Array]
) -> pa.Table:
    """Return a table with its columns of some types changed."""
    for i, column in enumerate(table.schema):
        if are_meant(column.type):
            changed = change(table[i])
            table = table.set_column(i, column.with_type(changed.type), changed)
    return table


def _as_json(column: pa.ChunkedArray) -> pa.Array:
    """Return a column of lists as JSON texts, with invisible characters escaped as in JSON."""
    texts: list[str | None] = []
    for value in column.to_pylist():
        text = None if value is None else json.dumps(value, ensure_ascii=False)
        texts.append(text if text is None or printable(text) == text else json.dumps(value))
    return pa.array(texts, pa.string())


def _visible(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of texts with invisible characters escaped; most texts have none."""
    unseen = pc.match_substring_regex(column, _UNSEEN)
    if not pc.any(unseen).as_py():
        return column
    return pc.replace_with_mask(
        column.combine_chunks(),
        pc.fill_null(unseen, False).combine_chunks(),
        pa.array([printable(text) for text in column.filter(unseen).to_pylist()], pa.string()),
    )
