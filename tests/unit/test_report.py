"""The report of constructed tables."""

import base64
import hashlib
import json
import math
import re
import shutil
import warnings
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markupsafe import Markup, escape
from matplotlib.figure import Figure

import asrmeter
import make_figures
import make_report
from asrmeter.analysis import start_table
from asrmeter.analysis.bottlenecks import Bottlenecks
from asrmeter.analysis.columns import CELLS
from asrmeter.analysis.comparison.runs import Run, compare
from asrmeter.analysis.silence import model_rows
from asrmeter.analysis.table_rows import CELL_KEY
from asrmeter.common.errors import AsrmeterError
from asrmeter.report.catalogue import error_unit_of, load_texts, load_words
from asrmeter.report.figure_registry import FIGURES, FigureEntry, labels, load
from asrmeter.report.figures.context import FigureContext
from asrmeter.report.figures.render import figure_svg
from asrmeter.report.figures.style import message
from asrmeter.report.formatting import anchor, number
from asrmeter.report.html import page as report
from asrmeter.report.html import provenance
from asrmeter.report.html.inline_svg import inline_svg
from asrmeter.report.html.table_model import with_note
from asrmeter.report.html.takeaways import Takeaway, TakeawayContext
from asrmeter.report.terms import BOTH, CHARACTERS, WORDS, section_of
from helpers.bottlenecks import example_bottlenecks, write_bottlenecks
from helpers.capacity import known_capacities
from helpers.layouts import example_layouts
from helpers.optimisations import example_optimisations
from helpers.silence import example_silence
from helpers.tables import (
    all_sittings,
    cell,
    example_cells,
    example_segments,
    example_selection,
    example_study,
    example_transcripts,
    failed,
    measured_again,
    transcripts_of,
    write_tables,
)

LATENCIES = ("latency_s_median", "latency_s_ci_low", "latency_s_ci_high")
TEMPLATES = Path(__file__).parents[2] / "report"
VOID = {"meta", "link", "br", "img", "input", "hr"}
# What ends without an end tag: what starts next, or the end of what it is in, ends it.
ENDED_BY = {"th": {"th", "td", "tr"}, "td": {"th", "td", "tr"}, "tr": {"tr"}}


class Page(HTMLParser):
    """Checks that tags are balanced and collects ids, links and what loads something."""

    def __init__(self, html):
        super().__init__()
        self.open, self.ids, self.links, self.loads, self.scripts = [], [], [], [], 0
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        while self.open and tag in ENDED_BY.get(self.open[-1], ()):
            self.open.pop()
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes["href"]] if tag == "a" else []
        self.loads += [value for key, value in attrs if key in ("src", "srcset", "action")]
        self.scripts += tag == "script"

    def handle_startendtag(self, tag, attrs):
        if tag not in VOID:
            self.handle_starttag(tag, attrs)
            self.open.pop()
        else:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag):
        while tag in ("tbody", "table") and self.open[-1] in ENDED_BY:
            self.open.pop()
        assert self.open.pop() == tag


DRAWN = '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><text id="a">drawn</text></svg>'


def rendered(
    cells,
    transcripts=None,
    drawn=False,
    sittings=None,
    bottlenecks=None,
    comparison=None,
    selection=None,
    audio=None,
    optimisations=(),
    silence=(),
    languages=(),
    loads=(),
    capacities=(),
    layouts_measured=(),
    **changes,
):
    transcripts = example_transcripts(cells) if transcripts is None else transcripts
    sittings = all_sittings(cells) if sittings is None else sittings
    bottlenecks = example_bottlenecks(cells) if bottlenecks is None else bottlenecks
    study = example_study(**changes)
    said = (TEMPLATES, study.report.language, error_unit_of(cells))
    further = optimisations, silence, loads, capacities, layouts_measured
    context = FigureContext.of(study, cells, transcripts, bottlenecks, load_texts(*said), *further)
    figures = {name: figure_svg(name, context) if drawn else DRAWN for name in FIGURES}
    words = load_words(*said)
    selection = example_selection() if selection is None else selection
    linked = report.linkable(study)
    inputs = report.Inputs(
        study, cells, transcripts, sittings, bottlenecks, selection, example_segments(), audio, comparison, linked,
        optimisations, start_table.rows(cells), model_rows(silence), languages, loads, capacities, layouts_measured,
    )  # fmt: skip
    context = report.report_context(inputs, figures, words)
    return report.render(TEMPLATES, context)


