"""Tables as files: Parquet and CSV, whole or not there. A Parquet file carries the hash of its own bytes.

The sha256 is in the file's metadata. It is that of all bytes, with `_BLANK` in its own place.
"""

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from asrmeter.common.errors import AsrmeterError, one_line
from asrmeter.common.files import atomic, write_atomically
from asrmeter.common.printable import printable

# Keys of a file's metadata.
_HEADER, _CHECKSUM = b"asrmeter", b"asrmeter.sha256"
_BLANK = b"0" * 64


def gathered(files: Sequence[Path], schema: pa.Schema) -> pa.Table:
    """Return the rows of all files as one table.

    Raises:
        AsrmeterError: a file is missing, broken or holds something else.
    """
    tables = [schema.empty_table()]
    for file in files:
        table = read(file)
        try:
            tables.append(table.select(schema.names).cast(schema))
        except (KeyError, ValueError, pa.ArrowException) as error:
            raise AsrmeterError(f"{file}: is another table ({error}); delete it and run again") from error
    return pa.concat_tables(tables)


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
    """Return a Parquet file to read from, after a check of its bytes. A file without a checksum counts as whole.

    Raises:
        AsrmeterError: the bytes are not those that were written.
        OSError, ValueError, pyarrow.ArrowException: the file is missing, or is not a Parquet file.
    """
    content = file.read_bytes()
    found = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
    checksum = (found.metadata.metadata or {}).get(_CHECKSUM)
    if checksum and hashlib.sha256(_replace_last(content, checksum, _BLANK)).hexdigest().encode() != checksum:
        raise AsrmeterError(f"{file}: is damaged, its bytes are not those that were written; delete it and run again")
    return found


def header_of(table: pa.Table) -> dict[str, Any]:
    """Return what was saved as the header of a table that was read.

    Raises:
        KeyError: there is none.
        ValueError: it is damaged.
    """
    return dict(json.loads((table.schema.metadata or {})[_HEADER]))


def save(file: Path, table: pa.Table, header: Mapping[str, Any] | None = None) -> None:
    """Write a table as a Parquet file, whole or not there; its `header` is JSON."""
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
    """Write every table as Parquet and CSV, its texts as they can be shown; lists become JSON in CSV."""
    for name, table in tables.items():
        shown = _with_columns(table, pa.types.is_string, printable)
        save(folder / f"{name}.parquet", shown)
        with atomic(folder / f"{name}.csv") as part:
            pa.csv.write_csv(_with_columns(shown, pa.types.is_list, _as_json), part)


def _as_json(values: Any) -> str:
    text = json.dumps(values, ensure_ascii=False)
    return text if printable(text) == text else json.dumps(values)


def _with_columns(table: pa.Table, are_meant: Callable[[pa.DataType], bool], change: Callable[[Any], str]) -> pa.Table:
    """Return a table with the columns of some types as text, and each of their values changed."""
    for i, column in enumerate(table.schema):
        if are_meant(column.type):
            values = [None if value is None else change(value) for value in table[i].to_pylist()]
            table = table.set_column(i, column.name, pa.array(values, pa.string()))
    return table
