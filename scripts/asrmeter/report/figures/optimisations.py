"""The figure of what makes models faster: a row a proposal, its speed ratio with the interval, its verdict, its WER."""

import math
from collections.abc import Sequence
from itertools import chain

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from asrmeter.analysis.optimisation_verdicts import Verdict
from asrmeter.common.printable import printable
from asrmeter.common.table_types import Row
from asrmeter.report.figures.context import FigureContext
from asrmeter.report.figures.style import message, wrapped
from asrmeter.report.formatting import number
from asrmeter.report.optimisation_rows import by_model_and_device, have_several_devices, measured, name_of
from asrmeter.report.theme import INK

# Drawn at the size at which a telephone shows it.
WIDTH_IN, ROW_IN, PANEL_IN, LEGEND_IN, FONT_PT = 4.4, 0.21, 0.62, 0.19, 8.0
# More have no room; the table has all.
MOST_PANELS, MOST_ROWS, LONGEST_NAME = 4, 32, 31
# Each verdict by a shape that says it, and a colour.
LOOKS = {
    Verdict.HELPS: (">", "#009E73"),
    Verdict.NO_DIFFERENCE: ("o", INK),
    Verdict.HURTS: ("<", "#D55E00"),
    Verdict.COSTS_ACCURACY: ("X", "#CC79A7"),
}
# What is said of a row by a sign behind its name, with the word of the note that explains it.
UNEQUAL, EMULATED, HAD_ALREADY = ("*", "sign_unequal"), ("†", "sign_emulated"), ("‡", "sign_had_already")
# Ticks over ranges of that ratio at most.
_TICKS = ((2.5, (0.5, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 2)), (12, (0.1, 0.2, 0.33, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10)))
_WIDE = tuple(float(f"{digit}e{power}") for power in range(-4, 5) for digit in (1, 2, 5))


def optimisations_figure(context: FigureContext) -> Figure:
    """Draw the speed ratio of each proposal and variant that was measured, a panel for each model and device."""
    panels = [
        (key, sorted(rows, key=lambda row: -row["speed_ratio"]))
        for key, rows in by_model_and_device(measured(context.optimisations)).items()
    ]
    if not panels:
        return message(context.text("no_optimisations"))
    drawn = [(key, rows[:MOST_ROWS]) for key, rows in panels[:MOST_PANELS]]
    heights = [ROW_IN * len(rows) for _, rows in drawn]
    rows = [*chain.from_iterable(rows for _, rows in drawn)]
    legend, notes = _legend(rows, context), _notes(rows, sum(len(rows) for _, rows in panels), context)
    height_in = sum(heights) + PANEL_IN * len(drawn) + LEGEND_IN * (len(legend) / 2 + 1 + len(notes))
    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    axes = figure.subplots(len(drawn), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    several = have_several_devices(row for _, own in panels for row in own)
    for panel, ((model, device), own) in zip(axes, drawn, strict=True):
        panel.set_title(printable(f"{model} · {device}" if several else model), fontsize=FONT_PT + 1, pad=4)
        _fill(panel, own, context)
    _scale(axes[-1], rows, context)
    figure.legend(handles=legend, loc="outside upper left", ncols=2, fontsize=FONT_PT, handletextpad=0.3)
    figure.supxlabel("\n".join([context.text("speed_ratio"), *notes]), fontsize=FONT_PT)
    return figure


def _fill(panel: Axes, rows: Sequence[Row], context: FigureContext) -> None:
    """Draw a row for each proposal, the one that helps most on top: its name, its ratio, and what it says in words."""
    panel.axvline(1, color=INK, linewidth=1.0, zorder=1)
    panel.grid(False)
    panel.grid(True, axis="x")
    for verdict, (marker, colour) in LOOKS.items():
        own = [(place, row) for place, row in enumerate(rows) if row["verdict"] == verdict]
        # A gap ends the line of each: one line for all is less to draw.
        spans = [(row["speed_ratio_low"], row["speed_ratio_high"], place) for place, row in own]
        known = [(low, high, place) for low, high, place in spans if low is not None and high is not None]
        panel.plot(
            [x for low, high, _ in known for x in (low, high, math.nan)],
            [y for *_, place in known for y in (place, place, math.nan)],
            color=colour, linewidth=1.6, solid_capstyle="butt", zorder=2,
        )  # fmt: skip
        panel.plot(
            [row["speed_ratio"] for _, row in own], [place for place, _ in own],
            marker=marker, color=colour, markersize=6.5, linestyle="none", zorder=3,
        )  # fmt: skip
    panel.set_ylim(len(rows) - 0.4, -0.6)
    panel.set_yticks(range(len(rows)), [_name(row, context) for row in rows], fontsize=FONT_PT)
    panel.tick_params(axis="both", length=0, labelsize=FONT_PT)
    panel.spines["left"].set_visible(False)
    beside = panel.secondary_yaxis("right")
    beside.set_yticks(range(len(rows)), [_said(row, context) for row in rows], fontsize=FONT_PT)
    beside.tick_params(length=0)
    beside.spines["right"].set_visible(False)


def _name(row: Row, context: FigureContext) -> str:
    """Return what a row is about, with its signs."""
    name = printable(name_of(row, context.words))
    short = name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
    signs = [mark for mark, _ in _signs(row)]
    return " ".join([short, "".join(signs)]) if signs else short


def _signs(row: Row) -> list[tuple[str, str]]:
    said = {UNEQUAL: row["equal_settings"] is False, EMULATED: row["emulated"], HAD_ALREADY: row["kind"] == "without"}
    return [one for one, is_so in said.items() if is_so]


def _said(row: Row, context: FigureContext) -> str:
    """Return the ratio in numbers, and what became of the words."""
    ratio = context.text("times", value=number(row["speed_ratio"]))
    if row["share_identical"] == 1:
        return f"{ratio}  {context.text('same_words')}"
    if row["wer_change"] is None:
        return ratio
    change = f"{100 * row['wer_change']:+.2g}" if row["wer_change"] else "±0"
    return f"{ratio}  {context.text('wer_points', value=change)}"


def _scale(panel: Axes, rows: Sequence[Row], context: FigureContext) -> None:
    known = [row[f"speed_ratio{end}"] for row in rows for end in ("", "_low", "_high")]
    values = [1.0, *(value for value in known if value)]
    least, most = min(values), max(values)
    panel.set_xscale("log")
    ticks = next((ticks for most_ratio, ticks in _TICKS if most / least <= most_ratio), _WIDE)
    panel.xaxis.set_major_locator(FixedLocator(ticks))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FuncFormatter(context.tick))
    margin = (most / least) ** 0.06 * 1.02
    panel.set_xlim(least / margin, most * margin)


def _legend(rows: Sequence[Row], context: FigureContext) -> list[Line2D]:
    verdicts = {row["verdict"] for row in rows}
    words = context.words["optimisation_verdict"]
    return [
        Line2D([], [], marker=marker, color=colour, markersize=6.5, linestyle="none", label=words[verdict])
        for verdict, (marker, colour) in LOOKS.items()
        if verdict in verdicts
    ]


def _notes(rows: Sequence[Row], n_all: int, context: FigureContext) -> list[str]:
    """Return what the signs behind names mean, and how many rows are left out."""
    signs = dict.fromkeys(one for row in rows for one in _signs(row))
    notes = [f"{mark} {context.text(word)}" for mark, word in signs]
    if len(rows) < n_all:
        notes.append(context.text("shown_optimisations", n=len(rows), total=n_all))
    return [line for note in notes for line in wrapped(note, 62).split("\n")]
