"""Measure what the machine can do at best: the rate of matrix products of each dtype, and of memory by working set.

Takes about 8 s for one dtype, alone on the machine, and 5 s more if something disturbs it. A device that cannot be
measured is a row that says why.
"""

import argparse
import datetime
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asrmeter.common.files import check_room
from asrmeter.common.paths import ROOT
from asrmeter.machine.facts import available_cpus, machine_facts
from asrmeter.machine.lock import exclusive_lock
from asrmeter.measure.retries import Attempts
from asrmeter.measure.supervisor import Outcome, attend
from asrmeter.workflow.cli import run

# Seconds for each dtype, and for each of the three ways to move memory: several rounds, spread over time.
BUDGET_S = 1.25
DTYPES = ("float32", "float16", "bfloat16")
SHOWN_BYTES = {"1 GiB": 2**30, "16 MiB": 2**24}


def rows(outcome: Outcome, identity: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the table: a rate each, or one that says why there is none."""
    if outcome.status != "ok":
        return [identity | {"status": outcome.status, "reason": outcome.reason}]
    return [identity | outcome.by_name["device"] | rate for rate in outcome.named("rate")]


def summary(table: Sequence[dict[str, Any]], dtypes: Sequence[str]) -> str:
    """Return the main figures in a line, for who watches the run."""
    from asrmeter.records.machine_peaks import Ceilings

    reasons = "; ".join(dict.fromkeys(row["reason"] for row in table if row["reason"]))
    found = Ceilings.of(table, *(table[0][name] for name in ("machine_id", "device", "threads")))
    if found is None:
        return f"{table[0]['status']}: {reasons}"
    products = [f"{dtype} {rate / 1e9:.0f} GFLOP/s" for dtype in dtypes if (rate := found.flop_per_s(dtype))]
    memory = [
        f"{rate / 1e9:.3g} GB/s ({name})" for name, size in SHOWN_BYTES.items() if (rate := found.bytes_per_s(size))
    ]
    return "; ".join([*products, f"memory {', '.join(memory)}", *filter(None, [reasons])])


def main(argv: list[str] | None = None) -> None:
    """Read the command line, measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cpu", "cuda"], required=True, help="what to measure")
    parser.add_argument("--threads", default="auto", help="CPU threads, or auto for every core that may be used")
    parser.add_argument(
        "--dtypes", nargs="+", choices=DTYPES, default=["float32"], help="number formats of the matrices"
    )
    parser.add_argument("--timeout-s", type=float, default=600, help="end the worker after this many seconds")
    parser.add_argument(
        "--attempt", type=int, default=1, help="which try of a job this is; the last ones say that it died"
    )
    parser.add_argument("--output", type=Path, required=True, help="the table (Parquet)")
    args = parser.parse_args(argv)
    threads = available_cpus() if args.threads == "auto" else int(args.threads)
    spec = {"task": "ceilings", "device": args.device, "threads": threads, "dtypes": args.dtypes, "budget_s": BUDGET_S}

    attempts = Attempts(args.output, args.attempt)
    with exclusive_lock() as lock:
        check_room(args.output)
        facts = machine_facts(ROOT)
        if died := attempts.begin():
            outcome = Outcome("killed", died, [], 0.0)
        else:
            outcome = attend(spec, args.timeout_s, lock, ROOT)
    identity = {
        "machine_id": facts["machine_id"],
        "device": args.device,
        "device_name": facts["cpu_name"] if args.device == "cpu" else None,
        "threads": threads,
        "measured_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "torch_version": facts["torch_version"],
    }

    # pyarrow: not before the measurement is over
    import pyarrow as pa

    from asrmeter.common import parquet
    from asrmeter.records.machine_peaks import CEILINGS

    table = pa.Table.from_pylist(rows(outcome, identity), schema=CEILINGS)
    parquet.save(args.output, table)
    attempts.done()
    logging.info("%s, threads: %d: %s", args.device, threads, summary(table.to_pylist(), args.dtypes))


if __name__ == "__main__":
    run(main, measures=True)