def digest(text):
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def text_of(html):
    body = re.sub(r"<(style|script|svg).*?</\1>", "", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", body).replace("\u202f", " ").replace("\xa0", " ").split())


@pytest.fixture(scope="module")
def page():
    loads, capacities = known_capacities()
    made = {"optimisations": example_optimisations(), "silence": example_silence()}
    made |= {"loads": loads, "capacities": capacities, "layouts_measured": example_layouts()}
    return rendered(example_cells(("cpu", "cuda")), drawn=True, **made)


def drawn_anew(context: FigureContext) -> Figure:
    return message(f"{len(context.cells)} cells anew")


def said_anew(of: TakeawayContext) -> Takeaway:
    return Markup("Anew in {} cells.").format(len(of.cells)), [of.results[0].cell]


def test_a_new_figure_needs_one_entry_and_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = example_cells()
    command = command_line(tmp_path, cells)
    templates = shutil.copytree(TEMPLATES, tmp_path / "report")
    catalogue = templates / "words.en.toml"
    words = catalogue.read_text(encoding="utf-8").replace("[figure]\n", '[figure]\nanew = "Something new"\n')
    words = words.replace("[figure_caption]\n", '[figure_caption]\nanew = "What is <em>new</em>."\n')
    catalogue.write_text(words, encoding="utf-8")
    monkeypatch.setitem(
        cast(dict[str, FigureEntry], FIGURES), "anew", FigureEntry("test_report:drawn_anew", "test_report:said_anew")
    )
    command[command.index(str(TEMPLATES))] = str(templates)
    tables = (
        "cells",
        "transcripts",
        "optimisations",
        "silence",
        "loads",
        "capacities",
        "layouts",
        *make_figures.TABLES,
    )
    options = {name: tmp_path / f"{name}.parquet" for name in tables}
    options |= {"study": tmp_path / "study.json", "template-folder": templates, "output-folder": tmp_path}
    make_figures.main([part for key, value in options.items() for part in (f"--{key}", str(value))])
    place = command.index("--figures")
    make_report.main([*command[: place + 1], str(tmp_path / "anew.svg"), *command[place + 1 :]])
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f"{len(cells)} cells anew" in html and f"Anew in {len(cells)} cells." in html
    assert '<h3 id="figure-anew">Something new</h3>' in html and "What is <em>new</em>." in html
    assert labels("anew", catalogue) == {"figure": "Something new", "caption": "What is new."}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_has_its_functions_and_words(name: str) -> None:
    assert callable(load(FIGURES[name].draw)) and callable(load(FIGURES[name].takeaway))
    for language in ("en", "ru"):
        assert all(labels(name, TEMPLATES / f"words.{language}.toml").values())


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (0, "0"),
        (0.0123456, "0.0123"),
        (0.35, "0.350"),
        (9.996, "10.0"),
        (12.34, "12.3"),
        (123.4, "123"),
        (999.9, "1\u202f000"),
        (12345.0, "12\u202f300"),
        (-1.5, "-1.50"),
    ],
)
def test_numbers_have_three_significant_digits(value, shown):
    assert number(value) == shown


def test_page_is_well_formed_and_all_links_have_targets(page):
    parsed = Page(page)
    assert len(parsed.ids) == len(set(parsed.ids))
    inside = {link[1:] for link in parsed.links if link.startswith("#")}
    assert inside <= set(parsed.ids)
    elsewhere = {link for link in parsed.links if not link.startswith("#")}
    assert elsewhere == {f"tables/{name}.csv" for name in report.linkable(example_study())}
    assert "<code>profiles/whisper-base/fp32/cpu/30s-b1.trace.json.gz</code>" in page


def test_the_page_loads_nothing_and_runs_only_its_own_script(page):
    assert Page(page).loads == []
    assert Page(page).scripts == 1
    style, script = (
        digest(re.search(rf"<{tag}>(.*?)</{tag}>", page, flags=re.DOTALL)[1]) for tag in ("style", "script")
    )
    assert f"default-src 'none'; style-src '{style}'; script-src '{script}'; img-src data:; media-src data:;" in page
    assert not re.search(r"url\((?!#)|@import|https?://(?!www\.w3\.org|ui\.perfetto\.dev)", page)
    assert 'href="http' not in page


def test_rendering_is_deterministic():
    assert rendered(example_cells()) == rendered(example_cells())


def test_order_of_cells_does_not_matter():
    cells = example_cells()
    assert rendered(cells) == rendered(list(reversed(cells)), example_transcripts(cells))


def test_scenario_cards_have_reasons_rivals_costs_and_evidence():
    html = rendered(example_cells())
    text = text_of(html)
    assert "Production service: WER ≤ 15 %, median ≤ 1 s, then most throughput." in text
    for title in ("Production service", "Research quality", "Edge, CPU only"):
        assert title in text
    assert "Limits: WER of at most 15 %, median latency of at most 1 s. Preference: the highest throughput." in text
    assert "whisper-tiny.en on cpu at batch 1" in text
    assert "Settings ruled out: 2 by median latency." in text
    assert "Runner-up: whisper-base on cpu at batch" in text
    assert "is more than 99 % likely to be the best of those that meet the limits." in text
    assert "an hour of audio: energy" in text
    assert 'href="#cell-whisper-tiny.en-fp32-cpu-30s-b1"' in html
    assert "its weights are random" in text


def test_variants_are_held_against_the_word_accuracy_of_fp32() -> None:
    cells = [cell(wer=0.10), cell(wer=0.19, variant="int8"), cell("whisper-tiny.en", wer=0.1, variant="int8")]
    html = rendered(cells)
    assert "Word accuracy, relative to fp32 (%)" in text_of(html)
    # 0.81 of the words right, where fp32 has 0.90; the other model has no fp32.
    assert html.count(">90.0<") == 1 and "no WER of the same model" in html
    assert "Word accuracy relative to fp32" not in text_of(rendered([cell()]))


def test_costs_are_told_by_the_tariff_of_the_study() -> None:
    prices = {"currency": "EUR", "price_per_kwh": 0.4, "price_per_device_hour": {"cpu": 0.1}, "co2_g_per_kwh": 250}
    text = text_of(rendered(example_cells(), report={"tariff": prices}))
    assert "CO₂ equivalent of the energy of the processor" in text and "250 g per kilowatt-hour, from the study" in text
    assert "an hour of audio: electricity of the processor, EUR" in text
    assert "modelled (cpu_load_model); RAM, disks, network and cooling are not counted" in text
    assert "an hour of audio: the machine, EUR" in text and "at 0.1 EUR per machine hour" in text
    assert "an hour of audio: both together, EUR" in text and "EUR for 1,000 hours of audio" in text
    assert "Set report.tariff in the study" not in text
    assert "Set report.tariff in the study" in text_of(rendered(example_cells()))
    # Electricity alone must not read as what an hour of audio costs.
    alone = text_of(rendered(example_cells(), report={"tariff": {"currency": "EUR", "price_per_kwh": 0.4}}))
    assert "not counted: the study gives no price per machine hour" in alone
    assert re.search(r"both together, EUR – not counted", alone)


