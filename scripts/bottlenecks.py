"""Work out what holds each cell back: operators, ceilings, roofline, batch scaling; the 2025 study's tables beside."""

import argparse
import contextlib
import logging
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

# Where PYTHONSAFEPATH is set, Python leaves this folder out.
sys.path.insert(0, os.path.dirname(__file__))

from asrmeter.analysis import batch_scaling, edlm2025, roofline
from asrmeter.analysis.bottlenecks import operators_table
from asrmeter.analysis.hardware import split_by_hardware
from asrmeter.analysis.table_rows import cell_of
from asrmeter.common import typed_json
from asrmeter.common.parquet import gathered, header_of, read, write
from asrmeter.records.machine_peaks import PEAK_RATES
from asrmeter.records.operator_rows import ProfileHeader
from asrmeter.study import grid, ownership
from asrmeter.study.fingerprints import NO_FINGERPRINTS, Fingerprints, check_records
from asrmeter.workflow.cli import run


def headers(profiles: Sequence[Path], planned: Sequence[grid.Cell]) -> dict[Path, tuple[grid.Cell, ProfileHeader]]:
    """Return the cell of each profile, by its place if it stands in its place, and what the file says it is of."""
    by_place = {cell.id: cell for cell in planned}
    found = {}
    for path in profiles:
        table = read(path)
        told = table.slice(0, 1).to_pylist()[0]
        with contextlib.suppress(KeyError):  # older ones have no header
            told |= header_of(table)
        cell = by_place.get("/".join(path.with_suffix("").parts[-4:]), cell_of(told))
        found[path] = (cell, typed_json.from_json(ProfileHeader, told))
    return found


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
    check_records(study, headers(args.profiles, grid.profiled(study)), args.fingerprints)
    dtypes = {name: options.wanted_dtype for name, options in study.variants.items()}
    operators = operators_table(args.profiles)
    ceilings = gathered(sorted(args.ceilings.glob("*/*.parquet")), PEAK_RATES)
    cells, flops = (read(path).to_pylist() for path in (args.cells, args.flops))
    judged = list(roofline.rows(cells, flops, ceilings.to_pylist(), dtypes))
    comparable, _ = split_by_hardware(cells)
    published = edlm2025.rows(edlm2025.Run(comparable, flops, operators.to_pylist()))
    tables = {
        "operators": operators,
        "ceilings": ceilings,
        "roofline": pa.Table.from_pylist(judged, schema=roofline.ROOFLINE),
        "scaling": pa.Table.from_pylist(list(batch_scaling.rows(comparable, judged)), schema=batch_scaling.SCALING),
        "edlm2025": pa.Table.from_pylist(list(published), schema=edlm2025.EDLM2025),
    }
    write(tables, args.output_folder)
    bounds = Counter(row.get("bound") or "not known" for row in judged if row["stage"] == roofline.PASS)
    logging.info("bound by %s", ", ".join(f"{bound}: {n}" for bound, n in bounds.most_common()) or "nothing")


if __name__ == "__main__":
    run(main)
