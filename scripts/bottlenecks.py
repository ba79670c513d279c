"""Find the bottleneck of each cell: operators, ceilings, roofline, batch scaling. Optionally compare the 2025 study."""

import argparse
import logging
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

# With PYTHONSAFEPATH set, Python does not search this folder.
sys.path.insert(0, os.path.dirname(__file__))

from asrmeter.analysis import batch_scaling, edlm2025, roofline
from asrmeter.analysis.bottlenecks import OPERATORS, read_peaks, read_profile, read_table
from asrmeter.analysis.columns import CELLS
from asrmeter.analysis.hardware import split_by_hardware
from asrmeter.analysis.table_rows import CELL_KEY, cell_of, read_rows
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.parquet import write
from asrmeter.common.table_types import Row
from asrmeter.common.vocabulary import UNREADABLE
from asrmeter.records.machine_peaks import PEAK_RATES
from asrmeter.records.operator_rows import ProfileHeader
from asrmeter.study import grid, ownership
from asrmeter.study.fingerprints import NO_FINGERPRINTS, Fingerprints, check_records
from asrmeter.workflow.cli import run


def read_profiles(
    profiles: Sequence[Path], planned: Sequence[grid.Cell]
) -> tuple[dict[Path, tuple[grid.Cell, ProfileHeader]], list[Row]]:
    """Return the header of each profile with the cell that its path names, and the rows of the table `operators`.

    A file that is damaged or has an impossible value is left out. The row of its cell says why.
    """
    by_place = {cell.id: cell for cell in planned}
    headers: dict[Path, tuple[grid.Cell, ProfileHeader]] = {}
    rows: list[Row] = []
    for path in profiles:
        cell = by_place.get("/".join(path.with_suffix("").parts[-4:]))
        try:
            header, own = read_profile(path)
        except AsrmeterError as error:
            logging.warning("left out: %s", error)
            if cell:
                identity = {name: getattr(cell, name) for name in CELL_KEY}
                rows.append(dict.fromkeys(OPERATORS.names) | identity | {"status": UNREADABLE, "reason": str(error)})
            continue
        headers[path] = (cell or cell_of(own[0]), header)
        rows += own
    return headers, rows


def read_ceilings(folder: Path) -> list[Row]:
    """Return the rows of the table `ceilings` of all machines. A file that is left out has one row that says why."""
    rows: list[Row] = []
    for path in sorted(folder.glob("*/*.parquet")):
        try:
            rows += read_peaks(path)
        except AsrmeterError as error:
            logging.warning("left out: %s", error)
            identity = {"machine_id": path.parent.name, "device": path.stem}
            rows.append(dict.fromkeys(PEAK_RATES.names) | identity | {"status": UNREADABLE, "reason": str(error)})
    return rows


def main(argv: list[str] | None = None) -> None:
    """Read the command line and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=Path, required=True, help="the complete study, study.json")
    parser.add_argument("--cells", type=Path, required=True, help="cells table (Parquet)")
    parser.add_argument("--flops", type=Path, required=True, help="flops table (Parquet)")
    parser.add_argument(
        "--profiles", type=Path, nargs="*", default=[], help="operators of each profiled cell (Parquet)"
    )
    parser.add_argument("--ceilings", type=Path, required=True, help="folder of the ceilings, by machine")
    parser.add_argument(
        "--fingerprints", type=Fingerprints.from_json, default=NO_FINGERPRINTS, help=f"as JSON: {Fingerprints.__doc__}"
    )
    parser.add_argument("--output-folder", type=Path, required=True, help="folder of the tables")
    args = parser.parse_args(argv)

    study = ownership.read(args.study)
    headers, operators = read_profiles(args.profiles, grid.profiled(study))
    check_records(study, headers, args.fingerprints)
    dtypes = {name: options.wanted_dtype for name, options in study.variants.items()}
    ceilings, cells = read_ceilings(args.ceilings), read_rows(args.cells, CELLS)
    flops = read_table("flops", args.flops)
    judged = list(roofline.rows(cells, flops, ceilings, dtypes))
    comparable, _ = split_by_hardware(cells)
    published = edlm2025.rows(edlm2025.Run(comparable, flops, operators)) if study.report.study_2025 else ()
    tables = {
        "operators": pa.Table.from_pylist(operators, schema=OPERATORS),
        "ceilings": pa.Table.from_pylist(ceilings, schema=PEAK_RATES),
        "roofline": pa.Table.from_pylist(judged, schema=roofline.ROOFLINE),
        "scaling": pa.Table.from_pylist(list(batch_scaling.rows(comparable, judged)), schema=batch_scaling.SCALING),
        "edlm2025": pa.Table.from_pylist(list(published), schema=edlm2025.EDLM2025),
    }
    write(tables, args.output_folder)
    bounds = Counter(row.get("bound") or "not known" for row in judged if row["stage"] == roofline.PASS)
    logging.info("bound by %s", ", ".join(f"{bound}: {n}" for bound, n in bounds.most_common()) or "nothing")


if __name__ == "__main__":
    run(main)