def test_every_cell_has_its_costs_in_a_table() -> None:
    priced = {
        "energy_wh_per_audio_hour": 2.0,
        "cost_currency": "EUR",
        "cost_electricity_per_audio_hour": 0.001,
        "cost_machine_per_audio_hour": 0.1,
        "cost_per_audio_hour": 0.101,
        "cost_per_1000_audio_hours": 101.0,
    }
    table = re.search(r'<table id="table-costs".*?</table>', rendered([cell(**priced), cell(batch_size=2)]), re.DOTALL)
    assert table
    text = text_of(table[0])
    assert "in EUR. The machine costs the study's price per hour" in text
    assert "2.00 modelled (cpu_load_model) 0.00100 0.100 0.101 101" in text
    assert 'title="not counted: the study gives no price per machine hour' in table[0]
    plain = re.search(r'<table id="table-costs".*?</table>', rendered([cell(energy_wh_per_audio_hour=2.0)]), re.DOTALL)
    assert plain and "Total" not in plain[0] and "The study gives no prices." in plain[0]


def test_a_gain_without_intervals_is_no_missing_gain() -> None:
    unknown = {"latency_s_ci_low": None, "latency_s_ci_high": None}
    text = text_of(rendered([cell(rtfx=20.0, **unknown), cell(batch_size=2, rtfx=30.0, **unknown)], noise=[]))
    assert "The gain of larger batches is not sure, because intervals are missing" in text
    assert "No larger batch is faster" not in text


def test_classes_where_another_model_errs_less_are_named() -> None:
    cells = [cell("whisper-base", wer=0.05), cell("whisper-tiny.en", wer=0.09)]
    cells += [cell("whisper-base", duration_s=5, wer=0.09), cell("whisper-tiny.en", duration_s=5, wer=0.05)]
    text = text_of(rendered(cells))
    assert "In other classes another model makes the fewest errors by value: whisper-tiny.en with 5 s segments." in text


def test_too_few_segments_carry_no_recommendation() -> None:
    text = text_of(rendered([cell(n_segments=5), cell("whisper-tiny.en", n_segments=5)]))
    assert "No recommendation" in text
    assert "The WER rests on 5 segments of 30 s. A recommendation needs at least 6" in text


def test_a_study_may_state_scenarios_of_its_own_or_none() -> None:
    own = {"night-shift": {"description": "Archives, <b>overnight</b>.", "prefer": "energy"}}
    text = text_of(html := rendered(example_cells(), report={"scenarios": own}))
    assert "night-shift" in text and "Archives, &lt;b&gt;overnight&lt;/b&gt;." in html
    assert "Preference: the least energy." in text and "Production service" not in text
    assert "The study defines no scenario" in text_of(rendered(example_cells(), report={"scenarios": {}}))


def test_modelled_energy_is_labelled_wherever_it_is_shown():
    html = rendered(example_cells())
    text = text_of(html)
    assert "Modelled (cpu_load_model), not measured." in text
    assert "Energy on cpu is modelled" in text
    assert "batch 1, modelled" in text
    assert "modelled (cpu_load_model)" in text


@pytest.mark.parametrize("nasty", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }} {0}"])
def test_strings_from_outside_stay_text(nasty):
    cells = [
        cell(nasty, device_name=nasty, energy_note=nasty, os=nasty, commit=nasty, disturbed=True, disturbance=nasty),
        cell(nasty, "cuda", noise_floor=None, interval_note=nasty, decoding=nasty, normaliser=nasty, language=nasty),
        cell("whisper-base", status="unconverged", reason=nasty, cpu_name=nasty),
        failed(cell("whisper-base", batch_size=2), "error", nasty),
    ]
    transcripts = transcripts_of(cell(nasty, wer=0.3)) + transcripts_of(cell("whisper-base"))
    for row in transcripts:
        row |= {"hypothesis": nasty, "hypothesis_normalised": nasty, "segment_id": f"{nasty}{row['segment_id']}"}
        row |= {"language": nasty}
    other = compare(
        Run.of(nasty, [*cells[:3], cell(f"{nasty}2", os="other")], []),
        Run.of("results", measured_again(cells), transcripts),
    )
    html = rendered(cells, transcripts, comparison=other, name=nasty, device_note=nasty)
    parsed = Page(html)
    assert parsed.scripts == 1
    assert parsed.loads == []
    assert f"<h1>{escape(nasty)}</h1>" in html
    assert f"{escape(nasty)}</bdi> (<a" in html
    assert f"<ins>{escape(nasty.split()[0])}" in html
    assert parsed.ids and all(" " not in one and "<" not in one for one in parsed.ids)


def test_a_study_in_which_everything_failed_renders():
    cells = [failed(row, "error", "ImportError: no module named torch") for row in example_cells()]
    html = rendered(cells, [])
    Page(html)
    assert "no cell has a latency (ImportError: no module named torch)" in text_of(html)


def test_an_empty_study_renders():
    Page(rendered([], []))


def test_random_weights_alone_are_compared_by_speed_only():
    text = text_of(rendered([cell("wav2vec2-base-960h", batch_size=b) for b in (1, 2)]))
    assert "No recommendation" in text
    assert "All models have random weights" in text
    assert "Fastest, at any accuracy" in text
    assert "by speed only" in text


def test_null_is_a_dash_with_its_reason_and_never_zero_or_nan():
    html = rendered([cell(energy_j_per_sample=None, energy_net_j_per_sample=None, energy_note="no counter")])
    assert '<td class=n data-sort="" title="no counter">–<td' in html
    p95 = "fewer than 59 different requests: a p95 needs more segments, not more passes"
    assert f'<td class=n data-sort="" title="{p95}">–<td' in html
    assert not re.search(r"\b(nan|None)\b(?! of )", text_of(html))


