"""Runs that are kept under a name: a copy of tables, study and provenance in `runs/<name>`, without audio.

A kept run is whole or not there. It says nothing twice: what a list shows is read from its tables.
"""

import datetime
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from asrmeter.analysis.columns import CELLS, TRANSCRIPTS
from asrmeter.analysis.table_rows import TRANSCRIPT_KEY, read_rows
from asrmeter.common import parquet
from asrmeter.common.constants import KEPT_FILE
from asrmeter.common.errors import AsrmeterError, few, one_line
from asrmeter.common.files import atomic, explained, read_json
from asrmeter.common.regular_files import open_regular
from asrmeter.common.table_types import Row
from asrmeter.common.vocabulary import MEASURED_STATUS, UNREADABLE
from asrmeter.records.query import find_records
from asrmeter.records.run_folders import RUNS, is_name, kept_names, tables_of
from asrmeter.study.ownership import FILE as STUDY_FILE

# What is copied of a results folder.
_COPIED = ("tables/*.parquet", "tables/*.csv", STUDY_FILE, "corpus/*/selection.json", "models/*/provenance.json")


@dataclass(frozen=True)
class KeptRun:
    """A kept run; `cells` is empty, and `fault` says why, where it cannot be read."""

    name: str
    kept_at: datetime.datetime | None
    cells: tuple[Row, ...]
    fault: str = ""

    @property
    def n_measured(self) -> int:
        """How many of its cells were measured."""
        return sum(row["status"] in MEASURED_STATUS for row in self.cells)

    @property
    def measured_at(self) -> datetime.datetime | None:
        """When the last of its cells was measured."""
        told = [row["measured_at"] for row in self.cells if row["measured_at"]]
        return max(map(datetime.datetime.fromisoformat, told), default=None)

    def all_of(self, column: str) -> str:
        """Return the values of a column of its cells, the few that there are."""
        return few(sorted({str(row[column]) for row in self.cells if row[column] is not None}), 3)


def check_name(name: str) -> None:
    """Raise AsrmeterError if no run can be kept under a name: a bad one, of a kept run, or of a folder with tables."""
    if not is_name(name):
        raise AsrmeterError(
            f'"{name}" is not a name for a run: a letter, then letters, digits, dots, dashes, underscores, at most 100 '
            "in all, and no word that YAML reads as something else, such as null or yes"
        )
    if os.path.lexists(RUNS / name):
        raise AsrmeterError(
            f"{RUNS / name} already exists; give another name, or first run python scripts/runs.py remove {name}"
        )
    if os.path.lexists(name):
        raise AsrmeterError(f"{name} is also a file or folder here, and could mean either; give another name")


def keep(name: str, results: Path) -> KeptRun:
    """Copy what a results folder has of a finished run to `runs/<name>`, and return it as it was copied.

    Raises:
        AsrmeterError: the name is bad or taken, a table is missing or damaged, or there is no room for the copy.
    """
    check_name(name)
    if tables_of(results)[0].parent.parent != results:
        raise AsrmeterError(f"{results}: holds tables alone; name the results folder, which has study and provenance")
    read_json(results / STUDY_FILE, alone=True, shape={"name": str})
    sources = sorted(path for pattern in _COPIED for path in results.glob(pattern))
    target = RUNS / name
    with atomic(target) as part:
        for source in sources:
            _copy(source, part / source.relative_to(results))
        kept_at = datetime.datetime.now().astimezone().replace(microsecond=0)
        (part / KEPT_FILE).write_text(json.dumps({"kept_at": kept_at.isoformat()}) + "\n", encoding="utf-8")
        try:
            kept = _read(name, part)
        except AsrmeterError as error:
            # It is the original that is damaged.
            raise AsrmeterError(str(error).replace(str(part), str(results))) from error
        # Two that are kept at once: the first stays.
        check_name(name)
    return kept


def n_later_records(run: KeptRun, results: Path) -> int:
    """Return how many records of a results folder were measured after its tables were made: that run was broken off."""
    last = run.measured_at
    try:
        records = find_records(results)
    except AsrmeterError:
        return 0  # tables alone, or of an older version
    return sum(record.status != UNREADABLE and (last is None or record.measured_at > last) for record in records)


def kept_runs() -> list[KeptRun]:
    """Return all kept runs by name, a damaged one with what is wrong with it."""
    return list(map(_found, kept_names()))


def remove(name: str) -> None:
    """Delete a kept run.

    Raises:
        AsrmeterError: there is none of that name, or it cannot be deleted.
    """
    names = kept_names()
    if name not in names or (RUNS / name).is_symlink():
        known = few(names) or "none"
        raise AsrmeterError(f'"{name}" is not a kept run; kept runs: {known}')
    # Out of sight first, so that no half of it is ever taken for a run.
    gone = RUNS / f".{name}.removed"
    with explained(RUNS / name):
        shutil.rmtree(gone, ignore_errors=True)
        os.replace(RUNS / name, gone)
        shutil.rmtree(gone)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with open_regular(source) as stream, open(target, "xb") as copy:
        shutil.copyfileobj(stream, copy)


def _found(name: str) -> KeptRun:
    try:
        return _read(name, RUNS / name)
    except AsrmeterError as error:
        return KeptRun(name, None, (), fault_of(name, error))


def fault_of(name: str, error: AsrmeterError) -> str:
    """Return what is wrong with a kept run; no run makes its tables again, as an error of a table would have it."""
    return f"{str(error).partition('; delete ')[0]}; python scripts/runs.py remove {name}"


def _read(name: str, folder: Path) -> KeptRun:
    """Return the kept run in a folder, after a check of all its tables.

    Raises:
        AsrmeterError: a file is missing or damaged.
    """
    written = read_json(folder / KEPT_FILE, alone=True, shape={"kept_at": str})["kept_at"]
    try:
        kept_at = datetime.datetime.fromisoformat(written)
    except ValueError as error:
        raise AsrmeterError(f"{folder / KEPT_FILE}: {one_line(error)}") from error
    cells, transcripts = tables_of(folder)
    rows = read_rows(cells, CELLS)
    read_rows(transcripts, TRANSCRIPTS, TRANSCRIPT_KEY)
    for path in _others(folder / "tables", (cells, transcripts)):
        try:
            parquet.opened(path)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise AsrmeterError(f"{path}: cannot be read as a table ({one_line(error)})") from error
    return KeptRun(name, kept_at, tuple(rows))


def _others(tables: Path, known: Sequence[Path]) -> Iterator[Path]:
    return (path for path in sorted(tables.glob("*.parquet")) if path not in known)
