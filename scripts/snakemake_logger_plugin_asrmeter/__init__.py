"""Snakemake's logger plugin `asrmeter`: a line for each step, in place of all that Snakemake says.

`make run` uses it. Elsewhere, on a cluster too, `--logger asrmeter` does; PYTHONPATH=scripts has Snakemake find it.
Snakemake's own log keeps everything, and what jobs would write to the terminal is kept beside it.
"""

import logging
import os
import sys
import time
from pathlib import Path
from typing import TextIO

from snakemake_interface_logger_plugins.base import LogHandlerBase

from asrmeter.workflow.screens import Plain, Terminal
from asrmeter.workflow.steps import Steps

_LOGS = Path(".snakemake/log")


class LogHandler(LogHandlerBase):
    """Shows the steps of a run where Snakemake would show its log. Errors in here never fail the run."""

    # Snakemake's filter stays: --quiet asks for what it always did.
    has_filter = False
    has_formatter = False
    needs_rulegraph = False
    writes_to_stream = True
    writes_to_file = False

    def __post_init__(self) -> None:
        """Take the terminal from the jobs; of a dry run everything is shown as ever."""
        _forget_own_path()
        self._saved: tuple[int, int] | None = None
        self._stream: TextIO = sys.stdout if self.common_settings.stdout else sys.stderr
        self._steps: Steps | None = None
        if not self.common_settings.dryrun:
            self._stream = self._take_terminal()
            self._screen = Terminal(self._stream) if self._stream.isatty() else Plain(self._stream)
            self._steps = Steps(self._screen)

    def emit(self, record: logging.LogRecord) -> None:
        """Show what a record says."""
        try:
            if self._steps is None:
                self._stream.write(f"{self.format(record)}\n")
            else:
                self._steps.show(record)
        except BrokenPipeError:
            # Whoever read along has left. The run goes on, and its exit status says nothing of this.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Give the terminal back."""
        if self._steps is not None:
            self._screen.no_bar()
        if self._saved is not None:
            for number, saved in zip((1, 2), self._saved, strict=True):
                os.dup2(saved, number)
                os.close(saved)
            self._saved = None
        super().close()

    def _take_terminal(self) -> TextIO:
        """Have jobs write to a file, and this process to the terminal; return the stream to that.

        Snakemake has no option for it: a job has the standard output and error that Snakemake has.
        """
        self._saved = os.dup(1), os.dup(2)
        target = _jobs_output()
        for number in (1, 2):
            os.dup2(target, number)
        os.close(target)
        encoding = sys.stderr.encoding
        sys.stdout, sys.stderr = (
            os.fdopen(os.dup(saved), "w", encoding=encoding, errors="replace", buffering=1) for saved in self._saved
        )
        return sys.stderr


def _jobs_output() -> int:
    """Return the descriptor of a new file for what jobs write; of no file where none can be written."""
    try:
        _LOGS.mkdir(parents=True, exist_ok=True)
        path = _LOGS / f"{time.strftime('%Y-%m-%dT%H%M%S')}-{os.getpid()}.jobs.log"
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)


def _forget_own_path() -> None:
    """Take from PYTHONPATH the folder in which Snakemake found this: jobs are to run as without it."""
    own = Path(__file__).parent.parent
    left = [one for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one and Path(one).absolute() != own]
    os.environ.pop("PYTHONPATH", None)
    if left:
        os.environ["PYTHONPATH"] = os.pathsep.join(left)
