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
from asrmeter.common.shared_columns import shared
from asrmeter.common.table_types import INTEGER, LABEL, LABELS, NUMBER, SPEECHES, Kind, Source, Text, column
from asrmeter.common.vocabulary import STAGES, DecoderWork
from asrmeter.records import status, validity
from asrmeter.records.header import RecordHeader

_INT = pa.int32()
_OF_STAGE = {
    "features": "feature extraction",
    "encoder": "the encoder",
    "decoder": "the decoder (the output layer of a CTC model)",
    "text": "text from tokens",
}
# What a decoder was run on in a pass, and its unit.
DECODER_WORK = {
    "n_decoder_runs": ("Number of decoder runs in a pass", "runs"),
    "n_decoder_rows": ("Rows processed by the decoder in a pass, including waiting ones", "rows"),
    "n_decoder_tokens": ("Tokens read by the decoder in a pass, including waiting rows", "tokens"),
    "n_decoder_positions": ("Self-attention positions in a pass, summed over its tokens", "positions"),
}


def _of_pass(name: str, kind: Kind, meaning: str, unit: str = "", null_when: str = "") -> pa.Field:
    reasons = "; or ".join(filter(None, ("the cell has no pass", null_when)))
    return column(name, kind, meaning, Source.MEASURED, unit=unit, null_when=reasons)


def _by_segment(name: str, kind: Kind, meaning: str, unit: str = "") -> pa.Field:
    told = f"{meaning}, for each segment; null in the list if the runtime does not report it."
    return _of_pass(name, kind if isinstance(kind, Text) else pa.list_(kind), told, unit)


# The columns that say which cell a row belongs to and how it went.
CELL_FIELDS = [
    shared("model"),
    shared("weights"),
    shared("variant"),
    shared("device"),
    shared("duration_s", _INT),
    shared("batch_size", _INT),
    shared("threads", _INT),
    shared("protocol", _INT),
    shared("lap", _INT),
    shared("status"),
    shared("reason"),
    shared("machine_id"),
]
PASS_FIELDS = [
    _of_pass("phase", LABEL, "`warmup`, which is not evaluated, or `latency`."),
    _of_pass("round", _INT, "The round over the batches, from 0.", "", "the pass is not in a round"),
    _of_pass("batch", _INT, "The batch of the class, from 0."),
    _of_pass("segment_ids", LABELS, "The segments of the batch; none in the warm-up, which truncates them."),
    _of_pass("started_at_s", NUMBER, "Begin of the pass, since 1970 in UTC.", "s"),
    _of_pass("ended_at_s", NUMBER, "End of the pass: its begin plus the time by a monotonic clock.", "s"),
    _of_pass("latency_s", NUMBER, "Wall time of the pass, from waveforms in memory to text.", "s"),
    *(
        _of_pass(
            f"{stage}_s", NUMBER, f"The part of the latency for {_OF_STAGE[stage]}.", "s", "the stage is not marked"
        )
        for stage in STAGES
    ),
    _of_pass("audio_s", NUMBER, "The audio of the batch, without padding.", "s"),
    _by_segment("texts", SPEECHES, "The transcript"),
    _by_segment("n_tokens", _INT, "The tokens of the text", "tokens"),
    _by_segment("n_windows", _INT, "Windows processed by the encoder", "windows"),
    _by_segment("processed_s", NUMBER, "Audio processed by the encoder, including padding", "s"),
    _by_segment("languages", LABELS, "The language detected by the model if it was given none"),
    *(
        _of_pass(field.name, INTEGER, f"{meaning}.", unit, "the runtime does not report it")
        for field in fields(DecoderWork)
        for meaning, unit in [DECODER_WORK[field.name]]
    ),
]
# Records are many, and what their columns mean is said in the table that they become.
SCHEMA = pa.schema([field.remove_metadata() for field in (*CELL_FIELDS, *PASS_FIELDS)])
_NUMBERS = parquet.numbers_of(pa.schema(PASS_FIELDS))


def write(path: Path, header: RecordHeader, passes: list[dict[str, Any]]) -> None:
    """Write a record, and the JSON file beside it. A cell without a pass gets one row whose pass columns are null.

    Of a reason or a transcript that UTF-8 cannot store, what it cannot store is escaped.
    """
    header = replace(header, reason=header.reason and _storable(header.reason))
    cell = {field.name: getattr(header, field.name) for field in CELL_FIELDS}
    rows = [cell | {field.name: entry.get(field.name) for field in PASS_FIELDS} for entry in passes] or [cell]
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
        AsrmeterError: the file is missing, broken or not a cell, or has an impossible value.
    """
    with _readable(path):
        table = parquet.opened(path).read(use_threads=False)  # it is small
        header = _header(table)
        found = parquet.columns_of(table, SCHEMA)
        columns = {name: found.get(name) or [None] * table.num_rows for name in SCHEMA.names}
        for name in (field.name for field in CELL_FIELDS):
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
    """A record can be read, but its content was not measured like this."""


class _OtherProtocol(Exception):
    """A record was measured with another version of the protocol."""


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
