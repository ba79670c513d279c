"""What command lines do around their work: a plain log, errors in one line, tables, no work beside a measurement."""

import contextlib
import io
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from asrmeter.common.errors import AsrmeterError, line
from asrmeter.machine import snakemake_process
from asrmeter.machine.lock import shared_lock


def run(main: Callable[[], None], measures: bool = False) -> None:
    """Run a script's `main` and exit: 0, or 1 after a line that says what is wrong.

    A measurement that goes on anywhere on the machine is waited for, and none begins before `main` is done. A script
    that `measures` holds the machine itself. None outlives the Snakemake that runs it.
    """
    snakemake_process.end_with_it()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as standard error is: a terminal may know ASCII only
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PlainFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    sys.excepthook = _show_trace
    try:
        with contextlib.nullcontext() if measures else shared_lock():
            main()
    except (AsrmeterError, UnicodeEncodeError) as error:
        if isinstance(error, UnicodeEncodeError):
            error = _unencodable(error)
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.stdout.flush()
        # Not sys.exit: where a thread of a library still reads a stream, a process that takes itself down crashes.
        os._exit(1)


def _unencodable(error: UnicodeEncodeError) -> AsrmeterError:
    """Return what to do where this Python has no bytes for a name; raise any other error of this kind."""
    encoding = sys.getfilesystemencoding()
    if encoding == "utf-8":
        raise error
    return AsrmeterError(f"{error.object!a} is no name in {encoding}, which this Python uses; export PYTHONUTF8=1")


class PlainFormatter(logging.Formatter):
    """Makes a line of each message, whatever is part of it: see `errors.line`."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the message alone."""
        return line(record.message)

    def formatException(self, ei: Any) -> str:
        """Return a trace of several lines."""
        return _plain_lines(super().formatException(ei))


def _show_trace(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show an error that nobody expected, without the passwords that a library's message may have."""
    print(_plain_lines("".join(traceback.format_exception(kind, error, trace))), file=sys.stderr, flush=True)


def _plain_lines(text: str) -> str:
    return "\n".join(map(line, text.splitlines()))


def aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table, its columns aligned."""
    table = [[line(field) for field in row] for row in table]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in table]
