"""Check how quiet the machine is: repeat the same work and compare the times."""

import argparse
import json
import logging
import os
import sys
from dataclasses import asdict
from pathlib import Path

# With PYTHONSAFEPATH set, Python does not search this folder.
sys.path.insert(0, os.path.dirname(__file__))

from asrmeter.common import files
from asrmeter.common.errors import AsrmeterError
from asrmeter.machine import noise_check
from asrmeter.machine.facts import available_cpus
from asrmeter.machine.lock import exclusive_lock
from asrmeter.workflow.cli import run


def main(argv: list[str] | None = None) -> None:
    """Read the command line, check the machine, log the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", default="auto", help="CPU threads, or auto for all available cores")
    parser.add_argument("--seconds", type=float, default=10, help="measuring time")
    parser.add_argument(
        "--target", type=float, default=0.025, help="highest noise floor that counts as quiet, as a share"
    )
    parser.add_argument("--json", type=Path, help="file to which the result is also written")
    parser.add_argument("--strict", action="store_true", help="fail unless the machine is quiet")
    args = parser.parse_args(argv)
    threads = available_cpus() if args.threads == "auto" else int(args.threads)

    with exclusive_lock():
        spread, state = noise_check.check(threads, args.seconds)
    found = noise_check.problems(state, threads)
    verdict = noise_check.verdict_of(spread, found, args.target)
    for line in noise_check.report_lines(spread, found, state, threads, args.target):
        logging.info(line)
    if args.json:
        content = {"verdict": verdict, "threads": threads, "target": args.target, "spread": asdict(spread)}
        content |= {"problems": [asdict(problem) for problem in found], "machine_state": asdict(state)}
        files.write_atomically(args.json, json.dumps(content, indent=1) + "\n")
    if args.strict and verdict != "quiet":
        raise AsrmeterError("the machine is not quiet enough to measure on; see above")


if __name__ == "__main__":
    run(main, measures=True)
