"""Values along durations or batch sizes: a row of panels for each device, a line for each model and variant.

A model keeps its colour and marker in every figure, a variant its line style, or where no line is drawn what is in its
markers. Failed cells are absent, cells that did not converge have an open marker, and where time is shown disturbed
ones are crossed out. Text is grey enough to be read on white and on black. All lies inside of its panel, so nothing is
clipped: that would take a third more bytes.
"""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from asrmeter.analysis.results import Candidate
from asrmeter.common.table_types import Row
from asrmeter.common.vocabulary import MEASURED_STATUS
from asrmeter.report.figures.context import FigureContext, candidate_of
from asrmeter.report.figures.style import (
    LEAST_WIDTH_IN,
    MARK_COLOUR,
    logarithmic,
    message,
    names_in,
    surround,
    variants_in,
    wrapped,
)
from asrmeter.report.theme import INK

DISTURBED, NET = "x", "_"
RING_SIZE, MARK_SIZE = 12, 4
LOG_FROM_RATIO = 8.0
PANEL_WIDTH_IN, PANEL_HEIGHT_IN, SINGLE_HEIGHT_IN = 2.3, 2.8, 3.3
TICK_WIDTH_IN = 0.34
# How far the axis goes beyond the first and the last class, as a ratio.
MARGIN = 1.35
# The words for what a value is drawn along, and for a panel.
ALONG = {"duration_s": "audio_per_segment", "batch_size": "batch_size"}
PANELS = {"duration_s": "panel_duration", "batch_size": "panel_batch"}
Value = Callable[[Row], float | None]


@dataclass(frozen=True)
class PanelSpec:
    """What a figure shows: a value of each cell along a column of the cells table, in panels by another one.

    `label` and `nothing` are words of the catalogue. `why` tells why a measured cell has no value, `title` what a
    panel's title says beside device and class. `timed` values are what a disturbance changes. `secondary` is a smaller
    value below the first, `highlighted` tells which cells have a ring, `reference_line` is drawn as a line across.
    """

    value: Value
    label: str
    nothing: str
    along: str
    panels: str | None = None
    low: Value | None = None
    high: Value | None = None
    joined: bool = True
    timed: bool = False
    why: Callable[[Row, FigureContext], str] | None = None
    title: Callable[[Sequence[Row], FigureContext], str] | None = None
    secondary: Value | None = None
    no_secondary: str = ""
    highlighted: Callable[[Row], bool] | None = None
    reference_line: float | None = None


def column(name: str, scale: float = 1.0) -> Value:
    """Return a function that gives a column's value in another unit."""
    return lambda row: None if row[name] is None else row[name] * scale


def grid_figure(context: FigureContext, spec: PanelSpec, cells: Sequence[Row] | None = None) -> Figure:
    """Draw a grid of panels, or a sentence where no cell has the value; without `cells` those of the subject."""
    cells = context.drawn if cells is None else cells
    shown = [row for row in cells if row["status"] in MEASURED_STATUS and spec.value(row) is not None]
    if not shown:
        return message(context.text(spec.nothing, reason=commonest_reason(cells, spec, context)))
    having = {candidate_of(row) for row in shown}
    everyone = [candidate for candidate in context.candidates if candidate in having]
    devices = names_in(cells, "device")
    panels = names_in(shown, spec.panels) if spec.panels else [None]
    figure = Figure(
        figsize=(
            max(LEAST_WIDTH_IN, PANEL_WIDTH_IN * len(panels)),
            PANEL_HEIGHT_IN * len(devices) if len(devices) > 1 else SINGLE_HEIGHT_IN,
        ),
        layout="constrained",
    )
    axes = figure.subplots(len(devices), len(panels), sharex=True, sharey=True, squeeze=False)
    for line, device in zip(axes, devices, strict=True):
        of_device = [row for row in shown if row["device"] == device]
        for panel, value in zip(line, panels, strict=True):
            rows = [row for row in of_device if spec.panels is None or row[spec.panels] == value]
            of_class = context.text(PANELS[spec.panels], value=value) if spec.panels else ""
            more = spec.title(rows, context) if spec.title and rows else ""
            panel.set_title(" · ".join(part for part in (device, of_class, more) if part))
            _fill(panel, rows, spec, context, everyone)
        if not of_device:
            of_failed = [row for row in cells if row["device"] == device]
            reason = wrapped(commonest_reason(of_failed, spec, context), 34)
            line[0].text(0.03, 0.5, reason, transform=line[0].transAxes, va="center")
    _scale_axes(axes[0][0], shown, spec, figure.get_figwidth() / len(panels), context)
    notes = [context.left_out]
    if spec.secondary and not any(spec.secondary(row) is not None for row in shown):
        notes.insert(0, context.text(spec.no_secondary))
    surround(figure, _legend(shown, spec, context), context.text(ALONG[spec.along]), context.text(spec.label), notes)
    return figure


