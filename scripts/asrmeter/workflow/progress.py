"""The progress of a run as its jobs begin and end: a line on the terminal and in a file. Standard library only.

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
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from asrmeter.common.vocabulary import UNREADABLE
from asrmeter.records.status import status
from asrmeter.workflow.further import Further
from asrmeter.workflow.sittings import CellsDone, Sittings, lap_of

# The first line in the log of `measure.py`.
_BEGUN = re.compile(r"^measuring .+ on (\S+)$", re.MULTILINE)
_LOG_HEAD = 4096
# Our own events, in addition to Snakemake's.
_POLL, _END = "poll", "end"
FileVersion = tuple[int, int] | None
Say = Callable[[str, CellsDone], None]


class RunProgress(logging.Handler):
    """Listens to Snakemake's log; when a sitting starts or ends, shows a line and appends it to `logs/progress.log`.

    `say` shows a line, or a bar of what it says. Errors in here never fail the run.
    """

    def __init__(self, results: Path, say: Say) -> None:
        super().__init__()
        self._results = results
        self._say = say
        self._to_measure: tuple[str, ...] = ()
        self._poll_s: float | None = None
        self._over = threading.Event()
        self._sittings = Sittings({})
        # Layouts and load tests too.
        self._sitting_of_job: dict[int, str] = {}
        # Versions of record and log before the start of each sitting that has no new record yet.
        self._before: dict[str, tuple[FileVersion, FileVersion]] = {}
        self._looked_s = time.monotonic()
        # The last shown line, without its news.
        self._known = ""

    def begin(
        self,
        to_measure: Mapping[int, str],
        done: Collection[str],
        plan: str,
        poll_s: float | None = None,
        further: Mapping[int, Further] | None = None,
    ) -> None:
        """Start listening: `to_measure` are the sittings of this run by the number of their job, `done` all others.

        `further` are its layouts and load tests. The `plan` is shown first. With `poll_s`, cells are measured on other
        machines, and their files are polled at this interval (s).
        """
        self._poll_s = poll_s
        further = further or {}
        self._to_measure = tuple(to_measure.values())
        self._sitting_of_job = {**to_measure, **{job: one.name for job, one in further.items()}}
        in_lap = Counter(map(lap_of, (*to_measure.values(), *done)))
        earlier = {one: status(self._record(one)) or UNREADABLE for one in done}
        self._sittings = Sittings(in_lap, earlier, {one.name: one for one in further.values()})
        self._known = self._sittings.line()
        if self._sitting_of_job:
            self._tell(plan)
            if done or further:
                self._tell(self._known)
            if poll_s is not None:
                threading.Thread(target=self._poll, name="asrmeter-progress", daemon=True).start()

    @property
    def to_measure(self) -> Collection[str]:
        """The sittings that this run measures."""
        return self._to_measure

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
        if sitting in self._sittings.ended or sitting in self._sittings.further_over:
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
        further = self._sittings.further.get(sitting)
        return further.record if further else self._results / "measurements" / f"{sitting}.parquet"

    def _log(self, sitting: str) -> Path:
        further = self._sittings.further.get(sitting)
        return further.log if further else self._results / "logs" / "measure" / f"{sitting}.log"


def _version(path: Path) -> FileVersion:
    """Return an identifier of the version of a file; None if there is no file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
