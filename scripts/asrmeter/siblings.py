"""What came of a cell, or its siblings: the same model, variant, device and duration at other batch sizes.

Standard library only, as the measuring parent reads it.
"""

import json
import re
from pathlib import Path

from asrmeter import sealed

_NAME = re.compile(r"(?P<duration>\d+)s-b(?P<batch>\d+)\.parquet")
_STATUS = re.compile(rb'"status": ("[a-z]+")')


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
    """Return the status of a cell's file, read from the plain text in its footer; None if there is none, or damage."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    whole = content.endswith(b"PAR1") and not sealed.is_damaged(content)
    footer = content[-8 - int.from_bytes(content[-8:-4], "little") : -8] if whole else b""
    found = _STATUS.search(footer)
    return json.loads(found[1]) if found else None
