"""The progress of a run: cells done, failed and left, the time left, the current cell. Standard library only.

Events of Snakemake's log drive it: no thread and no timer wakes up beside a measurement. If cells are measured on other
machines, their files are polled, as a group of jobs reports its members only when all have ended.
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

_NOT_FAILED = (*MEASURED_STATUS, UNKNOWN)
# Fewer cells do not predict the others: the first ones are the shortest.
_LEAST_CELLS = 3
_MOST_NAMED = 3
# The first line in the log of `measure.py`.
_BEGUN = re.compile(r"^measuring .+ on (\S+)$", re.MULTILINE)
_LOG_HEAD = 4096
# Our own events, in addition to Snakemake's.
_POLL, _END = "poll", "end"
FileVersion = tuple[int, int] | None


@dataclass
class Cells:
    """The cells of a run and their states; times are seconds of a monotonic clock.

    Attributes:
        from_previous_runs: number of cells by status that this run does not measure.
        ended: status by cell of this run.
        without_record: cells that ended without a record.
        running: node by cell, "" on this machine.
    """

    n_cells: int
    from_previous_runs: Counter[str] = field(default_factory=Counter)
    ended: dict[str, str] = field(default_factory=dict)
    without_record: set[str] = field(default_factory=set)
    running: dict[str, str] = field(default_factory=dict)
    began_s: float | None = None
    ended_s: float | None = None

    def expect(self, cell: str) -> None:
        """Note that a cell will be measured, perhaps again."""
        self.ended.pop(cell, None)
        self.without_record.discard(cell)

    def begin(self, cell: str, now_s: float, node: str = "") -> None:
        """Note that a cell is being measured."""
        self.running[cell] = node
        self.began_s = now_s if self.began_s is None else self.began_s

    def end(self, cell: str, now_s: float, found: str | None) -> None:
        """Note that a cell ended with the status `found`; None: without a record."""
        self.running.pop(cell, None)
        self.without_record.discard(cell)
        if found is None:
            self.without_record.add(cell)
        else:
            self.ended[cell] = found
            self.ended_s = now_s

    @property
    def n_left(self) -> int:
        """How many cells this run still has to measure."""
        return self.n_cells - self.from_previous_runs.total() - len(self.ended) - len(self.without_record)

    @property
    def left_s(self) -> float | None:
        """The time left (s) at the pace of this run so far, however many cells run at once; None: unknown."""
        if self.began_s is None or self.ended_s is None or len(self.ended) < _LEAST_CELLS or not self.n_left:
            return None
        return (self.ended_s - self.began_s) / len(self.ended) * self.n_left

    @property
    def failed(self) -> Counter[str]:
        """The number of failed cells by status."""
        counts = self.from_previous_runs + Counter(self.ended.values())
        return Counter({name: n for name, n in counts.items() if name not in _NOT_FAILED})

    def line(self, news: Sequence[str] = ()) -> str:
        """Return the progress in one line, which names those of the cells in `news` that failed."""
        n_done = self.from_previous_runs.total() + len(self.ended)
        said = f"cells: {n_done} of {self.n_cells} done"
        if failed := self.failed:
            kinds = ", ".join(f"{n} {name}" for name, n in failed.most_common())
            said += f" ({failed.total()} failed: {kinds})"
        if self.without_record:
            said += f", {len(self.without_record)} ended without a record"
        said += f", {self.n_left or 'none'} left"
        if self.left_s is not None:
            said += f", about {approx_duration(self.left_s)}"
        if named := [
            f"{cell} {self.ended[cell]}" for cell in news if self.ended.get(cell) not in (None, *MEASURED_STATUS)
        ]:
            said += f"; {_few(named)}"
        if self.running:
            said += f"; now {_few([f'{cell} on {node}' if node else cell for cell, node in self.running.items()])}"
        return said


def approx_duration(time_s: float) -> str:
    """Return a rounded time: `40 s`, `8 min`, `5 h`, `3 days`."""
    for unit_s, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if time_s >= 1.5 * unit_s:
            return f"{round(time_s / unit_s)} {name}"
    return f"{max(10, round(time_s, -1)):.0f} s"


def _few(names: Sequence[str]) -> str:
    rest = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")


class RunProgress(logging.Handler):
    """Listens to Snakemake's log; when a cell starts or ends, shows a line and appends it to `logs/progress.log`.

    `say` shows a line. Errors in here never fail the run.
    """

    def __init__(self, results: Path, say: Callable[[str], None]) -> None:
        super().__init__()
        self._results = results
        self._say = say
        self._poll_s: float | None = None
        self._over = threading.Event()
        self._cells = Cells(0)
        self._cell_of_job: dict[int, str] = {}
        # The versions of record and log before the start of each cell that was started and has no new record yet.
        self._before: dict[str, tuple[FileVersion, FileVersion]] = {}
        self._looked_s = time.monotonic()
        # The last line that was shown, without its news.
        self._known = ""

    def begin(self, to_measure: Mapping[int, str], done: Collection[str], poll_s: float | None = None) -> None:
        """Start to listen: `to_measure` are the cells of this run by the number of their job, `done` all others.

        With `poll_s`, cells run on other machines, and their files are polled at this interval (s).
        """
        self._poll_s = poll_s
        self._cell_of_job = dict(to_measure)
        earlier = Counter(status(self._record(cell)) or UNREADABLE for cell in done)
        self._cells = Cells(len(to_measure) + len(done), earlier)
        self._known = self._cells.line()
        if to_measure:
            self._tell(self._known)
            if poll_s is not None:
                threading.Thread(target=self._poll, name="asrmeter-progress", daemon=True).start()

    @property
    def to_measure(self) -> Collection[str]:
        """The cells that this run measures."""
        return self._cell_of_job.values()

    def emit(self, record: logging.LogRecord) -> None:
        """Process an event of Snakemake's log."""
        event = getattr(record, "event", None)
        # Our own lines are not events.
        if event is None or not self._cell_of_job:
            return
        try:
            cell = self._cell_of_job.get(getattr(record, "job_id" if event == "job_finished" else "jobid", -1))
            news = []
            if cell and event == "job_finished":
                news = self._end(cell, status(self._record(cell)) or UNREADABLE)
            elif cell and event == "job_error":
                self._end(cell, None)
            elif self._poll_s is None or event in (_POLL, _END):
                # With --quiet there is no event when a job finishes, but any later event shows it.
                news = self._look()
            if cell and event == "job_info":
                self._before[cell] = _version(self._record(cell)), _version(self._log(cell))
                self._cells.expect(cell)
                if self._poll_s is None:
                    self._cells.begin(cell, time.monotonic())
            if event == _END:
                # Cells of an interrupted run do not run any more.
                self._cells.running.clear()
            if event == _END and self._cells.failed:
                self._tell(
                    f"{self._cells.line()}; which and why: python scripts/list_cells.py {self._results} --status failed"
                )
            elif self._cells.line() != self._known:
                self._tell(self._cells.line(news))
            self._known = self._cells.line()
        except Exception:
            self.handleError(record)

    def end(self) -> None:
        """Show how the run ended, and stop listening."""
        self._over.set()
        self.handle(logging.makeLogRecord({"event": _END}))
        self._cell_of_job = {}

    def close(self) -> None:
        """Stop listening."""
        self._over.set()
        super().close()

    def _poll(self) -> None:
        while not self._over.wait(self._poll_s):
            self.handle(logging.makeLogRecord({"event": _POLL}))

    def _look(self) -> list[str]:
        """Find the cells that started or ended, by their files; return those that ended."""
        news = []
        for cell, (record, log) in list(self._before.items()):
            if _version(self._record(cell)) != record and (found := status(self._record(cell))):
                news += self._end(cell, found)
            elif self._poll_s is not None and cell not in self._cells.running and _version(self._log(cell)) != log:
                with contextlib.suppress(OSError), open(self._log(cell), errors="replace", encoding="utf-8") as stream:
                    if begun := _BEGUN.search(stream.read(_LOG_HEAD)):
                        self._cells.begin(cell, self._looked_s, begun[1])
        self._looked_s = time.monotonic()
        return news

    def _end(self, cell: str, found: str | None) -> list[str]:
        """Note the end of a cell and its status, None without a record; return the cell if this is news."""
        if cell in self._cells.ended:
            return []
        if found is not None:
            self._before.pop(cell, None)
            if cell not in self._cells.running:
                # It was too short for a poll to see it running.
                self._cells.begin(cell, self._looked_s)
        self._cells.end(cell, time.monotonic(), found)
        return [cell]

    def _tell(self, line: str) -> None:
        """Show and write a line."""
        now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        # Jobs report a full or read-only disk; the progress can do without it.
        with contextlib.suppress(OSError):
            path = self._results / "logs" / "progress.log"
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "a", encoding="utf-8") as stream:
                stream.write(f"{now} {line}\n")
        self._say(line)

    def _record(self, cell: str) -> Path:
        return self._results / "measurements" / f"{cell}.parquet"

    def _log(self, cell: str) -> Path:
        return self._results / "logs" / "measure" / f"{cell}.log"


def _version(path: Path) -> FileVersion:
    """Return what identifies the version of a file; None if there is no file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
