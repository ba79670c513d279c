"""Compare two runs by latency, WER and energy: cell by cell and model by model, with the statistics behind it."""

import argparse
import os
import signal
import sys
from pathlib import Path

# With PYTHONSAFEPATH set, Python does not search this folder.
sys.path.insert(0, os.path.dirname(__file__))

from asrmeter.analysis.comparison.csv_file import write_csv
from asrmeter.analysis.comparison.runs import Run, compare
from asrmeter.records.run_folders import differ, tables_of
from asrmeter.report.text.comparison import Finding, as_text, guard_line
from asrmeter.workflow.cli import run

# 2 means a mistake in the command line. Any other error exits with 1 as well.
EXIT_CODES = {Finding.NO_REGRESSION: 0, Finding.REGRESSION: 1, Finding.NOTHING_TO_JUDGE: 3}
RUN = "name of a kept run (python scripts/runs.py list), results folder or tables folder: the run"


def main(argv: list[str] | None = None) -> None:
    """Print the comparison, with the verdict last: the second run is faster, worse or higher than the first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", help=f"{RUN} to compare with")
    parser.add_argument("second", help=f"{RUN} to be judged")
    parser.add_argument(
        "--guard", action="store_true", help="exit with 1 if the second run is worse, with 3 if this cannot be decided"
    )
    parser.add_argument("--csv", type=Path, help="file for all pairs of cells, in raw numbers")
    arguments = parser.parse_args(argv)
    differ(*(tables_of(one)[0].parent for one in (arguments.first, arguments.second)))
    comparison = compare(Run.read(arguments.first), Run.read(arguments.second))
    if arguments.csv:
        write_csv(comparison, arguments.csv)
    print(as_text(comparison), flush=True)
    if arguments.guard:
        finding, line = guard_line(comparison)
        # A failure goes to stderr like every error, because the log keeps stderr.
        print(line, file=sys.stderr if EXIT_CODES[finding] else sys.stdout, flush=True)
        sys.exit(EXIT_CODES[finding])


if __name__ == "__main__":
    # A reader such as head may close the pipe early.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    run(main)
