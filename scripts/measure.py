"""Measure one cell in one lap: start a worker, wait for it and write its record. A failed cell has a record too.

While the worker measures, this process sleeps in the kernel. Until then it imports only the standard library.
"""

import argparse
import datetime
import os
import sys
import time
from typing import TYPE_CHECKING, Any, cast

# With PYTHONSAFEPATH set, Python does not search this folder.
sys.path.insert(0, os.path.dirname(__file__))

from asrmeter import runtimes
from asrmeter.common.paths import ROOT
from asrmeter.common.vocabulary import MEASURED_STATUS
from asrmeter.machine import probes
from asrmeter.machine.facts import machine_facts
from asrmeter.measure import additions, cell_options, time_ledger
from asrmeter.measure.job import Job, run_job
from asrmeter.measure.spec import CellSpec
from asrmeter.measure.supervisor import Outcome
from asrmeter.records import status as record_status
from asrmeter.workflow.cli import run

# Libraries for writing a record are imported after the worker has ended. Earlier, they would count in its start-up.
if TYPE_CHECKING:
    from asrmeter.records.carried import Carried
    from asrmeter.records.events import Event, Latency, Pass
    from asrmeter.records.header import RecordHeader

# A row of a record.
PassRow = dict[str, Any]


class CellJob(Job):
    """Measures a cell in one lap."""

    keeps_record = True

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__((args.output,), args.attempt, args.timeout_s)
        self._args = args
        self._sitting = ""
        self._refused: str | None = None
        self._begun: dict[str, Any] = {}
        self._known: Carried | None = None
        self._is_known = False
        self._clock_ahead_s = 0.0

    def prepare(self) -> CellSpec:
        """Return the spec of the cell, and begin its record."""
        spec = cell_options.specify_sitting(self._args, self.begun_s)
        self._sitting, self._refused = cell_options.sitting_of(spec).id, spec.refused
        facts = machine_facts(ROOT, runtimes.options_of(spec.runtime).packages)
        found = additions.known_passes(self.output, spec, facts, self.begun_s) if spec.attempt == 1 else None
        if found:
            self._known, spec = found
            self._is_known = not spec.to_measure
        self._begun = spec.settings | vars(facts) | {"before": probes.activity(), "started_at_s": time.time()}
        self._clock_ahead_s = probes.clock_ahead_s()
        return spec

    def refusal(self) -> tuple[str, str | None] | None:
        """Refuse a cell that is already complete, cannot run here, or is larger than one that ran out of memory."""
        if self._known and self._is_known:
            return self._known.header.status, self._known.header.reason
        if self._refused:
            return "unsupported", self._refused
        too_large = None if self._args.larger_than_oom else record_status.smaller_out_of_memory(self.output)
        if too_large is None:
            return None
        return (
            "unsupported",
            f"larger than the batch of {too_large} that ran out of memory; protocol.larger_than_oom tries it",
        )

    def write(self, outcome: Outcome) -> str:
        """Write the record and the job's time."""
        from asrmeter.records import cell_record  # pyarrow
        from asrmeter.records.header import Activity, RecordHeader

        events, passes = interpret(outcome)
        # The clock may be set during the job. Begin and end both refer to the clock at the beginning.
        clock_jump_s = probes.clock_ahead_s() - self._clock_ahead_s
        ended_at = datetime.datetime.fromtimestamp(time.time() - clock_jump_s, datetime.UTC)
        header = RecordHeader(
            **self._begun,
            status=outcome.status,
            reason=outcome.reason,
            events=events,
            after=cast(Activity, probes.activity()),
            clock_jump_s=clock_jump_s,
            measured_at=ended_at.isoformat(timespec="seconds"),
            job_s=time.monotonic() - self.begun_s,
        )
        if self._known and outcome.status in MEASURED_STATUS:
            header, passes = additions.merged(self._known, header, passes)
        cell_record.write(self.output, header, passes)
        self._enter_in_ledger(events.get("latency"))
        return summary(header, passes)

    def _enter_in_ledger(self, latency: "Event | None") -> None:
        """Record the job's time: the total, and the minimum, which is one round and everything except the passes."""
        if self._args.time_ledger is None:
            return
        spent_s = time.monotonic() - self.begun_s
        timed_s, n_rounds = getattr(latency, "timed_s", None) or 0.0, getattr(latency, "n_rounds", None) or 1
        least_s = spent_s - timed_s + timed_s / n_rounds
        ledger = time_ledger.TimeLedger(self._args.time_ledger)
        ledger.add(self._sitting, self._args.lap, spent_s, least_s)


def interpret(outcome: Outcome) -> "tuple[dict[str, Event], list[PassRow]]":
    """Return the last event of each kind by name, and the passes with their phase."""
    from asrmeter.records.events import Latency, Pass, Waited

    events = {name: event for name, event in outcome.by_name.items() if name != Pass.name}
    if outcome.supervisor_cpu_s is not None:
        events[Waited.name] = Waited(parent_cpu_s=outcome.supervisor_cpu_s)
    latency = next(iter(outcome.of_kind(Latency)), None)
    return events, [vars(entry) | {"phase": phase(entry, latency)} for entry in outcome.of_kind(Pass)]


def phase(entry: "Pass", latency: "Latency | None") -> str:
    """Return the phase of a pass. Only at the end is it known which timed passes count."""
    if entry.phase != "latency" or latency is None or entry.round is None:
        return entry.phase
    return "warmup" if entry.round < latency.n_unsteady else "latency"


def summary(header: "RecordHeader", passes: list[PassRow]) -> str:
    """Return a sitting in a line, for the log."""
    timed = [entry for entry in passes if entry["phase"] == "latency"]
    why = f"{header.status}: {header.reason}" if header.reason else header.status
    if not timed:
        return why
    timed_s = sum(entry["latency_s"] for entry in timed)
    rtfx = sum(entry["audio_s"] for entry in timed) / timed_s
    n_batches = len({entry["batch"] for entry in timed})
    kept = f" ({header.kept['n_batches']} of them measured before)" if header.kept else ""
    done = f"{len(timed)} passes over {n_batches} batches{kept}, {timed_s:.1f} of {header.job_s or 0:.1f} s"
    return f"{timed_s / len(timed):.3g} s (mean of {done}), {rtfx:.3g} times real time; {why}"


def main(argv: list[str] | None = None) -> None:
    """Read the command line, measure the cell and write its record."""
    parser = argparse.ArgumentParser(description=__doc__)
    cell_options.add_arguments(parser)
    cell_options.add_sitting_arguments(parser)
    parser.add_argument(
        "--larger-than-oom", action="store_true", help="run the cell even if a smaller batch ran out of memory"
    )
    run_job(CellJob(parser.parse_args(argv)))


class WithoutPandas:
    """Hides pandas, as if it were not installed.

    Otherwise pyarrow imports pandas to check the type of the rows, which takes a third of a second for each record.
    """

    @staticmethod
    def find_spec(name: str, *_: Any) -> None:
        """Raise for pandas; leave all other modules to the next finder."""
        if name == "pandas":
            raise ModuleNotFoundError(f"{name} is not needed for a record")


if __name__ == "__main__":
    sys.meta_path.insert(0, WithoutPandas)
    run(main, measures=True)
