"""Draw the report's figures from the tables."""

import argparse
import os
import sys
from pathlib import Path

# With PYTHONSAFEPATH set, Python does not search this folder.
sys.path.insert(0, os.path.dirname(__file__))

from asrmeter.analysis import capacity_columns, layouts, optimisations, silence
from asrmeter.analysis.bottlenecks import Bottlenecks
from asrmeter.analysis.columns import CELLS, TRANSCRIPTS
from asrmeter.analysis.table_rows import TRANSCRIPT_KEY, read_rows
from asrmeter.common.files import write_atomically
from asrmeter.report.catalogue import error_unit_of, load_texts
from asrmeter.report.figure_registry import FIGURES
from asrmeter.report.figures.context import FigureContext
from asrmeter.report.figures.render import figure_svg
from asrmeter.study.ownership import read as read_study
from asrmeter.workflow.cli import run

TABLES = ("roofline", "ceilings", "operators", "scaling")


def main(argv: list[str] | None = None) -> None:
    """Write one SVG per topic."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=Path, required=True, help="the complete study, study.json")
    parser.add_argument("--cells", type=Path, required=True, help="cells table (Parquet)")
    parser.add_argument("--transcripts", type=Path, required=True, help="transcripts table (Parquet)")
    parser.add_argument("--optimisations", type=Path, required=True, help="optimisations table (Parquet)")
    parser.add_argument("--silence", type=Path, required=True, help="silence table (Parquet)")
    for name in capacity_columns.TABLES:
        parser.add_argument(f"--{name}", type=Path, required=True, help=f"{name} table (Parquet)")
    parser.add_argument("--layouts", type=Path, required=True, help="layouts table (Parquet)")
    for name in TABLES:
        parser.add_argument(f"--{name}", type=Path, required=True, help=f"{name} table (Parquet)")
    parser.add_argument("--template-folder", type=Path, required=True, help="folder of the report's texts")
    parser.add_argument("--output-folder", type=Path, required=True, help="folder for the SVG files")
    arguments = parser.parse_args(argv)
    study = read_study(arguments.study)
    cells, transcripts = (
        read_rows(arguments.cells, CELLS),
        read_rows(arguments.transcripts, TRANSCRIPTS, TRANSCRIPT_KEY),
    )
    tables = Bottlenecks.read({name: getattr(arguments, name) for name in TABLES})
    words = load_texts(arguments.template_folder, study.report.language, error_unit_of(cells))
    proposed, heard = optimisations.read(arguments.optimisations), silence.read(arguments.silence)
    under_load = [capacity_columns.read(name, getattr(arguments, name)) for name in capacity_columns.TABLES]
    further = proposed, heard, *under_load, layouts.read(arguments.layouts)
    context = FigureContext.of(study, cells, transcripts, tables, words, *further)
    for name in FIGURES:
        write_atomically(arguments.output_folder / f"{name}.svg", figure_svg(name, context))


if __name__ == "__main__":
    run(main)
