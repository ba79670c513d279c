"""What came of a cell, or its siblings: the same model, variant, device and duration at other batch sizes.

Standard library only, as the measuring parent reads it.
"""

import json
import os
import re
from pathlib import Path

# Of a cell that was measured; every other status says why it was not.
MEASURED_STATUS = ("ok", "unconverged")
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
    """Return the status of a cell's file, read from the plain text in its footer; None if there is none."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 8))
            tail = file.read()
            footer = int.from_bytes(tail[:4], "little")
            if not tail.endswith(b"PAR1") or footer > size - 8:
                return None
            file.seek(size - 8 - footer)
            found = _STATUS.search(file.read(footer))
    except OSError:
        return None
    return json.loads(found[1]) if found else None
