"""The status of a cell, without pyarrow: from the JSON file beside its record.

`30s-b4.json` beside `30s-b4.parquet` has the record's header and the sha256 of the record. It is written before the
record. So a record without it is of an older version, and one with another hash is damaged or was put there by hand.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from asrmeter.common.files import sha256_of, write_atomically

if TYPE_CHECKING:
    from asrmeter.records.header import RecordHeader

# Stands for the status of a record without a JSON file: older versions wrote none.
UNKNOWN = "unknown"
_NAME = re.compile(r"(?P<duration>\d+)s-b(?P<batch>\d+)\.parquet")


def json_of(record: Path) -> Path:
    """Return the JSON file beside a record."""
    return record.with_suffix(".json")


def write(record: Path, content: bytes, header: "RecordHeader") -> None:
    """Write the JSON file beside a record that is about to be written with this content and header."""
    beside = {"sha256": hashlib.sha256(content).hexdigest(), "header": header.to_json()}
    write_atomically(json_of(record), json.dumps(beside))


def smaller_out_of_memory(cell: Path) -> int | None:
    """Return the smallest batch size below the cell's that ran out of memory, None if none did.

    Compared are the records of the same model, variant, device and duration, which are in one folder.
    """
    own = _NAME.fullmatch(cell.name)
    if own is None or not cell.parent.is_dir():
        return None
    found = (
        int(other["batch"])
        for path in cell.parent.iterdir()
        if (other := _NAME.fullmatch(path.name))
        and other["duration"] == own["duration"]
        and int(other["batch"]) < int(own["batch"])
        and status(path) == "oom"
    )
    return min(found, default=None)


def status(record: Path) -> str | None:
    """Return the status of a record; None if there is no record, or it is damaged."""
    if record.is_file() and not json_of(record).exists():
        return UNKNOWN
    found = header(record)
    return found.status if found and isinstance(found.status, str) else None


def header(record: Path) -> "RecordHeader | None":
    """Return the header of a record; None if there is no record or no JSON file, or either is damaged."""
    from asrmeter.records.header import RecordHeader  # only where there are records: a job's start-up pays for it

    try:
        beside = json.loads(json_of(record).read_text(encoding="utf-8"))
        if beside["sha256"] == sha256_of(record):
            return RecordHeader.from_json(beside["header"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    return None
