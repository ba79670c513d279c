"""A finished run as pandas tables, for notebooks: `asrmeter.read_run`.

It reads Parquet, CSV and JSON, and runs no code of the run.
"""

import functools
import json
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import pyarrow as pa

from asrmeter.analysis import dictionary
from asrmeter.analysis.table_rows import CELL_KEY
from asrmeter.common import parquet
from asrmeter.common.constants import PROTOCOL_VERSION
from asrmeter.common.errors import AsrmeterError, did_you_mean, few, one_line
from asrmeter.common.files import MOST_JSON_BYTES, read_json
from asrmeter.common.regular_files import open_regular
from asrmeter.common.table_types import description
from asrmeter.records.run_folders import kept_names, tables_of
from asrmeter.study import ownership

# Nullable, so that counts and flags with missing values stay counts and flags.
_TYPES = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
# The keys of a study that ask for a table; the others are always made.
_ASKED_BY = {
    "edlm2025": "report.study_2025",
    "layouts": "layouts",
    "loads": "load",
    "capacities": "load",
    "operators": "profile",
    "optimisations": "variants",
    "silence": "robustness.silence",
    "silence_models": "robustness.silence",
}
_OTHER_VERSION = "another version of asrmeter made it; read it with that version"


class NoTableError(AsrmeterError, KeyError):
    """A run does not have this table. It is a KeyError too, so that `"loads" in run.tables` and `.get` work."""


class _Source(Protocol):
    """Where the files of a run are."""

    # Why a table that every run makes is missing, and the way out.
    lacks: str

    def table(self, name: str) -> pa.Table | None:
        """Return a table; None if there is no file of it."""

    def study(self) -> dict[str, Any]:
        """Return the content of `study.json`."""

    def provenance(self) -> dict[str, dict[str, Any]]:
        """Return the records of how corpus and models were made."""


class FinishedRun:
    """A finished run: its tables, what their columns mean, its study and provenance.

    `place` is where it was read from, and `tables` has its tables by name. A table is read when it is first asked for.
    """

    def __init__(self, place: str, source: _Source) -> None:
        self.place = place
        self.tables: Mapping[str, pd.DataFrame] = _Tables(place, source)
        self._source = source

    def __repr__(self) -> str:
        """Return where the run was read from, and which tables it has."""
        return f"<run in {self.place}: {len(self.cells)} cells; tables: {', '.join(self.tables)}>"

    @property
    def cells(self) -> pd.DataFrame:
        """The table `cells`: a row per model, variant, device, duration class and batch size."""
        return self.tables["cells"]

    def columns(self, table: str) -> pd.DataFrame:
        """Return what the columns of a table mean: a row per column, with `unit`, `meaning`, `null_when` and `source`.

        `unit` is empty for texts and flags; `null_when` is empty for columns without missing values.

        Raises:
            NoTableError: the run does not have the table.
        """
        names = self.tables[table].columns
        _, schema = dictionary.TABLES[table]
        told = {name: description(schema.field(name)) for name in names}
        parts = ("unit", "meaning", "null_when", "source")
        rows = [[str(getattr(one, part)) for part in parts] for one in told.values()]
        return pd.DataFrame(rows, index=pd.Index(told, name="column"), columns=pd.Index(parts))

    @functools.cached_property
    def study(self) -> dict[str, Any]:
        """The complete study, as `study.json` has it.

        Raises:
            AsrmeterError: there is none, or it is damaged.
        """
        return self._source.study()

    @functools.cached_property
    def provenance(self) -> dict[str, dict[str, Any]]:
        """Where speech and weights come from: under `corpus` and `models` the record of each, by name.

        Raises:
            AsrmeterError: the run is a shared zip, which has none, or a record is damaged.
        """
        return self._source.provenance()


def read_run(run: str | os.PathLike[str] = "results") -> FinishedRun:
    """Return the finished run of a results folder, of a kept run (its name, or its folder), or of a `share.zip`.

    Columns that this version does not know are left out: each column of a table has a description.

    Raises:
        AsrmeterError: there is no such run, it is not finished, it is damaged, or another version made it.
    """
    path = Path(run).expanduser()
    if path.is_file():
        found = FinishedRun(str(run), _Zip(path))
    elif not path.exists() and str(run) not in kept_names():
        names = kept_names()
        kept = f"; kept runs: {few(names)}{did_you_mean(str(run), names)}" if names else ""
        raise AsrmeterError(f"{run}: there is no such folder, zip or kept run{kept}")
    elif (path / ownership.FILE).is_file() and not (path / "tables" / "cells.parquet").exists():
        raise AsrmeterError(f"{run}: has no tables yet; finish the run first: snakemake with its study")
    else:
        cells, _ = tables_of(path)
        found = FinishedRun(str(run), _Folder(cells.parent))
    _check_version(found)
    return found


def _check_version(run: FinishedRun) -> None:
    """Raise AsrmeterError if the columns of a run's cells mean something else than those of this version."""
    if lacking := [name for name in (*CELL_KEY, "status") if name not in run.cells]:
        raise AsrmeterError(f"{run.place}: its table cells lacks {few(lacking)}: {_OTHER_VERSION}")
    protocols = {int(one) for one in run.cells.get("protocol", pd.Series()).dropna().unique()}
    if others := sorted(protocols - {PROTOCOL_VERSION}):
        raise AsrmeterError(
            f"{run.place}: was measured by protocol {few(others)}, and this version of asrmeter reads protocol "
            f"{PROTOCOL_VERSION}; read it with the version that made it"
        )


