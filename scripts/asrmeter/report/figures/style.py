"""What all figures share: ink and colours, the marker of a model, sentences instead of a plot, scales, legends."""

import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from asrmeter.common.printable import printable
from asrmeter.common.table_types import Row
from asrmeter.report.theme import INK

# Okabe and Ito's palette without black and yellow, which vanish on a dark or on a white page.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
# Of a model that has none of them.
OTHER = "#BDBDBD"
# As many as models are drawn at most, so that each has its own, also without colour.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "p", ">", "*", "h")
LineStyle = str | tuple[int, tuple[float, ...]]
# Of variants: their lines, and where no line is drawn what is drawn into their markers.
LINES: tuple[LineStyle, ...] = ("solid", "dashed", "dotted", "dashdot", (0, (8, 2)), (0, (4, 1.5, 1, 1.5, 1, 1.5)))
MARKS = ("", "+", "_", "|", "x", ".")
MARK_COLOUR = "#ffffff"
LEAST_WIDTH_IN, LEGEND_LINE_IN = 10.4, 0.22
# Over a wider range only powers of ten have a tick.
FEW_DECADES = 1e3

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": INK,
    "grid.alpha": 0.22,
    "grid.linewidth": 0.7,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


def message(text: str) -> Figure:
    """Return a figure that only says why there is nothing to draw."""
    figure = Figure(figsize=(LEAST_WIDTH_IN, 1.3))
    figure.text(0.02, 0.5, wrapped(text, 95), fontsize=11, va="center")
    return figure


def wrapped(text: str, width: int) -> str:
    """Return at most four lines, without control characters, which XML does not allow."""
    words = printable(" ".join(text.split()))
    return "\n".join(textwrap.wrap(words, width, max_lines=4, placeholder=" …"))


def names_in(rows: Sequence[Row], column: str) -> list[str]:
    """Return the values of a column, sorted."""
    return sorted({row[column] for row in rows})


def variants_in(rows: Sequence[Row]) -> list[str]:
    """Return the variants, the baseline first, so that its lines are solid."""
    return sorted(names_in(rows, "variant"), key=lambda variant: variant != "fp32")


def colour_of(index: int) -> str:
    """Return a colour; the same number always has the same one."""
    return COLOURS[index % len(COLOURS)]


def marker_of(index: int) -> str:
    """Return a marker; the same number always has the same one."""
    return MARKERS[index % len(MARKERS)]


def line_of(index: int) -> LineStyle:
    """Return the line style of a variant."""
    return LINES[index % len(LINES)]


def mark_of(index: int) -> str:
    """Return what is drawn into the markers of a variant."""
    return MARKS[index % len(MARKS)]


def logarithmic(axis: Axis, range_ratio: float, tick: Callable[[float, int | None], str]) -> None:
    """Set the ticks of a logarithmic axis whose ends have that ratio, labelled by `tick`."""
    axis.set_major_locator(LogLocator(subs=(1.0,) if range_ratio > FEW_DECADES else (1.0, 2.0, 5.0)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(tick))


def surround(figure: Figure, handles: Sequence[Artist], across: str, upwards: str, notes: Sequence[str] = ()) -> None:
    """Set the legend above the panels, the labels of their axes, and notes below; the figure grows by their lines."""
    below = "\n".join(
        filter(None, [across, *(wrapped(note, int(13 * figure.get_figwidth())) for note in notes if note)])
    )
    n_columns = legend_columns(figure, handles)
    n_lines = -(-len(handles) // n_columns) + below.count("\n") + 1
    figure.set_figheight(figure.get_figheight() + LEGEND_LINE_IN * n_lines)
    figure.legend(handles=handles, loc="outside upper left", ncols=n_columns)
    figure.supxlabel(below, fontsize=10)
    if upwards:
        figure.supylabel(upwards, fontsize=10)


def legend_columns(figure: Figure, handles: Sequence[Artist]) -> int:
    """Return how many columns fit above the panels, each as wide as the longest label."""
    longest_pt = max(len(str(handle.get_label())) for handle in handles) * 6.2 + 55
    return max(1, min(len(handles), int(figure.get_figwidth() * 72 / longest_pt)))