def commonest_reason(rows: Sequence[Row], spec: PanelSpec, context: FigureContext) -> str:
    """Return the commonest reason for which a value is missing."""
    reasons = [_reason(row, spec, context) for row in rows]
    return max(sorted(set(reasons)), key=reasons.count, default=context.text("no_cells"))


def random_models(context: FigureContext) -> set[str]:
    """Return the models whose weights are random."""
    return {row["model"] for row in context.cells if row["weights"] == "random"}


def model_handles(context: FigureContext, models: Sequence[str], linestyle: str) -> list[Line2D]:
    """Return a legend's entry for each model."""
    random = random_models(context)
    return [
        Line2D(
            [],
            [],
            color=context.colour(model),
            marker=context.marker(model),
            linestyle=linestyle,
            label=context.text("random_model", model=model) if model in random else model,
        )
        for model in models
    ]


def variant_handles(context: FigureContext, variants: Collection[str]) -> list[Line2D]:
    """Return a legend's entry for each variant where no lines tell them apart; none if the study has one."""
    handles = []
    for variant in [one for one in context.variants if one in variants and len(context.variants) > 1]:
        mark = context.mark(variant)
        label = context.text("variant_mark" if mark else "variant_plain", variant=variant, mark=mark)
        handles.append(sign(mark or "o", label, 6, INK))
    return handles


def sign(marker: str, label: str, size: float = 6.0, face: str = "none") -> Line2D:
    """Return a legend's entry for a marker that is not of one model."""
    return Line2D(
        [], [], color=INK, marker=marker, markersize=size, markerfacecolor=face, linestyle="none", label=label
    )


def _fill(
    panel: Axes, rows: Sequence[Row], spec: PanelSpec, context: FigureContext, everyone: Sequence[Candidate]
) -> None:
    """Draw one line of a panel per model and variant, and what marks single cells; all panels have `everyone`."""
    if spec.reference_line is not None:
        panel.axhline(spec.reference_line, color=INK, linewidth=1.2, zorder=1)
    apart = _dodge(sorted({row[spec.along] for row in context.drawn}), len(everyone))
    places: dict[int, tuple[float, float]] = {}
    for place, (model, variant) in enumerate(everyone):
        own = sorted((row for row in rows if candidate_of(row) == (model, variant)), key=lambda row: row[spec.along])
        if not own:
            continue
        # Where nothing joins them, models stand beside each other.
        dodge = 1.0 if spec.joined else apart ** (2 * place - len(everyone) + 1)
        x = [row[spec.along] * dodge for row in own]
        y = [spec.value(row) or 0.0 for row in own]
        places |= {id(row): at for row, at in zip(own, zip(x, y, strict=True), strict=True)}
        colour = context.colour(model)
        if spec.joined:
            panel.plot(x, y, color=colour, linestyle=context.line(variant), linewidth=1.4, zorder=2, clip_on=False)
        _upright(panel, x, own, spec.low, spec.high, colour)
        _upright(panel, x, own, spec.secondary, spec.value, colour, 0.8)
        if spec.secondary:
            _points(panel, [(at, spec.secondary(row)) for at, row in zip(x, own, strict=True)], NET, colour, colour, 9)
        for face, converged in ((colour, True), ("none", False)):
            chosen = [places[id(row)] for row in own if (row["status"] == "ok") == converged]
            _points(panel, chosen, context.marker(model), colour, face)
            if not spec.joined and (mark := context.mark(variant)):
                inner = MARK_COLOUR if converged else colour
                _points(panel, chosen, mark, inner, inner, MARK_SIZE)
    if spec.highlighted:
        _points(panel, [places[id(row)] for row in rows if spec.highlighted(row)], "o", INK, "none", RING_SIZE)
    if spec.timed:
        _points(panel, [places[id(row)] for row in rows if row["disturbed"]], DISTURBED, INK, INK, 11)


