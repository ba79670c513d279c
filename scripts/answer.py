"""Print the answer of a finished run, as its report gives it: the setting, what was asked, how sure it is."""

import argparse
import os
import sys
from pathlib import Path

# Where PYTHONSAFEPATH is set, Python leaves this folder out.
sys.path.insert(0, os.path.dirname(__file__))

from asrmeter.records import answer_file
from asrmeter.workflow.cli import run


def main(argv: list[str] | None = None) -> None:
    """Read the command line, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, nargs="?", default=Path("results"), help="results folder of a run")
    print("\n".join(answer_file.lines(parser.parse_args(argv).results)).lstrip(), flush=True)


if __name__ == "__main__":
    run(main)
