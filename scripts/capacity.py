"""Gather capacities: the rates of every load test, and measured and modelled capacities side by side."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

# With PYTHONSAFEPATH set, Python does not search this folder.
sys.path.insert(0, os.path.dirname(__file__))

from asrmeter.analysis.capacity_columns import CAPACITIES, LOADS
from asrmeter.analysis.capacity_tables import LoadTest, tables
from asrmeter.analysis.columns import CELLS, PASSES
from asrmeter.analysis.table_rows import read_rows
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.parquet import write
from asrmeter.records import load_rows
from asrmeter.study import grid, ownership
from asrmeter.study.fingerprints import NO_FINGERPRINTS, Fingerprints, check_records
from asrmeter.study.model import Study
from asrmeter.workflow.cli import run


def read_tests(records: Sequence[Path], study: Study, made_of: Fingerprints) -> dict[str, LoadTest]:
    """Return the load tests by model, variant and device. The entry of a damaged one says so.

    Raises:
        AsrmeterError: a load test belongs to another study.
    """
    planned = {grid.way_id(cell): cell for cell in grid.load_tested(study)}
    tests: dict[str, LoadTest] = {}
    headers: dict[Path, tuple[grid.Cell, object]] = {}
    for path in records:
        way = "/".join(path.with_suffix("").parts[-3:])
        try:
            header, rows = load_rows.read(path)
        except AsrmeterError as error:
            logging.warning("left out: %s", error)
            tests[way] = LoadTest(None, (), str(error))
            continue
        tests[way] = LoadTest(header, rows)
        if way in planned:
            headers[path] = (planned[way], header)
    check_records(study, headers, made_of)
    return tests


def main(argv: list[str] | None = None) -> None:
    """Read the command line and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=Path, required=True, help="the complete study, study.json")
    parser.add_argument("--cells", type=Path, required=True, help="cells table (Parquet)")
    parser.add_argument("--passes", type=Path, required=True, help="passes table (Parquet)")
    parser.add_argument("--load-tests", type=Path, nargs="*", default=[], help="records of the load tests (Parquet)")
    parser.add_argument(
        "--fingerprints", type=Fingerprints.from_json, default=NO_FINGERPRINTS, help=f"as JSON: {Fingerprints.__doc__}"
    )
    parser.add_argument("--output-folder", type=Path, required=True, help="folder of the tables")
    args = parser.parse_args(argv)
    study = ownership.read(args.study)
    tests = read_tests(args.load_tests, study, args.fingerprints)
    # Passes are many, and nothing here needs their texts.
    needed = [field for field in PASSES if field.name in _OF_PASSES]
    passes = read_rows(args.passes, pa.schema(needed)) if study.load else []
    loads, capacities = tables(study, read_rows(args.cells, CELLS), passes, tests)
    made = {
        "loads": pa.Table.from_pylist([*map(dict, loads)], schema=LOADS),
        "capacities": pa.Table.from_pylist([*map(dict, capacities)], schema=CAPACITIES),
    }
    write(made, args.output_folder)
    for row in capacities:
        measured, modelled = (row[name] for name in ("capacity_per_s", "capacity_per_s_modelled"))
        told = [
            f"{rate:.3g} {how}" for rate, how in ((measured, "measured"), (modelled, "modelled")) if rate is not None
        ]
        where = f"{row['model']}/{row['variant']}/{row['device']}"
        logging.info("%s: %s", where, f"{', '.join(told)} requests a second" if told else "capacity not known")


_OF_PASSES = ("model", "variant", "device", "duration_s", "batch_size", "phase", "status", "latency_s")

if __name__ == "__main__":
    run(main)