def test_failures_are_listed_with_their_reason():
    assert "the kernel killed the worker: out of memory" in text_of(rendered(example_cells()))
    assert 'id="failures"' not in rendered([cell()])


def test_ties_are_told_wherever_something_is_ranked() -> None:
    quick = cell(latency_s_median=1.0, latency_s_ci_low=0.999, latency_s_ci_high=1.001, rtfx=30.0)
    slow = cell("whisper-tiny.en", latency_s_median=1.01, latency_s_ci_low=1.009, latency_s_ci_high=1.011, rtfx=29.7)
    text = text_of(rendered([quick, slow]))
    assert re.search("whisper-base on cpu at batch 1, tied with whisper-tiny.en", text)
    assert "Tied with it: whisper-tiny.en/fp32/cpu/30s-b1" in text
    assert "equally good: whisper-tiny.en on cpu, batch 1" in text
    quiet = [quick | {"noise_floor": 0.001}, slow | {"noise_floor": 0.001}]
    text = text_of(rendered(quiet, report={"scenarios": {"mine": {}}}))
    assert "tied with" not in text and "Tied" not in text
    assert "equally good:" not in text


def test_batching_that_gains_less_than_the_floor_is_no_gain() -> None:
    narrow = {"latency_s_ci_low": 1.0, "latency_s_ci_high": 1.0, "latency_s_median": 1.0}
    one, more = cell(rtfx=30.0, **narrow), cell(batch_size=2, rtfx=30.2, **narrow)
    assert "No larger batch is faster than batch 1 beyond the noise." in text_of(rendered([one, more]))
    assert "Batching helps whisper-base most" in text_of(rendered([one, more | {"rtfx": 31.0}]))


def test_a_gain_without_intervals_is_not_passed_over_in_silence() -> None:
    narrow = {"latency_s_ci_low": 1.0, "latency_s_ci_high": 1.0, "latency_s_median": 1.0}
    unknown = {"latency_s_ci_low": None, "latency_s_ci_high": None}
    known = [cell(rtfx=30.0, **narrow), cell(batch_size=2, rtfx=33.0, **narrow)]
    larger = [cell("whisper-tiny.en", rtfx=rtfx, batch_size=n, **unknown) for n, rtfx in ((1, 50.0), (2, 90.0))]
    assert "Among cells with intervals, batching helps whisper-base most" in text_of(rendered([*known, *larger]))


def test_the_shortest_pass_is_that_of_all_models() -> None:
    quick = {"latency_s_median": 0.02, "latency_s_ci_low": 0.019, "latency_s_ci_high": 0.021}
    cells = [cell(), cell("wav2vec2-base-960h", weights="random", wer=None, **quick)]
    assert "The shortest pass takes 0.0200 s: wav2vec2-base-960h on cpu, batch 1, 30 s segments." in text_of(
        rendered(cells)
    )


def test_another_run_is_compared_in_a_section_of_its_own() -> None:
    cells = example_cells()
    slower = [
        row | {key: row[key] * 1.2 for key in LATENCIES if row[key] is not None and row["model"] == "whisper-base"}
        for row in cells
    ]
    comparison = compare(
        Run.of("results-old", slower, example_transcripts(slower)),
        Run.of("results", measured_again([*cells, cell("whisper-new")]), example_transcripts(cells)),
    )
    html = rendered(cells, comparison=comparison)
    Page(html)
    text = text_of(html)
    assert "cells are both in results-old and in this run, results:" in text
    assert "Latency: whisper-base is faster; Word error rate: no model changed as a whole" in text
    assert "whisper-base is faster as a whole: the median ratio of its cells is 0.833." in text
    assert "Only in results: whisper-new/fp32/cpu/30s-b1." in text
    assert 'href="#comparison"' in html
    assert 'id="comparison"' not in rendered(cells)


@pytest.mark.parametrize(
    ("language", "said", "factor", "cause"),
    [
        (
            "en",
            "Values that changed by a factor of 10, or far more than the other run predicted: 1.",
            "lower, by 11.8",
            "disturbance",
        ),
        ("ru", "Изменения в 10 раз и больше", "ниже, в 11.8 раза", "помехи"),
    ],
)
def test_changes_by_far_stand_first_with_what_may_be_why(language: str, said: str, factor: str, cause: str) -> None:
    cells = [cell(), cell("whisper-tiny.en", latency_s_median=0.95)]
    nasty = "<b>others</b> took 1.0 cores"
    slow = [cells[0], cells[1] | {"latency_s_median": 11.2, "disturbed": True, "disturbance": nasty}]
    comparison = compare(Run.of("before", slow, []), Run.of("results", measured_again(cells), []))
    html = rendered(cells, comparison=comparison, report={"language": language})
    Page(html)
    section = html[html.index('<section id="comparison"') :].replace("\u00a0", " ")
    assert section.index(said) < section.index("11.2") < section.index(" before")
    assert factor in section and f">{cause}: {escape(nasty)} → –" in section
    silent = compare(Run.of("before", cells, []), Run.of("results", measured_again(cells), []))
    assert "large-changes" not in rendered(cells, comparison=silent, report={"language": language})


def test_what_was_not_measured_again_is_told() -> None:
    cells = [cell(), cell(batch_size=2), *measured_again([cell(batch_size=4)])]
    before = [*cells[:2], cell(batch_size=4)]
    text = text_of(rendered(cells, comparison=compare(Run.of("before", before, []), Run.of("results", cells, []))))
    assert "2 cells were not measured again, so both runs have the same measurement." in text