def _points(
    panel: Axes,
    points: Sequence[tuple[float, float | None]],
    marker: str,
    colour: str,
    face: str,
    size: float = 6,
) -> None:
    """Draw all points of a kind as one line of markers: SVG then holds the marker once."""
    known = [(x, y) for x, y in points if y is not None]
    if known:
        panel.plot(
            *zip(*known, strict=True), marker=marker, linestyle="none", color=colour, markerfacecolor=face,
            markersize=size, zorder=3, clip_on=False,
        )  # fmt: skip


def _upright(
    panel: Axes,
    x: Sequence[float],
    rows: Sequence[Row],
    low: Value | None,
    high: Value | None,
    colour: str,
    width: float = 1.4,
) -> None:
    """Draw upright lines from low to high, as one path, for those rows that have both."""
    if low is None or high is None:
        return
    ends = [(at, low(row), high(row)) for at, row in zip(x, rows, strict=True)]
    known = [(at, bottom, top) for at, bottom, top in ends if bottom is not None and top is not None]
    if known:
        across = [value for at, _, _ in known for value in (at, at, math.nan)]
        upwards = [value for _, bottom, top in known for value in (bottom, top, math.nan)]
        panel.plot(across, upwards, color=colour, linewidth=width, zorder=2, clip_on=False)


def _scale_axes(panel: Axes, shown: Sequence[Row], spec: PanelSpec, width_in: float, context: FigureContext) -> None:
    """Set the shared axes: a tick for each class, and a logarithmic value axis where the range asks for it."""
    ticks: list[int] = sorted({row[spec.along] for row in shown})
    left, right = ticks[0] / MARGIN, ticks[-1] * MARGIN
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(FixedLocator(_apart(ticks, math.log(right / left) * TICK_WIDTH_IN / width_in)))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.set_xlim(left, right)
    known = [value(row) for row in shown for value in (spec.value, spec.secondary) if value]
    values = [value for value in known if value is not None]
    if spec.joined and min(values) > 0 and max(values) / min(values) >= LOG_FROM_RATIO:
        panel.set_yscale("log")
        logarithmic(panel.yaxis, max(values) / min(values), context.tick)
    else:
        panel.set_ylim(bottom=min(0.0, *values, 0.0))
        panel.yaxis.set_major_locator(MaxNLocator(5))
        panel.yaxis.set_major_formatter(FuncFormatter(context.tick))


def _dodge(classes: Sequence[int], n_candidates: int) -> float:
    """Return half of the ratio by which neighbours stand apart, so that those of a class do not reach the next one."""
    least = min((after / before for before, after in pairwise(classes)), default=MARGIN)
    return min(1.05, min(least**0.3, MARGIN) ** (1 / max(1, n_candidates - 1)))


def _apart(ticks: Sequence[int], least_log: float) -> list[int]:
    """Return those ticks whose labels do not touch."""
    kept: list[int] = []
    for tick in ticks:
        if not kept or math.log(tick / kept[-1]) >= least_log:
            kept.append(tick)
    return kept


def _legend(shown: Sequence[Row], spec: PanelSpec, context: FigureContext) -> list[Line2D]:
    """Return the legend's entries: models, variants if there are several, and what each kind of mark means."""
    entries = model_handles(context, names_in(shown, "model"), "solid" if spec.joined else "none")
    if not spec.joined:
        entries += variant_handles(context, names_in(shown, "variant"))
    elif len(context.variants) > 1:
        entries += [
            Line2D([], [], color=INK, linestyle=context.line(variant), label=variant) for variant in variants_in(shown)
        ]
    if spec.low:
        entries.append(sign("|", context.text("interval"), 11))
    if spec.secondary and any(spec.secondary(row) is not None for row in shown):
        entries.append(sign(NET, context.text("net"), 9))
    if spec.highlighted and any(map(spec.highlighted, shown)):
        entries.append(sign("o", context.text("saturated"), RING_SIZE))
    if any(row["status"] == "unconverged" for row in shown):
        entries.append(sign("o", context.text("unconverged")))
    if spec.timed and any(row["disturbed"] for row in shown):
        entries.append(sign(DISTURBED, context.text("disturbed")))
    return entries


def _reason(row: Row, spec: PanelSpec, context: FigureContext) -> str:
    if row["status"] not in MEASURED_STATUS:
        return str(row["reason"] or row["status"])
    if spec.why:
        return spec.why(row, context)
    return str(row["reason"] or context.text("no_reason"))
