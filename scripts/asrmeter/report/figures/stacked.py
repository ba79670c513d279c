"""Horizontal bars from 0 to 100 %, stacked of parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from asrmeter.report.figures.context import FigureContext
from asrmeter.report.figures.style import COLOURS, LEAST_WIDTH_IN, OTHER, surround, wrapped

# Of a stacked bar: a colour for each part, and a hatch, so that parts differ in grey as well.
# Lines only: dots and circles take a hundred times the bytes.
HATCHES = ("", "////", "---", "\\\\\\\\", "xxx", "|||", "+++", "//", "\\\\")
BAR_COLOURS = (*COLOURS, OTHER, "#F0E442", "#8C6BB1")
DARK, LABEL_BOX = "#1c1f26", {"facecolor": "#ffffff", "edgecolor": "none", "alpha": 0.85, "pad": 1.2}
# A part that is smaller than this has no room for its number.
LEAST_LABELLED = 0.07
BAR_HEIGHT_IN = 0.34
# More bars than these are no longer read.
MOST_BARS = 24


@dataclass(frozen=True)
class Bar:
    """A stacked bar: its label, and the share of the whole of each part; what is left stays empty."""

    label: str
    shares: Mapping[str, float]


def stacked_bars(
    panels: Mapping[str, Sequence[Bar]],
    parts: Mapping[str, str],
    context: FigureContext,
    left_out: str,
    across: str = "share",
) -> Figure:
    """Draw a panel of horizontal bars for each title, one below the other, all of them from 0 to 100 %.

    `parts` are the parts of a bar with their names, `across` is the text of their axis.
    """
    heights = [len(bars) for bars in panels.values()]
    figure = Figure(
        figsize=(LEAST_WIDTH_IN, 0.3 + sum(0.55 + BAR_HEIGHT_IN * n for n in heights)), layout="constrained"
    )
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=[n + 0.6 for n in heights])
    for panel, (title, bars) in zip(axes.flat, panels.items(), strict=True):
        panel.set_title(title)
        panel.grid(True, axis="x")
        panel.grid(False, axis="y")
        for place, bar in enumerate(bars):
            _bar(panel, place, bar, list(parts))
        panel.set_yticks(range(len(bars)), [wrapped(bar.label, 60) for bar in bars])
        panel.tick_params(axis="y", length=0)
        panel.set_ylim(len(bars) - 0.4, -0.6)
        panel.set_xlim(0, 100)
    drawn = [part for part in parts if any(bar.shares.get(part) for bars in panels.values() for bar in bars)]
    handles = [Patch(**_fill(part, list(parts)), label=parts[part]) for part in drawn]
    surround(figure, handles, context.text(across), "", [context.left_out, left_out])
    return figure


def _bar(panel: Axes, place: int, bar: Bar, parts: Sequence[str]) -> None:
    left = 0.0
    for part in parts:
        share = bar.shares.get(part, 0.0)
        if not share:
            continue
        panel.barh(place, 100 * share, left=100 * left, height=0.74, **_fill(part, parts))
        if share >= LEAST_LABELLED:
            panel.text(
                100 * (left + share / 2), place, f"{100 * share:.0f}", color=DARK, fontsize=8, ha="center",
                va="center_baseline", bbox=LABEL_BOX,
            )  # fmt: skip
        left += share


def _fill(part: str, parts: Sequence[str]) -> dict[str, Any]:
    """Return how a part is filled: the same in all bars."""
    index = parts.index(part)
    return {
        "facecolor": BAR_COLOURS[index % len(BAR_COLOURS)],
        "hatch": HATCHES[index % len(HATCHES)],
        "edgecolor": DARK,
        "linewidth": 0.4,
    }