@pytest.mark.parametrize(
    ("latencies", "said"),
    [
        (0.9, "That explains the shared change of the cells on cpu, so the ratios of latencies are corrected for it."),
        (1.0, "That does not explain the latencies on cpu, so the ratios are not corrected."),
    ],
)
def test_the_speed_of_the_machine_in_both_runs_is_told(latencies: float, said: str) -> None:
    control = {"control_matmul_flop_per_s": 1e11, "control_copy_bytes_per_s": 1e10, "runtime": "transformers"}
    cells = [cell(duration_s=duration_s, **control) for duration_s in (5, 15, 30, 60)]
    slow = {"machine_speed": 0.87, **{name: 0.9 * control[name] for name in control if name != "runtime"}}
    slower = [
        row | slow | {key: row[key] / latencies for key in row if key.startswith("latency_s") and row[key]}
        for row in cells
    ]
    comparison = compare(Run.of("results-old", cells, []), Run.of("results", measured_again(slower), []))
    text = text_of(rendered(slower, comparison=comparison))
    assert "ran at 97.0 % of its best on cpu in results-old, and at 87.0 % in this run, results." in text
    assert f"By their control kernels it ran at 90.0 % of its speed in results-old. {said}" in text
    assert "100 % of this run's values lie within the other run's prediction intervals." in text.replace("&#39;", "'")


def test_a_comparison_with_nothing_in_common_says_so() -> None:
    html = rendered(
        [cell()], comparison=compare(Run.of("results-old", [cell("other")], []), Run.of("results", [cell()], []))
    )
    assert "results-old and this run, results, have no cell in common." in text_of(html)
    assert 'id="table-compared"' not in html


def test_several_machines_are_all_described():
    html = rendered([cell(), cell(device="cuda", machine_id="other", cpu_name="Other CPU")])
    assert "2 machines" in text_of(html)
    assert "2 different machines" in text_of(html)
    assert "Machine other" in text_of(html)


def test_cell_on_other_hardware_is_shown_but_not_compared():
    quick = cell("whisper-tiny.en", machine_id="other", device_name="Quick CPU", latency_s_median=0.001, rtfx=9e3)
    html = rendered([cell(), cell(batch_size=2), quick])
    text = text_of(html)
    assert "1 of 3 cells were measured on different hardware from the others of their device" in text
    assert "measured on different hardware from the other cells of its device (Quick CPU)" in text
    assert 'id="cell-whisper-tiny.en' in html
    (lead,) = re.findall(r'<section id="answer".*?</section>', html, re.DOTALL)
    assert "whisper-base" in lead
    assert "whisper-tiny.en on cpu at batch 1 could be better: it was measured on other hardware." in text_of(lead)


def test_the_protocol_is_told_with_its_values():
    text = text_of(rendered([cell()]))
    assert "The study runs 3 times over all cells." in text and "is not within ± 5.00 % is unconverged" in text
    assert "Another round begins while half of it still fits into 10 s. At most 300 passes are timed." in text
    assert "if the control kernel was more than 60 % slower than at its best" in text
    assert provenance.COMMAND in text
    protocol = example_study().protocol.model_copy(update={"minutes": 7.5, "budget_s": None})
    assert "All sittings of the study together get 7.5 min" in text_of(rendered([cell()], protocol=protocol))


def test_inlined_figures_have_own_ids_and_follow_the_page(page):
    assert 'id="latency-figure_1"' in page
    assert 'id="wer-figure_1"' in page
    assert "#767676" not in page
    assert "<?xml" not in page and "<!DOCTYPE svg" not in page


def test_missing_catalogue_or_figure_error_names_the_known():
    with pytest.raises(AsrmeterError, match="there are: en, ru"):
        load_words(TEMPLATES, "xx")


def test_all_words_are_used():
    library = Path(asrmeter.__file__).parent
    paths = [path for room in ("report", "analysis", "common") for path in library.glob(f"{room}/**/*.py")]
    paths.append(TEMPLATES / report.TEMPLATE)
    sources = "".join(path.read_text(encoding="utf-8") for path in paths)
    words = load_texts(TEMPLATES, "en")
    templated = {"sections", "method", "fact", "cells", "bound_help", "edlm2025_metric"}
    # By the names of the default scenarios, which stand in the schema, and of the published tables.
    templated |= {
        "runtime",
        "proposal_name",
        "proposal_wording",
        "scenario",
        "scenario_for",
        "edlm2025_why",
        "edlm2025_unit",
        # By what is counted, and by whether models are told a language.
        *(section_of(unit) for unit in (WORDS, CHARACTERS, BOTH)),
        "speech",
    }
    unused = [
        f"{section}.{key}"
        for section, texts in words.items()
        for key in texts
        if section not in templated and not re.search(rf"\b{key}\b", sources)
    ]
    assert unused == []


def command_line(tmp_path: Path, cells: list[dict[str, Any]]) -> list[str]:
    """Write all that a report is made of, and return how it is made of it."""
    tables = write_tables(tmp_path, cells, example_transcripts(cells))
    (tmp_path / "study.json").write_text(json.dumps(example_study().as_json()))
    (tmp_path / "selection.json").write_text(json.dumps(example_selection()))
    for name in FIGURES:
        (tmp_path / f"{name}.svg").write_text(DRAWN)
    options = {
        "study": tmp_path / "study.json",
        "cells": tables[0],
        "transcripts": tables[1],
        "sittings": tables[2],
    }
    of_variants = ("languages", "optimisations", "start", "silence_models", "loads", "capacities", "layouts")
    options |= {name.replace("_", "-"): tmp_path / f"{name}.parquet" for name in of_variants}
    options |= write_bottlenecks(tmp_path, example_bottlenecks(cells))
    (tmp_path / "segments.json").write_text(json.dumps(list(example_segments().values())))
    options |= {"selection": tmp_path / "selection.json", "segments": tmp_path / "segments.json"}
    options |= {"template-folder": TEMPLATES}
    options |= {"output": tmp_path / "report.html", "answer": tmp_path / "answer.txt"}
    figures = ["--figures", *(str(tmp_path / f"{name}.svg") for name in FIGURES)]
    command = [part for key, value in options.items() for part in (f"--{key}", str(value))] + figures
    return command


