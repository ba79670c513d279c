"""The files that a report is made of, read once and freed of what is withheld before anything is made of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from asrmeter.analysis import capacity_columns, languages_table, layouts, optimisations, silence, start_table
from asrmeter.analysis.bottlenecks import KEYS, Bottlenecks
from asrmeter.analysis.columns import CELLS, TRANSCRIPTS
from asrmeter.analysis.comparison.runs import Run, compare
from asrmeter.analysis.sitting_columns import SITTINGS
from asrmeter.analysis.table_rows import CELL_KEY, TRANSCRIPT_KEY, read_rows
from asrmeter.common.errors import AsrmeterError, one_line
from asrmeter.common.files import read_json
from asrmeter.common.regular_files import read_regular
from asrmeter.common.table_types import Row
from asrmeter.report.catalogue import error_unit_of, load_words
from asrmeter.report.formatting import shorten
from asrmeter.report.html.audio import Audio, embedded
from asrmeter.report.html.inline_svg import MOST_BYTES, parse
from asrmeter.report.html.page import Inputs, linkable, render, report_context
from asrmeter.report.html.transcripts import shown_first
from asrmeter.report.privacy import Privacy
from asrmeter.report.text.answer import answer_text
from asrmeter.study import ownership

# The tables that are made beside those of cells, with what reads them.
_FURTHER = {
    "languages": languages_table.read,
    "optimisations": optimisations.read,
    "start": start_table.read,
    "silence_models": silence.read_models,
    "layouts": layouts.read,
}
# All that a report is made of.
TABLES = ("cells", "transcripts", "sittings", *_FURTHER, *capacity_columns.TABLES, *KEYS)
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


@dataclass(frozen=True)
class Sources:
    """Where everything lies: the study, its tables by name, and a run to compare with, None for none."""

    study: Path
    tables: Mapping[str, Path]
    selection: Path
    segments: Path
    compare_with: str | None
    figures: Sequence[Path]
    template_folder: Path


class Report(NamedTuple):
    """A report as HTML, its answer as lines of text, and what is withheld of both."""

    html: str
    answer: str
    privacy: Privacy


def report_of(sources: Sources, is_packed: bool = False) -> Report:
    """Return a report; `is_packed`: it goes along with tables without what is withheld.

    Raises:
        AsrmeterError: a file is missing or damaged.
    """
    study = ownership.read(sources.study)
    cells = read_rows(sources.tables["cells"], CELLS)
    transcripts = read_rows(sources.tables["transcripts"], TRANSCRIPTS, TRANSCRIPT_KEY)
    sittings = read_rows(sources.tables["sittings"], SITTINGS, (*CELL_KEY, "lap"))
    found = {name: read(sources.tables[name]) for name, read in _FURTHER.items()}
    found |= {name: capacity_columns.read(name, sources.tables[name]) for name in capacity_columns.TABLES}
    bottlenecks = Bottlenecks.read({name: sources.tables[name] for name in KEYS})
    segments = {shorten(row["segment_id"]): row for row in read_json(sources.segments, shape=SEGMENTS)}
    selection = read_json(sources.selection, shape=SELECTION)
    other = Run.read(sources.compare_with) if sources.compare_with else None
    rows = [("cells", cells), ("transcripts", transcripts), ("sittings", sittings), *vars(bottlenecks).items()]
    rows += [*found.items()]
    rows += [("cells", [*other.cells.values()])] if other else []
    privacy = Privacy(study, [*segments.values()], selection, rows)
    shown_cells, shown_transcripts = privacy.rows("cells", cells), privacy.rows("transcripts", transcripts)
    shown = privacy.shown_study
    inputs = Inputs(
        study=shown,
        cells=shown_cells,
        transcripts=shown_transcripts,
        sittings=privacy.rows("sittings", sittings),
        bottlenecks=privacy.bottlenecks(bottlenecks),
        selection=privacy.chosen(),
        segments=privacy.corpus(segments),
        audio=_audio(shown_transcripts, segments, sources.segments.parent, privacy),
        comparison=compare(privacy.run(other), Run.of(shown.results, shown_cells, transcripts)) if other else None,
        **{name: privacy.rows(name, own) for name, own in found.items()},
        linked=privacy.tables_of(linkable(study)) if is_packed or not privacy.withholds else (),
    )
    figures = {path.stem: _figure_of(path) for path in sources.figures}
    words = load_words(sources.template_folder, study.report.language, error_unit_of(cells))
    context = report_context(inputs, figures, words)
    return Report(render(sources.template_folder, context), answer_text(context["first"], words), privacy)


def _audio(
    transcripts: Sequence[Row], segments: Mapping[str, Row], corpus: Path, privacy: Privacy
) -> dict[str, Audio] | None:
    if not privacy.study.report.embed_audio:
        return None
    heard = embedded([name for _, name in shown_first(transcripts)], segments, corpus)
    return {name: Audio(audio.uri, privacy.text(audio.why_none)) for name, audio in heard.items()}


def _figure_of(path: Path) -> str:
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
