"""Keep a finished run under a name, list the kept runs, or remove one.

A kept run is a copy of tables, study and provenance in runs/NAME, without audio and models. Runs are compared by name.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

# With PYTHONSAFEPATH set, Python does not search this folder.
sys.path.insert(0, os.path.dirname(__file__))

from asrmeter.analysis import kept_runs
from asrmeter.analysis.kept_runs import KeptRun
from asrmeter.workflow import run_lock
from asrmeter.workflow.cli import aligned, run

EXAMPLES = """\
  python scripts/runs.py keep before               keep the run in results, before a change
  python scripts/runs.py list                      list all kept runs
  python scripts/compare.py before results         compare it with the new run
  python scripts/runs.py remove before
"""


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Return the parsed command line; a mistake ends the program."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="keep | list | remove")
    keep = commands.add_parser("keep", help="copy a finished run to runs/NAME")
    keep.add_argument("name", metavar="NAME", help="name of the run: a letter, then letters, digits, dots and dashes")
    keep.add_argument("results", type=Path, nargs="?", default=Path("results"), help="results folder; default: results")
    commands.add_parser("list", help="list the kept runs")
    remove = commands.add_parser("remove", help="delete a kept run")
    remove.add_argument("name", metavar="NAME", help="name of a kept run")
    return parser.parse_args(argv)


def table(runs: Sequence[KeptRun]) -> list[str]:
    """Return kept runs as lines for a terminal, newest measurement last."""
    head = ["name", "measured at", "kept at", "study", "cells", "machine", "processor", "commit"]
    rows = [
        [
            one.name,
            *("" if when is None else f"{when.astimezone():%Y-%m-%d %H:%M}" for when in (one.measured_at, one.kept_at)),
            one.fault or one.all_of("study"),
            "" if one.fault else f"{one.n_measured} of {len(one.cells)} measured",
            *map(one.all_of, ("machine_id", "device_name", "commit")),
        ]
        for one in sorted(runs, key=lambda one: (str(one.measured_at), one.name))
    ]
    return aligned([head, *rows])


def main(argv: list[str] | None = None) -> None:
    """Read the command line, and keep a run, list all, or remove one."""
    args = parse(argv)
    if args.command == "keep":
        run_lock.check_free(args.results)
        kept = kept_runs.keep(args.name, args.results)
        print("\n".join(table([kept])))
        if n := kept_runs.n_later_records(kept, args.results):
            print(f"{n} measurements are newer than the tables and not in them; run snakemake again to include them")
        print(f"later: python scripts/compare.py {args.name} {args.results}", flush=True)
    elif args.command == "remove":
        kept_runs.remove(args.name)
        print(f"removed: {args.name}", flush=True)
    else:
        found = kept_runs.kept_runs()
        print("\n".join(table(found)) if found else "there are no kept runs", flush=True)


if __name__ == "__main__":
    # A reader such as head may close the pipe early.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    run(main)