def test_command_line_writes_the_report(tmp_path: Path):
    cells = example_cells()
    command = command_line(tmp_path, cells)
    make_report.main([*command, "--compare-with"])
    assert (tmp_path / "report.html").read_text() == rendered(cells)
    assert (tmp_path / "answer.txt").read_text().startswith("whisper-tiny.en: 42.3 times real time. ")
    other = [row | {"torch_version": "2.7.1"} for row in cells]
    write_tables(tmp_path / "other", other, example_transcripts(other))
    make_report.main([*command, "--compare-with", str(tmp_path / "other")])
    comparison = compare(Run.read(tmp_path / "other"), Run.of("results", cells, example_transcripts(cells)))
    assert (tmp_path / "report.html").read_text() == rendered(cells, comparison=comparison)


def test_no_two_cells_have_the_same_id() -> None:
    names = ["whisper-base/q-int8", "whisper-base-q/int8", "whisper/base-q-int8", "a b/fp32", "a+b/fp32", "a-b/fp32"]
    ids = [anchor(f"{name}/cpu/30s-b1") for name in names]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"cell-[A-Za-z0-9._-]+", one) for one in ids)
    assert (ids[1], ids[-1]) == ("cell-whisper-base-q-int8-cpu-30s-b1", "cell-a-b-fp32-cpu-30s-b1")


def test_a_note_below_is_a_word_of_its_own_where_it_is_copied() -> None:
    assert with_note("not reached", "up to batch 1").striptags() == "not reached up to batch 1"


def test_number_of_segments_with_audio_is_given_on_request() -> None:
    assert "Audio of 0 of 40 segments is embedded. The others" in rendered(example_cells(), audio={})
    assert "Audio of" not in rendered(example_cells())


def without(record: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != key}


STUDY, SELECTION, (SEGMENT, *_) = example_study().as_json(), example_selection(), example_segments().values()
UNEXPECTED = [
    *(("segments.json", content, "") for content in (None, ["text"], {}, "[[[", '[{"segment_id": 1}]')),
    *(("segments.json", [without(SEGMENT, key)], f"lacks 0.{key}; delete ") for key in SEGMENT if key != "duration_s"),
    ("segments.json", [SEGMENT | {"audio_s": math.nan}], "0.audio_s has a value of the wrong type"),
    ("selection.json", [], "the content is not a mapping"),
    *(
        ("selection.json", without(SELECTION, key), f"lacks {key}")
        for key in SELECTION
        if key not in ("corpus", "seed")
    ),
    ("selection.json", SELECTION | {"classes": [{"duration_s": 5, "n_segments": 4}]}, "lacks classes.0.n_possible"),
    ("selection.json", SELECTION | {"skipped": [{"name": "a"}]}, "lacks skipped.0.reason"),
    ("study.json", [], "the content is not a mapping"),
    ("study.json", without(STUDY, "name"), "the key name is missing"),
    *(("study.json", without(STUDY, key), f"lacks {key}") for key in ("seed", "protocol", "report")),
    ("study.json", STUDY | {"report": without(STUDY["report"], "tariff")}, "lacks report.tariff"),
    (
        "study.json",
        STUDY | {"protocol": STUDY["protocol"] | {"target": "low"}},
        'protocol.target: "low" must be a number',
    ),
    *(("pareto.svg", content, "") for content in ("", b"\xff\xfe", "<svg><g>", "<html/>", "no markup", None)),
    *(("cells.parquet", content, "") for content in ("", "text", None)),
]


# Somebody else's results

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
HOSTILE_FIGURES = {
    f'{HEAD}<foreignObject><meta content="0;url=http://x/"/></foreignObject></svg>': "foreignObject",
    f'{HEAD}<a xlink:href="http://x/"><text>Click</text></a></svg>': "has an element a",
    f"{HEAD}<script>alert(1)</script></svg>": "has an element script",
    f"{HEAD}<style>@import 'http://x/'</style></svg>": "has an element style",
    f'{HEAD}<image xlink:href="http://x/a.png"/></svg>': "has an element image",
    f'{HEAD}<animate attributeName="href" to="javascript:x"/></svg>': "has an element animate",
    f'{HEAD}<set attributeName="d"/></svg>': "has an element set",
    f"{HEAD}<title>Recommended: evil</title></svg>": "has an element title",
    f'{HEAD}<svg x="9"/></svg>': "has an element svg",
    f'{HEAD}<h1 xmlns="http://www.w3.org/1999/xhtml">Recommended: evil</h1></svg>': "xhtml}h1",
    f'{HEAD}<g onload="alert(1)"/></svg>': 'has g onload="alert(1)"',
    f'{HEAD}<rect style="position:fixed"/></svg>': "has rect style",
    f'{HEAD}<rect class="answer"/></svg>': "has rect class",
    f'{HEAD}<use xlink:href="http://x/#a"/></svg>': "xlink}href",
    f'{HEAD}<use xlink:href="javascript:alert(1)"/></svg>': "javascript",
    f'{HEAD}<use href="#a"/></svg>': 'use href="#a"',
    f'{HEAD}<rect fill="url(http://x/#a)"/></svg>': "rect fill",
    f'{HEAD}<rect fill="URL(data:image/svg+xml,x)"/></svg>': "rect fill",
    f'{HEAD}<rect fill="u\\72l(http://x/)"/></svg>': "rect fill",
    f"{HEAD}<g>Recommended: evil</g></svg>": 'has the text "Recommended: evil" where none is drawn',
    f"{HEAD}<text/>Recommended: evil</svg>": 'has the text "Recommended: evil" where none is drawn',
    f"<!-- <svg> --><p>Recommended: evil</p>{HEAD}</svg>": "has an element p",
    f"Recommended: evil{HEAD}</svg>": "cannot be read as SVG",
    f"{HEAD}</svg><p>Recommended: evil</p>": "cannot be read as SVG",
    f"{HEAD}</svg></figure><h2>Recommended: evil</h2>": "cannot be read as SVG",
    f'<!DOCTYPE svg [<!ENTITY a "Recommended">]>{HEAD}<text>&a;</text></svg>': "has a document type",
    f'<!DOCTYPE svg SYSTEM "file:///etc/passwd">{HEAD}</svg>': "has a document type",
    HEAD + "<g>" * 60 + "</g>" * 60 + "</svg>": "more than 50 elements inside of each other",
    f"{HEAD}<text>{'x' * 2_000_000}</text></svg>": "more than the 2 MB",
}


