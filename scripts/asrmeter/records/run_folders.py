"""Which two runs a study compares, and where their tables are. Standard library only: Snakemake asks at every start."""

import os.path
from pathlib import Path
from typing import TYPE_CHECKING

from asrmeter.common.errors import AsrmeterError

if TYPE_CHECKING:
    from asrmeter.study.model import Study

TABLES = ("cells.parquet", "transcripts.parquet")
HOW = "snakemake --cores 1 compare --config compare='{first: results-a, second: results-b}'"


def tables_of(folder: Path) -> tuple[Path, Path]:
    """Return the cells and the transcripts table of a results folder or tables folder.

    Raises:
        AsrmeterError: they are not there.
    """
    for tables in (folder / "tables", folder):
        if all((tables / name).is_file() for name in TABLES):
            return tables / TABLES[0], tables / TABLES[1]
    raise AsrmeterError(f"{folder}: neither a results folder nor a tables folder: holds no {' and '.join(TABLES)}")


def differ(first: Path, second: Path) -> None:
    """Raise AsrmeterError if both tables folders are one: it is the same as itself, whatever was measured."""
    if first.resolve() == second.resolve():
        raise AsrmeterError(f"{first} and {second} are the same run; name two that differ: {HOW}")


def compared(study: "Study") -> tuple[str, str]:
    """Return the folders of both runs that a complete study compares.

    Raises:
        AsrmeterError: no first one is named, one of them has no tables, or both are the same.
    """
    first, second = study.compare.first, study.compare.second or study.results
    if first is None:
        raise AsrmeterError(f"compare.first: name the results folder to compare with: {HOW}")
    differ(*(_tables(key, folder)[0].parent for key, folder in (("first", first), ("second", second))))
    return first, second


def of_report(study: "Study") -> tuple[list[str], list[str]]:
    """Return the folder and the tables of the run that the report of a complete study compares with.

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
        return tables_of(Path(folder))
    except AsrmeterError as error:
        raise AsrmeterError(f"compare.{key}: {error}; give the results folder of a finished run: {HOW}") from error
