"""Render the report from the tables and figures of a study."""

import argparse
import json
from pathlib import Path

from asrmeter.cli import run
from asrmeter.compare import COLUMNS, compare
from asrmeter.files import write_atomically
from asrmeter.report.inputs import COLUMNS as BOTTLENECK_COLUMNS
from asrmeter.report.inputs import Bottlenecks
from asrmeter.report.page import render, report_context
from asrmeter.report.words import load_words
from asrmeter.settings import CELL_COLUMNS, NOISE_COLUMNS, TRANSCRIPT_COLUMNS, read_rows


def main(argv: list[str] | None = None) -> None:
    """Write the report: one self-contained HTML file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=Path, required=True, help="normalised study (JSON)")
    parser.add_argument("--cells", type=Path, required=True, help="cells table (Parquet)")
    parser.add_argument("--transcripts", type=Path, required=True, help="transcripts table (Parquet)")
    parser.add_argument("--noise", type=Path, required=True, help="noise table (Parquet)")
    for name in BOTTLENECK_COLUMNS:
        parser.add_argument(f"--{name}", type=Path, required=True, help=f"{name} table (Parquet)")
    parser.add_argument("--selection", type=Path, required=True, help="record of the corpus' selection (JSON)")
    parser.add_argument("--compare-with", type=Path, nargs="?", help="cells table of another run; no value for none")
    parser.add_argument("--figures", type=Path, nargs="+", required=True, help="figures (SVG), in the report's order")
    parser.add_argument("--template-folder", type=Path, required=True, help="folder of the template, style and words")
    parser.add_argument("--output", type=Path, required=True, help="HTML file to write")
    arguments = parser.parse_args(argv)
    study = json.loads(arguments.study.read_text(encoding="utf-8"))
    cells = read_rows(arguments.cells, CELL_COLUMNS)
    transcripts = read_rows(arguments.transcripts, TRANSCRIPT_COLUMNS)
    noise = read_rows(arguments.noise, NOISE_COLUMNS)
    bottlenecks = Bottlenecks.read({name: getattr(arguments, name) for name in BOTTLENECK_COLUMNS})
    selection = json.loads(arguments.selection.read_text(encoding="utf-8"))
    figures = {path.stem: path.read_text(encoding="utf-8") for path in arguments.figures}
    words = load_words(arguments.template_folder, study["report"].get("language", "en"))
    comparison = None
    if other := arguments.compare_with:
        comparison = compare(read_rows(other, COLUMNS), cells, (study["report"]["compare_with"], study["results"]))
    context = report_context(study, cells, transcripts, noise, bottlenecks, selection, comparison, figures, words)
    write_atomically(arguments.output, render(arguments.template_folder, context))


if __name__ == "__main__":
    run(main)
