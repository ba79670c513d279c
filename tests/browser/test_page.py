"""The report in Chromium: at rest, by keyboard, without JavaScript, on paper, on a telephone, for a screen reader."""

import pytest
from playwright.sync_api import Page

from helpers.pages import HOSTILE, Open

VIEWS = pytest.mark.parametrize(
    "view",
    [
        {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
        for width in (375, 1440)
        for scheme in ("light", "dark")
    ],
    ids=lambda view: f"{view['viewport']['width']}-{view['color_scheme']}",
)
OPEN_ALL = "for (const one of document.querySelectorAll('details')) one.open = true"


def n_visible(page: Page, selector: str) -> int:
    return page.locator(f":is({selector}):visible").count()


def test_text_from_outside_stays_text(report: str, open_page: Open) -> None:
    page = open_page(report)
    assert page.locator("script").count() == 1
    for place in ("#table-models", "#table-speed", "#transcripts", "#answer"):
        assert HOSTILE in page.locator(place).text_content(), place


def test_the_policy_lets_nothing_else_act(report: str, browser) -> None:
    page = browser.new_page()
    page.goto(report)
    refused = page.evaluate(
        """() => {
          const seen = [];
          document.addEventListener("securitypolicyviolation", (event) => seen.push(event.effectiveDirective));
          document.body.insertAdjacentHTML("beforeend", `<p style="color: red">red</p><img src="file:///etc/hostname">`);
          const script = document.createElement("script");
          script.textContent = "window.ran = true";
          document.body.append(script);
          return new Promise((done) => setTimeout(() => done([window.ran, ...new Set(seen.sort())]), 200));
        }"""
    )
    assert refused == [None, "img-src", "script-src-elem", "style-src-attr"]
    page.close()


@VIEWS
def test_nothing_overflows(view: dict, report: str, open_page: Open) -> None:
    page = open_page(report, **view)
    for step in ("() => {}", OPEN_ALL):
        page.evaluate(step)
        assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")


@VIEWS
def test_axe_finds_nothing_serious(view: dict, report: str, open_page: Open, axe: str) -> None:
    page = open_page(report, **view)
    page.evaluate(axe)
    page.evaluate(OPEN_ALL)
    found = page.evaluate("axe.run({ resultTypes: ['violations'] })")["violations"]
    serious = [
        f"{one['id']}: {one['help']}: {[node['html'][:120] for node in one['nodes'][:3]]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_the_keyboard_reaches_and_works_the_tables(report: str, open_page: Open) -> None:
    page = open_page(report)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.url.endswith("#answer")
    page.locator("#models .tools button").first.focus()
    page.keyboard.press("Tab")
    assert "scroll" in page.evaluate("document.activeElement.className")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.locator("#table-models thead th").first.get_attribute("aria-sort") == "ascending"


def test_tab_alone_leads_from_the_top_to_a_table(report: str, open_page: Open) -> None:
    page = open_page(report)
    for _ in range(120):
        page.keyboard.press("Tab")
        if page.evaluate("Boolean(document.activeElement.closest('.scroll'))"):
            return
    pytest.fail("no table was reached")


def test_without_javascript_page_is_complete_without_controls(report: str, open_page: Open) -> None:
    with_script, without = (open_page(report, java_script_enabled=enabled) for enabled in (True, False))
    assert n_visible(with_script, ".tools") > 5
    assert n_visible(without, ".tools, th button, dialog") == 0
    rows = [page.locator("tbody tr").count() for page in (with_script, without)]
    assert rows[0] == rows[1] > 100


def test_controls_are_not_printed(report: str, open_page: Open) -> None:
    page = open_page(report)
    page.emulate_media(media="print")
    assert n_visible(page, ".tools, nav, .skip") == 0
    assert n_visible(page, "details.evidence summary") > 0 and n_visible(page, "details.evidence a") == 0
    assert n_visible(page, "#table-speed tbody tr") > 50


def test_a_transcript_can_be_listened_to(open_page: Open, report: str) -> None:
    page = open_page(report)
    assert page.locator("audio").count() >= 1
    duration_s = page.locator("audio").first.evaluate(
        "audio => new Promise((done) => { audio.onloadedmetadata = () => done(audio.duration); audio.load(); })"
    )
    assert duration_s > 0.9
