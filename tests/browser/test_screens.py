"""The first screen fits a desktop's and a telephone's, in each language, light, dark and on paper."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from asrmeter.analysis.silence import model_rows
from asrmeter.report.catalogue import load_texts, load_words
from asrmeter.report.figure_registry import FIGURES
from asrmeter.report.figures.context import FigureContext
from asrmeter.report.figures.render import figure_svg
from asrmeter.report.html.page import Inputs, render, report_context
from helpers.bottlenecks import example_bottlenecks
from helpers.pages import TEMPLATES, Open
from helpers.silence import clips_of
from helpers.tables import Cell, all_sittings, cell, example_selection, example_study, without_interval

# What a figure is elsewhere does not matter here.
DRAWN = '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>'
MOST_HEADER_PX = 120
SIZES = {"desktop": (1440, 900), "telephone": (390, 844)}
MOST_PICTURE_PX = {"desktop": 320, "telephone": 200}
# An A4 page without its margins, in CSS pixels.
PAPER = {"width": 688, "height": 1017}
PRICES = {"currency": "EUR", "price_per_kwh": 0.4, "price_per_device_hour": {"cpu": 0.1, "cuda": 0.9}}
LIMITED = {"max_wer": 0.15, "max_latency_s_median": 1.0}
REPORTS: dict[str, dict[str, Any]] = {
    "default": {},
    "priced": {"tariff": PRICES},
    "many": {"tariff": PRICES, "scenarios": {f"purpose-{index}": LIMITED for index in range(12)}},
    "none": {"tariff": PRICES, "scenarios": {"production": {"max_wer": 0.01}, "edge": {"max_memory_gb": 0.1}}},
    "p95": {"tariff": PRICES, "scenarios": {"production": {"max_latency_s_p95": 1.0}, "research": LIMITED}},
}
MODELS = {"whisper-tiny.en": (0.11, 0.5), "whisper-base": (0.08, 0.9), "distil-whisper-large-v3": (0.04, 6.0)}
LANGUAGES = ("en", "ru")
Rendered = Callable[[str, str], str]


def cells() -> list[Cell]:
    """Return models on two devices at two batch sizes, with an alternative that was disturbed."""
    rows = []
    for device, factor in (("cpu", 1.0), ("cuda", 0.08)):
        for model, (wer, alone_s) in MODELS.items():
            for batch_size in (1, 4):
                latency_s = factor * alone_s * batch_size**0.8
                own = {f"latency_s_{part}": latency_s * ratio for part, ratio in (("median", 1.0), ("ci_low", 0.97))}
                own |= {"latency_s_ci_high": latency_s * 1.03, "rtfx": 30 * batch_size / latency_s, "wer": wer}
                own |= {"latency_own_se": 0.01, "latency_own_df": 100.0, "runtime": "transformers"}
                rows.append(cell(model, device, 30, batch_size, **own))
    why = {"disturbed": True, "disturbance": "lap 1: other processes took 0.6 cores", "n_laps": 0, "laps": ""}
    return [without_interval(row) | why if row["batch_size"] == 4 and row["wer"] == 0.08 else row for row in rows]


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """Return the address of a report of `REPORTS` in a language."""
    folder = tmp_path_factory.mktemp("screens")

    def rendered(name: str, language: str) -> str:
        path: Path = folder / f"{name}-{language}.html"
        if not path.exists():
            rows = cells()
            bottlenecks = example_bottlenecks(rows)
            study = example_study(REPORTS[name] | {"language": language})
            heard = [row for model in MODELS for row in clips_of(model, {"hum": "Thank you."})]
            inputs = Inputs(
                *(study, rows, [], all_sittings(rows), bottlenecks, example_selection()),
                silence_models=model_rows(heard),
            )
            context = FigureContext.of(study, rows, [], bottlenecks, load_texts(TEMPLATES, language))
            figures = dict.fromkeys(FIGURES, DRAWN) | {"alternatives": figure_svg("alternatives", context)}
            html = render(TEMPLATES, report_context(inputs, figures, load_words(TEMPLATES, language)))
            path.write_text(html, encoding="utf-8")
        return path.as_uri()

    return rendered


def view(size: str, scheme: str = "light") -> dict[str, Any]:
    width, height = SIZES[size]
    return {"viewport": {"width": width, "height": height}, "color_scheme": scheme}


def bottom(page: Page, selector: str) -> float:
    box = page.locator(selector).bounding_box()
    assert box
    return box["y"] + box["height"]


def cut_off(page: Page) -> list[str]:
    """Return what of the first screen is wider than its place, or beyond the window."""
    return page.evaluate(
        """() => [...document.querySelectorAll(".first, .first *:not(svg, svg *, .unseen, h3)")]
          .filter((one) => one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).display !== "inline"
            || one.getBoundingClientRect().right > innerWidth)
          .map((one) => one.outerHTML.slice(0, 120))"""
    )


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", REPORTS)
def test_the_answer_fits_the_first_screen(
    name: str, size: str, language: str, rendered: Rendered, open_page: Open
) -> None:
    page = open_page(rendered(name, language), **view(size))
    assert bottom(page, "header") <= MOST_HEADER_PX
    assert bottom(page, ".first") <= SIZES[size][1]
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    assert cut_off(page) == []
    picture = page.locator(".first svg").bounding_box()
    assert picture and picture["height"] <= MOST_PICTURE_PX[size]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_axe_finds_nothing_serious_in_it(
    language: str, size: str, scheme: str, rendered: Rendered, open_page: Open, axe: str
) -> None:
    page = open_page(rendered("many", language), **view(size, scheme))
    page.evaluate(axe)
    found = page.evaluate("axe.run({ include: [['header'], ['.first']] }, { resultTypes: ['violations'] })")
    assert [one["id"] for one in found["violations"] if one["impact"] in ("serious", "critical")] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_chosen_one_has_the_accent_of_the_page(scheme: str, rendered: Rendered, open_page: Open) -> None:
    page = open_page(rendered("default", "en"), **view("desktop", scheme))
    name = page.locator(".first .headline b")
    accent = name.evaluate("name => getComputedStyle(name).color")
    fills = page.locator(".first svg *").evaluate_all("all => all.map((one) => getComputedStyle(one).fill)")
    assert accent in fills
    assert page.locator(".first svg text", has_text=name.inner_text()).count() == 1


def test_on_a_telephone_the_keyboard_reaches_the_last_section(rendered: Rendered, open_page: Open) -> None:
    page = open_page(rendered("default", "ru"), **view("telephone"))
    links = page.locator("nav a")
    assert bottom(page, "nav") - page.locator("nav").bounding_box()["y"] < 40
    page.keyboard.press("Tab")
    for _ in range(links.count()):
        page.keyboard.press("Tab")
    expect(links.last).to_be_focused()
    # Browsers round to parts of a pixel.
    expect(links.last).to_be_in_viewport(ratio=0.99)


def test_other_purposes_and_what_is_unknown_lead_to_their_cards(rendered: Rendered, open_page: Open) -> None:
    page = open_page(rendered("default", "en"), **view("desktop"))
    page.get_by_role("link", name="Research quality").click()
    assert page.url.endswith("#for-research")
    page.get_by_role("link", name="How to find out").click()
    assert page.url.endswith("#for-production")
    assert "python scripts/list_cells.py" in page.locator("[aria-labelledby=for-production]").inner_text()


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_is_printed_whole_on_one_page(language: str, rendered: Rendered, open_page: Open) -> None:
    page = open_page(rendered("many", language), viewport=PAPER)
    page.emulate_media(media="print")
    assert bottom(page, ".first") <= PAPER["height"]
    assert cut_off(page) == []
    assert page.locator(".others li:visible").count() == 3
