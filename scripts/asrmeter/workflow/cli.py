"""Common behaviour of the command lines: plain log, errors in one line, tables, and waiting for measurements."""

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
    """Run a script's `main` and exit with 0, or with 1 after one line about the error.

    The script first waits for any measurement on the machine, and none begins before `main` is done. A script that
    `measures` holds the machine itself. The process ends together with the Snakemake that runs it.
    """
    snakemake_process.end_with_it()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # like standard error: the terminal may support only ASCII
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
        # Not sys.exit: the process would crash while a library's thread still reads a stream.
        os._exit(1)


def _unencodable(error: UnicodeEncodeError) -> AsrmeterError:
    """Return the remedy if this Python cannot encode a name; raise any other encoding error."""
    encoding = sys.getfilesystemencoding()
    if encoding == "utf-8":
        raise error
    return AsrmeterError(
        f"{error.object!a} is not a valid name in {encoding}, which this Python uses; export PYTHONUTF8=1"
    )


class PlainFormatter(logging.Formatter):
    """Formats each message as one printable line: see `errors.line`."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the message alone."""
        return line(record.message)

    def formatException(self, ei: Any) -> str:
        """Return a traceback of several lines."""
        return _plain_lines(super().formatException(ei))


def _show_trace(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show an unexpected error, without passwords that a library's message may contain."""
    print(_plain_lines("".join(traceback.format_exception(kind, error, trace))), file=sys.stderr, flush=True)


def _plain_lines(text: str) -> str:
    return "\n".join(map(line, text.splitlines()))


def aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table with aligned columns."""
    table = [[line(field) for field in row] for row in table]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in table]
