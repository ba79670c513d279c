"""Measure one cell: start a worker, wait for it, write what it found. A cell that fails is a record too.

While the worker measures, this process sleeps in the kernel and has imported nothing but the standard library.
"""

import argparse
import datetime
import json
import logging
import platform
import statistics
import time
from typing import Any

from asrmeter.common.files import check_room
from asrmeter.common.paths import ROOT
from asrmeter.machine import probes
from asrmeter.machine.facts import machine_facts, node
from asrmeter.machine.lock import exclusive_lock
from asrmeter.measure import spec as cell_spec
from asrmeter.measure.retries import Attempts
from asrmeter.measure.supervisor import attend
from asrmeter.records import status as siblings
from asrmeter.study.fingerprints import STOP_RULE
from asrmeter.workflow.cli import run


def measure(
    spec: dict[str, Any], timeout_s: float, lock: int
) -> tuple[str, str | None, dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """Run the worker; return (status, reason, events by name, passes). `lock`: see `supervisor.attend`."""
    outcome = attend(spec, timeout_s, lock, ROOT)
    by_name = {name: event for name, event in outcome.by_name.items() if name != "pass"}
    by_name["waited"] = {"parent_cpu_s": outcome.awake_s}
    passes = [event | {"phase": phase(event, by_name)} for event in outcome.named("pass")]
    if outcome.status == "ok" and not by_name["latency"]["converged"]:
        return "unconverged", f"{by_name['latency']['reason']} before the interval was narrow enough", by_name, passes
    return outcome.status, outcome.reason, by_name, passes


def phase(entry: dict[str, Any], told: dict[str, dict[str, Any]]) -> str:
    """Return the phase that a pass turned out to belong to, which for a timed one is known only at the end."""
    if entry["phase"] != "latency" or "latency" not in told:
        return str(entry["phase"])
    if entry["attempt"] < told["latency"]["attempt"]:
        return "disturbed"
    return "warmup" if entry["round"] < told["latency"]["n_unsteady"] else "latency"


def summary(status: str, reason: str | None, passes: list[dict[str, Any]]) -> str:
    """Return a cell in a line, for who watches the run."""
    timed = [entry for entry in passes if entry["phase"] == "latency"]
    why = f"{status}: {reason}" if reason else status
    if not timed:
        return why
    median_s = statistics.median(entry["latency_s"] for entry in timed)
    rtfx = sum(entry["audio_s"] for entry in timed) / sum(entry["latency_s"] for entry in timed)
    return f"{median_s:.3g} s (median of {len(timed)}), {rtfx:.3g} times real time; {why}"


def main(argv: list[str] | None = None) -> None:
    """Read the command line, measure the cell and write its file."""
    parser = argparse.ArgumentParser(description=__doc__)
    cell_spec.add_arguments(parser)
    parser.add_argument(
        "--larger-than-oom", action="store_true", help="try even where a smaller batch has run out of memory"
    )
    args = parser.parse_args(argv)

    protocol = json.loads(args.protocol)
    attempts = Attempts(args.output, args.attempt)
    with exclusive_lock() as lock:
        if attempts.restore():
            logging.info("%s: was measured before its job ended; it is kept", args.output.with_suffix(""))
            return
        check_room(args.output)
        # Who watches a run on a cluster reads it in the log: `asrmeter.run_progress`.
        logging.info("measuring %s on %s", args.output.with_suffix(""), node() or platform.node())
        spec = cell_spec.specify(args) | {
            "stop_rule": {key: protocol[key] for key in STOP_RULE},
            "energy_window_s": protocol["energy_window_s"],
        }
        header = {key: value for key, value in spec.items() if key not in ("model_folder", "batches", "segments")}
        header["segments"] = [{key: row[key] for key in row if key != "file"} for row in spec["segments"]]
        header |= machine_facts(ROOT) | {"before": probes.activity(), "started_at_s": time.time()}
        clock_ahead_s = probes.clock_ahead_s()
        told: dict[str, dict[str, Any]] = {}
        passes: list[dict[str, Any]] = []
        too_large = None if args.larger_than_oom else siblings.smaller_out_of_memory(args.output)
        status: str
        reason: str | None
        if died := attempts.begin():
            status, reason = "killed", died
        elif too_large is not None:
            status = "unsupported"
            reason = f"larger than the batch of {too_large} that ran out of memory; protocol.larger_than_oom tries it"
        else:
            status, reason, told, passes = measure(spec, args.timeout_s, lock)
        header |= {"status": status, "reason": reason, "events": told, "after": probes.activity()}
        # Somebody may have set the clock meanwhile: begin and end are by the clock as it was at the beginning.
        header["clock_jump_s"] = probes.clock_ahead_s() - clock_ahead_s
        ended_at = datetime.datetime.fromtimestamp(time.time() - header["clock_jump_s"], datetime.UTC)
        header["measured_at"] = ended_at.isoformat(timespec="seconds")

        from asrmeter.records import cell_record  # pyarrow: not before the measurement is over

        cell_record.write(args.output, header, passes)
        attempts.keep(out_of_memory=status == "oom")
    logging.info("%s: %s", args.output.with_suffix(""), summary(status, reason, passes))


if __name__ == "__main__":
    run(main, measures=True)
