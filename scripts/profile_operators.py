"""Profile the operators of one cell: start a worker, wait for it, and write the operators of its passes and a trace.

If the profile fails, a row says why. While the worker runs, this process sleeps in the kernel. Until then it imports
only the standard library.
"""

import argparse
import os
import statistics
import sys
from collections import Counter
from pathlib import Path
from typing import Any

# With PYTHONSAFEPATH set, Python does not search this folder.
sys.path.insert(0, os.path.dirname(__file__))

from asrmeter import runtimes
from asrmeter.common import typed_json
from asrmeter.common.vocabulary import MEASURED_STATUS
from asrmeter.machine.facts import machine_id
from asrmeter.measure import cell_options
from asrmeter.measure.job import Job, run_job
from asrmeter.measure.spec import NodeProfileSpec, ProfileSpec
from asrmeter.measure.supervisor import Outcome
from asrmeter.records import status as record_status
from asrmeter.workflow.cli import run

# Number of groups in the summary.
_N_NAMED = 4


class ProfileJob(Job):
    """Profiles a cell."""

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__((args.output, args.trace), args.attempt, args.timeout_s)
        self._args, self._trace = args, args.trace
        self._cell_id, self._results = "", Path()

    def prepare(self) -> ProfileSpec:
        """Return the spec of the cell and remove an old trace."""
        told = cell_options.specify(self._args)
        kind = NodeProfileSpec if runtimes.options_of(told.runtime).has_nodes else ProfileSpec
        spec = self._spec = kind(**vars(told), trace_file=str(self._trace))
        self._trace.unlink(missing_ok=True)
        cell = cell_options.sitting_of(spec).cell
        self._cell_id, self._results = cell.id, results_folder(self.output, cell.id)
        return spec

    def refusal(self) -> tuple[str, str] | None:
        """Refuse a cell whose runtime does not report operators, or that could not be measured."""
        if self._spec.refused:
            return "unsupported", self._spec.refused
        options = runtimes.options_of(self._spec.runtime)
        if not (options.has_operators or options.has_nodes):
            return "unsupported", f"{self._spec.runtime} does not report the time of its operators"
        if options.has_nodes and self._spec.device == "cuda":
            return "unsupported", f"{self._spec.runtime} does not report the time of its operators on a GPU"
        return why_not_measured(self._results, self._cell_id)

    def write(self, outcome: Outcome) -> str:
        """Write the rows; an empty trace if there is no profile."""
        import pyarrow as pa

        from asrmeter.common import parquet
        from asrmeter.measure.operator_attribution import write_trace
        from asrmeter.records.operator_rows import OPERATORS, ProfileHeader, rows_of

        profiled = outcome.status == "ok"
        has_trace = profiled and not isinstance(self._spec, NodeProfileSpec)
        if not has_trace:
            write_trace([], self._trace)
        told = vars(self._spec)
        header = {name: told[name] for name in OPERATORS.names if name in told}
        header |= {"status": outcome.status, "reason": outcome.reason, "machine_id": machine_id()}
        header["trace"] = os.path.relpath(self._trace, self._results) if has_trace else None
        rows = rows_of(header, outcome.events)
        own = typed_json.from_json(ProfileHeader, told | {"profile_version": self._spec.protocol})
        parquet.save(self.output, pa.Table.from_pylist(rows, schema=OPERATORS), vars(own))
        return summary(rows)


def summary(rows: list[dict[str, Any]]) -> str:
    """Return a cell's rows as one line for the log: the groups with the largest shares, averaged over the repeats."""
    cell = rows[0]
    if cell["repeat"] is None:
        return f"{cell['status']}: {cell['reason']}"
    n_repeats = len({row["repeat"] for row in rows})
    parts = []
    for name, whole in (("cpu_share", "the pass"), ("cuda_share", "the device's busy time")):
        shares: Counter[str] = Counter()
        for row in rows:
            shares[row["group"]] += row[name] or 0
        named = [f"{group} {share / n_repeats:.0%}" for group, share in shares.most_common(_N_NAMED) if share]
        if named:
            parts.append(f"{', '.join(named)} of {whole}")
    idle = [row["device_idle_share"] for row in rows if row["device_idle_share"] is not None]
    if idle:
        parts.append(f"device idle {statistics.fmean(idle):.0%}")
    covered = min(row["covered"] for row in rows)
    return f"{'; '.join(parts)}; profiling added {cell['overhead']:.0%}; {covered:.1%} of the pass covered"


def results_folder(output: Path, cell_id: str) -> Path:
    """Return the results folder if the rule's path is used, else the folder of the output."""
    as_by_rule = f"/profiles/{cell_id}.parquet"
    return Path(str(output).removesuffix(as_by_rule)) if f"/{output}".endswith(as_by_rule) else output.parent


def why_not_measured(results: Path, cell_id: str) -> tuple[str, str] | None:
    """Return status and reason if the cell could not be measured in any lap, else None."""
    records = record_status.laps_of(results / "measurements" / cell_id).values()
    found = {record: status for record in records if (status := record_status.status(record))}
    if not found or not set(found.values()).isdisjoint(MEASURED_STATUS):
        return None
    record, status = next(iter(found.items()))
    return status, f"the cell could not be measured: {record} says why"


def main(argv: list[str] | None = None) -> None:
    """Read the command line, profile the cell and write its files."""
    parser = argparse.ArgumentParser(description=__doc__)
    cell_options.add_arguments(parser)
    parser.add_argument(
        "--trace", type=Path, required=True, help="trace of the profiled pass, as gzipped JSON for Perfetto"
    )
    run_job(ProfileJob(parser.parse_args(argv)))


if __name__ == "__main__":
    run(main, measures=True)
