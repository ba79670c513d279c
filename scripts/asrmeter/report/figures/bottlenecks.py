"""Figures of the bottleneck analysis: the roofline of each device, and the time of a pass by stage and operator."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from asrmeter.analysis.bottlenecks import GROUPS, profiles, roofline_points, working_sets
from asrmeter.analysis.table_rows import cell_of
from asrmeter.common.table_types import Row
from asrmeter.common.vocabulary import MEASURED_STATUS, STAGES
from asrmeter.records.machine_peaks import MachinePeaks
from asrmeter.report.figures.context import FigureContext
from asrmeter.report.figures.grid import model_handles, sign, variant_handles
from asrmeter.report.figures.stacked import MOST_BARS, Bar, stacked_bars
from asrmeter.report.figures.style import LEAST_WIDTH_IN, MARK_COLOUR, logarithmic, message, names_in, surround
from asrmeter.report.formatting import size
from asrmeter.report.theme import INK

ROOFLINE_HEIGHT_IN = 3.8
# More points than these are no longer told apart.
MOST_POINTS = 400


def roofline_figure(context: FigureContext) -> Figure:
    """Draw operations per byte against GFLOP/s, both logarithmic: the ceilings as lines, the stages as points."""
    tables = context.tables
    points = [row for row in roofline_points(tables.roofline) if context.draws(row)]
    if not points:
        notes = [str(row["note"]) for row in tables.roofline if row["note"]]
        return message(context.text("no_roofline", reason=_commonest(notes, context.text("no_rows"))))
    points, left_out = context.fewer(points, MOST_POINTS)
    panels = sorted({(row["device"], str(row["machine_id"])) for row in points})
    n_lines = -(-len(panels) // 2)
    figure = Figure(figsize=(LEAST_WIDTH_IN, ROOFLINE_HEIGHT_IN * n_lines), layout="constrained")
    axes = figure.subplots(n_lines, min(2, len(panels)), squeeze=False).flat
    for panel, (device, machine_id) in zip(axes, panels, strict=False):
        own = [row for row in points if (row["device"], str(row["machine_id"])) == (device, machine_id)]
        several = len({name for one, name in panels if one == device}) > 1
        panel.set_title(f"{device} · {context.text('machine', machine_id=machine_id)}" if several else device)
        threads = next((row["threads"] for row in context.cells if cell_of(row) == cell_of(own[0])), 0)
        ceilings = MachinePeaks.of(tables.ceilings, own[0]["machine_id"], device, threads)
        _roofline_panel(panel, own, ceilings or MachinePeaks((), ()), context)
    for panel in list(axes)[len(panels) :]:
        panel.set_axis_off()
    stages = context.words["bound_why"]
    handles = [
        *model_handles(context, names_in(points, "model"), "none"),
        *variant_handles(context, names_in(points, "variant")),
        sign("o", context.text("filled", what=stages["encoder"]), face=INK),
        sign("o", context.text("open", what=stages["decoder"])),
        Line2D([], [], color=INK, linestyle="solid", label=context.text("ceiling")),
        Line2D([], [], color=INK, linestyle="dashed", label=context.text("ceiling_small")),
    ]
    notes = [context.left_out, left_out]
    surround(figure, handles, context.text("flop_per_byte"), context.text("gflop_per_s"), notes)
    return figure


def operators_figure(context: FigureContext) -> Figure:
    """Draw what a profiled pass is spent on, by group of operators: CPU time on the CPU, the device's time on CUDA."""
    operators = context.tables.operators
    of_cell = {
        cell_of(profile.first): profile
        for profile in profiles([row for row in operators if context.draws(row)])
        if not profile.failed
    }
    if not of_cell:
        reasons = [str(row["reason"]) for row in operators if row["reason"]]
        return message(context.text("no_profile", reason=_commonest(reasons, context.text("no_rows"))))
    firsts, left_out = context.fewer([profile.first for profile in of_cell.values()], MOST_BARS)
    panels: dict[str, list[Bar]] = {}
    for first in sorted(firsts, key=lambda first: first["device"]):
        profile = of_cell[cell_of(first)]
        title = context.text("device_time" if first["device"] == "cuda" else "cpu_time", device=first["device"])
        batch = context.text("batch_label", value=first["batch_size"])
        panels.setdefault(title, []).append(
            Bar(f"{_label(first, context)} · {batch}", profile.by_group(profile.own_share))
        )
    return stacked_bars(panels, {group: context.words["group"][group] for group in GROUPS}, context, left_out)


