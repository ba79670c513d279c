"""Find the two runs to compare, by name or folder, and their tables.

A kept run is a copy in `runs/<name>` of what a results folder had (`analysis/kept_runs`). Standard library only:
Snakemake asks at every start.
"""

import os.path
import re
from pathlib import Path
from typing import TYPE_CHECKING

from asrmeter.common.constants import KEPT_FILE
from asrmeter.common.errors import AsrmeterError, did_you_mean, few

if TYPE_CHECKING:
    from asrmeter.study.model import Study

TABLES = ("cells.parquet", "transcripts.parquet")
# The folder of kept runs.
RUNS = Path("runs")
# Texts in YAML without quotes, and in a shell.
_NAME = re.compile(r"(?!(?:null|true|false|yes|no|on|off|y|n)$)[a-z][a-z0-9._-]{0,99}", re.IGNORECASE)
HOW = "snakemake --cores 1 compare --config compare='{first: results-a, second: results-b}'"


def is_name(text: str) -> bool:
    """Return whether a run can be kept under this name."""
    return _NAME.fullmatch(text) is not None


def kept_names() -> list[str]:
    """Return the names of the kept runs, whole or damaged, in their order."""
    try:
        found = [entry.name for entry in os.scandir(RUNS) if is_name(entry.name) and entry.is_dir()]
    except OSError:
        return []
    return sorted(name for name in found if (RUNS / name / KEPT_FILE).exists())


def tables_of(run: str | Path) -> tuple[Path, Path]:
    """Return the cells and the transcripts table of a kept run by its name, or of a results folder or tables folder.

    Raises:
        AsrmeterError: they are not there, or the name means a kept run and a folder.
    """
    kept = _tables_in(RUNS / run) if is_name(str(run)) else None
    found = _tables_in(Path(run))
    if kept and found:
        raise AsrmeterError(f"{run}: is a kept run and a folder with tables; write {RUNS / run} or ./{run}")
    if tables := kept or found:
        return tables
    names = kept_names()
    known = f"; kept runs: {few(names)}{did_you_mean(str(run), names)}" if names else ""
    lacks = " and ".join(TABLES)
    raise AsrmeterError(f"{run}: neither a results folder nor a tables folder: holds no {lacks}{known}")


def _tables_in(folder: Path) -> tuple[Path, Path] | None:
    for tables in (folder / "tables", folder):
        if all((tables / name).is_file() for name in TABLES):
            return tables / TABLES[0], tables / TABLES[1]
    return None


def differ(first: Path, second: Path) -> None:
    """Raise AsrmeterError if both tables folders are the same."""
    if first.resolve() == second.resolve():
        raise AsrmeterError(f"{first} and {second} are the same run; name two that differ: {HOW}")


def compared(study: "Study") -> tuple[str, str]:
    """Return the names or folders of both runs that a complete study compares.

    Raises:
        AsrmeterError: no first one is named, one of them has no tables, or both are the same.
    """
    first, second = study.compare.first, study.compare.second or study.results
    if first is None:
        raise AsrmeterError(f"compare.first: name the results folder to compare with: {HOW}")
    differ(*(_tables(key, folder)[0].parent for key, folder in (("first", first), ("second", second))))
    return first, second


def of_report(study: "Study") -> tuple[list[str], list[str]]:
    """Return the name or folder, and the tables, of the run that the report of a complete study compares with.

    Both are empty where it compares with none: it does where its own results are what is judged.

    Raises:
        AsrmeterError: that run has no tables, or is the study's own.
    """
    first, second = study.compare.first, study.compare.second or study.results
    if first is None or os.path.normpath(second) != os.path.normpath(study.results):
        return [], []
    tables = _tables("first", first)
    differ(tables[0].parent, Path(study.results) / "tables")
    return [first], [str(path) for path in tables]


def _tables(key: str, folder: str) -> tuple[Path, Path]:
    try:
        return tables_of(folder)
    except AsrmeterError as error:
        raise AsrmeterError(f"compare.{key}: {error}; give the results folder of a finished run: {HOW}") from error
