"""The time ledger of a study with `protocol.minutes`: the remaining time, and the allowance of each sitting.

Every sitting needs some time: to load the model, and for a round over its batches. All have the same time but for those
that need more. The ledger is a file: its first line says how much time the run has, and each sitting adds a line.
Standard library only.
"""

import contextlib
import json
import math
import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from asrmeter.common.files import write_atomically

# Below `measurements/`.
FILE = ".time-ledger.jsonl"


class _Run(NamedTuple):
    pool_s: float
    n_sittings: int


class _Line(NamedTuple):
    """A sitting; `spent_s` is None for one of an earlier run: its line only says what the cell needs."""

    cell: str
    lap: int
    least_s: float
    spent_s: float | None

    @property
    def sitting(self) -> str:
        return f"{self.cell}/lap{self.lap}"


class TimeLedger:
    """The time spent by the sittings of a run."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, share_s: float, to_measure: Collection[str], done: Collection[str] = ()) -> None:
        """Begin the ledger of a run: the sittings that it measures have `share_s` each, if all take the same.

        What the cells of sittings that are `done` need is kept.

        Raises:
            AsrmeterError: the file cannot be written.
        """
        _, lines = self._read()
        own = {"pool_s": share_s * len(to_measure), "n_sittings": len(to_measure)}
        kept = [_told(line.sitting, line.lap, line.least_s) for line in lines if line.sitting in done]
        write_atomically(self._path, "".join(f"{json.dumps(told)}\n" for told in (own, *kept)))

    def add(self, sitting: str, lap: int, spent_s: float, least_s: float) -> None:
        """Add a sitting whose record is written: the time (s) of its whole job, and what it needed at least."""
        line = f"{json.dumps(_told(sitting, lap, least_s) | {'spent_s': spent_s})}\n".encode()
        # No measurement is lost for that. In one call, as jobs on other nodes write too.
        with contextlib.suppress(OSError):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            try:
                os.write(descriptor, line)
            finally:
                os.close(descriptor)

    def allowance_s(self, cell: str, lap: int, laps: int, share_s: float) -> float:
        """Return the time (s) that a sitting may take, its whole job: `share_s` where there is no ledger.

        What a cell needs is known once it was measured; until then its sittings are taken to need nothing.
        """
        run, lines = self._read()
        if run is None or not run.n_sittings:
            return share_s
        done = {line.sitting for line in lines if line.spent_s is not None} - {f"{cell}/lap{lap}"}
        left_s = run.pool_s - sum(line.spent_s or 0.0 for line in lines)
        needs = {line.cell: line.least_s for line in lines}
        latest = {cell: lap} if cell in needs else {}
        for line in lines:
            latest[line.cell] = max(line.lap, latest.get(line.cell, 0))
        to_come = {name: max(0, laps - last) for name, last in latest.items()}
        others = _needs_of_others(needs, to_come, n_others=max(0, run.n_sittings - len(done) - 1))
        own_s = needs.get(cell, 0.0)
        return max(own_s, _level([(own_s, 1.0), *others], left_s))

    def _read(self) -> tuple[_Run | None, list[_Line]]:
        """Return the entries of the ledger, without damaged ones."""
        run, lines = None, []
        with contextlib.suppress(OSError):
            for text in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
                with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
                    told = json.loads(text)
                    if "pool_s" in told:
                        run = _Run(_seconds(told["pool_s"]), int(told["n_sittings"]))
                    else:
                        spent_s = None if told.get("spent_s") is None else _seconds(told["spent_s"])
                        name = told["sitting"].rpartition("/")[0]
                        lines.append(_Line(name, int(told["lap"]), _seconds(told["least_s"]), spent_s))
        return run, lines


def _told(sitting: str, lap: int, least_s: float) -> dict[str, Any]:
    return {"sitting": sitting, "lap": lap, "least_s": least_s}


def _seconds(value: Any) -> float:
    """Return a time as a number.

    Raises:
        ValueError: it is none.
    """
    if (seconds := float(value)) < 0 or not math.isfinite(seconds):
        raise ValueError(f"{seconds} is not a time")
    return seconds


def _needs_of_others(needs: dict[str, float], to_come: dict[str, int], n_others: int) -> list[tuple[float, float]]:
    """Return how many of the other sittings need which time: (s, number); a number may be a fraction.

    `needs` has the time by cell, and `to_come` the number of later laps, of the cells that were measured.
    """
    n_known = sum(to_come.values())
    # Where laps to come were measured by an earlier run, it is not known of which cells.
    part = min(1.0, n_others / n_known) if n_known else 0.0
    known = [(needs[cell], n * part) for cell, n in to_come.items()]
    return [*known, (0.0, float(max(0, n_others - n_known)))]


def _level(needs: Iterable[tuple[float, float]], time_s: float) -> float:
    """Return the time (s) that is the same for all who need no more, where all together have `time_s`.

    `needs` are (s, number of those who need it).
    """
    most_first = sorted(needs, reverse=True)
    n_left = sum(n for _, n in most_first)
    for need_s, n in most_first:
        if n_left <= 0 or time_s >= need_s * n_left:
            break
        time_s, n_left = time_s - need_s * n, n_left - n
    return max(0.0, time_s / n_left) if n_left > 0 else 0.0
