"""The report's section of layouts, on constructed rows."""

import pytest
from test_first_screen import said
from test_report import rendered

from asrmeter.report.catalogue import load_texts, load_words
from asrmeter.report.figures.context import FigureContext
from asrmeter.report.figures.render import figure_svg
from asrmeter.report.html.layouts import LayoutsSection, layouts_section
from helpers.bottlenecks import example_bottlenecks
from helpers.layouts import example_layouts, layout
from helpers.pages import HOSTILE, TEMPLATES
from helpers.tables import Cell, example_cells, example_study, example_transcripts

WORDS = load_words(TEMPLATES, "en")


def section(*rows: Cell) -> LayoutsSection:
    found = layouts_section(rows, WORDS)
    assert found is not None
    return found


def sentences(*rows: Cell) -> list[str]:
    return [said(one).replace("\xa0", " ") for one in section(*rows).sentences]


def drawn(*rows: Cell, language: str = "en") -> str:
    texts, cells = load_texts(TEMPLATES, language), example_cells()
    context = FigureContext.of(
        example_study(), cells, example_transcripts(cells), example_bottlenecks(cells), texts, layouts=rows
    )
    return figure_svg("layouts", context)


def test_a_study_without_layouts_has_no_such_section() -> None:
    assert layouts_section([], WORDS) is None
    html = rendered(example_cells())
    assert 'id="layouts"' not in html and 'id="figure-layouts"' not in html and "layouts.csv" not in html


@pytest.mark.parametrize(
    ("ratio", "told"),
    [
        (1.6, "carries 1.60 times what 1 × 2 does (1.50 to 1.70)."),
        (0.7, "carries 0.700 times what 1 × 2 does (0.600 to 0.800)."),
        (1.05, "carries 1.05 times what 1 × 2 does (0.950 to 1.15), which is not a significant difference."),
    ],
)
def test_a_sentence_says_what_the_best_other_layout_carries(ratio: float, told: str) -> None:
    worse = layout(4, 1, ratio=ratio / 2)
    assert sentences(layout(1, 2), worse, layout(2, 1, ratio=ratio)) == [
        f"whisper-base: 2 × 1 (processes × threads) {told}"
    ]


def test_a_ratio_without_an_interval_says_so() -> None:
    bare = layout(2, 1, ratio=1.6) | {"ratio_to_first_low": None, "ratio_to_first_high": None}
    (sentence,) = sentences(layout(1, 2), bare)
    assert "1.60 times what 1 × 2 does; the uncertainty is unknown, because it needs two laps" in sentence


def test_layouts_that_cannot_be_compared_are_told_apart() -> None:
    failed = layout(2, 1, None, None, status="oom", reason="process 2 of 2: too little", disturbed=None, n_passes=0)
    found = section(layout(1, 2), failed)
    assert found.sentences == ()
    entries = [entry for line in found.table.lines for entry in line.entries]
    assert "process 2 of 2: too little" in {entry.note for entry in entries}
    assert "oom" in {entry.text for entry in entries}


def test_each_device_is_named_where_there_are_several() -> None:
    rows = [layout(1, 2, device=device) for device in ("cpu", "cuda")]
    rows += [layout(2, 1, ratio=1.6, device=device) for device in ("cpu", "cuda")]
    assert [one.split(":")[0] for one in sentences(*rows)] == ["whisper-base on cpu", "whisper-base on cuda"]


def test_table_shows_rates_ratios_and_memory_of_all() -> None:
    table = section(layout(1, 2), layout(2, 1, 6.4, 1.6)).table
    shown = dict(
        zip(map(said, table.headings), (said(str(entry.text)) for entry in table.lines[1].entries), strict=True)
    )
    assert shown["Processes × threads"] == "2 × 1" and shown["Segments per s"].startswith("6.40")
    assert shown["Ratio to the first (×)"].startswith("1.60") and shown["Total memory (GB)"] == "1.20"


def test_page_has_the_section_with_its_figure() -> None:
    html = rendered(example_cells(), layouts_measured=example_layouts((HOSTILE,)))
    assert 'id="layouts"' in html and 'id="table-layouts"' in html and 'href="#layouts"' in html
    assert HOSTILE not in html


@pytest.mark.parametrize("language", ["en", "ru"])
def test_figure_has_a_bar_a_layout(language: str) -> None:
    svg = drawn(layout(1, 2), layout(2, 1, 6.4, 1.6), layout(4, 1, None, None), language=language)
    assert "2\xa0×\xa01" in svg and "1.60×" in svg and "4\xa0×\xa01" not in svg


def test_figure_of_nothing_says_so() -> None:
    assert "No layout was measured." in drawn()
