"""The figure of layouts: what the machine does in each, a bar with its interval, and its ratio to the first."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from asrmeter.common.printable import printable
from asrmeter.common.table_types import Row
from asrmeter.report.figures.context import FigureContext
from asrmeter.report.figures.style import message, wrapped
from asrmeter.report.formatting import number
from asrmeter.report.layout_rows import by_way, is_measured, layout_name
from asrmeter.report.theme import INK

# Drawn at the size at which a telephone shows it.
WIDTH_IN, ROW_IN, PANEL_IN, BELOW_IN, FONT_PT = 4.4, 0.3, 0.42, 0.5, 8.0
# More have no room; the table has all.
MOST_PANELS, MOST_ROWS = 6, 8


def layouts_figure(context: FigureContext) -> Figure:
    """Draw the segments a second of each layout that was measured, a panel for each model, variant and device."""
    ways = by_way(row for row in context.layouts if is_measured(row))
    if not ways:
        return message(context.text("no_layouts"))
    drawn = [(way, rows[:MOST_ROWS]) for way, rows in list(ways.items())[:MOST_PANELS]]
    n_drawn, n_all = sum(len(rows) for _, rows in drawn), sum(map(len, ways.values()))
    heights = [ROW_IN * len(rows) for _, rows in drawn]
    figure = Figure(figsize=(WIDTH_IN, sum(heights) + PANEL_IN * len(drawn) + BELOW_IN), layout="constrained")
    axes = figure.subplots(len(drawn), 1, squeeze=False, height_ratios=heights)[:, 0]
    for panel, (way, rows) in zip(axes, drawn, strict=True):
        panel.set_title(printable(" · ".join(way)), fontsize=FONT_PT + 1, pad=4)
        _fill(panel, rows, context)
    notes = [context.text("shown_layouts", n=n_drawn, total=n_all)] if n_drawn < n_all else []
    below = [context.text("layouts_across"), *notes]
    figure.supxlabel("\n".join(wrapped(line, 66) for line in below), fontsize=FONT_PT)
    return figure


def _fill(panel: Axes, rows: Sequence[Row], context: FigureContext) -> None:
    """Draw a bar for each layout, the first on top, with its interval and its ratio to the first."""
    panel.grid(False)
    panel.grid(True, axis="x")
    colour = context.colour(rows[0]["model"])
    panel.barh(range(len(rows)), [row["samples_per_s"] for row in rows], height=0.6, color=colour, zorder=2)
    for place, row in enumerate(rows):
        ends = row["samples_per_s_low"], row["samples_per_s_high"]
        if None not in ends:
            panel.plot(ends, (place, place), color=INK, linewidth=1.4, solid_capstyle="butt", zorder=3)
    panel.set_xlim(left=0)
    panel.set_ylim(len(rows) - 0.4, -0.6)
    panel.set_yticks(range(len(rows)), [layout_name(row) for row in rows], fontsize=FONT_PT)
    panel.tick_params(axis="both", length=0, labelsize=FONT_PT)
    panel.spines["left"].set_visible(False)
    panel.xaxis.set_major_locator(MaxNLocator(5))
    panel.xaxis.set_major_formatter(FuncFormatter(context.tick))
    beside = panel.secondary_yaxis("right")
    beside.set_yticks(range(len(rows)), [_said(row, context) for row in rows], fontsize=FONT_PT)
    beside.tick_params(length=0)
    beside.spines["right"].set_visible(False)


def _said(row: Row, context: FigureContext) -> str:
    """Return the ratio to the first layout in numbers; nothing where it is not known."""
    ratio = row["ratio_to_first"]
    return "" if ratio is None else context.text("times", value=number(ratio))
