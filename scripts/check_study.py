"""Check study files. Errors name line, key and remedy. Nothing is measured, and no code in a file is executed."""

import argparse
import os
import sys
from pathlib import Path

# With PYTHONSAFEPATH set, Python does not search this folder.
sys.path.insert(0, os.path.dirname(__file__))

from asrmeter.study import validation, yaml_file
from asrmeter.workflow.announcement import announcement, unheard
from asrmeter.workflow.cli import run


def main(argv: list[str] | None = None) -> None:
    """Read the command line and check each file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("studies", nargs="+", type=Path, help="the files")
    args = parser.parse_args(argv)
    for path in args.studies:
        study = validation.with_defaults(yaml_file.read(path), source=str(path))
        print(f"{path}: the study {study.name}, {announcement(study)}")
        for line in unheard(study):
            print(f"{path}: {line}")


if __name__ == "__main__":
    run(main)
