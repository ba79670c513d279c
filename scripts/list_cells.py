"""List the measurements of a run, one line for each cell and lap, and optionally delete them.

--delete deletes the files of the listed lines. The same snakemake command as before then measures exactly these
again. Do not delete while a run is active. Like every step, this one waits for measurements on the machine to end.
"""

import argparse
import datetime
import itertools
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

# With PYTHONSAFEPATH set, Python does not search this folder.
sys.path.insert(0, os.path.dirname(__file__))

from asrmeter.records import query
from asrmeter.records.query import FAILED, FAILED_STATUS, Query, RecordSummary
from asrmeter.study import grid, ownership
from asrmeter.workflow.cli import aligned, run

RERUN = "snakemake --cores all --resources gpu=1"
EXAMPLES = f"""\
each filter accepts several values, and a line must match every filter:
  python scripts/list_cells.py results                     all cells in all laps, newest last
  python scripts/list_cells.py results --status {FAILED}       failed measurements, with reasons
  python scripts/list_cells.py results --status oom unsupported --delete   also batches that were not tried
  python scripts/list_cells.py results --disturbed --lap 2     disturbed measurements, with causes
  python scripts/list_cells.py results --older-than 7d --device cuda
  python scripts/list_cells.py results --machine node3 --newer-than 2026-03-01T18:00 --delete
  python scripts/list_cells.py results --reason "no space" --files | xargs ls -l
"""


def table(records: Sequence[RecordSummary]) -> list[str]:
    """Return the records as lines for a terminal."""
    now = datetime.datetime.now().astimezone()
    head = ["cell", "lap", "status", "measured at", "age", "machine", "node", "protocol", "processor", "tries"]
    head.append("reason")
    rows = [
        [
            record.cell,
            str(record.lap),
            record.status,
            f"{record.measured_at:%Y-%m-%d %H:%M}",
            query.format_age(record.measured_at, now),
            record.machine,
            record.node,
            "" if record.protocol is None else str(record.protocol),
            record.processor,
            str(record.n_tries or ""),
            "; ".join(filter(None, (record.reason, record.disturbance and f"disturbed: {record.disturbance}"))),
        ]
        for record in records
    ]
    # Only records of a cluster have a node, and only disturbed sittings were tried again.
    rare = {"node": any(record.node for record in records), "tries": any(record.n_tries > 1 for record in records)}
    shown = [rare.get(column, True) for column in head]
    return aligned([list(itertools.compress(row, shown)) for row in (head, *rows)]) if records else []


def delete(records: Sequence[RecordSummary], results: Path) -> list[str]:
    """Delete the files of sittings; return lines about what was deleted and how to measure it again.

    Raises:
        AsrmeterError: a file cannot be deleted.
    """
    gone = _not_planned(records, results)
    n_profiles = query.delete(records, results)
    profiles = f", and {n_profiles} failed profile{'' if n_profiles == 1 else 's'} of them" if n_profiles else ""
    deleted = f"deleted: {_count(len(records), records)}{profiles}"
    lines = [f"{deleted}; run the same command as before to measure them again, e.g.", RERUN]
    if gone:
        lines.append(f"except for {len(gone)} that the study no longer has, such as {gone[0]}")
    return lines


def _count(n: int, records: Sequence[RecordSummary]) -> str:
    n_cells = len({record.cell for record in records})
    return f"{n} measurement{'' if n == 1 else 's'} of {n_cells} cell{'' if n_cells == 1 else 's'}"


def _not_planned(records: Sequence[RecordSummary], results: Path) -> list[str]:
    """Return the names of the sittings that are not in the study of the last run."""
    study = results / ownership.FILE
    if not study.is_file():
        return []
    planned = {sitting.id for sitting in grid.execution_order(ownership.read(study))}
    return [record.sitting for record in records if record.sitting not in planned]


def _time(text: str) -> datetime.datetime:
    try:
        return query.parse_time(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def parse(argv: list[str] | None) -> tuple[argparse.Namespace, Query]:
    """Return the parsed command line and its query; a mistake ends the program."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, metavar="RESULTS", help="results folder of a run")
    group = parser.add_argument_group("filters")
    group.add_argument(
        "--status",
        nargs="+",
        choices=("ok", *FAILED_STATUS, FAILED),
        metavar="STATUS",
        help=f"ok, {', '.join(FAILED_STATUS)}; {FAILED}: all but ok",
    )
    group.add_argument(
        "--older-than", type=_time, metavar="AGE", help="measured more than 30m, 12h, 7d or 2w ago, or before a time"
    )
    group.add_argument("--newer-than", type=_time, metavar="AGE", help="measured after that")
    group.add_argument(
        "--machine", nargs="+", metavar="MACHINE", help="twelve digits of the machine, or name of a node"
    )
    group.add_argument("--protocol", nargs="+", type=int, metavar="N", help="version of the protocol")
    group.add_argument("--model", nargs="+", metavar="MODEL", help="name of a model in the study")
    group.add_argument("--variant", nargs="+", metavar="VARIANT", help="name of a variant in the study")
    group.add_argument("--device", nargs="+", metavar="DEVICE", help="cpu or cuda")
    group.add_argument("--lap", nargs="+", type=int, metavar="N", help="number of the lap")
    group.add_argument("--disturbed", action="store_true", help="disturbed by something else on the machine")
    group.add_argument("--reason", metavar="TEXT", help="text in the reason; case is ignored")
    parser.add_argument("--files", action="store_true", help="print only the paths of the files")
    parser.add_argument("--delete", action="store_true", help="delete the files of the listed lines")
    parser.add_argument("--all", action="store_true", help="with --delete: delete all measurements without a filter")
    args = parser.parse_args(argv)
    filters = Query(**{field.name: getattr(args, field.name) for field in fields(Query)})
    if args.delete and not args.all and filters.is_empty:
        parser.error("--delete without a filter would delete every measurement; add --all to confirm")
    return args, filters


def main(argv: list[str] | None = None) -> None:
    """Read the command line, list the cells, and delete them if asked to."""
    args, filters = parse(argv)
    records = query.find_records(args.results)
    matching = [record for record in records if filters.matches(record)]
    lines = [str(record.path) for record in matching] if args.files else table(matching)
    if not args.files:
        lines.append(f"{len(matching)} of {_count(len(records), records)}")
    if lines:
        print("\n".join(lines), flush=True)
    if args.delete and matching:
        print("\n".join(delete(matching, args.results)), file=sys.stderr if args.files else sys.stdout, flush=True)


if __name__ == "__main__":
    # A reader such as head may close the pipe early.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    run(main)
