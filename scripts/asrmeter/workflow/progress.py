"""The progress of a run: cells done and failed in each lap, the time left, the current ones. Standard library only.

Events of Snakemake's log drive it, so no thread or timer wakes up during a measurement. If cells are measured on other
machines, their files are polled, because a group of jobs reports its members only when all have ended.
"""

import contextlib
import datetime
import logging
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from asrmeter.common.vocabulary import MEASURED_STATUS, UNREADABLE
from asrmeter.records.status import UNKNOWN, status
from asrmeter.workflow.announcement import approx_duration

_NOT_FAILED = (*MEASURED_STATUS, UNKNOWN)
# Fewer sittings do not predict the others, because they may be short.
_LEAST_SITTINGS = 3
_MOST_NAMED = 3
# The first line in the log of `measure.py`.
_BEGUN = re.compile(r"^measuring .+ on (\S+)$", re.MULTILINE)
_LOG_HEAD = 4096
# Our own events, in addition to Snakemake's.
_POLL, _END = "poll", "end"
FileVersion = tuple[int, int] | None


@dataclass(frozen=True)
class CellsDone:
    """What a line about measurements says, for a bar: `left_s` is None where it is unknown, `has_news`: of failures."""

    n_over: int
    n_all: int
    lap: int
    n_laps: int
    left_s: float | None
    now: tuple[str, ...]
    has_news: bool


Say = Callable[[str, CellsDone], None]


@dataclass
class Sittings:
    """The sittings of a run, by id, and their states; times are seconds of a monotonic clock.

    Attributes:
        in_lap: number of sittings by lap, including those of earlier runs.
        earlier: status of sittings that this run does not measure.
        ended: status of sittings that this run has measured.
        without_record: sittings that ended without a record.
        running: node of each sitting that is being measured, "" on this machine.
    """

    in_lap: Mapping[int, int]
    earlier: Mapping[str, str] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    without_record: set[str] = field(default_factory=set)
    running: dict[str, str] = field(default_factory=dict)
    began_s: float | None = None
    ended_s: float | None = None

    def expect(self, sitting: str) -> None:
        """Record that a cell will be measured, perhaps again."""
        self.ended.pop(sitting, None)
        self.without_record.discard(sitting)

    def begin(self, sitting: str, now_s: float, node: str = "") -> None:
        """Record that a cell is being measured."""
        self.running[sitting] = node
        self.began_s = now_s if self.began_s is None else self.began_s

    def end(self, sitting: str, now_s: float, found: str | None) -> None:
        """Record that a sitting ended with the status `found`; None: without a record."""
        self.running.pop(sitting, None)
        self.without_record.discard(sitting)
        if found is None:
            self.without_record.add(sitting)
        else:
            self.ended[sitting] = found
            self.ended_s = now_s

    @property
    def n_left(self) -> int:
        """Number of sittings that this run still has to measure."""
        n_over = len(self.earlier) + len(self.ended) + len(self.without_record)
        return sum(self.in_lap.values()) - n_over

    @property
    def left_s(self) -> float | None:
        """The time left (s) at the pace of this run so far; None: unknown."""
        if self.began_s is None or self.ended_s is None or len(self.ended) < _LEAST_SITTINGS or not self.n_left:
            return None
        return (self.ended_s - self.began_s) / len(self.ended) * self.n_left

    @property
    def lap(self) -> int:
        """The first lap that is not over, or the last."""
        over = Counter(map(_lap, (*self.earlier, *self.ended, *self.without_record)))
        return next((lap for lap, n in sorted(self.in_lap.items()) if over[lap] < n), max(self.in_lap, default=1))

    @property
    def failed(self) -> Counter[str]:
        """The number of cells that failed in a lap, by status."""
        both = (*self.earlier.items(), *self.ended.items())
        return Counter({_cell(sitting): found for sitting, found in both if found not in _NOT_FAILED}.values())

    def line(self, news: Sequence[str] = ()) -> str:
        """Return the progress in one line, which names the failed sittings in `news`."""
        done, lap = Counter(map(_lap, (*self.earlier, *self.ended))), self.lap
        several = len(self.in_lap) > 1
        said = f"lap {lap} of {max(self.in_lap)}: " if several else "cells: "
        said += f"{done[lap]} of {self.in_lap.get(lap, 0)}{' cells' if several else ''} done"
        if failed := self.failed:
            kinds = ", ".join(f"{n} {name}" for name, n in failed.most_common())
            said += f" ({failed.total()} failed: {kinds})"
        if self.without_record:
            said += f", {len(self.without_record)} ended without a record"
        if several:
            said += f", {self.n_left or 'no'} measurement{'' if self.n_left == 1 else 's'} left"
        else:
            said += f", {self.n_left or 'none'} left"
        if self.left_s is not None:
            said += f", about {approx_duration(self.left_s)}"
        if named := self.failures(news):
            said += f"; {_few(named)}"
        if self.running:
            said += f"; now {_few([f'{one} on {node}' if node else one for one, node in self.running.items()])}"
        return said

    def summary(self, has_news: bool = False) -> CellsDone:
        """Return what `line` says, for a bar."""
        n_all = sum(self.in_lap.values())
        return CellsDone(
            n_over=n_all - self.n_left,
            n_all=n_all,
            lap=self.lap,
            n_laps=max(self.in_lap, default=1),
            left_s=self.left_s,
            now=tuple(self.running),
            has_news=has_news,
        )

    def failures(self, news: Sequence[str]) -> list[str]:
        """Return those of the sittings in `news` that failed, with their status."""
        return [f"{one} {self.ended[one]}" for one in news if self.ended.get(one) not in (None, *MEASURED_STATUS)]