@pytest.mark.parametrize(("svg", "why"), HOSTILE_FIGURES.items(), ids=range(len(HOSTILE_FIGURES)))
def test_a_figure_that_is_more_than_a_drawing_is_named(svg: str, why: str, tmp_path: Path) -> None:
    command = command_line(tmp_path, example_cells()[:2])
    (tmp_path / "pareto.svg").write_text(svg)
    with pytest.raises(AsrmeterError) as caught:
        make_report.main([*command, "--compare-with"])
    said = str(caught.value)
    assert said.startswith(f"{tmp_path}/pareto.svg: ") and why in said and said.endswith("delete it and run again")
    assert not (tmp_path / "report.html").exists()


def test_comments_and_instructions_of_a_figure_are_dropped() -> None:
    svg = (
        f'<?xml version="1.0"?><?xml-stylesheet href="http://x/"?><!-- <svg> evil -->{HEAD}<text>a &lt; b</text></svg>'
    )
    assert inline_svg("f", svg).strip().endswith("<text>a &lt; b</text></svg>")
    assert "evil" not in inline_svg("f", svg) and "stylesheet" not in inline_svg("f", svg)


# Of a hundred million characters in names, reasons and texts.
MOST_OF_HOSTILE_BYTES = 8_000_000
MEGABYTE = "m" * 1_000_000
UNSEEN = "\x1b[31m\0\u202e"


def test_the_report_of_a_hostile_folder_is_small_and_readable(tmp_path: Path) -> None:
    cells = example_cells()
    for index, row in enumerate(cells):
        row |= {"cpu_name": UNSEEN + MEGABYTE, "os": MEGABYTE, "decoding": f"{index}{MEGABYTE[:20_000]}"}
    cells[0] = failed(cells[0], "error", f"<b>{UNSEEN}{MEGABYTE}")
    cells[1] |= {"model": f"{MEGABYTE}-1", "disturbed": True, "disturbance": MEGABYTE, "energy_note": "&" * 100_000}
    transcripts = example_transcripts(cells[2:])
    for row in transcripts[:6]:
        row |= {"hypothesis": f"{UNSEEN}{MEGABYTE}", "reference": MEGABYTE, "hypothesis_normalised": "ab " * 300_000}
    command = command_line(tmp_path, cells)
    write_tables(tmp_path, cells, transcripts)
    skipped = [{"name": f"{i}{UNSEEN}{MEGABYTE}", "reason": f"{i}{MEGABYTE}"} for i in range(100)]
    selection = example_selection(skipped=skipped, origin={"path": MEGABYTE}, dropped={MEGABYTE: 1})
    selection |= {
        "selection_sha256": MEGABYTE,
        "classes": [{"duration_s": 5, "n_segments": 4, "n_possible": 9}] * 10_000,
    }
    (tmp_path / "selection.json").write_text(json.dumps(selection))
    segments = [row | {"source": UNSEEN + MEGABYTE, "utterances": [MEGABYTE]} for row in example_segments().values()]
    (tmp_path / "segments.json").write_text(json.dumps(segments))
    make_report.main([*command, "--compare-with"])
    html = (tmp_path / "report.html").read_text()
    assert len(html.encode()) < MOST_OF_HOSTILE_BYTES
    assert all(line.isprintable() or set(line) & {"\u202f", "\xa0", "\u2009"} for line in html.split("\n"))
    assert not set("\x1b\0\u202e") & set(html)
    assert "\\x1b[31m\\x00\\u202emmm" in html and "&lt;b&gt;\\x1b" in html
    assert "… (1,000,0" in html


ODD = [None, math.nan, math.inf, 0, -1, 1e300, 1e-300, 7, "x", ""]
CELL_PLACES = [field.name for field in CELLS if field.name not in CELL_KEY and not pa.types.is_list(field.type)]


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
@given(st.lists(st.tuples(st.sampled_from(CELL_PLACES), st.sampled_from(ODD)), min_size=1, max_size=4))
def test_a_table_of_anybody_harms_no_report(tmp_path: Path, changes: list[tuple[str, Any]]) -> None:
    command = command_line(tmp_path, example_cells(("cpu", "cuda"))[::3])
    cells = example_cells(("cpu", "cuda"))[::3]
    for name, value in changes:
        if isinstance(value, str) != pa.types.is_string(CELLS.field(name).type) and value is not None:
            continue
        if pa.types.is_integer(CELLS.field(name).type) and value is not None:
            value = {7: 7, -1: -1}.get(value, 0)  # type: ignore[call-overload]
        cells[1][name] = bool(value) if pa.types.is_boolean(CELLS.field(name).type) else value
    columns = {name: pa.array([row[name] for row in cells]) for name in CELLS.names}
    pq.write_table(pa.table(columns), tmp_path / "cells.parquet")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_report.main([*command, "--compare-with", str(tmp_path)])
    html = (tmp_path / "report.html").read_text()
    assert "whisper-base" in html and "nan" not in text_of(html).split()


