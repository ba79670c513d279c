"""Compare two runs by latency, WER and energy: cell by cell and model by model, with the statistics behind it."""

import argparse
import os
import sys
from pathlib import Path

# Where PYTHONSAFEPATH is set, Python leaves this folder out.
sys.path.insert(0, os.path.dirname(__file__))

from asrmeter.analysis.comparison.runs import Run, compare, write_csv
from asrmeter.records.run_folders import differ, tables_of
from asrmeter.report.text.comparison import as_text, coverage
from asrmeter.workflow.cli import run


def main(argv: list[str] | None = None) -> None:
    """Print the comparison, the verdict last: the second run is faster, worse or higher than the first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=Path, help="results folder, or tables folder, of the run to compare with")
    parser.add_argument("second", type=Path, help="results folder, or tables folder, of the run to be judged")
    parser.add_argument(
        "--guard", action="store_true", help="exit with 1 if the second run is worse, or cannot be judged"
    )
    parser.add_argument("--csv", type=Path, help="file to write all pairs to, in raw numbers")
    arguments = parser.parse_args(argv)
    differ(*(tables_of(folder)[0].parent for folder in (arguments.first, arguments.second)))
    comparison = compare(Run.read(arguments.first), Run.read(arguments.second))
    if arguments.csv:
        write_csv(comparison, arguments.csv)
    print(as_text(comparison), flush=True)
    if arguments.guard:
        regressions = comparison.regressions
        # A regression goes to stderr as every error does: that is what the log keeps.
        line = f"REGRESSION: {'; '.join(regressions)}" if regressions else f"no regression{coverage(comparison)}"
        print(line, file=sys.stderr if regressions else sys.stdout, flush=True)
        sys.exit(1 if regressions else 0)


if __name__ == "__main__":
    run(main)
