"""The figure of the Pareto front: WER against latency, a panel per device, energy as the area of a marker."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from asrmeter.analysis.results import CellResult
from asrmeter.report.figures.context import FigureContext
from asrmeter.report.figures.grid import model_handles, sign, variant_handles
from asrmeter.report.figures.style import LEAST_WIDTH_IN, MARK_COLOUR, logarithmic, message, surround
from asrmeter.report.formatting import number
from asrmeter.report.theme import INK

PANEL_HEIGHT_IN = 4.2
# Sides of markers in points: of the most energy, the least that is seen, and where no energy is known.
LARGEST, SMALLEST, PLAIN = 13.0, 3.5, 7.0
FADED = 0.5
# With more members in a panel only those at the corners of its line have room for a label.
MOST_LABELS = 8


def pareto_figure(context: FigureContext) -> Figure:
    """Draw WER in per cent against seconds a pass in one duration class: the front in full colour, the others faded."""
    front = context.front
    drawn = [one for one in (*front.members, *front.dominated) if one.candidate in context.candidates]
    if not drawn or front.duration_s is None:
        return message(context.text("no_front"))
    devices = sorted({result.device for result in drawn})
    figure = Figure(figsize=(LEAST_WIDTH_IN, PANEL_HEIGHT_IN), layout="constrained")
    axes = figure.subplots(1, len(devices), sharex=True, sharey=True, squeeze=False)[0]
    for panel, device in zip(axes, devices, strict=True):
        of_class = context.text("panel_duration", value=front.duration_s)
        panel.set_title(f"{device} · {of_class}")
        panel.grid(True, axis="both")
        _fill(panel, [result for result in drawn if result.device == device], context)
    seconds = [result.latency.value for result in drawn]
    axes[0].set_xscale("log")
    logarithmic(axes[0].xaxis, max(seconds) / min(seconds), context.tick)
    axes[0].set_xlim(min(seconds) / 1.5, max(seconds) * 1.5)
    axes[0].set_ylim(bottom=0)
    surround(figure, _legend(drawn, context), context.text("latency"), context.text("wer"), _notes(drawn, context))
    return figure


def steps(members: Sequence[CellResult]) -> list[tuple[float, float]]:
    """Return the corners (seconds, WER) of the line below which no member is: as latency grows the WER falls."""
    corners: list[tuple[float, float]] = []
    for result in sorted(members, key=lambda result: result.latency.value):
        if result.wer and (not corners or result.wer.value < corners[-1][1]):
            corners.append((result.latency.value, result.wer.value))
    return corners


def _fill(panel: Axes, results: Sequence[CellResult], context: FigureContext) -> None:
    """Draw the settings of a device; the larger markers lie below."""
    members = [result for result in results if result in context.front.members]
    if corners := steps(members):
        seconds, shares = zip(*corners, strict=True)
        panel.step(seconds, [100 * share for share in shares], where="post", color=INK, linewidth=1.0, zorder=1)
    for result in sorted(results, key=lambda result: -_side(result, context)):
        if result.wer is None:
            continue
        x, y, side = result.latency.value, 100 * result.wer.value, _side(result, context)
        colour, marker = context.colour(result.model), context.marker(result.model)
        is_member = result in members
        alpha = 1.0 if is_member else FADED
        if result.wer.low is not None and result.wer.high is not None:
            ends = [100 * result.wer.low, 100 * result.wer.high]
            panel.plot([x, x], ends, color=colour, linewidth=1.0, alpha=alpha, zorder=2)
        panel.plot(
            x, y, marker=marker, color=colour, markerfacecolor=colour if result.converged else "none",
            markersize=side, linestyle="none", alpha=alpha, zorder=3 if is_member else 2,
        )  # fmt: skip
        if mark := context.mark(result.variant):
            inner = MARK_COLOUR if result.converged else colour
            panel.plot(
                x, y, marker=mark, color=inner, markersize=max(4.0, 0.6 * side), linestyle="none", alpha=alpha, zorder=4
            )
        if len(results) <= MOST_LABELS or (
            is_member and (len(members) <= MOST_LABELS or (x, result.wer.value) in corners)
        ):
            label = context.text("batch_label", value=result.batch_size)
            panel.annotate(
                label, (x, y), (side / 2 + 2, 2), textcoords="offset points", fontsize=8, annotation_clip=True
            )


def _by_device(results: Sequence[CellResult]) -> list[list[CellResult]]:
    devices = {result.device for result in results}
    return [[result for result in results if result.device == device] for device in sorted(devices)]


def _side(result: CellResult, context: FigureContext) -> float:
    """Return the side of a setting's marker in points: its area grows with the energy."""
    energies = context.front.energies
    if result not in energies:
        return PLAIN
    share = energies[result].value / max(energy.value for energy in energies.values())
    return max(SMALLEST, LARGEST * math.sqrt(share))


def _legend(drawn: Sequence[CellResult], context: FigureContext) -> list[Line2D]:
    handles = model_handles(context, sorted({result.model for result in drawn}), "none")
    handles += variant_handles(context, {result.variant for result in drawn})
    if any(len(steps(one)) > 1 for one in _by_device(context.front.members)):
        handles.append(Line2D([], [], color=INK, linewidth=1.0, label=context.text("front")))
    handles.append(sign("|", context.text("interval"), 11))
    if any(result not in context.front.members for result in drawn):
        faded = sign("o", context.text("left_behind"), 7, INK)
        faded.set_alpha(FADED)
        handles.append(faded)
    if not all(result.converged for result in drawn):
        handles.append(sign("o", context.text("unconverged"), 7))
    ranked = sorted((s for s in drawn if s in context.front.energies), key=lambda s: context.front.energies[s].value)
    for result in dict.fromkeys((*ranked[:1], *ranked[-1:])):
        value = number(context.front.energies[result].value)
        key = "wh_modelled" if result.energy_is_modelled else "wh"
        handles.append(sign("o", context.text(key, value=value), _side(result, context), INK))
    return handles


def _notes(drawn: Sequence[CellResult], context: FigureContext) -> list[str]:
    n_known = sum(result in context.front.energies for result in drawn)
    energy = "" if n_known == len(drawn) else context.text("front_part_energy" if n_known else "front_no_energy")
    return [energy, context.left_out]
