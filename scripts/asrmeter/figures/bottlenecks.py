"""Figures of what holds a cell back: the roofline of each device, and where the time of a pass goes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from asrmeter.ceilings import Ceilings
from asrmeter.figures.style import (
    COLOURS,
    INK,
    LEAST_WIDTH_IN,
    LEGEND_HEIGHT_IN,
    colour_of,
    legend_columns,
    marker_of,
    message,
    names_in,
    wrapped,
)
from asrmeter.report.inputs import GROUPS, Bottlenecks, profiles, working_sets
from asrmeter.report.text import size
from asrmeter.runtimes.base import STAGES
from asrmeter.settings import MEASURED_STATUS, Row, cell_of

# Of a stacked bar: a colour for each part, and a hatch, so that parts differ in grey as well.
HATCHES = ("", "////", "....", "\\\\\\\\", "xxx", "|||", "---", "ooo", "++")
BAR_COLOURS = (*COLOURS, "#BDBDBD", "#F0E442", "#8C6BB1")
DARK, LABEL_BOX = "#1c1f26", {"facecolor": "#ffffff", "edgecolor": "none", "alpha": 0.85, "pad": 1.2}
# A part that is smaller than this has no room for its number.
LEAST_LABELLED = 0.07
BAR_HEIGHT_IN = 0.34
ROOFLINE_HEIGHT_IN = 3.8
# Over a wider range only powers of ten have a tick.
FEW_DECADES = 1e3


@dataclass(frozen=True)
class Bar:
    """A stacked bar: its label, and the share of the whole of each part; what is left stays empty."""

    label: str
    shares: Mapping[str, float]


def roofline_figure(cells: Sequence[Row], tables: Bottlenecks) -> Figure:
    """Draw operations per byte against GFLOP/s, both logarithmic: the ceilings as lines, the stages as points."""
    points = [row for row in tables.roofline if row["stage"] != "pass" and row["flop_per_byte"] and row["gflop_per_s"]]
    if not points:
        notes = [str(row["note"]) for row in tables.roofline if row["note"]]
        return message(f"No stage has both operations and traffic: {_commonest(notes, 'the table has no rows')}.")
    models = names_in(cells or points, "model")
    panels = sorted({(row["device"], str(row["machine_id"])) for row in points})
    figure = Figure(
        figsize=(LEAST_WIDTH_IN, LEGEND_HEIGHT_IN + ROOFLINE_HEIGHT_IN * -(-len(panels) // 2)), layout="constrained"
    )
    axes = figure.subplots(-(-len(panels) // 2), min(2, len(panels)), squeeze=False).flat
    for panel, (device, machine_id) in zip(axes, panels, strict=False):
        own = [row for row in points if (row["device"], str(row["machine_id"])) == (device, machine_id)]
        several = len({name for one, name in panels if one == device}) > 1
        panel.set_title(f"{device} · machine {machine_id}" if several else device)
        threads = next((row["threads"] for row in cells if cell_of(row) == cell_of(own[0])), 0)
        ceilings = Ceilings.of(tables.ceilings, own[0]["machine_id"], device, threads)
        _roofline_panel(panel, own, ceilings or Ceilings((), ()), models)
    for panel in list(axes)[len(panels) :]:
        panel.set_axis_off()
    figure.supxlabel("Operations per byte of the least memory traffic (FLOP per byte)", fontsize=10)
    figure.supylabel("GFLOP per s", fontsize=10)
    shown = [model for model in models if any(row["model"] == model for row in points)]
    handles = [
        *(
            Line2D([], [], color=colour_of(i), marker=marker_of(i), linestyle="none", label=model)
            for i, model in enumerate(models)
            if model in shown
        ),
        Line2D([], [], color=INK, marker="o", linestyle="none", label="filled: encoder"),
        Line2D([], [], color=INK, marker="o", markerfacecolor="none", linestyle="none", label="open: decoder"),
        Line2D([], [], color=INK, linestyle="solid", label="ceiling, as measured"),
        Line2D([], [], color=INK, linestyle="dashed", label="ceiling of a small working set"),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=legend_columns(figure, handles))
    return figure


def operators_figure(cells: Sequence[Row], tables: Bottlenecks) -> Figure:
    """Draw what a profiled pass is spent on, by group of operators: CPU time on the CPU, the device's time on CUDA."""
    done = [profile for profile in profiles(tables.operators) if not profile.failed]
    if not done:
        reasons = [str(row["reason"]) for row in tables.operators if row["reason"]]
        return message(f"No cell was profiled: {_commonest(reasons, 'the table has no rows')}.")
    panels: dict[str, list[Bar]] = {}
    for profile in sorted(done, key=lambda profile: profile.first["device"]):
        device = profile.first["device"]
        title = f"{device} · {'device' if device == 'cuda' else 'CPU'} time, share of {_whole(device)}"
        panels.setdefault(title, []).append(
            Bar(f"{_label(profile.first)} · b{profile.first['batch_size']}", profile.by_group(profile.own_share))
        )
    return _stacked(panels, GROUPS)


