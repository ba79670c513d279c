"""The figures of the report: one function per topic, from the rows of the cells table to a matplotlib Figure.

A model keeps its colour and marker in every figure, a variant its line style; a row of panels is a device. Failed
cells are absent, cells that did not converge have an open marker, and where time is shown disturbed ones are crossed
out. Text is grey enough to be read on white and on black.
"""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from asrmeter.figures.bottlenecks import operators_figure, roofline_figure, stages_figure
from asrmeter.figures.style import (
    INK,
    LEAST_WIDTH_IN,
    LEGEND_HEIGHT_IN,
    STYLE,
    colour_of,
    legend_columns,
    marker_of,
    message,
    names_in,
    variants_in,
    wrapped,
)
from asrmeter.report.inputs import Bottlenecks
from asrmeter.settings import MEASURED_STATUS, MODELLED_METHODS, Row, energy_method

DISTURBED = "x"
LineStyle = Literal["solid", "dashed", "dotted", "dashdot"]
LINES: tuple[LineStyle, ...] = ("solid", "dashed", "dotted", "dashdot")
LOG_FROM_RATIO = 8.0
PANEL_WIDTH_IN, PANEL_HEIGHT_IN = 2.6, 2.6


@dataclass(frozen=True)
class Topic:
    """What a figure shows: a column of the cells table along another one, in panels by a third one.

    `timed` values are what a disturbance changes.
    """

    value: str
    label: str
    along: str
    along_label: str
    low: str | None = None
    high: str | None = None
    panels: str | None = None
    panel_label: str = ""
    scale: float = 1.0
    joined: bool = True
    timed: bool = False


LATENCY = Topic(
    value="latency_s_median",
    label="Median latency of a pass (s)",
    along="duration_s",
    along_label="Audio per segment (s)",
    low="latency_s_ci_low",
    high="latency_s_ci_high",
    panels="batch_size",
    panel_label="batch {}",
    timed=True,
)
THROUGHPUT = Topic(
    value="rtfx",
    label="RTFx (s of audio per s)",
    along="batch_size",
    along_label="Batch size",
    low="rtfx_low",
    high="rtfx_high",
    panels="duration_s",
    panel_label="{} s of audio",
    timed=True,
)
ENERGY = Topic(
    value="energy_j_per_sample",
    label="Energy (J per segment)",
    along="duration_s",
    along_label="Audio per segment (s)",
    panels="batch_size",
    panel_label="batch {}",
)
WER = Topic(
    value="wer",
    label="WER (%)",
    along="duration_s",
    along_label="Audio per segment (s)",
    low="wer_ci_low",
    high="wer_ci_high",
    scale=100.0,
    joined=False,
)


def latency_figure(cells: Sequence[Row]) -> Figure:
    """Draw the median latency of a pass in seconds against the duration of a segment, a panel per batch size."""
    return _draw(cells, LATENCY, "No cell was measured")


def throughput_figure(cells: Sequence[Row]) -> Figure:
    """Draw RTFx, seconds of audio per second of wall time, against the batch size, a panel per duration class."""
    return _draw([_with_rtfx_interval(row) for row in cells], THROUGHPUT, "No cell was measured")


def energy_figure(cells: Sequence[Row]) -> Figure:
    """Draw the energy of the cell's own device in joules per segment; modelled figures are labelled as such."""
    return _draw(cells, ENERGY, "Energy was not measured", note=_energy_note)


def wer_figure(cells: Sequence[Row]) -> Figure:
    """Draw the WER in per cent by duration class, at the smallest batch size that was scored."""
    scored = {row["batch_size"] for row in cells if row["status"] in MEASURED_STATUS and row["wer"] is not None}
    batch_size = min(scored, default=None)
    at_batch = [row for row in cells if batch_size in (None, row["batch_size"])]
    return _draw(at_batch, WER, "WER was not measured", note=lambda rows: f"batch {batch_size}")


FIGURES: dict[str, Callable[[Sequence[Row], Bottlenecks], Figure]] = {
    "latency": lambda cells, _: latency_figure(cells),
    "throughput": lambda cells, _: throughput_figure(cells),
    "energy": lambda cells, _: energy_figure(cells),
    "wer": lambda cells, _: wer_figure(cells),
    "roofline": roofline_figure,
    "stages": stages_figure,
    "operators": operators_figure,
}


