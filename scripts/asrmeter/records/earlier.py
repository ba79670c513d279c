"""Records of a corpus before recordings were added, beside those that take their place. Standard library only.

Snakemake removes a record before its job begins. So a run puts it aside before its first job, in the hidden folder
`.earlier` of the cell, where the job finds what still holds: see `records.carried`. The folder goes when the run was
finished.
"""

import os
import shutil
from pathlib import Path

from asrmeter.records import status

FOLDER = ".earlier"


def set_aside(record: Path, corpus_key: str) -> bool:
    """Keep a record if it is of a corpus with another key; return whether it is."""
    header = status.header(record)
    if header is None or header.corpus_key in (None, corpus_key):
        return False
    kept = record.parent / FOLDER / record.name
    kept.parent.mkdir(exist_ok=True)
    for source, target in ((status.json_of(record), status.json_of(kept)), (record, kept)):
        target.unlink(missing_ok=True)
        try:
            os.link(source, target)
        except OSError:  # not every file system has hard links
            shutil.copy2(source, target)
    return True


def of_cell(record: Path) -> dict[int, Path]:
    """Return the earlier records of a cell by lap; `record` is any of its records."""
    return status.laps_of(record.parent / FOLDER)


def forget(record: Path) -> None:
    """Remove the earlier records of a cell; `record` is any of its records."""
    shutil.rmtree(record.parent / FOLDER, ignore_errors=True)
