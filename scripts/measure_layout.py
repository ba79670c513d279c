"""Measure a layout of one model in one lap: start its processes, wait for them and write their passes.

If the layout fails, the file says why. While its processes run, this one sleeps in the kernel. Until then it imports
only the standard library.
"""

import argparse
import dataclasses
import datetime
import os
import sys
from collections.abc import Sequence

# With PYTHONSAFEPATH set, Python does not search this folder.
sys.path.insert(0, os.path.dirname(__file__))

from asrmeter.common import typed_json
from asrmeter.common.paths import ROOT
from asrmeter.machine import cores
from asrmeter.machine.facts import available_cpus, machine_id, node
from asrmeter.measure import cell_options
from asrmeter.measure.job import Job, run_job
from asrmeter.measure.spec import LayoutSpec, Spec
from asrmeter.measure.supervisor import Outcome
from asrmeter.measure.together import run_together
from asrmeter.workflow.cli import run


class LayoutJob(Job):
    """Measures a layout."""

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__((args.output,), args.attempt, args.timeout_s)
        self._args = args

    def prepare(self) -> LayoutSpec:
        """Return the spec of the first process."""
        told = cell_options.specify(self._args)
        self._spec = LayoutSpec(
            **vars(dataclasses.replace(told, lap=self._args.lap)),
            processes=self._args.processes,
            window_s=told.budget_s or 0,
        )
        return self._spec

    def refusal(self) -> tuple[str, str] | None:
        """Refuse a layout that cannot run here, or whose processes lack a core for each thread."""
        spec, n_cpus = self._spec, available_cpus()
        if spec.refused:
            return "unsupported", spec.refused
        needed = spec.processes * spec.threads
        if spec.device == "cpu" and needed > n_cpus:
            layout = f"{spec.processes} x {spec.threads} threads"
            return "unsupported", f"{layout} need {needed} cores, and there are {n_cpus}"
        return None

    def measure(self, spec: Spec, lock: int) -> Outcome:
        """Run the processes at once, each on its own cores. With a GPU they share cores if there are too few."""
        first = self._spec
        own = cores.disjoint_sets(first.processes, first.threads, os.sched_getaffinity(0))
        sets: Sequence[list[int] | None] = own or [None] * first.processes
        specs = [dataclasses.replace(first, process=process, cpus=cpus) for process, cpus in enumerate(sets)]
        return run_together(specs, self.timeout_s, lock, ROOT)

    def write(self, outcome: Outcome) -> str:
        """Write the passes of all processes, or the reason if the layout failed."""
        import pyarrow as pa

        from asrmeter.common import parquet
        from asrmeter.records.layout_rows import LAYOUT_PASSES, LayoutHeader, machine_rate, rows_of, told_by

        spec, done = self._spec, outcome.status == "ok"
        header = typed_json.from_json(
            LayoutHeader,
            vars(spec)
            | (told_by(outcome.events) if done else {"cpus": ()})
            | {"status": outcome.status, "reason": outcome.reason, "layout_version": spec.protocol}
            | {"machine_id": machine_id(), "node": node()}
            | {"measured_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")},
        )
        audio_s = {row["segment_id"]: row["audio_s"] for row in spec.segments}
        rows = rows_of(outcome.events, spec.batches, audio_s) if done else []
        parquet.save(self.output, pa.Table.from_pylist(rows, schema=LAYOUT_PASSES), vars(header))
        if not done:
            return f"{outcome.status}: {outcome.reason}"
        rate = machine_rate(rows, "n_segments")
        said = f"{rate:.3g} segments a second" if rate else "no pass of a process lies in the common window"
        return f"{spec.processes} x {spec.threads} threads: {said}" + (
            f"; disturbed: {header.disturbance}" if header.disturbance else ""
        )


def main(argv: list[str] | None = None) -> None:
    """Read the command line, measure the layout and write its file."""
    parser = argparse.ArgumentParser(description=__doc__)
    cell_options.add_arguments(parser)
    cell_options.add_lap_argument(parser)
    parser.add_argument(
        "--processes", type=int, required=True, help="number of simultaneous processes; --threads applies to each"
    )
    run_job(LayoutJob(parser.parse_args(argv)))


if __name__ == "__main__":
    run(main, measures=True)
