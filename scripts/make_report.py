"""Render the report from the tables and figures of a study."""

import argparse
import os
import sys
from pathlib import Path

# Where PYTHONSAFEPATH is set, Python leaves this folder out.
sys.path.insert(0, os.path.dirname(__file__))

from asrmeter.analysis.bottlenecks import KEYS as BOTTLENECK_TABLES
from asrmeter.analysis.bottlenecks import Bottlenecks
from asrmeter.analysis.columns import CELLS, TRANSCRIPTS
from asrmeter.analysis.comparison.runs import Run, compare
from asrmeter.analysis.sitting_columns import SITTINGS
from asrmeter.analysis.table_rows import CELL_KEY, TRANSCRIPT_KEY, read_rows
from asrmeter.common.errors import AsrmeterError, one_line
from asrmeter.common.files import read_json, write_atomically
from asrmeter.common.regular_files import read_regular
from asrmeter.report.catalogue import load_words
from asrmeter.report.formatting import shorten
from asrmeter.report.html.audio import Audio, embedded
from asrmeter.report.html.inline_svg import MOST_BYTES, parse
from asrmeter.report.html.page import Inputs, render, report_context
from asrmeter.report.html.transcripts import shown_first
from asrmeter.study.ownership import read as read_study
from asrmeter.workflow.cli import run

# What the report shows of either.
SEGMENTS = [{"segment_id": str, "audio_s": int | float, "source": str, "utterances": [str], "path": str}]
SELECTION = {
    "classes": [{"duration_s": int, "n_segments": int, "n_possible": int}],
    "origin": dict,
    "skipped": [{"name": str, "reason": str}],
    "mended": [{"name": str, "how": str}],
    "dropped": {"*": int},
    "selection_sha256": str,
}


def main(argv: list[str] | None = None) -> None:
    """Write the report: one self-contained HTML file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=Path, required=True, help="the complete study, study.json")
    parser.add_argument("--cells", type=Path, required=True, help="cells table (Parquet)")
    parser.add_argument("--transcripts", type=Path, required=True, help="transcripts table (Parquet)")
    parser.add_argument("--sittings", type=Path, required=True, help="sittings table (Parquet)")
    for name in BOTTLENECK_TABLES:
        parser.add_argument(f"--{name}", type=Path, required=True, help=f"{name} table (Parquet)")
    parser.add_argument("--selection", type=Path, required=True, help="record of the corpus' selection (JSON)")
    parser.add_argument("--segments", type=Path, required=True, help="segments.json in the folder of the corpus")
    parser.add_argument("--compare-with", type=Path, nargs="?", help="results folder of another run; no value for none")
    parser.add_argument("--figures", type=Path, nargs="+", required=True, help="figures (SVG), in the report's order")
    parser.add_argument("--template-folder", type=Path, required=True, help="folder of the template, style and words")
    parser.add_argument("--output", type=Path, required=True, help="HTML file to write")
    arguments = parser.parse_args(argv)
    study = read_study(arguments.study)
    cells = read_rows(arguments.cells, CELLS)
    transcripts = read_rows(arguments.transcripts, TRANSCRIPTS, TRANSCRIPT_KEY)
    segments = {shorten(row["segment_id"]): row for row in read_json(arguments.segments, shape=SEGMENTS)}
    audio: dict[str, Audio] | None = None
    if study.report.embed_audio:
        names = [name for _, name in shown_first(transcripts)]
        audio = embedded(names, segments, arguments.segments.parent)
    comparison = None
    if other := arguments.compare_with:
        comparison = compare(Run.read(other), Run.of(study.results, cells, transcripts))
    inputs = Inputs(
        study=study,
        cells=cells,
        transcripts=transcripts,
        sittings=read_rows(arguments.sittings, SITTINGS, (*CELL_KEY, "lap")),
        bottlenecks=Bottlenecks.read({name: getattr(arguments, name) for name in BOTTLENECK_TABLES}),
        selection=read_json(arguments.selection, shape=SELECTION),
        segments=segments,
        audio=audio,
        comparison=comparison,
    )
    figures = {path.stem: figure_of(path) for path in arguments.figures}
    words = load_words(arguments.template_folder, study.report.language)
    context = report_context(inputs, figures, words)
    write_atomically(arguments.output, render(arguments.template_folder, context))


def figure_of(path: Path) -> str:
    """Return a figure as SVG.

    Raises:
        AsrmeterError: it cannot be read, or is not a figure as we draw them.
    """
    try:
        svg = read_regular(path, MOST_BYTES).decode()
        parse(svg)
    except (OSError, ValueError) as error:
        raise AsrmeterError(f"{path}: cannot be read as SVG ({one_line(error)}); delete it and run again") from error
    except AsrmeterError as error:
        why = str(error).removeprefix(f"{path}: ")
        raise AsrmeterError(f"{path}: {why}; delete it and run again") from error
    return svg


if __name__ == "__main__":
    run(main)
