"""Find how many requests per second a model carries on a device: start a worker and write each rate that it tried.

MLPerf's LoadGen sends the requests and gives the verdicts. The record of a failed load test says why it failed. While
the worker measures, this process sleeps in the kernel. Until then it imports only the standard library.
"""

import argparse
import datetime
import json
import os
import sys
from pathlib import Path
from typing import Any

# With PYTHONSAFEPATH set, Python does not search this folder.
sys.path.insert(0, os.path.dirname(__file__))

from asrmeter.common import typed_json
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.vocabulary import MEASURED_STATUS
from asrmeter.machine.facts import machine_id, node
from asrmeter.measure import cell_options
from asrmeter.measure.job import Job, run_job
from asrmeter.measure.spec import LoadSpec
from asrmeter.measure.supervisor import Outcome
from asrmeter.workflow.cli import run


class LoadJob(Job):
    """Tests the load of a model and variant on a device."""

    keeps_record = True

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__((args.output,), args.attempt, args.timeout_s)
        self._args = args
        self._predicted: dict[str, Any] = {}

    def prepare(self) -> LoadSpec:
        """Return the spec; the search starts at the rate that the cells predict."""
        self._predicted = read_prediction(self._args.predicted)
        spec = self._spec = cell_options.specify_load(self._args, self._predicted["start_per_s"] or 1.0)
        return spec

    def refusal(self) -> tuple[str, str | None] | None:
        """Refuse a model that cannot run here or could not be measured."""
        if self._spec.refused:
            return "unsupported", self._spec.refused
        if self._predicted["start_per_s"] is None:
            return self._predicted["status"], self._predicted["reason"]
        return None

    def write(self, outcome: Outcome) -> str:
        """Write a row for each rate that was tried."""
        import pyarrow as pa

        from asrmeter.common import parquet
        from asrmeter.common.early_stopping import least_judged
        from asrmeter.records.events import Searched
        from asrmeter.records.load_rows import RECORD, LoadHeader, outcome_of, rows_of

        spec, status, reason = self._spec, outcome.status, outcome.reason
        if status in MEASURED_STATUS:
            judged = least_judged(spec.percentile)
            status, reason = outcome_of(status, outcome.events, judged, spec.target_latency_s)
        found = next(iter(outcome.of_kind(Searched)), Searched())
        common = vars(spec) | {
            "status": status,
            "reason": reason,
            "machine_id": machine_id(),
            "node": node(),
            "max_batch": spec.batch_size,
            "load": self._args.load,
            "load_version": spec.protocol,
            "low_per_s": found.low_per_s,
            "high_per_s": found.high_per_s,
            "measured_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }
        rows = rows_of(common, outcome.events)
        header = typed_json.from_json(LoadHeader, common)
        parquet.save(self.output, pa.Table.from_pylist(rows, schema=RECORD), vars(header))
        return summary(header.low_per_s, header.high_per_s, rows)


def read_prediction(path: Path) -> dict[str, Any]:
    """Return the prediction that `predict_capacity.py` wrote.

    Raises:
        AsrmeterError: the file cannot be read.
    """
    try:
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {name: told[name] for name in ("start_per_s", "status", "reason")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AsrmeterError(f"{path}: is not a prediction ({error}); delete it and run again") from error


def summary(low_per_s: float | None, high_per_s: float | None, rows: list[dict[str, Any]]) -> str:
    """Return a load test in a line, for the log."""
    told = f"{rows[0]['status']}: {rows[0]['reason']}" if rows[0]["reason"] else str(rows[0]["status"])
    if rows[0]["probe"] is None:
        return told
    ends = " and ".join("?" if rate is None else f"{rate:.3g}" for rate in (low_per_s, high_per_s))
    found = "no valid rate" if low_per_s is None else f"between {ends} requests per second"
    share = max(row["generator_cpu_share"] for row in rows)
    n_rates = f"{len(rows)} rate{'' if len(rows) == 1 else 's'}"
    return f"{found}, from {n_rates}; LoadGen used {share:.1%} of a core; {told}"


def main(argv: list[str] | None = None) -> None:
    """Read the command line, test the load and write its record."""
    parser = argparse.ArgumentParser(description=__doc__)
    cell_options.add_arguments(parser)
    cell_options.add_load_arguments(parser)
    run_job(LoadJob(parser.parse_args(argv)))


if __name__ == "__main__":
    run(main, measures=True)
