"""List the measurements of a run (cells and layouts by lap, and load tests), and optionally delete them.

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

from asrmeter.common.vocabulary import MEASURED_STATUS
from asrmeter.records import query
from asrmeter.records.query import FAILED, FAILED_STATUS, Query, RecordSummary
from asrmeter.study import grid, layouts, ownership
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
  python scripts/list_cells.py results --what load layout      load tests and layouts alone
  python scripts/list_cells.py results --reason "no space" --files | xargs ls -l
"""


def table(records: Sequence[RecordSummary]) -> list[str]:
    """Return the records as lines for a terminal."""
    now = datetime.datetime.now().astimezone()
    head = ["what", "cell", "lap", "status", "measured at", "age", "machine", "node", "protocol", "processor", "tries"]
    head.append("reason")
    rows = [
        [
            record.kind,
            record.name,
            str(record.lap or ""),
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
    # Only records of a cluster have a node, and only disturbed measurements were tried again.
    rare = {"what": any(record.kind != query.CELL for record in records)}
    rare |= {"node": any(record.node for record in records), "tries": any(record.n_tries > 1 for record in records)}
    shown = [rare.get(column, True) for column in head]
    return aligned([list(itertools.compress(row, shown)) for row in (head, *rows)]) if records else []


def delete(records: Sequence[RecordSummary], results: Path) -> list[str]:
    """Delete records; return lines about what was deleted and how to measure it again.

    Raises:
        AsrmeterError: a file cannot be deleted.
    """
    gone = _not_planned(records, results)
    beside = query.delete(records, results)
    failed = ", ".join(f"{n} failed {_plural(n, what)}" for what, n in sorted(beside.items()))
    deleted = f"deleted: {', '.join(_count(records))}{f', and {failed} of theirs' if failed else ''}"
    lines = [f"{deleted}; run the same command as before to measure them again, e.g.", RERUN]
    if gone:
        lines.append(f"except for {len(gone)} that the study no longer has, such as {gone[0]}")
    return lines


def _count(records: Sequence[RecordSummary], listed: Sequence[RecordSummary] | None = None) -> list[str]:
    """Return how many records there are of each kind, and before that how many of them are listed."""
    counted = []
    for kind in query.KINDS:
        own = [record for record in records if record.kind == kind]
        n, n_names = len(own), len({record.name for record in own})
        if own or (kind == query.CELL and listed is not None):
            of = f"{sum(record.kind == kind for record in listed)} of " if listed is not None else ""
            of_what = f"{_plural(n, 'measurement')} of {n_names} {_plural(n_names, kind)}"
            counted.append(f"{of}{n} {_plural(n, 'load test') if kind == query.LOAD else of_what}")
    return counted


def _plural(n: int, what: str) -> str:
    if n == 1:
        return what
    first, _, rest = what.partition(" of ")
    return f"{first}s{f' of {rest}' if rest else ''}"


def _not_planned(records: Sequence[RecordSummary], results: Path) -> list[str]:
    """Return the records that are not in the study of the last run."""
    study = results / ownership.FILE
    if not study.is_file():
        return []
    asked = ownership.read(study)
    planned = {sitting.id for sitting in grid.execution_order(asked)} | {run.id for run in layouts.layout_runs(asked)}
    planned |= {grid.way_id(tested) for tested in grid.load_tested(asked)}
    return [record.id for record in records if record.id not in planned]


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
    group.add_argument("--what", nargs="+", choices=query.KINDS, metavar="WHAT", help=", ".join(query.KINDS))
    group.add_argument(
        "--status",
        nargs="+",
        choices=(*MEASURED_STATUS, *FAILED_STATUS, FAILED),
        metavar="STATUS",
        help=f"{', '.join((*MEASURED_STATUS, *FAILED_STATUS))}; {FAILED}: all but the first two",
    )
    group.add_argument(
        "--older-than", type=_time, metavar="AGE", help="measured more than 30m, 12h, 7d or 2w ago, or before a time"
    )
    group.add_argument("--newer-than", type=_time, metavar="AGE", help="measured after that")
    group.add_argument(
        "--machine", nargs="+", metavar="MACHINE", help="twelve digits of the machine, or name of a node"
    )
    group.add_argument("--protocol", nargs="+", type=int, metavar="N", help="version of the protocol of cells")
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
    records = query.find_all(args.results)
    matching = [record for record in records if filters.matches(record)]
    lines = [str(record.path) for record in matching] if args.files else table(matching)
    if not args.files:
        lines.append("; ".join(_count(records, matching)))
    if lines:
        print("\n".join(lines), flush=True)
    if args.delete and matching:
        print("\n".join(delete(matching, args.results)), file=sys.stderr if args.files else sys.stdout, flush=True)


if __name__ == "__main__":
    # A reader such as head may close the pipe early.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    run(main)
