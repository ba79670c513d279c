"""The report: the template's values, and its rendering to one self-contained HTML file.

Words are trusted markup; everything that comes from a study, a table or a transcript is escaped.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from asrmeter.analysis.bottlenecks import KEYS, Bottlenecks
from asrmeter.analysis.capacity_columns import TABLES as CAPACITY_TABLES
from asrmeter.analysis.certainty import N_DRAWS, SURE
from asrmeter.analysis.comparison.runs import Comparison
from asrmeter.analysis.hardware import split_by_hardware
from asrmeter.analysis.ranking import rank_all
from asrmeter.analysis.results import results_of
from asrmeter.analysis.scenarios import recommend
from asrmeter.analysis.table_rows import cell_of
from asrmeter.analysis.under_load import with_capacities
from asrmeter.analysis.unmeasured import unmeasured_of
from asrmeter.common.constants import LEAST_SEGMENTS
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.printable import printable
from asrmeter.common.table_types import Row
from asrmeter.records.disturbance import SLOW_CONTROL
from asrmeter.report.catalogue import Words
from asrmeter.report.figure_registry import FIGURES, load
from asrmeter.report.formatting import NULL, cell_links, format_count, number, percent, scaled
from asrmeter.report.html.audio import Audio
from asrmeter.report.html.bottlenecks import bottlenecks_section, judged_cells
from asrmeter.report.html.capacity import capacity_section
from asrmeter.report.html.cards import cards, key_figures
from asrmeter.report.html.caveats import caveats
from asrmeter.report.html.certainty import chance
from asrmeter.report.html.comparison import comparison_section
from asrmeter.report.html.first_screen import first_screen
from asrmeter.report.html.inline_svg import inline_svg
from asrmeter.report.html.languages import by_language, speech_line
from asrmeter.report.html.layouts import layouts_section
from asrmeter.report.html.noise import noise_caveats, sittings_table
from asrmeter.report.html.not_shown import not_shown
from asrmeter.report.html.optimisations import optimisations_section
from asrmeter.report.html.provenance import provenance_section
from asrmeter.report.html.silence import silence_section
from asrmeter.report.html.start import start_table
from asrmeter.report.html.table_model import has_numbers
from asrmeter.report.html.tables import (
    cells_tables,
    duration_table,
    failures_table,
    mended_table,
    models_table,
    normalisers_of,
    overview_table,
    skipped_table,
    stars_table,
    weights_table,
)
from asrmeter.report.html.takeaways import Takeaway, TakeawayContext
from asrmeter.report.html.transcripts import transcripts_section
from asrmeter.report.html.unknowns import with_unknown
from asrmeter.study.model import Report, Study

TEMPLATE = "report.html.j2"
# The tables of what variants bring, and cost.
OF_VARIANTS = ("optimisations", "start", "layouts")
# The tables of what is written where nobody speaks.
OF_SILENCE = ("silence", "silence_models")
CELL_LINK = re.compile('href="#(cell-[^"]+)"')


def linkable(study: Study) -> tuple[str, ...]:
    """Return the tables that a study's report can link to: those that it asks for, and those that every one has."""
    further = (*OF_VARIANTS, *OF_SILENCE, *CAPACITY_TABLES, *KEYS)
    names = ("cells", "sittings", "passes", "transcripts", "languages", *further)
    asked = {"edlm2025": study.report.study_2025, "layouts": bool(study.layouts)}
    asked |= dict.fromkeys(OF_SILENCE, study.robustness.silence)
    asked |= dict.fromkeys(CAPACITY_TABLES, study.load is not None)
    return tuple(name for name in names if asked.get(name, True))


