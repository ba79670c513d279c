"""Profile the operators of one cell: start a worker, wait for it, write what its passes consist of, and a trace.

A cell whose profile fails gives a row that says why. While the worker runs, this process sleeps in the kernel and has
imported nothing but the standard library.
"""

import argparse
import logging
import os
import statistics
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Any

from asrmeter.common.files import check_room
from asrmeter.common.paths import ROOT
from asrmeter.common.vocabulary import MEASURED_STATUS
from asrmeter.machine.facts import machine_facts
from asrmeter.machine.lock import exclusive_lock
from asrmeter.measure import spec as cell_spec
from asrmeter.measure.retries import Attempts
from asrmeter.measure.supervisor import Outcome, attend
from asrmeter.records import status as siblings
from asrmeter.study import grid
from asrmeter.workflow.cli import run

# Groups that are named in the line about a cell.
_N_TOLD = 4

# What is written down of the cell, so that the profile of another study or version is known; see `plan.check_records`.
_PLANNED = (
    *("model", "model_key", "corpus", "corpus_key", "variant", "options", "device", "duration_s", "batch_size"),
    *("threads", "seed", "n_timed_batches"),
)


def summary(rows: list[dict[str, Any]]) -> str:
    """Return a cell's rows in a line, for who watches the run: the groups that took most, the mean of the repeats."""
    cell = rows[0]
    if cell["repeat"] is None:
        return f"{cell['status']}: {cell['reason']}"
    n_repeats = len({row["repeat"] for row in rows})
    parts = []
    for name, of_what in (("cpu_share", "the pass"), ("cuda_share", "the device's busy time")):
        shares: Counter[str] = Counter()
        for row in rows:
            shares[row["group"]] += row[name] or 0
        told = [f"{group} {share / n_repeats:.0%}" for group, share in shares.most_common(_N_TOLD) if share]
        if told:
            parts.append(f"{', '.join(told)} of {of_what}")
    idle = [row["device_idle_share"] for row in rows if row["device_idle_share"] is not None]
    if idle:
        parts.append(f"device idle {statistics.fmean(idle):.0%}")
    covered = min(row["covered"] for row in rows)
    return f"{'; '.join(parts)}; profiling added {cell['overhead']:.0%}; {covered:.1%} of the pass covered"


def results_folder(output: Path, cell: grid.Cell) -> Path:
    """Return the results folder, if the cell's file stands where the rule puts it; or else the folder that it is in."""
    in_its_place = f"/profiles/{cell.id}.parquet"
    return Path(str(output).removesuffix(in_its_place)) if f"/{output}".endswith(in_its_place) else output.parent


def why_not(results: Path, cell_id: str) -> tuple[str, str] | None:
    """Return the status and the reason that a profile has without being tried: that the cell could not be measured."""
    record = results / "measurements" / f"{cell_id}.parquet"
    status = siblings.status(record)
    if status is None or status in MEASURED_STATUS:
        return None
    return status, f"the cell could not be measured: {record} says why"


def main(argv: list[str] | None = None) -> None:
    """Read the command line, profile the cell and write its files."""
    parser = argparse.ArgumentParser(description=__doc__)
    cell_spec.add_arguments(parser)
    parser.add_argument(
        "--trace", type=Path, required=True, help="the last profiled pass, as gzipped JSON for Perfetto"
    )
    args = parser.parse_args(argv)

    attempts = Attempts(args.output, args.attempt)
    with exclusive_lock() as lock:
        check_room(args.output, args.trace)
        spec = cell_spec.specify(args) | {"task": "profile", "trace_file": str(args.trace)}
        args.trace.unlink(missing_ok=True)
        cell = grid.Cell(*(spec[field.name] for field in fields(grid.Cell) if field.name in spec))
        results = results_folder(args.output, cell)
        if died := attempts.begin():
            outcome = Outcome("killed", died, [], 0)
        elif failed := why_not(results, cell.id):
            outcome = Outcome(*failed, [], 0)
        else:
            outcome = attend(spec, args.timeout_s, lock, ROOT)
        machine_id = machine_facts(ROOT)["machine_id"]

    # numpy and pyarrow: not before the worker has ended.
    import pyarrow as pa

    from asrmeter.common import parquet
    from asrmeter.measure.operator_attribution import write_trace
    from asrmeter.records.operator_rows import OPERATORS, rows_of

    done = outcome.status == "ok"
    if not done:
        write_trace([], args.trace)
    header = {name: spec[name] for name in OPERATORS.names if name in spec}
    header |= {"status": outcome.status, "reason": outcome.reason, "machine_id": machine_id}
    header["trace"] = os.path.relpath(args.trace, results) if done else None
    rows = rows_of(header, outcome.events)
    planned = {name: spec[name] for name in _PLANNED} | {"profile_version": spec["protocol"]}
    parquet.save(args.output, pa.Table.from_pylist(rows, schema=OPERATORS), planned)
    attempts.done()
    logging.info("%s: %s", args.output.with_suffix(""), summary(rows))


if __name__ == "__main__":
    run(main, measures=True)
