"""Transcripts of many scripts in Chromium: their direction, their marks, and that nothing leaves its place."""

import pytest
from test_page import OPEN_ALL
from test_screens import PAPER

from asrmeter.report.catalogue import error_unit_of, load_words
from asrmeter.report.figure_registry import FIGURES
from asrmeter.report.html.page import Inputs, render, report_context
from helpers import scripts
from helpers.bottlenecks import example_bottlenecks
from helpers.pages import TEMPLATES, Open
from helpers.tables import all_sittings, example_selection, example_study

# What a figure is elsewhere does not matter here.
DRAWN = '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>'
VIEWS = [
    {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"},
    {"viewport": {"width": 1440, "height": 900}, "color_scheme": "light"},
]
# Boxes of marks, and of whole texts, that are not inside of the field that they belong to.
OUTSIDE = """() => [...document.querySelectorAll(".segment dd :is(p, del, ins, bdi, .sub)")].filter((one) => {
  const field = one.closest("dd").getBoundingClientRect();
  return [...one.getClientRects()].some((box) => box.left < field.left - 1 || box.right > field.right + 1);
}).map((one) => one.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a report in Russian of speech in every language of the examples, which no model was told."""
    cells, transcripts, by_language = scripts.tables(*scripts.SPOKEN, told=False)
    inputs = Inputs(
        example_study({"language": "ru"}),
        cells,
        transcripts,
        all_sittings(cells),
        example_bottlenecks(cells),
        example_selection(),
        scripts.segments(transcripts),
        languages=by_language,
    )
    words = load_words(TEMPLATES, "ru", error_unit_of(cells))
    html = render(TEMPLATES, report_context(inputs, dict.fromkeys(FIGURES, DRAWN), words))
    path = tmp_path_factory.mktemp("scripts") / "report.html"
    path.write_text(html, encoding="utf-8")
    return path.as_uri()


@pytest.mark.parametrize("view", VIEWS, ids=["telephone", "desktop"])
def test_no_script_leaves_its_place_or_hurts_access(view: dict, spoken: str, open_page: Open, axe: str) -> None:
    page = open_page(spoken, **view)
    page.evaluate(OPEN_ALL)
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    assert page.evaluate(OUTSIDE) == []
    page.evaluate(axe)
    found = page.evaluate("axe.run({ resultTypes: ['violations'] })")["violations"]
    assert [f"{one['id']}: {one['help']}" for one in found if one["impact"] in ("serious", "critical")] == []


def test_no_text_leaves_the_paper(spoken: str, open_page: Open) -> None:
    page = open_page(spoken, viewport=PAPER)
    page.emulate_media(media="print")
    page.evaluate(OPEN_ALL)
    assert page.evaluate(OUTSIDE) == []


def test_texts_run_as_their_script_does(spoken: str, open_page: Open) -> None:
    page = open_page(spoken)
    page.evaluate(OPEN_ALL)
    directions = {
        code: page.locator(f".segment dd > p[lang={code}]").first.evaluate("text => getComputedStyle(text).direction")
        for code in scripts.SPOKEN
        if page.locator(f".segment dd > p[lang={code}]").count()
    }
    assert directions.keys() >= {"ru", "ar", "he", "zh", "ja", "th", "hi"}
    assert {code for code, direction in directions.items() if direction == "rtl"} == {"ar", "he"}
    # In an Arabic text what follows stands to the left, and so does what was heard instead of what was said.
    places = page.locator(".segment dd > p[lang=ar] .sub").last.evaluate(
        "sub => [sub.querySelector('del'), sub.querySelector('ins')].map((one) => one.getBoundingClientRect().left)"
    )
    assert places[0] > places[1]
