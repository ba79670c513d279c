"""Download the archive of a pinned package and check its hash."""

import argparse
import os
import sys
from pathlib import Path

# With PYTHONSAFEPATH set, Python does not search this folder.
sys.path.insert(0, os.path.dirname(__file__))

from asrmeter.sources.packages import catalogue, fetch
from asrmeter.workflow.cli import run


def main(argv: list[str] | None = None) -> None:
    """Read the command line and download."""
    packages = catalogue()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--package", choices=list(packages), required=True, metavar="PACKAGE", help="a name in resources/packages.toml"
    )
    parser.add_argument("--output", type=Path, required=True, help="path of the archive")
    args = parser.parse_args(argv)
    fetch(packages[args.package], args.output)


if __name__ == "__main__":
    run(main)