def render(template_folder: Path, context: Mapping[str, Any]) -> str:
    """Render the template with its style and script inline; the page's policy allows only these.

    What cannot be seen is escaped, wherever it comes from.
    """
    environment = Environment(
        loader=FileSystemLoader(template_folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    style, script = ((template_folder / name).read_text(encoding="utf-8") for name in ("style.css", "tables.js"))
    page = environment.get_template(TEMPLATE).render(
        **context,
        style=Markup(style),
        style_hash=_digest(style),
        script=Markup(script),
        script_hash=_digest(script),
    )
    return "\n".join(map(printable, page.split("\n")))


@dataclass(frozen=True)
class Inputs:
    """The sources of a report: a complete study and the rows of its tables.

    `sittings` holds a row for each cell and lap, `bottlenecks` the tables of what holds cells back,
    `selection` which speech was chosen and from where, `segments` its rows by their id, `audio` that of those that
    can be listened to, None if nobody asked for any, `comparison` what came out against another run, `linked` the
    tables that lie beside the report; `optimisations`, `start`, `silence_models`, `languages`, `loads`, `capacities`
    and `layouts` are the rows of these.
    """

    study: Study
    cells: Sequence[Row]
    transcripts: Sequence[Row]
    sittings: Sequence[Row]
    bottlenecks: Bottlenecks
    selection: Mapping[str, Any]
    segments: Mapping[str, Row] = field(default_factory=dict)
    audio: Mapping[str, Audio] | None = None
    comparison: Comparison | None = None
    linked: Sequence[str] = ()
    optimisations: Sequence[Row] = ()
    start: Sequence[Row] = ()
    silence_models: Sequence[Row] = ()
    languages: Sequence[Row] = ()
    loads: Sequence[Row] = ()
    capacities: Sequence[Row] = ()
    layouts: Sequence[Row] = ()


def report_context(inputs: Inputs, figures: Mapping[str, str], words: Words) -> dict[str, Any]:
    """Return everything that the template shows; `figures` maps a figure's name to its SVG.

    What has nothing to show is None or empty, and a section that is has no place in `sections`.

    Raises:
        AsrmeterError: a figure has a name that the report has no words for, or is not one of ours.
    """
    if unknown := figures.keys() - FIGURES.keys():
        raise AsrmeterError(f"no such figure: {', '.join(sorted(unknown))}; there are {', '.join(FIGURES)}")
    study, selection = inputs.study, inputs.selection
    all_cells = sorted(inputs.cells, key=cell_of)
    cells, elsewhere = split_by_hardware(all_cells)
    bottlenecks = inputs.bottlenecks.of(cells)
    results = with_capacities(results_of(cells, inputs.transcripts), inputs.loads, inputs.capacities)
    unmeasured = unmeasured_of(cells, elsewhere)
    recommendation = rank_all(results, unmeasured)
    recommendations = recommend(results, unmeasured, study)
    takeaways = TakeawayContext(
        cells,
        recommendation,
        bottlenecks,
        words,
        next(iter(recommendations), None),
        inputs.optimisations,
        inputs.silence_models,
        inputs.capacities,
        inputs.loads,
        inputs.layouts,
    )
    drawn = {
        name: _figure(name, figures[name], takeaway, words)
        for name, entry in FIGURES.items()
        if name in figures and (takeaway := load(entry.takeaway)(takeaways))
    }
    held_back = bottlenecks_section(cells, bottlenecks, study.report.study_2025, words)
    models, stars = models_table(cells, recommendation, words), stars_table(results, recommendation, words)
    transcripts = transcripts_section(inputs.transcripts, inputs.segments, inputs.audio, words)
    failures = (
        failures_table([row for row in cells if row["status"] != "ok"], elsewhere, words),
        sittings_table(inputs.sittings, words),
        skipped_table(selection, words),
        mended_table(selection, words),
    )
    context: dict[str, Any] = {
        "words": words,
        "language": study.report.language,
        "study_name": study.name,
        "machine": machine_line(all_cells, words),
        "speech": speech_line(all_cells, study.report.language, words),
        "first": first_screen(recommendations, cells, study.report.tariff, words, inputs.silence_models),
        "optimisations": optimisations_section(inputs.optimisations, study.report.accuracy_gate, words),
        "capacity": capacity_section(inputs.loads, inputs.capacities, words),
        "start": start_table(inputs.start, words),
        "cards": cards(recommendations, study.report.tariff, words, inputs.silence_models),
        "rules": _rules(study.report, words),
        "facts": key_figures(recommendation, words),
        "caveats": [
            *noise_caveats(cells, inputs.sittings, study.protocol.target, words),
            *caveats(study, selection, cells, elsewhere, recommendation, words),
        ],
        "by_duration": with_unknown(duration_table(recommendation, words), takeaways.unknown, words),
        "models": with_unknown(models, takeaways.unknown, words) if has_numbers(models) else None,
        # Alone everybody is the best.
        "stars": with_unknown(stars, takeaways.unknown, words) if len(stars.lines) > 1 else None,
        "by_language": by_language(inputs.languages, recommendation, study.report.language, words),
        "figures": _of_section("figures", drawn),
        "not_shown": not_shown(takeaways, drawn.keys(), bool(transcripts.segments), study.report.transcripts == "none"),
        "silence": silence_section(inputs.silence_models, words),
        "layouts": layouts_section(inputs.layouts, words),
        "bottlenecks": held_back if any(held_back.values()) or _of_section("bottlenecks", drawn) else None,
        "placed_figures": {name: figure for name, figure in drawn.items() if FIGURES[name].section != "figures"},
        "comparison": comparison_section(inputs.comparison, words) if inputs.comparison else None,
        "failures": [table for table in failures if table.lines],
        "transcripts": transcripts if transcripts.segments else None,
        "method": _method(study, all_cells, words),
        "provenance": provenance_section(study, all_cells, inputs.sittings, selection, words),
        "weights": weights_table(cells, words),
        "downloads": [f"tables/{name}.csv" for name in inputs.linked],
    }
    context["overview"] = overview_table(judged_cells(all_cells, inputs.bottlenecks.roofline), words)
    context["cells"] = cells_tables(all_cells, anchors_in(context), words)
    # The answer is always there, if only to say that there is none.
    shown = [name for name in words["sections"] if name == "answer" or context[name]]
    sections = [{"name": name, "title": words["sections"][name]} for name in shown]
    return context | {"sections": sections}


def _of_section(section: str, figures: Mapping[str, Any]) -> list[Any]:
    return [figure for name, figure in figures.items() if FIGURES[name].section == section]


def anchors_in(shown: Any) -> set[str]:
    """Return the anchors of all cells that are linked to from what is shown."""
    if isinstance(shown, str):
        return set(CELL_LINK.findall(shown)) if isinstance(shown, Markup) else set()
    if is_dataclass(shown):
        return anchors_in(vars(shown))
    if isinstance(shown, Mapping):
        return anchors_in(shown.values())
    return set[str]().union(*map(anchors_in, shown)) if isinstance(shown, Iterable) else set()


def machine_line(cells: Sequence[Row], words: Words) -> str:
    """Return the machine that was measured in one line, or how many there were."""
    machines = {row["machine_id"]: row for row in cells if row["machine_id"] is not None}
    if len(machines) != 1:
        return words["machine"]["several"].format(n=len(machines)) if machines else words["machine"]["unknown"]
    row = next(iter(machines.values()))
    line = words["machine"]["cpu"].format(
        cpu_name=row["cpu_name"] or NULL,
        n_cpus=row["n_cpus"] or NULL,
        memory=number(scaled(row["memory_bytes"], 1e-9)),
    )
    if not row["gpu_name"]:
        return line
    gpu = words["machine"]["gpu"].format(gpu_name=row["gpu_name"], driver_version=row["driver_version"] or NULL)
    return Markup(" · ").join([line, gpu])


def _digest(text: str) -> str:
    """Return the hash by which a content security policy allows an inline text."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _figure(name: str, svg: str, takeaway: Takeaway, words: Words) -> dict[str, Any]:
    sentence, evidence = takeaway
    caption = words["figure_caption"][name]
    return {
        "name": name,
        "title": words["figure"][name],
        "svg": inline_svg(name, svg),
        "caption": caption,
        "takeaway": sentence,
        "evidence": cell_links(evidence),
        "label": Markup(caption + " " + sentence).striptags(),
    }


def _rules(report: Report, words: Words) -> list[Markup]:
    """Return the rules by which the scenarios were answered."""
    rules = [words["answer"]["rule"].format(least=LEAST_SEGMENTS)]
    rules.append(words["answer"]["certainty"].format(n=format_count(N_DRAWS), sure=chance(SURE, words)))
    if report.accuracy_gate is not None:
        rules.append(words["answer"]["gate"].format(gate=percent(report.accuracy_gate)))
    tariff = report.tariff
    return rules if tariff.currency or tariff.co2_g_per_kwh else [*rules, words["cost"]["no_tariff"]]


def _method(study: Study, cells: Sequence[Row], words: Words) -> list[Markup]:
    """Return the description of the method with the values of the study's protocol, without unused parts."""
    protocol = study.protocol
    values = {key: f"{value:g}" for key, value in protocol if value is not None} | {"target": percent(protocol.target)}
    time = words["method_time"]["budget_s" if protocol.minutes is None else "minutes"].format(**values)
    values |= {"time": time, "slow": f"{100 * SLOW_CONTROL:g}"}
    own = {
        "speech": speech_line(cells, study.report.language, words, "method_"),
        "wer": normalisers_of(cells),
    }
    return [
        text.format(**values, speech=own["speech"], normaliser=own["wer"])
        for key, text in words["method"].items()
        if own.get(key, True)
    ]
