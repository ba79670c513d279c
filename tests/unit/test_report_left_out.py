"""What the report leaves out: what has nothing to show goes with its heading, and what a reader looks for is named."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_report import TEMPLATES, Page, rendered, text_of

from asrmeter.analysis.bottlenecks import Bottlenecks
from asrmeter.report.catalogue import load_words
from asrmeter.report.figure_registry import FIGURES
from helpers.bottlenecks import example_bottlenecks, failed_profile, flops_row, stage_rows
from helpers.capacity import known_capacities
from helpers.layouts import example_layouts
from helpers.optimisations import optimisation
from helpers.silence import example_silence
from helpers.tables import Cell, cell, example_cells, failed, without_interval

WORDS = load_words(TEMPLATES, "en")
BATCHES = ("latency_batch", "throughput")
SPEED = ("latency", "rtfx")
SILENCE = example_silence()


def sections_of(html: str) -> list[str]:
    return re.findall(r'<section id="([^"]+)"', html)


def figures_of(html: str) -> list[str]:
    return re.findall(r'<figure aria-labelledby="figure-(.*?)">', html)


def reasons_of(html: str) -> dict[str, str]:
    """Return what is not shown, and why."""
    found = re.search(r'<h3 id="not-shown">.*?</ul>', html, flags=re.DOTALL)
    lines = re.findall(r"<li><strong>(.*?):</strong> (.*?)</li>", found[0] if found else "", flags=re.DOTALL)
    return {text_of(what): text_of(why) for what, why in lines}


def whole(html: str) -> str:
    """Return a page of which is checked that the navigation leads to its sections, and that each heading has content.

    An end of something is no content, and neither is a heading of the same rank.
    """
    links = {link[1:] for link in Page(html).links if link.startswith("#")}
    # Constructed tables name cells that are not there.
    assert {link for link in links if not link.startswith("cell-")} <= set(Page(html).ids)
    nav = re.search(r"<nav.*?</nav>", html, flags=re.DOTALL)
    assert nav and [link for link in re.findall('href="#([^"]+)"', nav[0]) if link in sections_of(html)] == sections_of(
        html
    )
    for rank, after in re.findall(r"</h([2-6])>\s*(</?\w+)", html):
        assert not after.startswith("</section") and after not in [f"<h{n}" for n in range(2, int(rank) + 1)]
    assert "<ul>\n</ul>" not in html and "<tbody>\n\n</tbody>" not in html
    return html


def disturbed(row: Cell) -> Cell:
    return without_interval(row) | {"disturbed": True, "disturbance": "others took 0.6 cores"}


def test_a_rich_study_shows_everything_and_names_nothing() -> None:
    loads, capacities = known_capacities()
    made = {"optimisations": [optimisation()], "silence": SILENCE, "loads": loads, "capacities": capacities}
    made |= {"layouts_measured": example_layouts()}
    html = whole(rendered(example_cells(("cpu", "cuda")), **made, report={"study_2025": True}))
    assert sections_of(html) == [name for name in WORDS["sections"] if name != "comparison"]
    assert figures_of(html) == list(FIGURES)
    assert reasons_of(html) == {}
    assert 'href="#not-shown"' not in html


def test_one_device_is_compared_with_none_without_a_word() -> None:
    html = whole(rendered(example_cells(), optimisations=[optimisation()], silence=SILENCE))
    assert figures_of(html) == [name for name in FIGURES if name not in ("gpu_over_cpu", "layouts", "capacity")]
    assert reasons_of(html) == {} and "GPU over CPU" not in html


def test_a_gpu_without_its_like_on_the_cpu_is_a_reason() -> None:
    html = whole(rendered([cell(), failed(cell(device="cuda"), "error", "no driver")]))
    assert "gpu_over_cpu" not in figures_of(html)
    assert reasons_of(html)["GPU over CPU"] == "no setting was measured on both the CPU and a GPU"
    assert re.search(r'<a href="#not-shown">Parts not shown, with reasons</a>: [^<]*GPU over CPU', html)


def test_one_batch_size_has_no_figures_along_batch_sizes() -> None:
    html = whole(rendered([cell(), cell("whisper-tiny.en")], bottlenecks=Bottlenecks()))
    assert not {*BATCHES} & {*figures_of(html)} and {*SPEED} <= {*figures_of(html)}
    assert "Throughput" not in figures_of(html) and "What larger batches bring" not in html
    assert "Throughput" not in " ".join(reasons_of(html))
    wanted = whole(rendered([cell(), failed(cell(batch_size=2), "oom", "full")]))
    assert not {*BATCHES} & {*figures_of(wanted)}
    assert reasons_of(wanted)["Latency against batch size, Throughput"] == "only one batch size was measured"


def test_without_energy_the_reason_is_told_once() -> None:
    none = {"energy_j_per_sample": None, "energy_note": "no counter, and no model of <it>"}
    html = whole(rendered([cell(**none), cell(batch_size=2, **none)]))
    assert "energy" not in figures_of(html)
    assert reasons_of(html) == {"Energy": "no counter, and no model of &lt;it&gt;"}
    assert {"energy"} <= {*figures_of(rendered([cell(**none), cell(batch_size=2)]))}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"weights": "random"}, "random weights have no accuracy"),
        ({"wer_note": "the corpus has no texts"}, "the corpus has no texts"),
        ({}, "no reference text was scored"),
    ],
)
def test_without_scores_all_that_needs_them_has_one_reason(changes: dict[str, Any], why: str) -> None:
    html = whole(rendered([cell(wer=None, **changes), cell(batch_size=2, wer=None, **changes)]))
    assert not {"wer", "pareto"} & {*figures_of(html)}
    assert "transcripts" not in sections_of(html) and 'id="table-accuracy"' not in html
    assert reasons_of(html) == {"Pareto front: accuracy, latency, energy, Accuracy, Transcripts": why}


@pytest.mark.parametrize("language", ["en", "ru"])
def test_a_run_with_nothing_measured_says_that_and_little_else(language: str) -> None:
    cells = [failed(row, "error", "ImportError: no module <torch>") for row in example_cells(("cpu", "cuda"))]
    html = whole(rendered(cells, [], bottlenecks=Bottlenecks(), report={"language": language}))
    assert sections_of(html) == ["answer", "cells", "failures", "method", "provenance"]
    assert figures_of(html) == []
    (why,) = reasons_of(html).values()
    assert "(ImportError: no module &lt;torch&gt;)" in why
    tables = re.findall(r'<table id="table-(.*?)"', html)
    assert tables == ["speed", "failures", "weights"]
    assert sections_of(whole(rendered([], [], bottlenecks=Bottlenecks()))) == ["answer", "method", "provenance"]


def test_a_disturbed_run_is_drawn_and_its_figures_claim_nothing() -> None:
    cells = [disturbed(cell()), disturbed(cell(batch_size=2)), disturbed(cell(device="cuda"))]
    html = whole(rendered(cells))
    said = text_of(html)
    assert {*SPEED, *BATCHES, "energy", "gpu_over_cpu", "memory", "wer"} <= {*figures_of(html)}
    assert "No cell of this study has a latency" not in said
    assert said.count("Every setting was disturbed in every lap, so its speed is unknown.") >= 4
    assert "The speed-up by the GPU is unknown. Unknown, so not compared: whisper-base/fp32/cpu/30s-b1" in said
    assert "No undisturbed cell has a known energy." in said
    assert "no setting has both a WER and a latency" in reasons_of(html)["Pareto front: accuracy, latency, energy"]


def test_a_disturbed_larger_batch_is_unknown_not_unmeasured() -> None:
    html = whole(rendered([cell(), disturbed(cell(batch_size=2))]))
    assert {*BATCHES} <= {*figures_of(html)}
    assert text_of(html).count("The gain of a larger batch is unknown. Unknown, so not compared:") == 2


def test_no_verdict_and_no_count_have_their_reasons() -> None:
    lacking = flops_row(encoder_gflop=None, encoder_gmac=None, total_gflop=None, note="the closed formula disagrees")
    tables = Bottlenecks(roofline=stage_rows(cell(), None, "no ceilings were measured"), flops=[lacking])
    html = whole(rendered([cell(), cell(batch_size=2)], bottlenecks=tables))
    # Its operations have a place, but no ceiling above.
    assert "roofline" in figures_of(html) and 'id="table-verdicts"' not in html and 'id="table-flops"' not in html
    assert reasons_of(html) == {
        "Bottleneck verdicts": "no ceilings were measured, not measured",
        "Floating-point operations of the models": "the closed formula disagrees",
    }
    alone = whole(rendered([cell(encoder_s_median=None)], bottlenecks=Bottlenecks()))
    assert "bottlenecks" not in sections_of(alone)
    assert reasons_of(alone) == {"Stages, Bottleneck verdicts": "not measured"}


def test_a_profile_that_failed_is_told_where_profiles_are() -> None:
    html = whole(rendered([cell()], bottlenecks=Bottlenecks(operators=[failed_profile(cell(), "too long")])))
    assert "operators" not in figures_of(html) and "No profile: timeout, too long." in text_of(html)
    assert "Operators of the profiled cells" not in rendered([cell()], bottlenecks=Bottlenecks())


def test_one_model_has_no_stars() -> None:
    assert 'id="table-stars"' not in whole(rendered([cell(), cell(batch_size=2)]))
    assert 'id="table-stars"' in whole(rendered([cell(), cell("whisper-tiny.en")]))


def test_the_2025_study_is_shown_only_on_request() -> None:
    asked, not_asked = (rendered(example_cells(), report={"study_2025": wanted}) for wanted in (True, False))
    assert "tables/edlm2025.csv" in asked and 'id="table-edlm2025"' in asked and "whisper-small" in asked
    shown = re.sub("<pre.*?</pre>", "", not_asked, flags=re.DOTALL)
    assert "2025" not in text_of(shown) and "whisper-small" not in shown


def changed(cells: list[Cell], places: list[tuple[int, str]]) -> Iterator[Cell]:
    """Yield cells with something lacking in some of them."""
    lacking = dict(places)
    for index, row in enumerate(cells):
        match lacking.get(index):
            case "failed":
                yield failed(row, "error", "broken")
            case "disturbed":
                yield disturbed(row)
            case str(column):
                yield row | {column: None}
            case None:
                yield row


COLUMNS = ("energy_j_per_sample", "peak_rss_bytes", "peak_device_bytes", "wer", "encoder_s_median", "latency_s_ci_low")
FAULTS = st.sampled_from(["failed", "disturbed", *COLUMNS])
GRID = st.lists(
    st.tuples(
        st.sampled_from(["whisper-base", "whisper-tiny.en", "wav2vec2-base-960h"]),
        st.sampled_from(["cpu", "cuda"]),
        st.sampled_from([5, 30]),
        st.sampled_from([1, 2]),
    ),
    max_size=6,
    unique=True,
)


@settings(max_examples=20, deadline=None, database=None)
@given(GRID, st.lists(st.tuples(st.integers(0, 5), FAULTS), max_size=8), st.booleans())
def test_no_heading_is_empty_whatever_is_lacking(
    grid: list[tuple[str, str, int, int]], places: list[tuple[int, str]], has_tables: bool
) -> None:
    cells = list(changed([cell(*place) for place in grid], places))
    html = whole(rendered(cells, bottlenecks=example_bottlenecks(cells) if has_tables else Bottlenecks()))
    assert not {*map(WORDS["figure"].__getitem__, figures_of(html))} & {
        what for named in reasons_of(html) for what in named.split(", ")
    }
