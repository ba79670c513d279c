"""Count the floating-point operations of a study's models, and optionally of the 2025 study's, without weights."""

import argparse
import gc
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa

# With PYTHONSAFEPATH set, Python does not search this folder.
sys.path.insert(0, os.path.dirname(__file__))

from asrmeter import runtimes
from asrmeter.common.files import read_json
from asrmeter.common.parquet import write
from asrmeter.flops.study_models import models_of
from asrmeter.flops.table import BatchGrid, rows
from asrmeter.records.flops_rows import FLOPS
from asrmeter.runtimes.base import ALWAYS_UNUSED
from asrmeter.study import grid as plan
from asrmeter.study import ownership
from asrmeter.workflow.cli import run


def main(argv: list[str] | None = None) -> None:
    """Read the command line, count, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=Path, required=True, help="the complete study, study.json")
    parser.add_argument("--models", type=Path, required=True, help="folder of the model folders")
    parser.add_argument("--segments", type=Path, required=True, help="the corpus' segments.json")
    parser.add_argument("--output-folder", type=Path, required=True, help="folder of the tables")
    args = parser.parse_args(argv)

    runtimes.hide(ALWAYS_UNUSED)  # transformers would import it
    study = ownership.read(args.study)
    grid = sorted({(cell.duration_s, cell.batch_size) for cell in plan.cells(study)})
    batch_grid = BatchGrid(grid, read_json(args.segments), study.seed)
    table: list[dict[str, Any]] = []
    for model in models_of(study, args.models):
        begin = time.monotonic()
        own = list(rows(model, batch_grid, study.report.study_2025))
        notes = {row["note"] for row in own if row["total_gflop"] is None}
        logging.info("%s: %d rows in %.1f s%s", model.name, len(own), time.monotonic() - begin, _format_notes(notes))
        table += own
    write({"flops": pa.Table.from_pylist(table, schema=FLOPS)}, args.output_folder)


def _format_notes(notes: set[str | None]) -> str:
    """Return the reasons why rows have no total."""
    return "".join(f"; {note}" for note in sorted(filter(None, notes)))


if __name__ == "__main__":
    # Little here is garbage, and collecting it takes a fifth of the time.
    gc.disable()
    run(main)
