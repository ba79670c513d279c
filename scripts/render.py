"""Render the report from the tables and figures of a study."""

import argparse
from pathlib import Path

from asrmeter.cli import run
from asrmeter.compare import Run, compare
from asrmeter.files import read_json, write_atomically
from asrmeter.report.audio import data_uris
from asrmeter.report.inputs import COLUMNS as BOTTLENECK_COLUMNS
from asrmeter.report.inputs import Bottlenecks
from asrmeter.report.page import Inputs, render, report_context
from asrmeter.report.transcripts import shown_first
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
    parser.add_argument("--segments", type=Path, required=True, help="segments.json in the folder of the corpus")
    parser.add_argument("--compare-with", type=Path, nargs="?", help="results folder of another run; no value for none")
    parser.add_argument("--figures", type=Path, nargs="+", required=True, help="figures (SVG), in the report's order")
    parser.add_argument("--template-folder", type=Path, required=True, help="folder of the template, style and words")
    parser.add_argument("--output", type=Path, required=True, help="HTML file to write")
    arguments = parser.parse_args(argv)
    study = read_json(arguments.study, alone=True)
    cells = read_rows(arguments.cells, CELL_COLUMNS)
    transcripts = read_rows(arguments.transcripts, TRANSCRIPT_COLUMNS)
    segments = {row["segment_id"]: row for row in read_json(arguments.segments)}
    audio: dict[str, str] = {}
    if study["report"]["embed_audio"]:
        names = [name for _, name in shown_first(transcripts)]
        audio = data_uris(names, segments, arguments.segments.parent)
    comparison = None
    if other := arguments.compare_with:
        comparison = compare(Run.read(other), Run.of(study["results"], cells, transcripts))
    inputs = Inputs(
        study=study,
        cells=cells,
        transcripts=transcripts,
        noise=read_rows(arguments.noise, NOISE_COLUMNS),
        bottlenecks=Bottlenecks.read({name: getattr(arguments, name) for name in BOTTLENECK_COLUMNS}),
        selection=read_json(arguments.selection),
        segments=segments,
        audio=audio,
        comparison=comparison,
    )
    figures = {path.stem: path.read_text(encoding="utf-8") for path in arguments.figures}
    words = load_words(arguments.template_folder, study["report"]["language"])
    context = report_context(inputs, figures, words)
    write_atomically(arguments.output, render(arguments.template_folder, context))


if __name__ == "__main__":
    run(main)
