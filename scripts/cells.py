"""List the cells of a run that match, by what became of them, how old they are, or where they were measured.

With --delete their files are deleted, so that the same snakemake command as before measures exactly these again; not
while it runs. Like every step this one waits for a measurement that goes on on the machine.
"""

import argparse
import datetime
import itertools
import re
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from asrmeter.common.errors import AsrmeterError
from asrmeter.common.files import read_json
from asrmeter.common.vocabulary import MEASURED_STATUS
from asrmeter.records.status import UNREADABLE
from asrmeter.study import grid
from asrmeter.workflow.cli import aligned, run

FAILED = "failed"
STATUS = (*MEASURED_STATUS, "oom", "timeout", "killed", "error", "unsupported", UNREADABLE, FAILED)
AGAIN = "snakemake --cores all --resources gpu=1"
EXAMPLES = f"""\
each filter takes several values, and a cell has to match every filter:
  python scripts/cells.py results                       all cells, the newest last
  python scripts/cells.py results --status {FAILED}       those without a measurement, and why
  python scripts/cells.py results --status oom unsupported --delete       with the larger batches that were not tried
  python scripts/cells.py results --older-than 7d --device cuda
  python scripts/cells.py results --machine node3 --newer-than 2026-03-01T18:00 --delete
  python scripts/cells.py results --reason "no space" --files | xargs ls -l
"""
_AGE = re.compile(r"(\d+)([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True)
class Found:
    """A cell's file and what its header says; `measured_at` is when it was written where it does not say."""

    path: Path
    status: str
    reason: str
    measured_at: datetime.datetime
    machine: str = ""
    node: str = ""
    protocol: int | None = None
    processor: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Model, variant, device, and duration with batch size: the parts of the cell's name."""
        return self.path.with_suffix("").parts[-4:]

    @property
    def cell(self) -> str:
        """The cell's name, such as `whisper-base/fp32/cpu/30s-b4`."""
        return "/".join(self.names)


def find(results: Path) -> list[Found]:
    """Return every cell of a results folder, the one measured first first.

    Raises:
        AsrmeterError: it is none.
    """
    if not (results / "measurements").is_dir():
        raise AsrmeterError(f"{results}: holds no measurements; name the results folder of a run")
    found = map(look_at, (results / "measurements").glob("*/*/*/*.parquet"))
    return sorted(found, key=lambda one: (one.measured_at, one.cell))


def look_at(path: Path) -> Found:
    """Return what a cell's file says; one that cannot be read is `unreadable`, with the reason."""
    from asrmeter.records import cell_record

    written_at = datetime.datetime.fromtimestamp(path.stat().st_mtime).astimezone()
    try:
        header = cell_record.read_header(path)
        return Found(
            path=path,
            status=header["status"],
            reason=header["reason"] or "",
            measured_at=datetime.datetime.fromisoformat(header["measured_at"]).astimezone(),
            machine=header["machine_id"],
            node=header.get("node") or "",
            protocol=header["protocol"],
            processor=header["events"].get("ready", {}).get("gpu_name") or header["cpu_name"],
        )
    except AsrmeterError as error:
        # The path stands in the row already.
        return Found(path, UNREADABLE, str(error).removeprefix(f"{path}: "), written_at)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return Found(path, UNREADABLE, f"its header lacks or has a wrong {error}; delete it and run again", written_at)


def moment(text: str) -> datetime.datetime:
    """Return the moment that an age such as `7d`, or a time such as `2026-03-01T18:00`, means."""
    try:
        if age := _AGE.fullmatch(text):
            return datetime.datetime.now().astimezone() - datetime.timedelta(**{_UNITS[age[2]]: int(age[1])})
        return datetime.datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text} is neither an age (30m, 12h, 7d, 2w) nor a time (2026-03-01 or 2026-03-01T18:00)"
        ) from None


def age(cell: Found, now: datetime.datetime) -> str:
    """Return for how long there is the measurement, in its largest unit."""
    passed = max(now - cell.measured_at, datetime.timedelta())
    for unit, shown in (("d", "d"), ("h", "h"), ("m", "min")):
        if n := passed // datetime.timedelta(**{_UNITS[unit]: 1}):
            return f"{n} {shown}"
    return f"{passed.seconds} s"


def filters(args: argparse.Namespace) -> list[Callable[[Found], bool]]:
    """Return the filters of the command line, each of which a cell has to pass."""
    wanted = set(args.status or ()) | ({*STATUS} - {*MEASURED_STATUS} if FAILED in (args.status or ()) else set())
    of = {
        "status": lambda cell: cell.status in wanted,
        "older_than": lambda cell: cell.measured_at < args.older_than,
        "newer_than": lambda cell: cell.measured_at >= args.newer_than,
        "machine": lambda cell: cell.machine in args.machine or (bool(cell.node) and cell.node in args.machine),
        "protocol": lambda cell: cell.protocol in args.protocol,
        "model": lambda cell: cell.names[0] in args.model,
        "variant": lambda cell: cell.names[1] in args.variant,
        "device": lambda cell: cell.names[2] in args.device,
        "reason": lambda cell: args.reason.lower() in cell.reason.lower(),
    }
    return [passes for name, passes in of.items() if getattr(args, name) is not None]


