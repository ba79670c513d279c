"""What came of a cell, or its siblings: the same model, variant, device and duration at other batch sizes.

Standard library only, as the measuring parent reads it.
"""

import json
import re
from pathlib import Path
from typing import Any

from asrmeter.common import checksums

# What stands for the status of a record that is damaged.
UNREADABLE = "unreadable"
# In Thrift's compact form: the key, and the type and length of a text that begins with a brace.
_HEADER = re.compile(rb"\x08asrmeter\x18[\x80-\xff]*[\x00-\x7f]\{")
_NAME = re.compile(r"(?P<duration>\d+)s-b(?P<batch>\d+)\.parquet")


def smaller_out_of_memory(cell: Path) -> int | None:
    """Return the least batch size below the cell's that ran out of memory; None if there is no such sibling."""
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


def status(path: Path) -> str | None:
    """Return the status of a cell's file; None if there is none, or damage."""
    found = header(path).get("status")
    return found if isinstance(found, str) else None


def header(path: Path) -> dict[str, Any]:
    """Return the header of a cell's file, read from the plain text in its footer; empty if there is none, or damage."""
    try:
        content = path.read_bytes()
        if checksums.is_damaged(content):
            return {}
        footer = content[-8 - int.from_bytes(content[-8:-4], "little") : -8]
        if found := _HEADER.search(footer):
            # What follows the text is not ours.
            return dict(json.JSONDecoder().raw_decode(footer[found.end() - 1 :].decode(errors="replace"))[0])
    except (OSError, ValueError, RecursionError):
        pass
    return {}