class _Tables(Mapping[str, pd.DataFrame]):
    """The tables of a run that have a row, each read once."""

    def __init__(self, place: str, source: _Source) -> None:
        self._place, self._source = place, source
        self._read: dict[str, pd.DataFrame] = {}

    def __getitem__(self, name: str) -> pd.DataFrame:
        """Return a table.

        Raises:
            NoTableError: there is none; the message says why.
        """
        if name not in self._read:
            self._read[name] = self._frame(name)
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        """Yield the names of the tables, in the order of the dictionary of columns."""
        return (name for name in dictionary.TABLES if name in self)

    def __len__(self) -> int:
        """Return how many tables there are."""
        return sum(1 for _ in self)

    def _frame(self, name: str) -> pd.DataFrame:
        if name not in dictionary.TABLES:
            known = f"{', '.join(dictionary.TABLES)}{did_you_mean(name, dictionary.TABLES)}"
            raise NoTableError(f"{name}: there is no such table; tables are {known}")
        table = self._source.table(name)
        if table is None or (not table.num_rows and name in _ASKED_BY):
            why = f"its study does not ask for it ({_ASKED_BY[name]})" if name in _ASKED_BY else self._source.lacks
            raise NoTableError(f"{self._place}: has no table {name}: {why}")
        _, schema = dictionary.TABLES[name]
        try:
            return parquet.in_types(table, schema).to_pandas(types_mapper=_TYPES.get)
        except ValueError as error:
            raise AsrmeterError(f"{self._place}: table {name}: {one_line(error)}: {_OTHER_VERSION}") from error


class _Folder:
    """A results folder or a kept run, by the folder of its tables."""

    lacks = "the run is not finished, or another version of asrmeter made it; snakemake with its study goes on"

    def __init__(self, tables: Path) -> None:
        self._tables, self._root = tables, tables.parent

    def table(self, name: str) -> pa.Table | None:
        path = self._tables / f"{name}.parquet"
        return parquet.read(path) if path.exists() else None

    def study(self) -> dict[str, Any]:
        path = self._root / ownership.FILE
        if not path.exists():
            raise AsrmeterError(f"{path}: there is no such file; name the results folder, which has the study")
        return dict(read_json(path, alone=True, shape={"name": str}))

    def provenance(self) -> dict[str, dict[str, Any]]:
        files = {"corpus": "selection.json", "models": "provenance.json"}
        return {part: self._records(part, file) for part, file in files.items()}

    def _records(self, part: str, file: str) -> dict[str, Any]:
        paths = sorted(self._root.glob(f"{part}/[!.]*/{file}"))
        return {path.parent.name: read_json(path, shape={}) for path in paths}


class _Zip:
    """A zip of `make share`, whose tables are CSV."""

    lacks = "its study withholds it (report.transcripts, report.paths); the results folder has it"

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with self._opened() as packed:
                (study,) = [name for name in packed.namelist() if name.endswith(f"/{ownership.FILE}")]
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise AsrmeterError(
                f"{path}: is not a zip of `make share`; give a results folder, a kept run or such a zip"
            ) from error
        self._folder = study.removesuffix(ownership.FILE)

    def table(self, name: str) -> pa.Table | None:
        _, schema = dictionary.TABLES[name]
        content = self._content(f"tables/{name}.csv", parquet.MOST_BYTES)
        if content is None:
            return None
        try:
            return parquet.from_csv(content, schema)
        except (ValueError, pa.ArrowException) as error:
            raise AsrmeterError(f"{self._path}: table {name}: {one_line(error)}: {_OTHER_VERSION}") from error

    def study(self) -> dict[str, Any]:
        content = self._content(ownership.FILE, MOST_JSON_BYTES)
        try:
            return dict(json.loads(content or b"null"))
        except (TypeError, ValueError, RecursionError) as error:
            raise AsrmeterError(f"{self._path}: {ownership.FILE} cannot be read ({one_line(error)})") from error

    def provenance(self) -> dict[str, dict[str, Any]]:
        raise AsrmeterError(f"{self._path}: has no provenance; a results folder and a kept run have it")

    def _opened(self) -> zipfile.ZipFile:
        return zipfile.ZipFile(open_regular(self._path, parquet.MOST_BYTES))

    def _content(self, name: str, most_bytes: int) -> bytes | None:
        """Return a file of the zip; None if it is not there."""
        try:
            with self._opened() as packed:
                if f"{self._folder}{name}" not in packed.namelist():
                    return None
                entry = packed.getinfo(f"{self._folder}{name}")
                if entry.file_size > most_bytes:
                    raise AsrmeterError(f"{self._path}: {name} has more than {most_bytes / 1e6:,.0f} MB")
                return packed.read(entry)
        except (OSError, ValueError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            raise AsrmeterError(f"{self._path}: {name} cannot be read ({one_line(error)}); get it again") from error
