"""Which two runs a study compares, and where their tables are. Standard library only: Snakemake asks at every start."""

import os.path
from pathlib import Path
from typing import Any

from asrmeter.errors import AsrmeterError

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


def compared(study: dict[str, Any]) -> tuple[str, str]:
    """Return the folders of both runs that a complete study compares.

    Raises:
        AsrmeterError: no first one is named, or one of them has no tables.
    """
    first, second = study["compare"]["first"], study["compare"]["second"] or study["results"]
    if first is None:
        raise AsrmeterError(f"compare.first: name the results folder to compare with: {HOW}")
    for key, folder in (("first", first), ("second", second)):
        try:
            tables_of(Path(folder))
        except AsrmeterError as error:
            raise AsrmeterError(f"compare.{key}: {error}; give the results folder of a finished run: {HOW}") from error
    return first, second


def shown_in_report(study: dict[str, Any]) -> bool:
    """Whether the report of a complete study has a section that compares: its own results are what is judged."""
    first, second = study["compare"]["first"], study["compare"]["second"]
    return first is not None and (second is None or os.path.normpath(second) == os.path.normpath(study["results"]))
