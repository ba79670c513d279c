"""What a run shows of Snakemake's log: a line when a step begins, how far it is, when it ends, and what failed.

A step is all jobs of a rule, whatever their device. Standard library only.
"""

import logging
import os
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from asrmeter.common.printable import printable
from asrmeter.workflow.announcement import approx_duration, count
from asrmeter.workflow.sittings import CellsDone
from asrmeter.workflow.snakemake_api import OWN

# Rules whose name is not the step's. Rules that do nothing to speak of have no line.
_TITLES = {
    "ceilings": "Ceilings of the machine",
    "converted": "Converted models",
    "corpus": "Speech",
    "download": "Packages",
    "flops": "FLOPs",
    "layout": "Processes and threads",
    "load": "Load tests",
    "measure": "Measurements",
    "model": "Models",
    "predict_load": "Predicted capacity",
    "profile": "Profiles",
    "retry_disturbed": "Disturbed measurements, once more",
}
_UNTOLD = ("all", "compare", "fetch", "noise", "study")
_MEASURE = "measure"
# Where lines stay, so many of them say how far the measurements are, and how far any other step with several jobs is.
_CELL_LINES, _STEP_LINES = 20, 4
_MOST_FAILED_CELLS = 20
_LOG_LINES = 10
_LOG_BYTES = 1 << 16
# Of Snakemake's own lines, those that say why nothing happens for a while.
_WAITS = re.compile(r"Creating conda env|Pulling (singularity|container)|Will exit after|Nothing to be")
# What Snakemake says of a failed job beside the event that has its log, and of all of them at the end.
_SAID_TWICE = re.compile(r"Exiting because a job|.*CalledProcessError|WorkflowError:\s+At least one job", re.DOTALL)
_LOG_HINT = "Complete log(s): "
_INTERRUPTED = "Terminating processes on user request"


class Screen(Protocol):
    """Where lines are shown, and a bar below them; `keeps` is True where a line cannot be taken back."""

    keeps: bool

    def line(self, text: str) -> None:
        """Show a line that stays."""

    def bar(self, title: str, n_done: int, n_all: int, now: str = "") -> None:
        """Show how far a step is, in place of what was shown of the last."""

    def no_bar(self) -> None:
        """Take the bar away."""


@dataclass
class _Step:
    """The jobs of a step; times are seconds of a monotonic clock."""

    title: str
    n_all: int
    begun_s: float
    n_done: int = 0

    @property
    def part(self) -> int:
        return self.n_done * _STEP_LINES // max(1, self.n_all)


