"""The Parquet file of one sitting: a row per pass with the cell's spec and status, and a header with all the rest."""

import contextlib
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from asrmeter.common import parquet
from asrmeter.common.constants import PROTOCOL_VERSION
from asrmeter.common.errors import AsrmeterError, one_line
from asrmeter.common.files import write_atomically
from asrmeter.common.vocabulary import STAGES, DecoderWork
from asrmeter.records import status, validity
from asrmeter.records.header import RecordHeader

# The columns that say which cell a row belongs to and how it went.
CELL_FIELDS = [
    ("model", pa.string()),
    ("weights", pa.string()),
    ("variant", pa.string()),
    ("device", pa.string()),
    ("duration_s", pa.int32()),
    ("batch_size", pa.int32()),
    ("threads", pa.int32()),
    ("protocol", pa.int32()),
    ("lap", pa.int32()),
    ("status", pa.string()),
    ("reason", pa.string()),
    ("machine_id", pa.string()),
]
PASS_FIELDS = [
    ("phase", pa.string()),
    ("round", pa.int32()),
    ("batch", pa.int32()),
    ("segment_ids", pa.list_(pa.string())),
    ("started_at_s", pa.float64()),
    ("ended_at_s", pa.float64()),
    ("latency_s", pa.float64()),
    *((f"{stage}_s", pa.float64()) for stage in STAGES),
    ("audio_s", pa.float64()),
    ("texts", pa.list_(pa.string())),
    ("n_tokens", pa.list_(pa.int32())),
    ("n_windows", pa.list_(pa.int32())),
    ("processed_s", pa.list_(pa.float64())),
    *((field.name, pa.int64()) for field in fields(DecoderWork)),
]
SCHEMA = pa.schema([*CELL_FIELDS, *PASS_FIELDS])
_NUMBERS = parquet.numbers_of(pa.schema(PASS_FIELDS))


def write(path: Path, header: RecordHeader, passes: list[dict[str, Any]]) -> None:
    """Write a record, and the JSON file beside it. A cell without a pass gets one row whose pass columns are null.

    Of a reason or a transcript that UTF-8 cannot store, what it cannot store is escaped.
    """
    header = replace(header, reason=header.reason and _storable(header.reason))
    cell = {name: getattr(header, name) for name, _ in CELL_FIELDS}
    rows = [cell | {name: entry.get(name) for name, _ in PASS_FIELDS} for entry in passes] or [cell]
    for row in rows:
        if texts := row.get("texts"):
            row["texts"] = list(map(_storable, texts))
    content = parquet.as_parquet(pa.Table.from_pylist(rows, schema=SCHEMA), header.to_json())
    status.write(path, content, header)
    write_atomically(path, content)


def _storable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def read(path: Path) -> tuple[RecordHeader, list[dict[str, Any]]]:
    """Return (header, passes) of a cell's file.

    Raises:
        AsrmeterError: the file is missing, broken or not a cell, or has a value that cannot be.
    """
    with _readable(path):
        table = parquet.opened(path).read(use_threads=False)  # it is small
        header = _header(table)
        found = parquet.columns_of(table, SCHEMA)
        columns = {name: found.get(name) or [None] * table.num_rows for name in SCHEMA.names}
        for name, _ in CELL_FIELDS:
            if set(columns[name]) != {getattr(header, name)}:
                raise _Unusable(f"{name} is another in its passes than in its header")
        if columns["phase"] == [None]:  # a cell without a pass
            columns = {name: [] for name in SCHEMA.names}
        if fault := validity.fault_of_passes(header, columns, _NUMBERS):
            raise _Unusable(fault)
        return header, [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def read_header(path: Path) -> RecordHeader:
    """Return the header of a cell's file without its passes.

    Raises:
        AsrmeterError: the file is missing, broken or not a cell, or its header has a value that cannot be.
    """
    with _readable(path):
        return _header(parquet.opened(path).schema_arrow.empty_table())


def _header(table: pa.Table) -> RecordHeader:
    content = parquet.header_of(table)
    if (version := content.get("protocol")) != PROTOCOL_VERSION and isinstance(version, int):
        raise _OtherProtocol(f"was measured by protocol {version}")
    header = RecordHeader.from_json(content)
    if fault := validity.fault_of_header(header):
        raise _Unusable(fault)
    return header


class _Unusable(Exception):
    """A record can be read, but was not measured as it stands there."""


class _OtherProtocol(Exception):
    """A record holds what another version of the protocol measured."""


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except _OtherProtocol as error:
        raise AsrmeterError(
            f"{path}: {error}, and this version of asrmeter reads protocol {PROTOCOL_VERSION}; delete the folder "
            "measurements that it is in, or give the study another folder (results: ...)"
        ) from error
    except _Unusable as error:
        raise AsrmeterError(f"{path}: cannot be used: {error}; delete it and run again") from error
    except KeyError as error:
        raise AsrmeterError(f"{path}: is not a cell's file (no {one_line(error)}); delete it and run again") from error
    except (OSError, ValueError, TypeError, RecursionError, pa.ArrowException) as error:
        raise AsrmeterError(f"{path}: cannot be read as a cell ({one_line(error)}); delete it and run again") from error
