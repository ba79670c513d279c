"""All figures by name."""

from collections.abc import Callable, Mapping

import matplotlib
from matplotlib.figure import Figure

from asrmeter.report.figures.bottlenecks import operators_figure, roofline_figure, stages_figure
from asrmeter.report.figures.cells import (
    energy_figure,
    gpu_over_cpu_figure,
    latency_batch_figure,
    latency_figure,
    memory_figure,
    rtfx_figure,
    throughput_figure,
    wer_figure,
)
from asrmeter.report.figures.context import FigureContext
from asrmeter.report.figures.pareto import pareto_figure
from asrmeter.report.figures.style import STYLE
from asrmeter.report.figures.svg import svg_of

FIGURES: Mapping[str, Callable[[FigureContext], Figure]] = {
    "pareto": pareto_figure,
    "latency": latency_figure,
    "latency_batch": latency_batch_figure,
    "throughput": throughput_figure,
    "rtfx": rtfx_figure,
    "energy": energy_figure,
    "memory": memory_figure,
    "gpu_over_cpu": gpu_over_cpu_figure,
    "wer": wer_figure,
    "roofline": roofline_figure,
    "stages": stages_figure,
    "operators": operators_figure,
}


def figure_svg(name: str, context: FigureContext) -> str:
    """Return one of `FIGURES` as SVG; the same tables and words give the same bytes."""
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        return svg_of(FIGURES[name](context))