def stages_figure(context: FigureContext) -> Figure:
    """Draw which stages a pass is spent in, from the medians of each, at the smallest batch size of each device."""
    measured = [
        row for row in context.drawn if row["status"] in MEASURED_STATUS and row["encoder_s_median"] is not None
    ]
    if not measured:
        reasons = [str(row["reason"]) for row in context.cells if row["reason"]]
        return message(context.text("no_cell", reason=_commonest(reasons, context.text("no_cells"))))
    smallest: dict[str, int] = {}
    for row in measured:
        smallest[row["device"]] = min(row["batch_size"], smallest.get(row["device"], row["batch_size"]))
    rows, left_out = context.fewer([row for row in measured if row["batch_size"] == smallest[row["device"]]], MOST_BARS)
    panels: dict[str, list[Bar]] = {}
    for row in sorted(rows, key=lambda row: (row["device"], cell_of(row))):
        title = context.text("share_of_pass", device=row["device"], batch=row["batch_size"])
        panels.setdefault(title, []).append(Bar(_label(row, context), _stage_shares(row)))
    parts = {stage: context.words["stage"][f"{stage}_s_median"] for stage in STAGES}
    return stacked_bars(panels, parts, context, left_out)


def _roofline_panel(panel: Axes, points: Sequence[Row], ceilings: MachinePeaks, context: FigureContext) -> None:
    """Draw the ceilings of a device and the stages that ran on it."""
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.grid(True, axis="both")
    x, y = ([row[name] for row in points] for name in ("flop_per_byte", "gflop_per_s"))
    rates = {dtype: (ceilings.flop_per_s(dtype) or 0.0) / 1e9 for dtype in names_in(points, "dtype")}
    left, right = min(x) / 3, max(x) * 4
    bottom, top = min(y) / 2.5, max(*y, *rates.values()) * 3
    panel.set_xlim(left, right)
    panel.set_ylim(bottom, top)
    for axis, ends in ((panel.xaxis, right / left), (panel.yaxis, top / bottom)):
        logarithmic(axis, ends, context.tick)
    for dtype, gflop_per_s in rates.items():
        if gflop_per_s:
            panel.plot([left, right], [gflop_per_s] * 2, color=INK, linewidth=1.4, zorder=1)
            label = context.text("peak", dtype=dtype, rate=context.whole(gflop_per_s))
            panel.text(right / 1.05, gflop_per_s * 1.06, label, ha="right", va="bottom", fontsize=9)
    for n_bytes in reversed(sizes := working_sets(ceilings)):
        _memory_line(panel, n_bytes, ceilings, max(rates.values()) or top, n_bytes == sizes[-1], context)
    if not any(rates.values()) and not sizes:
        panel.text(0.03, 0.96, context.text("no_ceilings"), transform=panel.transAxes, va="top", fontsize=9)
    kinds: dict[tuple[str, str, bool], list[Row]] = {}
    for row in points:
        kinds.setdefault((row["model"], row["variant"], row["stage"] == "encoder"), []).append(row)
    for (model, variant, is_filled), rows in kinds.items():
        colour = context.colour(model)
        x, y = ([row[name] for row in rows] for name in ("flop_per_byte", "gflop_per_s"))
        panel.plot(
            x, y, marker=context.marker(model), color=colour, markerfacecolor=colour if is_filled else "none",
            markersize=7, linestyle="none", zorder=3,
        )  # fmt: skip
        if mark := context.mark(variant):
            inner = MARK_COLOUR if is_filled else colour
            panel.plot(x, y, marker=mark, color=inner, markersize=4, linestyle="none", zorder=4)


def _memory_line(
    panel: Axes, n_bytes: int, ceilings: MachinePeaks, top_gflop_per_s: float, largest: bool, context: FigureContext
) -> None:
    """Draw the ceiling that memory sets, up to where that of matrix products is lower, and label it above."""
    gbyte_per_s = (ceilings.bytes_per_s(n_bytes) or 0.0) / 1e9
    left, right = panel.get_xlim()
    end = min(right, top_gflop_per_s / gbyte_per_s)
    style: Any = "solid" if largest else "dashed"
    panel.plot([left, end], [left * gbyte_per_s, end * gbyte_per_s], color=INK, linestyle=style, zorder=1)
    # Its label follows the line a little above it, from where that enters the panel.
    raised = 1.15 * gbyte_per_s
    start = 1.15 * max(left, panel.get_ylim()[0] / gbyte_per_s)
    label = context.text("memory_rate", rate=context.whole(gbyte_per_s), size=size(n_bytes, context.words))
    angle = math.degrees(math.atan(raised))
    panel.text(
        start, start * raised, label, fontsize=9, rotation=angle, rotation_mode="anchor", transform_rotates_text=True
    )


def _stage_shares(row: Row) -> dict[str, float]:
    seconds = {stage: row[f"{stage}_s_median"] or 0.0 for stage in STAGES}
    whole_s = sum(seconds.values())
    return {stage: spent_s / whole_s for stage, spent_s in seconds.items()} if whole_s else {}


def _label(row: Row, context: FigureContext) -> str:
    """Return what names a cell of a device, but its batch size."""
    variant = "" if row["variant"] == "fp32" else f" {row['variant']}"
    return f"{row['model']}{variant} · {context.text('seconds', value=row['duration_s'])}"


def _commonest(reasons: Sequence[str], nothing: str) -> str:
    return max(sorted(set(reasons)), key=reasons.count, default=nothing)
