"""The report in a browser: Chromium as it is installed, a page that is rich in content, and what no page may do."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, Page, sync_playwright

from asrmeter.analysis import start_table
from asrmeter.analysis.comparison.runs import Run, compare
from asrmeter.analysis.silence import model_rows
from asrmeter.report.catalogue import load_texts, load_words
from asrmeter.report.figure_registry import FIGURES
from asrmeter.report.figures.context import FigureContext
from asrmeter.report.figures.render import figure_svg
from asrmeter.report.html.audio import Audio
from asrmeter.report.html.page import Inputs, render, report_context
from helpers.bottlenecks import example_bottlenecks
from helpers.capacity import known_capacities
from helpers.layouts import example_layouts
from helpers.optimisations import example_optimisations
from helpers.pages import FORMULA, HOSTILE, TEMPLATES, Open, chromium, chromium_path
from helpers.silence import example_silence
from helpers.tables import (
    all_sittings,
    example_cells,
    example_segments,
    example_selection,
    example_study,
    example_transcripts,
    measured_again,
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if chromium_path() is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = chromium(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core, which looks for what people cannot use."""
    path = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
    if not path.is_file():
        pytest.skip("needs axe-core, which make test has npm install")
    return path.read_text(encoding="utf-8")


def tone() -> str:
    """Return a second of sound as the report embeds it."""
    stream = io.BytesIO()
    soundfile.write(stream, 0.1 * np.sin(np.arange(16000) / 10), 16000, format="MP3")
    return "data:audio/mpeg;base64," + base64.b64encode(stream.getvalue()).decode()


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a report in which everything occurs, and text that would like to be more than text."""
    cells = example_cells(("cpu", "cuda"))
    cells = [row | {"model": HOSTILE} if row["model"] == "whisper-base" else row for row in cells]
    cells = [row | {"reason": FORMULA} if row["status"] == "killed" else row for row in cells]
    transcripts = [
        row | {"hypothesis": HOSTILE, "hypothesis_normalised": HOSTILE} for row in example_transcripts(cells)
    ]
    bottlenecks = example_bottlenecks(cells)
    slower = [row | {"latency_s_median": row["latency_s_median"] and row["latency_s_median"] * 1.2} for row in cells]
    slower[0] |= {"latency_s_median": 100.0, "threads": 1}
    silence, (loads, capacities) = example_silence(("whisper-tiny.en", HOSTILE)), known_capacities()
    inputs = Inputs(
        example_study(report={"study_2025": True}),
        cells,
        transcripts,
        all_sittings(cells),
        bottlenecks,
        example_selection(),
        example_segments(),
        {name: Audio(tone()) for name in ("house-5-0", "house-60-0")},
        comparison=compare(
            Run.of("results-old", slower, transcripts), Run.of("results", measured_again(cells), transcripts)
        ),
        optimisations=example_optimisations(("whisper-tiny.en", HOSTILE)),
        start=start_table.rows(cells),
        silence_models=model_rows(silence),
        loads=loads,
        capacities=capacities,
        layouts=example_layouts(("whisper-tiny.en", HOSTILE)),
    )
    further = {"optimisations": inputs.optimisations, "silence": silence, "layouts": inputs.layouts}
    further |= {"loads": loads, "capacities": capacities}
    context = FigureContext.of(inputs.study, cells, transcripts, bottlenecks, load_texts(TEMPLATES, "en"), **further)
    figures = {name: figure_svg(name, context) for name in FIGURES}
    html = render(TEMPLATES, report_context(inputs, figures, load_words(TEMPLATES, "en")))
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(html, encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Open an address; afterwards no such page may have complained, asked for anything, or opened a dialog."""
    faults: list[str] = []
    contexts = []

    def open_page(address: str, **options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: faults.append(f"console {message.type}: {message.text}"))
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on(
            "request",
            lambda asked: asked.url.startswith((address, "data:")) or faults.append(f"request: {asked.url[:80]}"),
        )
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []
