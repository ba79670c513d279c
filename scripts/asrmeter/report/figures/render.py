"""The figures of the registry, drawn and as SVG."""

import matplotlib
from matplotlib.figure import Figure

from asrmeter.report.figure_registry import FIGURES, load
from asrmeter.report.figures.context import FigureContext
from asrmeter.report.figures.style import STYLE
from asrmeter.report.figures.svg import svg_of


def draw(name: str, context: FigureContext) -> Figure:
    """Draw one of `FIGURES`."""
    figure: Figure = load(FIGURES[name].draw)(context)
    return figure


def figure_svg(name: str, context: FigureContext) -> str:
    """Return one of `FIGURES` as SVG; the same tables and words give the same bytes."""
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        return svg_of(draw(name, context))
