"""The figure of what a machine carries: percentiles of the latency against the rate, measured and modelled."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from asrmeter.analysis.capacity_columns import KEY, MEASURED, MODELLED
from asrmeter.common.printable import printable
from asrmeter.common.table_types import Row
from asrmeter.report.figures.context import FigureContext
from asrmeter.report.figures.style import LINES, logarithmic, message, surround
from asrmeter.report.theme import INK

# More have no room; the table has all.
MOST_PANELS, COLUMNS = 4, 2
PANEL_WIDTH_IN, PANEL_HEIGHT_IN = 5.2, 3.1
# Each percentile by its shape and colour.
LOOKS = {"p50": ("o", "#0072B2"), "p95": ("s", "#D55E00"), "p99": ("^", "#009E73")}
# Latencies are drawn up to this multiple of the limit: beyond, more comes than can be served.
_MOST_OF_TARGET = 4.0
# The axis ends at this multiple of the highest rate that was served.
_EDGE = 1.2


def capacity_figure(context: FigureContext) -> Figure:
    """Draw a panel for each model and variant on a device: those that were load-tested first."""
    ways: dict[tuple[str, ...], list[Row]] = {}
    for row in context.loads:
        ways.setdefault(tuple(row[name] for name in KEY), []).append(row)
    drawable = [(way, rows) for way, rows in ways.items() if any(row["offered_per_s"] is not None for row in rows)]
    if not drawable:
        return message(context.text("no_loads"))
    drawable.sort(key=lambda one: all(row["source"] == MODELLED for row in one[1]))
    shown = drawable[:MOST_PANELS]
    n_columns = min(COLUMNS, len(shown))
    n_lines = -(-len(shown) // n_columns)
    figure = Figure(figsize=(PANEL_WIDTH_IN * COLUMNS, PANEL_HEIGHT_IN * n_lines), layout="constrained")
    axes = figure.subplots(n_lines, n_columns, sharey=True, squeeze=False).flatten()
    values: list[float] = []
    for panel, (way, rows) in zip(axes, shown, strict=False):
        values += _fill(panel, rows, context)
        panel.set_title(printable(" · ".join(way)))
    axes[0].set_yscale("log")
    axes[0].set_ylim(0.8 * min(values), 1.15 * max(values))
    logarithmic(axes[0].yaxis, max(values) / min(values), context.tick)
    for panel in axes[len(shown) :]:
        panel.set_visible(False)
    notes = [context.text("shown_loads", n=len(shown), total=len(drawable))] if len(shown) < len(drawable) else []
    handles = _legend([row for _, rows in shown for row in rows], context)
    surround(figure, handles, context.text("offered"), context.text("load_latency"), notes)
    return figure


def _fill(panel: Axes, rows: Sequence[Row], context: FigureContext) -> list[float]:
    """Draw the rates of a model and variant on a device; return the latencies (s) that are shown."""
    target_s = rows[0]["target_latency_s"]
    top_s = _MOST_OF_TARGET * target_s
    panel.axhline(target_s, color=INK, linewidth=1.2, zorder=1)
    values: list[float] = [target_s]
    for name, (marker, colour) in LOOKS.items():
        curve = sorted(
            (row["offered_per_s"], row[f"latency_s_{name}_modelled"]) for row in rows if row["source"] == MODELLED
        )
        within = [(rate, min(value, top_s)) for rate, value in curve if value is not None]
        if within:
            panel.plot(*zip(*within, strict=True), color=colour, linestyle=LINES[1], linewidth=1.4, zorder=2)
        values += [value for _, value in within]
        for face, valid in ((colour, True), ("none", False)):
            points = [
                (row["offered_per_s"], min(row[f"latency_s_{name}"], top_s))
                for row in rows
                if row["source"] == MEASURED and row[f"latency_s_{name}"] is not None and row["is_valid"] is valid
            ]
            if points:
                panel.plot(
                    *zip(*points, strict=True), marker=marker, color=colour, markerfacecolor=face, linestyle="none",
                    zorder=3, clip_on=False,
                )  # fmt: skip
            values += [value for _, value in points]
    # Far above the capacity there is nothing to see: what was tried there stands at the edge.
    served = [row["offered_per_s"] for row in rows if row["offered_per_s"] and not row["gave_up"]]
    edge = _EDGE * max(served or [row["offered_per_s"] or 0.0 for row in rows])
    over = [min(row["offered_per_s"], edge) for row in rows if row["gave_up"]]
    if over:
        panel.plot(over, [top_s] * len(over), marker="x", color=INK, linestyle="none", zorder=3, clip_on=False)
        values.append(top_s)
    panel.set_xlim(0, 1.03 * edge)
    panel.xaxis.set_major_locator(MaxNLocator(6))
    panel.xaxis.set_major_formatter(FuncFormatter(context.tick))
    return values


def _legend(rows: Sequence[Row], context: FigureContext) -> list[Line2D]:
    measured = any(row["source"] == MEASURED and row["offered_per_s"] is not None for row in rows)
    entries = []
    for name, (marker, colour) in LOOKS.items():
        entries.append(
            Line2D([], [], color=colour, marker=marker if measured else None, linestyle=LINES[1], label=name)
        )
    entries.append(Line2D([], [], color=INK, linestyle=LINES[1], label=context.text("load_modelled")))
    if measured:
        entries.append(Line2D([], [], color=INK, marker="o", linestyle="none", label=context.text("load_valid")))
    if any(row["is_valid"] is False and not row["gave_up"] for row in rows):
        entries.append(
            Line2D(
                [], [], color=INK, marker="o", markerfacecolor="none", linestyle="none",
                label=context.text("load_invalid"),
            )
        )  # fmt: skip
    if any(row["gave_up"] for row in rows):
        entries.append(Line2D([], [], color=INK, marker="x", linestyle="none", label=context.text("load_gave_up")))
    entries.append(Line2D([], [], color=INK, linewidth=1.2, label=context.text("load_target")))
    return entries
