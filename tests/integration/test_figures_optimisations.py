"""The figure of what would make it faster, from constructed rows."""

from typing import Any
from xml.etree import ElementTree

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from test_figures import TEMPLATES, TEXTS, labels, message, titles

from asrmeter.report.catalogue import load_texts
from asrmeter.report.figures import render
from asrmeter.report.figures.context import FigureContext
from asrmeter.report.figures.optimisations import LOOKS, MOST_PANELS, MOST_ROWS, optimisations_figure
from asrmeter.report.html.inline_svg import inline_svg
from helpers.bottlenecks import example_bottlenecks
from helpers.optimisations import absent, example_optimisations, optimisation
from helpers.tables import Cell


def context(rows: list[Cell], language: str = "en") -> FigureContext:
    texts = TEXTS if language == "en" else load_texts(TEMPLATES, language)
    return FigureContext([], example_bottlenecks([]), texts, optimisations=rows)


def drawn(*rows: Cell) -> Figure:
    return optimisations_figure(context(list(rows)))


def names(panel: Axes) -> list[str]:
    return [text.get_text() for text in panel.get_yticklabels()]


def told(panel: Axes) -> list[str]:
    """Return what stands on the right of a panel's rows."""
    (beside,) = panel.child_axes
    return [text.get_text() for text in beside.get_yticklabels()]


def marks(panel: Axes) -> list[tuple[float, float, Any]]:
    """Return the ratio, the row and the shape of each marker, by row."""
    found = [
        (float(x), float(y), line.get_marker())
        for line in panel.lines
        if line.get_marker() not in ("None", "", None)
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)  # type: ignore[arg-type]
    ]
    return sorted(found, key=lambda mark: mark[1])


def test_what_helps_most_is_on_top_with_a_shape_by_verdict() -> None:
    rows = [optimisation("bf16", 0.3), optimisation("ct2-int8", 1.6), optimisation("ct2-fp32", 1.02)]
    rows.append(optimisation("int8", 1.4, verdict="costs_accuracy"))
    figure = drawn(*rows)
    (panel,) = figure.axes
    assert names(panel) == ["CTranslate2 int8", "dynamic int8", "CTranslate2 float32", "bfloat16"]
    assert marks(panel) == [(1.6, 0, ">"), (1.4, 1, "X"), (1.02, 2, "o"), (0.3, 3, "<")]
    assert labels(figure) == ["helps", "no difference", "hurts", "costs accuracy"]
    assert len({shape for shape, _ in LOOKS.values()}) == len(LOOKS)
    # The first row is at the top.
    low, high = panel.get_ylim()
    assert low > high and panel.get_xscale() == "log"


def test_a_ratio_has_its_interval_if_it_has_one() -> None:
    figure = drawn(optimisation(None, 2.0), optimisation(None, 1.5, speed_ratio_low=None, speed_ratio_high=None))
    spans = [list(line.get_xdata()[:2]) for line in figure.axes[0].lines if line.get_linestyle() == "-"]  # type: ignore[index]
    assert [span for span in spans if span] == [[1, 1], [1.9, 2.1]]


def test_the_words_stand_beside() -> None:
    same = {"share_identical": 1.0, "wer_change": 0.0}
    rows = [optimisation("ct2-fp32", 1.2, **same), optimisation("ct2-int8", 1.6, wer_change=-0.0123)]
    rows += [
        optimisation("bf16", 0.3, wer_change=None, share_identical=None),
        optimisation("int8", 1.1, wer_change=0.0),
    ]
    assert told(drawn(*rows).axes[0]) == ["1.60×  WER -1.2", "1.20×  same words", "1.10×  WER ±0", "0.300×"]


def test_signs_tell_what_a_ratio_does_not() -> None:
    rows = [optimisation("faster-whisper", 1.6, equal_settings=False), optimisation("bf16", 0.3, emulated=True)]
    figure = drawn(*rows, optimisation("key-value-caching", 3.0))
    assert names(figure.axes[0]) == ["key-value cache ‡", "faster-whisper as usual *", "bfloat16 †"]
    notes = figure._supxlabel.get_text()  # type: ignore[attr-defined]
    assert "* decodes differently from fp32" in notes and "† number format is emulated" in notes
    assert "‡ fp32 already includes it" in notes
    assert "decodes otherwise" not in drawn(optimisation())._supxlabel.get_text()  # type: ignore[attr-defined]


def test_each_model_and_device_has_a_panel_on_one_scale() -> None:
    rows = [optimisation(None, 1.5, model, device=device) for model in ("a", "b") for device in ("cpu", "cuda")]
    figure = drawn(*rows, optimisation(None, 4.0, "b"))
    assert titles(figure) == ["a · cpu", "a · cuda", "b · cpu", "b · cuda"]
    assert len({panel.get_xlim() for panel in figure.axes}) == 1
    assert titles(drawn(optimisation(None, 1.5, "a"), optimisation(None, 1.5, "b"))) == ["a", "b"]


@pytest.mark.parametrize("rows", [[], [optimisation("fp16", None), absent("bf16")]])
def test_what_was_not_measured_is_not_drawn(rows: list[Cell]) -> None:
    figure = drawn(*rows)
    assert not figure.axes and "No optimisation was measured" in message(figure)
    assert names(drawn(optimisation(), *rows).axes[0]) == ["CTranslate2 int8"]


def test_of_very_many_the_first_are_drawn_and_it_says_so() -> None:
    models = [f"model-{place}" for place in range(MOST_PANELS + 2)]
    rows = [optimisation(None, 1 + place / 100, model) for model in models for place in range(MOST_ROWS + 3)]
    figure = drawn(*rows)
    assert len(figure.axes) == MOST_PANELS and len(names(figure.axes[0])) == MOST_ROWS
    notes = figure._supxlabel.get_text()  # type: ignore[attr-defined]
    assert f"Drawn: {MOST_PANELS * MOST_ROWS} of {len(rows)}" in notes


@pytest.mark.parametrize("speeds", [(1.001, 1.002), (0.9, 1.2), (0.02, 60.0), (1e-5, 1e5)])
def test_there_is_always_a_tick_at_one(speeds: tuple[float, float]) -> None:
    figure = drawn(*(optimisation(None, speed) for speed in speeds))
    figure.canvas.draw()
    (panel,) = figure.axes
    low, high = panel.get_xlim()
    assert low < min(speeds) and max(speeds) < high
    assert 1 in panel.get_xticks()


def test_names_stay_text_and_the_page_takes_the_drawing() -> None:
    hostile = optimisation(None, 2.0, "<script>$a$</script>", variant="<b>\x1b[31m" + "m" * 500)
    svg = render.figure_svg("optimisations", context([hostile, *example_optimisations()]))
    ElementTree.fromstring(svg)
    assert "<script" not in svg and "m" * 40 not in svg
    # Light or dark, its ink is the page's.
    shown = inline_svg("optimisations", svg)
    assert "currentColor" in shown and 'fill="#767676"' not in shown
