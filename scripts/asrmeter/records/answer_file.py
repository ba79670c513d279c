"""The answer of a report in a few lines of text, beside the report. Standard library only."""

from pathlib import Path

from asrmeter.common.errors import AsrmeterError, one_line
from asrmeter.common.printable import printable

FILE, REPORT = "answer.txt", "report.html"
_MOST_BYTES = 1 << 16


def lines(results: Path) -> list[str]:
    """Return the answer of a finished run, an empty line before it, and the path of its report.

    Raises:
        AsrmeterError: the run has not made its report yet.
    """
    try:
        with open(results / FILE, encoding="utf-8", errors="replace") as stream:
            said = stream.read(_MOST_BYTES).splitlines()
    except OSError as error:
        why = f"cannot be read ({one_line(error)}); finish the run first: snakemake with its study"
        raise AsrmeterError(f"{results / FILE}: {why}") from error
    return ["", *map(printable, said), f"Report: {results / REPORT}"]