class Steps:
    """Turns the records of Snakemake's log into lines of a screen; `clock` is a monotonic one, in seconds."""

    def __init__(self, screen: Screen, clock: Callable[[], float] = time.monotonic) -> None:
        self._screen = screen
        self._clock = clock
        self._began_s = clock()
        self._planned: Counter[str] = Counter()
        self._steps: dict[str, _Step] = {}
        self._step_of_job: dict[int, str] = {}
        self._cells: CellsDone | None = None
        self._tick = -1
        self._n_failed_cells = 0
        self._n_failed = 0
        self._is_interrupted = False
        self._events: dict[str, Callable[[Any], None]] = {
            "run_info": self._plan,
            "job_info": self._begin,
            "job_finished": self._finish,
            "job_error": self._fail,
        }

    def show(self, record: logging.LogRecord) -> None:
        """Show what a record says, if anything of it matters."""
        event = str(getattr(record, "event", None) or "")
        if event in self._events:
            self._events[event](record)
        elif hasattr(record, OWN):
            self._show_own(record.getMessage(), getattr(record, OWN))
        elif record.getMessage().startswith(_INTERRUPTED):
            self._is_interrupted = True
            self._say("Interrupted: waiting for the jobs to end ...")
        elif record.levelno >= logging.WARNING:
            if not _SAID_TWICE.match(record.getMessage()):
                self._say(record.getMessage())
        elif not event and _WAITS.match(record.getMessage()):
            self._say(record.getMessage())
        elif record.getMessage().startswith(_LOG_HINT) and (self._n_failed or self._is_interrupted):
            self._sum_up(record.getMessage().removeprefix(_LOG_HINT))

    def _plan(self, record: Any) -> None:
        for rule, n in record.stats.items():
            self._planned[_step_of(rule)] += n

    def _begin(self, record: Any) -> None:
        name = _step_of(record.rule_name)
        if name in _UNTOLD:
            return
        self._step_of_job[record.jobid] = name
        step = self._steps.get(name)
        if step is None:
            title = _title(name)
            step = self._steps[name] = _Step(title, max(1, self._planned[name]), self._clock())
            if self._screen.keeps and not self._tells_cells(name):
                self._say_timed(f"{title}: {count(step.n_all, 'job')}" if step.n_all > 1 else f"{title} ...")
        self._show_bar(name)

    def _finish(self, record: Any) -> None:
        name = self._step_of_job.pop(record.job_id, None)
        if name is None:
            return
        step = self._steps[name]
        before = step.part
        step.n_done += 1
        if step.n_done >= step.n_all:
            done = f"{step.n_done} of {step.n_all} done" if step.n_all > 1 else "done"
            if not (self._screen.keeps and self._tells_cells(name)):
                self._say_timed(f"{step.title}: {done}, {_seconds(self._clock() - step.begun_s)}")
        elif self._screen.keeps and step.part > before and not self._tells_cells(name):
            self._say_timed(f"{step.title}: {step.n_done} of {step.n_all} done")
        self._show_other_bar(name)

    def _fail(self, record: Any) -> None:
        if self._is_interrupted:
            return
        self._n_failed += 1
        title = _title(_step_of(record.rule_name))
        logs = [str(path) for path in record.log]
        self._say_timed(f"FAILED: {title} (rule {record.rule_name}); log: {', '.join(logs) or 'none'}")
        for line in filter(None, [record.rule_msg, *(line for path in logs for line in _tail(Path(path)))]):
            self._say(f"    {line}")
        if name := self._step_of_job.pop(record.jobid, ""):
            self._show_other_bar(name)

    def _show_own(self, text: str, shown: object) -> None:
        if not isinstance(shown, CellsDone):
            self._say(text)
            return
        is_plan, self._cells = self._cells is None, shown
        if is_plan:
            # The briefing has said it.
            return
        self._n_failed_cells += shown.has_news
        tick = shown.n_over * _CELL_LINES // max(1, shown.n_all)
        is_tick = self._screen.keeps and tick > self._tick
        # However many fail, the last line sums them up.
        is_told = shown.has_news and (self._n_failed_cells <= _MOST_FAILED_CELLS or not self._step_of_job)
        if is_tick or is_told:
            self._say_timed(text)
        self._tick = tick if is_tick else self._tick
        self._show_bar(_MEASURE)

    def _tells_cells(self, name: str) -> bool:
        """Return True if the lines about cells say how far a step is."""
        return name == _MEASURE and self._cells is not None

    def _show_bar(self, name: str) -> None:
        step, cells = self._steps.get(name), self._cells
        if step is None:
            return
        if not self._tells_cells(name) or cells is None:
            self._screen.bar(step.title, step.n_done, step.n_all)
            return
        title = step.title if cells.n_laps == 1 else f"{step.title}, lap {cells.lap} of {cells.n_laps}"
        left = "" if cells.left_s is None else f", about {approx_duration(cells.left_s)} left"
        self._screen.bar(f"{title}{left}", cells.n_over, cells.n_all, ", ".join(cells.now))

    def _show_other_bar(self, name: str) -> None:
        """Show a step that runs, once a job of `name` ended: that one while it has jobs left."""
        step, running = self._steps[name], [*self._step_of_job.values()]
        if running or (step.n_done < step.n_all and not self._n_failed):
            self._show_bar(running[-1] if running else name)
        else:
            self._screen.no_bar()

    def _sum_up(self, logs: str) -> None:
        paths = ", ".join(os.path.relpath(path) for path in logs.split(", "))
        failed = (
            f"{count(self._n_failed, 'job')} failed. Put right what is said above and run" if self._n_failed else "Run"
        )
        self._say(f"{failed} the same command again: what is done is kept. Snakemake's whole log: {paths}")

    def _say_timed(self, text: str) -> None:
        minutes, seconds = divmod(int(self._clock() - self._began_s), 60)
        self._say(f"{minutes:3d}:{seconds:02d}  {text}")

    def _say(self, text: str) -> None:
        for line in text.split("\n"):
            self._screen.line(printable(line))


def _step_of(rule: str) -> str:
    return rule.removesuffix("_cpu").removesuffix("_cuda")


def _title(name: str) -> str:
    return _TITLES.get(name, name.replace("_", " ").capitalize())


def _seconds(time_s: float) -> str:
    return f"{time_s:.0f} s" if time_s < 90 else approx_duration(time_s)


def _tail(path: Path) -> Iterator[str]:
    """Yield the last lines of a log; none if it cannot be read."""
    try:
        with open(path, "rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - _LOG_BYTES))
            text = stream.read().decode(errors="replace")
    except OSError:
        return
    yield from deque((line for line in text.splitlines() if line.strip()), maxlen=_LOG_LINES)
