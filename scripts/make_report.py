"""Render the report from the tables and figures of a study."""

import argparse
import os
import sys
from pathlib import Path

# With PYTHONSAFEPATH set, Python does not search this folder.
sys.path.insert(0, os.path.dirname(__file__))

from asrmeter.common.files import write_atomically
from asrmeter.report.html.sources import TABLES, Sources, report_of
from asrmeter.workflow.cli import run


def main(argv: list[str] | None = None) -> None:
    """Write the report, one self-contained HTML file, and its answer in a few lines of text."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=Path, required=True, help="the complete study, study.json")
    for name in TABLES:
        parser.add_argument(f"--{name.replace('_', '-')}", type=Path, required=True, help=f"{name} table (Parquet)")
    parser.add_argument("--selection", type=Path, required=True, help="record of the corpus' selection (JSON)")
    parser.add_argument("--segments", type=Path, required=True, help="segments.json in the folder of the corpus")
    parser.add_argument("--compare-with", nargs="?", help="kept run or results folder to compare with; no value: none")
    parser.add_argument("--figures", type=Path, nargs="+", required=True, help="figures (SVG), in the report's order")
    parser.add_argument("--template-folder", type=Path, required=True, help="folder of the template, style and texts")
    parser.add_argument("--output", type=Path, required=True, help="HTML file to write")
    parser.add_argument("--answer", type=Path, required=True, help="text file to write: the report's answer")
    arguments = parser.parse_args(argv)
    report = report_of(
        Sources(
            study=arguments.study,
            tables={name: getattr(arguments, name) for name in TABLES},
            selection=arguments.selection,
            segments=arguments.segments,
            compare_with=arguments.compare_with,
            figures=arguments.figures,
            template_folder=arguments.template_folder,
        )
    )
    write_atomically(arguments.output, report.html)
    write_atomically(arguments.answer, report.answer)


if __name__ == "__main__":
    run(main)