def _cell(sitting: str) -> str:
    return sitting.rpartition("/")[0]


def _lap(sitting: str) -> int:
    return int(sitting.rpartition("/lap")[2])


def _few(names: Sequence[str]) -> str:
    rest = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")


class RunProgress(logging.Handler):
    """Listens to Snakemake's log; when a sitting starts or ends, shows a line and appends it to `logs/progress.log`.

    `say` shows a line, or a bar of what it says. Errors in here never fail the run.
    """

    def __init__(self, results: Path, say: Say) -> None:
        super().__init__()
        self._results = results
        self._say = say
        self._poll_s: float | None = None
        self._over = threading.Event()
        self._sittings = Sittings({})
        self._sitting_of_job: dict[int, str] = {}
        # Versions of record and log before the start of each sitting that has no new record yet.
        self._before: dict[str, tuple[FileVersion, FileVersion]] = {}
        self._looked_s = time.monotonic()
        # The last shown line, without its news.
        self._known = ""

    def begin(
        self, to_measure: Mapping[int, str], done: Collection[str], plan: str, poll_s: float | None = None
    ) -> None:
        """Start listening: `to_measure` are the sittings of this run by the number of their job, `done` all others.

        The `plan` is shown first. With `poll_s`, cells are measured on other machines, and their files are polled at
        this interval (s).
        """
        self._poll_s = poll_s
        self._sitting_of_job = dict(to_measure)
        in_lap = Counter(map(_lap, (*to_measure.values(), *done)))
        self._sittings = Sittings(in_lap, {one: status(self._record(one)) or UNREADABLE for one in done})
        self._known = self._sittings.line()
        if to_measure:
            self._tell(plan)
            if done:
                self._tell(self._known)
            if poll_s is not None:
                threading.Thread(target=self._poll, name="asrmeter-progress", daemon=True).start()

    @property
    def to_measure(self) -> Collection[str]:
        """The sittings that this run measures."""
        return self._sitting_of_job.values()

    def emit(self, record: logging.LogRecord) -> None:
        """Process an event of Snakemake's log."""
        event = getattr(record, "event", None)
        # Our own lines are not events.
        if event is None or not self._sitting_of_job:
            return
        try:
            sitting = self._sitting_of_job.get(getattr(record, "job_id" if event == "job_finished" else "jobid", -1))
            news = []
            if sitting and event == "job_finished":
                news = self._end(sitting, status(self._record(sitting)) or UNREADABLE)
            elif sitting and event == "job_error":
                self._end(sitting, None)
            elif self._poll_s is None or event in (_POLL, _END):
                # With --quiet there is no event when a job finishes, but any later event shows it.
                news = self._look()
            if sitting and event == "job_info":
                self._before[sitting] = _version(self._record(sitting)), _version(self._log(sitting))
                self._sittings.expect(sitting)
                if self._poll_s is None:
                    self._sittings.begin(sitting, time.monotonic())
            if event == _END:
                # Sittings of an interrupted run no longer run.
                self._sittings.running.clear()
            if event == _END and self._sittings.failed:
                which = f"python scripts/list_cells.py {self._results} --status failed"
                self._tell(f"{self._sittings.line()}; for details run {which}", has_news=True)
            elif self._sittings.line() != self._known:
                self._tell(self._sittings.line(news), bool(self._sittings.failures(news)))
            self._known = self._sittings.line()
        except Exception:
            self.handleError(record)

    def end(self) -> None:
        """Show how the run ended, and stop listening."""
        self._over.set()
        self.handle(logging.makeLogRecord({"event": _END}))
        self._sitting_of_job = {}

    def close(self) -> None:
        """Stop listening."""
        self._over.set()
        super().close()

    def _poll(self) -> None:
        while not self._over.wait(self._poll_s):
            self.handle(logging.makeLogRecord({"event": _POLL}))

    def _look(self) -> list[str]:
        """Find sittings that started or ended, by their files; return those that ended."""
        news = []
        for sitting, (record, log) in list(self._before.items()):
            if _version(self._record(sitting)) != record and (found := status(self._record(sitting))):
                news += self._end(sitting, found)
                continue
            path = self._log(sitting)
            if self._poll_s is not None and sitting not in self._sittings.running and _version(path) != log:
                with contextlib.suppress(OSError), open(path, errors="replace", encoding="utf-8") as stream:
                    if begun := _BEGUN.search(stream.read(_LOG_HEAD)):
                        self._sittings.begin(sitting, self._looked_s, begun[1])
        self._looked_s = time.monotonic()
        return news

    def _end(self, sitting: str, found: str | None) -> list[str]:
        """Record the end of a sitting and its status, None without a record; return the sitting if this is news."""
        if sitting in self._sittings.ended:
            return []
        if found is not None:
            self._before.pop(sitting, None)
            if sitting not in self._sittings.running:
                # It was too short to be seen running by a poll.
                self._sittings.begin(sitting, self._looked_s)
        self._sittings.end(sitting, time.monotonic(), found)
        return [sitting]

    def _tell(self, line: str, has_news: bool = False) -> None:
        """Show and write a line; `has_news`: of failures."""
        now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        # Jobs report a full or read-only disk. The progress does not depend on its log file.
        with contextlib.suppress(OSError):
            path = self._results / "logs" / "progress.log"
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "a", encoding="utf-8") as stream:
                stream.write(f"{now} {line}\n")
        self._say(line, self._sittings.summary(has_news))

    def _record(self, sitting: str) -> Path:
        return self._results / "measurements" / f"{sitting}.parquet"

    def _log(self, sitting: str) -> Path:
        return self._results / "logs" / "measure" / f"{sitting}.log"


def _version(path: Path) -> FileVersion:
    """Return an identifier of the version of a file; None if there is no file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