@pytest.mark.parametrize(("name", "content", "message"), UNEXPECTED)
def test_a_file_that_is_not_as_expected_is_named_in_one_line(name: str, content: Any, message: str, tmp_path: Path):
    command = command_line(tmp_path, example_cells()[:2])
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif name.endswith(".json") and content != "[[[":
        path.write_text(json.dumps(content))
    elif content is None:
        path.unlink()
    else:
        path.write_text(content)
    with pytest.raises(AsrmeterError) as caught:
        make_report.main([*command, "--compare-with"])
    assert str(caught.value).startswith(f"{path}: {message}") and str(caught.value).isprintable()
    assert not (tmp_path / "report.html").exists()


def takeaway_of(html: str, name: str) -> str:
    """Return what is said above a figure, and its evidence."""
    figure = re.search(rf'<figure aria-labelledby="figure-{name}">.*?</figure>', html, flags=re.DOTALL)
    assert figure
    return text_of(figure[0])


def test_all_figures_are_in_the_page_in_order(page: str) -> None:
    assert re.findall(r'<figure aria-labelledby="figure-(.*?)">', page) == list(FIGURES)
    assert " style=" not in "".join(re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL))


def test_figures_have_a_sentence_and_the_cells_behind_it() -> None:
    html = rendered(example_cells(("cpu", "cuda")))
    said = takeaway_of(html, "pareto")
    assert "settings with 30 s of audio are on the front of WER, latency and energy. Their models: " in said
    assert "whisper-base/fp32/cuda/30s-b1" in said
    assert "From batch 1 to 2, a pass with 30 s of audio on cuda takes" in takeaway_of(html, "latency_batch")
    assert "1.87 times as long" in takeaway_of(html, "latency_batch")
    said = takeaway_of(html, "rtfx")
    assert "whisper-base on cpu, batch 1, 5 s segments" in said and "whisper-base/fp32/cpu/5s-b1" in said
    said = takeaway_of(html, "memory")
    assert "On cpu, a pass takes between 0.744 GB" in said and "On cuda, a pass takes between 0.940 GB" in said
    said = takeaway_of(html, "gpu_over_cpu")
    assert "The GPU is between 16.7 and 16.7 times as fast as the CPU" in said
    assert "25 pairs of cells, and clearly faster in 25 of them" in said
    for name in ("latency", "latency_batch", "throughput", "rtfx", "energy", "pareto", "gpu_over_cpu"):
        assert "Unknown, so not compared: whisper-base/fp32/cpu/30s-b1" in takeaway_of(html, name), name


def test_the_front_without_energies_says_so() -> None:
    assert "WER and latency (energy is unknown)" in takeaway_of(rendered([cell(energy_j_per_sample=None)]), "pareto")


def test_an_unknown_figure_is_an_error():
    words = load_words(TEMPLATES, "en")
    with pytest.raises(AsrmeterError, match="no such figure: heat"):
        report.report_context(
            report.Inputs(example_study(), [], [], [], Bottlenecks(), example_selection()), {"heat": "<svg/>"}, words
        )


def test_skipped_audio_is_named_at_the_top_and_listed():
    skipped = [{"name": f"{i}<b>.wav", "reason": "truncated: 1.2 of 3.4 s are there"} for i in range(150)]
    shown = text_of(rendered(example_cells(), selection=example_selection(skipped=skipped, dropped={"<MUSIC>": 7})))
    assert "150 audio files could not be used and are excluded: 0&lt;b&gt;.wav" in shown
    assert shown.count("truncated: 1.2 of 3.4 s are there") == 100
    assert "Excluded, by reason &lt;MUSIC&gt;: 7" in shown
    assert "left out" not in text_of(rendered(example_cells())).replace("leaves out", "").split("Failures, ")[0]


def test_a_corpus_own_scoring_has_a_column_where_there_is_one():
    heading = "WER by the corpus' own scoring (%)"
    cells = example_cells()
    assert heading not in text_of(rendered(cells)).replace("&#39;", "'")
    cells = [row | {"wer_corpus": row["wer"] and 0.58} for row in cells]
    assert heading in text_of(rendered(cells)).replace("&#39;", "'")


def test_what_a_study_leaves_unset_is_not_shown() -> None:
    models = {"tiny": {"weights": "hub", "id": "me/tiny", "revision": None, "path": None}, "base": {}}
    assert "tiny: weights: hub, id: me/tiny, base" in text_of(rendered(example_cells(), models=models))


@pytest.mark.parametrize("name", ["weights", "status"])
def test_a_cell_without_what_every_cell_has_harms_no_report(tmp_path: Path, name: str) -> None:
    command = command_line(tmp_path, example_cells()[:3])
    cells = example_cells()[:3]
    cells[1][name] = None
    pq.write_table(
        pa.table({key: pa.array([row[key] for row in cells]) for key in CELLS.names}), tmp_path / "cells.parquet"
    )
    make_report.main([*command, "--compare-with", str(tmp_path)])
    html = (tmp_path / "report.html").read_text()
    assert "whisper-base" in html
    assert ("status is missing" in html) == (name == "status")