def figure_svg(name: str, cells: Sequence[Row], bottlenecks: Bottlenecks) -> str:
    """Return one of `FIGURES` as SVG; the same tables give the same bytes."""
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = FIGURES[name](cells, bottlenecks)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return re.sub(r"\s*<metadata>.*?</metadata>", "", stream.getvalue(), flags=re.DOTALL)


def _draw(
    cells: Sequence[Row], topic: Topic, nothing: str, note: Callable[[Sequence[Row]], str] = lambda rows: ""
) -> Figure:
    """Draw a grid of panels, or a sentence where no cell has the value."""
    shown = [row for row in cells if row["status"] in MEASURED_STATUS and row[topic.value] is not None]
    if not shown:
        return message(f"{nothing}: {_reasons(cells, topic)}.")
    devices = sorted({row["device"] for row in cells})
    panels = sorted({row[topic.panels] for row in shown}) if topic.panels else [None]
    figure = Figure(
        figsize=(
            max(LEAST_WIDTH_IN, PANEL_WIDTH_IN * len(panels)),
            LEGEND_HEIGHT_IN + PANEL_HEIGHT_IN * len(devices),
        ),
        layout="constrained",
    )
    axes = figure.subplots(len(devices), len(panels), sharex=True, sharey=True, squeeze=False)
    for line, device in zip(axes, devices, strict=True):
        of_device = [row for row in shown if row["device"] == device]
        for panel, value in zip(line, panels, strict=True):
            rows = [row for row in of_device if topic.panels is None or row[topic.panels] == value]
            parts = [device, topic.panel_label.format(value) if topic.panels else "", note(rows) if rows else ""]
            panel.set_title(" · ".join(part for part in parts if part))
            _fill(panel, rows, topic, cells)
        if not of_device:
            of_failed = [row for row in cells if row["device"] == device]
            line[0].text(0.03, 0.5, wrapped(_reasons(of_failed, topic), 34), transform=line[0].transAxes, va="center")
    _scale_axes(axes[0][0], shown, topic)
    figure.supxlabel(topic.along_label, fontsize=10)
    figure.supylabel(_value_label(shown, topic), fontsize=10)
    handles = _legend(shown, topic, cells)
    figure.legend(handles=handles, loc="outside upper left", ncols=legend_columns(figure, handles))
    return figure


def _fill(panel: Axes, rows: Sequence[Row], topic: Topic, cells: Sequence[Row]) -> None:
    """Draw one line of a panel per model and variant."""
    models, variants = names_in(cells, "model"), variants_in(cells)
    candidates = sorted({(row["model"], row["variant"]) for row in rows})
    everyone = sorted({(row["model"], row["variant"]) for row in cells})
    for model, variant in candidates:
        line = sorted(
            (row for row in rows if (row["model"], row["variant"]) == (model, variant)),
            key=lambda row: row[topic.along],
        )
        dodge = 1.0 if topic.joined else 1.05 ** (2 * everyone.index((model, variant)) - len(everyone) + 1)
        x = [row[topic.along] * dodge for row in line]
        y = [row[topic.value] * topic.scale for row in line]
        colour, marker = colour_of(models.index(model)), marker_of(models.index(model))
        style = LINES[variants.index(variant) % len(LINES)]
        if topic.joined:
            panel.plot(x, y, color=colour, linestyle=style, linewidth=1.4, zorder=2)
        _intervals(panel, x, line, topic, colour, "solid" if topic.joined else style)
        for one_x, one_y, row in zip(x, y, line, strict=True):
            face = colour if row["status"] == "ok" else "none"
            panel.plot(one_x, one_y, marker, color=colour, markerfacecolor=face, markersize=6, zorder=3)
            if row["disturbed"] and topic.timed:
                panel.plot(one_x, one_y, DISTURBED, color=INK, markersize=11, zorder=4)


