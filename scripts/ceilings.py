"""Measure the machine's peak rates: matrix products of each dtype, and memory by working set.

This takes about 8 s for one dtype on an otherwise idle machine, and 5 s more if something disturbs it. A device that
cannot be measured gets a row that says why.
"""

import argparse
import datetime
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# With PYTHONSAFEPATH set, Python does not search this folder.
sys.path.insert(0, os.path.dirname(__file__))

from asrmeter import runtimes
from asrmeter.common.paths import ROOT
from asrmeter.machine.facts import MachineFacts, available_cpus, machine_facts
from asrmeter.measure.job import Job, run_job
from asrmeter.measure.spec import PeaksSpec
from asrmeter.measure.supervisor import Outcome
from asrmeter.records.events import Device, Rate
from asrmeter.workflow.cli import run

# Seconds for each dtype, and for each of the two ways to move memory: several rounds, spread over time.
BUDGET_S = 1.25
DTYPES = ("float32", "float16", "bfloat16")
SHOWN_BYTES = {"1 GiB": 2**30, "16 MiB": 2**24}


class PeaksJob(Job):
    """Measures the peak rates of a device."""

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__((args.output,), args.attempt, args.timeout_s)
        self._device, self._dtypes = args.device, args.dtypes
        self._threads = available_cpus() if args.threads == "auto" else int(args.threads)
        self._facts = MachineFacts()

    @property
    def title(self) -> str:
        """The device and its threads."""
        return f"{self._device}, threads: {self._threads}"

    def prepare(self) -> PeaksSpec:
        """Return the spec of the device."""
        self._facts = machine_facts(ROOT, ("torch",))
        hidden = runtimes.options_of(runtimes.DEFAULT_RUNTIME)().hidden
        return PeaksSpec(
            device=self._device, threads=self._threads, hidden=hidden, dtypes=self._dtypes, budget_s=BUDGET_S
        )

    def write(self, outcome: Outcome) -> str:
        """Write the table."""
        import pyarrow as pa

        from asrmeter.common import parquet
        from asrmeter.records.machine_peaks import PEAK_RATES

        identity = {
            "machine_id": self._facts.machine_id,
            "device": self._device,
            "device_name": self._facts.cpu_name if self._device == "cpu" else None,
            "threads": self._threads,
            "measured_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "torch_version": self._facts.versions.get("torch"),
        }
        table = pa.Table.from_pylist(rows(outcome, identity), schema=PEAK_RATES)
        parquet.save(self.output, table)
        return summary(table.to_pylist(), self._dtypes)


def rows(outcome: Outcome, identity: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the table: one for each rate, or a single row that says why there is none."""
    if outcome.status != "ok":
        return [identity | {"status": outcome.status, "reason": outcome.reason}]
    (device,) = outcome.of_kind(Device)
    named = {name: value for name, value in vars(device).items() if value is not None}
    return [identity | named | vars(rate) for rate in outcome.of_kind(Rate)]


def summary(table: Sequence[dict[str, Any]], dtypes: Sequence[str]) -> str:
    """Return the main rates in a line, for the log."""
    from asrmeter.records.machine_peaks import MachinePeaks

    reasons = "; ".join(dict.fromkeys(row["reason"] for row in table if row["reason"]))
    peaks = MachinePeaks.of(table, *(table[0][name] for name in ("machine_id", "device", "threads")))
    if peaks is None:
        return f"{table[0]['status']}: {reasons}"
    products = [f"{dtype} {rate / 1e9:.0f} GFLOP/s" for dtype in dtypes if (rate := peaks.flop_per_s(dtype))]
    memory = [
        f"{rate / 1e9:.3g} GB/s ({name})" for name, size in SHOWN_BYTES.items() if (rate := peaks.bytes_per_s(size))
    ]
    return "; ".join([*products, f"memory {', '.join(memory)}", *filter(None, [reasons])])


def main(argv: list[str] | None = None) -> None:
    """Read the command line, measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cpu", "cuda"], required=True, help="device to measure")
    parser.add_argument("--threads", default="auto", help="CPU threads, or auto for all available cores")
    parser.add_argument(
        "--dtypes", nargs="+", choices=DTYPES, default=["float32"], help="number formats of the matrices"
    )
    parser.add_argument("--timeout-s", type=float, default=600, help="kill the worker after this many seconds")
    parser.add_argument(
        "--attempt", type=int, default=1, help="number of this attempt; the last attempts record that the job died"
    )
    parser.add_argument("--output", type=Path, required=True, help="the table (Parquet)")
    run_job(PeaksJob(parser.parse_args(argv)))


if __name__ == "__main__":
    run(main, measures=True)
