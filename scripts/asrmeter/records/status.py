"""The status of a sitting, without pyarrow: from the JSON file beside its record.

`lap1.json` beside `lap1.parquet` has the record's header and the sha256 of the record, and what came of tries that
left it as it is. It is written before the record. So a record without it is of an older version, and one with another
hash is damaged or was put there by hand.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrmeter.common.errors import AsrmeterError
from asrmeter.common.files import sha256_of, write_atomically

if TYPE_CHECKING:
    from asrmeter.records.header import RecordHeader

# Stands for the status of a record without a JSON file: older versions wrote none.
UNKNOWN = "unknown"
# The folder of a cell, and a record in it.
_CELL = re.compile(r"(?P<duration>\d+)s-b(?P<batch>\d+)")
_LAP = re.compile(r"lap(\d)\.parquet")


def json_of(record: Path) -> Path:
    """Return the JSON file beside a record."""
    return record.with_suffix(".json")


def write(record: Path, content: bytes, header: "RecordHeader") -> None:
    """Write the JSON file beside a record that is about to be written with this content and header."""
    beside = {"sha256": hashlib.sha256(content).hexdigest(), "header": header.to_json()}
    write_atomically(json_of(record), json.dumps(beside))


def laps_of(cell: Path) -> dict[int, Path]:
    """Return the records in the folder of a cell by lap, the first one first."""
    if not cell.is_dir():
        return {}
    found = {int(named[1]): path for path in cell.iterdir() if (named := _LAP.fullmatch(path.name))}
    return dict(sorted(found.items()))


def smaller_out_of_memory(record: Path) -> int | None:
    """Return the smallest batch size below the record's that ran out of memory in any lap, None if none did.

    Compared are cells of the same model, variant, device and duration, whose folders are beside the record's.
    """
    own = _CELL.fullmatch(record.parent.name)
    if own is None or not record.parent.parent.is_dir():
        return None
    found = (
        int(other["batch"])
        for folder in record.parent.parent.iterdir()
        if (other := _CELL.fullmatch(folder.name))
        and other["duration"] == own["duration"]
        and int(other["batch"]) < int(own["batch"])
        and any(status(path) == "oom" for path in laps_of(folder).values())
    )
    return min(found, default=None)


def check_protocol(results: Path) -> None:
    """Raise AsrmeterError if a results folder has records of protocol 1: of a cell that has no folder for its laps."""
    folder = results / "measurements"
    if old := next(folder.glob("*/*/*/*s-b*.parquet"), None):
        raise AsrmeterError(
            f"{old}: was measured by protocol 1, and this version measures in laps; delete {folder} and run again, or "
            f"keep it and give the study another folder (results: {results}-2)"
        )


def note_try(record: Path, attempt: int, came_out: str) -> None:
    """Record the outcome of another try of a sitting whose record stays, unless the record is damaged."""
    if (beside := _beside(record)) is not None:
        told = beside | {"tries": tries(record) | {str(attempt): came_out}}
        write_atomically(json_of(record), json.dumps(told))


def tries(record: Path) -> dict[str, str]:
    """Return the outcomes of later tries that did not replace the record, by their number."""
    found = (_beside(record) or {}).get("tries", {})
    return found if isinstance(found, dict) else {}


def n_tries(record: Path) -> int:
    """Return how often a sitting was tried; 0 if there is no record, or it is damaged."""
    told = (_beside(record) or {}).get("header")
    attempt = told.get("attempt", 1) if isinstance(told, dict) else 0
    return attempt + len(tries(record)) if isinstance(attempt, int) else 0


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
        return RecordHeader.from_json((_beside(record) or {})["header"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _beside(record: Path) -> dict[str, Any] | None:
    """Return the content of the JSON file beside a record; None if either is not there or is damaged."""
    try:
        beside = json.loads(json_of(record).read_text(encoding="utf-8"))
        return beside if beside["sha256"] == sha256_of(record) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
