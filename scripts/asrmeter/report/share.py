"""A zip to send: report, tables, study and dictionary of columns, without what the study withholds.

Nothing is copied: the report is rendered and the tables are written anew, so that all is withheld alike.
"""

import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from asrmeter.analysis import dictionary
from asrmeter.analysis.columns import CELLS
from asrmeter.analysis.kept_runs import KeptRun, n_later_records
from asrmeter.analysis.table_rows import cell_of, read_rows
from asrmeter.common import parquet
from asrmeter.common.errors import AsrmeterError, few
from asrmeter.common.files import write_atomically
from asrmeter.common.paths import ROOT
from asrmeter.common.table_types import Holds
from asrmeter.records.answer_file import REPORT
from asrmeter.records.run_folders import of_report
from asrmeter.report.figure_registry import FIGURES
from asrmeter.report.html.page import linkable
from asrmeter.report.html.sources import TABLES, Sources, report_of
from asrmeter.report.privacy import Privacy
from asrmeter.study import grid, ownership
from asrmeter.study.model import Study
from asrmeter.workflow import run_lock

NAME, COLUMNS = "share.zip", "columns.md"
# The first day that a zip knows: one zip is as another, whenever it was made.
_DATE = (1980, 1, 1, 0, 0, 0)
_AGAIN = "finish the run first: snakemake with its study"


@dataclass(frozen=True)
class Shared:
    """A zip that was written: the tables in it, those that were left out, and what is withheld."""

    path: Path
    n_bytes: int
    tables: tuple[str, ...]
    left_out: tuple[str, ...]
    privacy: Privacy


def share(results: Path) -> Shared:
    """Write `share.zip` into a results folder, and return what is in it.

    Raises:
        AsrmeterError: the run is not finished, its tables are of another study, or something is no file of its own.
    """
    run_lock.check_free(results)
    if not (results / ownership.FILE).is_file():
        raise AsrmeterError(f"{results}: holds no {ownership.FILE}; name the results folder of a finished run")
    study = ownership.read(results / ownership.FILE)
    sources = _sources(results, study)
    names = linkable(study)
    files = {name: results / "tables" / f"{name}.parquet" for name in names}
    _check_files(results, [sources.study, *files.values(), sources.selection, sources.segments, *sources.figures])
    _check_tables(results, study, files["cells"])
    report = report_of(sources, is_packed=True)
    privacy = report.privacy
    tables = privacy.tables_of(names)
    content = {
        REPORT: report.html.encode(),
        ownership.FILE: (json.dumps(privacy.shown_study.as_json(), indent=2, ensure_ascii=False) + "\n").encode(),
        COLUMNS: dictionary.as_markdown().encode(),
        **{f"tables/{name}.csv": parquet.as_csv(_without_withheld(name, files[name], privacy)) for name in tables},
    }
    packed = _zipped({f"{study.name}/{name}": data for name, data in content.items()})
    write_atomically(results / NAME, packed)
    left_out = tuple(name for name in names if name not in tables)
    return Shared(results / NAME, len(packed), tables, left_out, privacy)


def _sources(results: Path, study: Study) -> Sources:
    corpus = results / "corpus" / study.corpus.name
    other, _ = of_report(study)
    return Sources(
        study=results / ownership.FILE,
        tables={name: results / "tables" / f"{name}.parquet" for name in TABLES},
        selection=corpus / "selection.json",
        segments=corpus / "segments.json",
        compare_with=other[0] if other else None,
        figures=[results / "figures" / f"{name}.svg" for name in FIGURES],
        template_folder=ROOT / "report",
    )


def _check_files(results: Path, files: Iterable[Path]) -> None:
    """Raise AsrmeterError if a run did not get as far as its report, or what it made was replaced by a link."""
    needed = [*files, results / REPORT]
    if missing := [str(path.relative_to(results)) for path in needed if not path.exists()]:
        raise AsrmeterError(f"{results}: has no {few(missing)}; {_AGAIN}")
    for path in needed:
        inside = [path, *(parent for parent in path.parents if parent.is_relative_to(results) and parent != results)]
        if links := [one for one in inside if one.is_symlink()]:
            raise AsrmeterError(f"{links[0]}: is a link, which may lead anywhere; put the file itself there")


def _check_tables(results: Path, study: Study, path: Path) -> None:
    """Raise AsrmeterError if the tables are of another study, or of less than was measured."""
    cells = read_rows(path, CELLS)
    others = {row["study"] for row in cells} - {study.name, None}
    if others:
        raise AsrmeterError(f"{path}: is of the study {few(sorted(others))}, and not of {study.name}; {_AGAIN}")
    planned, found = set(grid.cells(study)), {cell_of(row) for row in cells}
    if differing := sorted(cell.id for cell in planned ^ found):
        raise AsrmeterError(
            f"{path}: is not of the cells of {results / ownership.FILE}, which differ in {few(differing, 3)}; {_AGAIN}"
        )
    if n := n_later_records(KeptRun(str(results), None, tuple(cells)), results):
        raise AsrmeterError(f"{results}: {n} measurements are later than its tables, and not in them; {_AGAIN}")


def _without_withheld(name: str, path: Path, privacy: Privacy) -> pa.Table:
    """Return a table in the columns of the dictionary, without what is withheld."""
    table = parquet.read(path)
    table = table.select([column for column in privacy.columns_of(name) if column in table.column_names])
    for place, column in enumerate(table.schema):
        told = dictionary.describe(name, column.name)
        if told and told.holds not in (None, Holds.LABEL):
            values = privacy.values(name, column.name, table[place].to_pylist())
            table = table.set_column(place, column, pa.array(values, column.type))
    return table


def _zipped(content: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        for name, data in sorted(content.items()):
            entry = zipfile.ZipInfo(name, _DATE)
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            packed.writestr(entry, data, zipfile.ZIP_DEFLATED, 9)
    return stream.getvalue()