def stages_figure(cells: Sequence[Row], tables: Bottlenecks) -> Figure:
    """Draw which stages a pass is spent in, from the medians of each, at the smallest batch size of each device."""
    measured = [row for row in cells if row["status"] in MEASURED_STATUS and row["encoder_s_median"] is not None]
    if not measured:
        reasons = [str(row["reason"]) for row in cells if row["reason"]]
        return message(f"No cell was measured: {_commonest(reasons, 'the table has no cells')}.")
    panels: dict[str, list[Bar]] = {}
    for device in names_in(measured, "device"):
        of_device = sorted((row for row in measured if row["device"] == device), key=cell_of)
        smallest = min(row["batch_size"] for row in of_device)
        panels[f"{device} · batch {smallest}, share of the pass"] = [
            Bar(_label(row), _stage_shares(row)) for row in of_device if row["batch_size"] == smallest
        ]
    return _stacked(panels, STAGES)


def _roofline_panel(panel: Axes, points: Sequence[Row], ceilings: Ceilings, models: Sequence[str]) -> None:
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
        axis.set_major_locator(LogLocator(subs=(1.0,) if ends > FEW_DECADES else (1.0, 2.0, 5.0)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    for dtype, gflop_per_s in rates.items():
        if gflop_per_s:
            panel.plot([left, right], [gflop_per_s] * 2, color=INK, linewidth=1.4, zorder=1)
            label = f"{dtype}: {gflop_per_s:,.0f} GFLOP/s"
            panel.text(right / 1.05, gflop_per_s * 1.06, label, ha="right", va="bottom", fontsize=9)
    for n_bytes in reversed(sizes := working_sets(ceilings)):
        _memory_line(panel, n_bytes, ceilings, max(rates.values()) or top, n_bytes == sizes[-1])
    if not any(rates.values()) and not sizes:
        panel.text(0.03, 0.96, "no ceilings were measured here", transform=panel.transAxes, va="top", fontsize=9)
    for row in points:
        index = models.index(row["model"])
        face = colour_of(index) if row["stage"] == "encoder" else "none"
        panel.plot(
            row["flop_per_byte"], row["gflop_per_s"], marker_of(index), color=colour_of(index), markerfacecolor=face,
            markersize=6, zorder=3,
        )  # fmt: skip


def _memory_line(panel: Axes, n_bytes: int, ceilings: Ceilings, top_gflop_per_s: float, largest: bool) -> None:
    """Draw the ceiling that memory sets, up to where that of matrix products is lower, and label it above."""
    gbyte_per_s = (ceilings.bytes_per_s(n_bytes) or 0.0) / 1e9
    left, right = panel.get_xlim()
    end = min(right, top_gflop_per_s / gbyte_per_s)
    style: Any = "solid" if largest else "dashed"
    panel.plot([left, end], [left * gbyte_per_s, end * gbyte_per_s], color=INK, linestyle=style, zorder=1)
    # Its label follows the line a little above it, from where that enters the panel.
    raised = 1.15 * gbyte_per_s
    start = 1.15 * max(left, panel.get_ylim()[0] / gbyte_per_s)
    label = f"{gbyte_per_s:,.0f} GB/s, {size(n_bytes)}"
    angle = math.degrees(math.atan(raised))
    panel.text(
        start, start * raised, label, fontsize=9, rotation=angle, rotation_mode="anchor", transform_rotates_text=True
    )


def _stacked(panels: Mapping[str, Sequence[Bar]], parts: Sequence[str]) -> Figure:
    """Draw a panel of horizontal bars for each title, one below the other, all of them from 0 to 100 %."""
    heights = [len(bars) for bars in panels.values()]
    figure = Figure(
        figsize=(LEAST_WIDTH_IN, LEGEND_HEIGHT_IN + sum(0.55 + BAR_HEIGHT_IN * n for n in heights)),
        layout="constrained",
    )
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=[n + 0.6 for n in heights])
    for panel, (title, bars) in zip(axes.flat, panels.items(), strict=True):
        panel.set_title(title)
        panel.grid(True, axis="x")
        panel.grid(False, axis="y")
        for place, bar in enumerate(bars):
            _bar(panel, place, bar, parts)
        panel.set_yticks(range(len(bars)), [wrapped(bar.label, 60) for bar in bars])
        panel.tick_params(axis="y", length=0)
        panel.set_ylim(len(bars) - 0.4, -0.6)
        panel.set_xlim(0, 100)
    figure.supxlabel("Share (%)", fontsize=10)
    drawn = [part for part in parts if any(bar.shares.get(part) for bars in panels.values() for bar in bars)]
    handles = [Patch(**_fill(part, parts), label=part) for part in drawn]
    figure.legend(handles=handles, loc="outside upper left", ncols=legend_columns(figure, handles))
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


def _stage_shares(row: Row) -> dict[str, float]:
    seconds = {stage: row[f"{stage}_s_median"] or 0.0 for stage in STAGES}
    whole_s = sum(seconds.values())
    return {stage: spent_s / whole_s for stage, spent_s in seconds.items()} if whole_s else {}


def _label(row: Row) -> str:
    """Return what names a cell of a device, but its batch size."""
    variant = "" if row["variant"] == "fp32" else f" {row['variant']}"
    return f"{row['model']}{variant} · {row['duration_s']} s"


def _whole(device: str) -> str:
    return "its busy time" if device == "cuda" else "the pass"


def _commonest(reasons: Sequence[str], nothing: str) -> str:
    return max(sorted(set(reasons)), key=reasons.count, default=nothing)
