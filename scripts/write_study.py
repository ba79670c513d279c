"""Save the complete study beside its results. It marks the owner of the folder and holds the report's settings."""

import argparse
import json
import os
import sys
from pathlib import Path

# With PYTHONSAFEPATH set, Python does not search this folder.
sys.path.insert(0, os.path.dirname(__file__))

from asrmeter.common.files import write_atomically
from asrmeter.workflow.cli import run


def main(argv: list[str] | None = None) -> None:
    """Read the command line and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", required=True, help="the complete study as JSON")
    parser.add_argument("--output", type=Path, required=True, help="the JSON file")
    args = parser.parse_args(argv)
    write_atomically(args.output, json.dumps(json.loads(args.study), indent=2) + "\n")


if __name__ == "__main__":
    run(main)