def table(cells: Sequence[Found]) -> list[str]:
    """Return the cells as lines for a terminal."""
    now = datetime.datetime.now().astimezone()
    head = ["cell", "status", "measured at", "age", "machine", "node", "protocol", "processor", "reason"]
    rows = [
        [
            cell.cell,
            cell.status,
            f"{cell.measured_at:%Y-%m-%d %H:%M}",
            age(cell, now),
            cell.machine,
            cell.node,
            "" if cell.protocol is None else str(cell.protocol),
            cell.processor,
            cell.reason,
        ]
        for cell in cells
    ]
    # Only on a cluster is there a node to tell.
    shown = [column != "node" or any(cell.node for cell in cells) for column in head]
    return aligned([list(itertools.compress(row, shown)) for row in (head, *rows)]) if cells else []


def delete(cells: Sequence[Found], results: Path) -> list[str]:
    """Delete the files of cells, and of those the profiles that say that there is none; return lines that say so.

    A profile of a cell that failed only says that, and nothing would make it anew. Ceilings are the machine's and stay.

    Raises:
        AsrmeterError: a file may not be deleted; those before it are gone.
    """
    gone = no_longer_planned(cells, results)
    n_cells = n_profiles = 0
    for cell in cells:
        profile = results / "profiles" / f"{cell.cell}.parquet"
        failed = profile.is_file() and not profiled(profile)
        for path in (cell.path, *((profile, profile.with_suffix(".trace.json.gz")) if failed else ())):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise AsrmeterError(
                    f"{path}: cannot be deleted ({error.strerror}); those before it were: {n_cells}"
                ) from error
        n_cells, n_profiles = n_cells + 1, n_profiles + failed
    profiles = f", and the failed profiles of {n_profiles} of them" if n_profiles else ""
    lines = [f"deleted: {counted(n_cells)}{profiles}; the same command as before measures them again, such as", AGAIN]
    if gone:
        lines.append(f"but for {len(gone)} that the study has no more, such as {gone[0]}")
    return lines


def counted(n_cells: int) -> str:
    """Return a number of cells."""
    return f"{n_cells} cell{'' if n_cells == 1 else 's'}"


def no_longer_planned(cells: Sequence[Found], results: Path) -> list[str]:
    """Return the names of those cells that are none of the study that was run last."""
    study = results / "study.json"
    if not study.is_file():
        return []
    planned = {cell.id for cell in grid.order(read_json(study, alone=True))}
    return [cell.cell for cell in cells if cell.cell not in planned]


def profiled(path: Path) -> bool:
    """Return whether a file of a profile holds one, not only the reason why there is none."""
    import pyarrow
    import pyarrow.parquet as pq

    try:
        return set(pq.read_table(path, columns=["status"])["status"].to_pylist()) == {"ok"}
    except (OSError, ValueError, KeyError, pyarrow.ArrowException):
        return False


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Return the command line; a mistake in it ends the program."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, metavar="RESULTS", help="results folder of a run")
    group = parser.add_argument_group("filters")
    group.add_argument(
        "--status",
        nargs="+",
        choices=STATUS,
        metavar="STATUS",
        help=f"{', '.join(STATUS[:-1])}; {FAILED}: any but {' and '.join(MEASURED_STATUS)}",
    )
    group.add_argument(
        "--older-than", type=moment, metavar="AGE", help="measured longer ago than 30m, 12h, 7d or 2w, or before a time"
    )
    group.add_argument("--newer-than", type=moment, metavar="AGE", help="measured since then")
    group.add_argument("--machine", nargs="+", metavar="MACHINE", help="its twelve digits, or the name of a node")
    group.add_argument("--protocol", nargs="+", type=int, metavar="N", help="version of the protocol")
    group.add_argument("--model", nargs="+", metavar="MODEL", help="name of a model in the study")
    group.add_argument("--variant", nargs="+", metavar="VARIANT", help="name of a variant in the study")
    group.add_argument("--device", nargs="+", metavar="DEVICE", help="cpu or cuda")
    group.add_argument("--reason", metavar="TEXT", help="what the reason has in it, in any case of letters")
    parser.add_argument("--files", action="store_true", help="print the paths of the files and nothing else")
    parser.add_argument("--delete", action="store_true", help="delete the files of the cells that are listed")
    parser.add_argument("--all", action="store_true", help="delete all cells, without any filter")
    args = parser.parse_args(argv)
    if args.delete and not args.all and not filters(args):
        parser.error("--delete without a filter would delete every cell; say --all if that is meant")
    return args


def main(argv: list[str] | None = None) -> None:
    """Read the command line, list the cells, delete them if asked to."""
    args = parse(argv)
    cells, passes = find(args.results), filters(args)
    matching = [cell for cell in cells if all(one(cell) for one in passes)]
    lines = [str(cell.path) for cell in matching] if args.files else table(matching)
    if not args.files:
        lines.append(f"{len(matching)} of {counted(len(cells))}")
    if lines:
        print("\n".join(lines), flush=True)
    if args.delete and matching:
        print("\n".join(delete(matching, args.results)), file=sys.stderr if args.files else sys.stdout, flush=True)


if __name__ == "__main__":
    # Whoever reads the list, such as head, may have enough of it.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    run(main)