def _intervals(
    panel: Axes, x: Sequence[float], rows: Sequence[Row], topic: Topic, colour: str, style: LineStyle
) -> None:
    """Draw the 95 % intervals of those rows that have one."""
    if topic.low is None or topic.high is None:
        return
    for one_x, row in zip(x, rows, strict=True):
        if row[topic.low] is not None and row[topic.high] is not None:
            ends = [row[topic.low] * topic.scale, row[topic.high] * topic.scale]
            panel.plot(
                [one_x] * 2, ends, color=colour, linestyle=style, linewidth=1.4, marker="_", markersize=6, zorder=2
            )


def _scale_axes(panel: Axes, shown: Sequence[Row], topic: Topic) -> None:
    """Set the shared axes: a tick for each class, and a logarithmic value axis where the range asks for it."""
    ticks = sorted({row[topic.along] for row in shown})
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(FixedLocator(ticks))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.set_xlim(ticks[0] / 1.35, ticks[-1] * 1.35)
    values = [row[topic.value] * topic.scale for row in shown]
    if min(values) > 0 and max(values) / min(values) >= LOG_FROM_RATIO and topic.joined:
        panel.set_yscale("log")
        panel.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        panel.yaxis.set_minor_locator(NullLocator())
    else:
        panel.set_ylim(bottom=0)
        panel.yaxis.set_major_locator(MaxNLocator(5))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _legend(shown: Sequence[Row], topic: Topic, cells: Sequence[Row]) -> list[Line2D]:
    """Return the legend's entries: models, variants if there are several, and what open markers and bars mean."""
    models, variants = names_in(cells, "model"), variants_in(cells)
    random = {row["model"] for row in cells if row["weights"] == "random"}
    entries = [
        Line2D(
            [],
            [],
            color=colour_of(models.index(model)),
            marker=marker_of(models.index(model)),
            linestyle="solid" if topic.joined else "none",
            label=f"{model} (random)" if model in random else model,
        )
        for model in names_in(shown, "model")
    ]
    if len(variants) > 1:
        entries += [
            Line2D([], [], color=INK, linestyle=LINES[variants.index(variant) % len(LINES)], label=variant)
            for variant in variants_in(shown)
        ]
    if topic.low is not None:
        entries.append(Line2D([], [], color=INK, marker="|", markersize=11, linestyle="none", label="95 % interval"))
    if any(row["status"] == "unconverged" for row in shown):
        entries.append(
            Line2D([], [], color=INK, marker="o", markerfacecolor="none", linestyle="none", label="open: not converged")
        )
    if topic.timed and any(row["disturbed"] for row in shown):
        entries.append(Line2D([], [], color=INK, marker=DISTURBED, linestyle="none", label="crossed out: disturbed"))
    return entries


def _value_label(shown: Sequence[Row], topic: Topic) -> str:
    if topic is not ENERGY:
        return topic.label
    modelled = {energy_method(row) in MODELLED_METHODS for row in shown}
    return {
        frozenset({True}): "Energy, modelled (J per segment)",
        frozenset({False}): "Energy, measured (J per segment)",
    }.get(frozenset(modelled), "Energy, part modelled (J per segment)")


def _energy_note(rows: Sequence[Row]) -> str:
    """Return how the energies of a panel came about."""
    kinds = sorted({"modelled" if energy_method(row) in MODELLED_METHODS else "measured" for row in rows})
    return " and ".join(kinds)


def _with_rtfx_interval(row: Row) -> Row:
    """Add the interval of RTFx, which is that of the latency turned over."""
    low, median, high = row["latency_s_ci_low"], row["latency_s_median"], row["latency_s_ci_high"]
    known = row["rtfx"] is not None and median is not None and low and high
    return {
        **row,
        "rtfx_low": row["rtfx"] * median / high if known else None,
        "rtfx_high": row["rtfx"] * median / low if known else None,
    }


def _reasons(rows: Sequence[Row], topic: Topic) -> str:
    """Return the commonest reason for which a value is missing."""
    reasons = [_reason(row, topic) for row in rows]
    return max(sorted(set(reasons)), key=reasons.count, default="the table has no cells")


def _reason(row: Row, topic: Topic) -> str:
    if row["status"] not in MEASURED_STATUS:
        return str(row["reason"] or row["status"])
    if topic is WER and row["weights"] == "random":
        return "random weights have speed, but no accuracy"
    if topic is ENERGY:
        return str(row["energy_note"] or f"method: {energy_method(row)}")
    return str(row["reason"] or "no reason was recorded")
