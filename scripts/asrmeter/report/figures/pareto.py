"""The figure of the Pareto front: WER against latency, a panel per device, energy as the area of a marker."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from asrmeter.analysis.results import Setting
from asrmeter.report.figures.context import Subject
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


def pareto_figure(subject: Subject) -> Figure:
    """Draw WER in per cent against seconds a pass in one duration class: the front in full colour, the others faded."""
    front = subject.front
    drawn = [one for one in (*front.members, *front.others) if one.candidate in subject.candidates]
    if not drawn or front.duration_s is None:
        return message(subject.say("no_front"))
    devices = sorted({setting.device for setting in drawn})
    figure = Figure(figsize=(LEAST_WIDTH_IN, PANEL_HEIGHT_IN), layout="constrained")
    axes = figure.subplots(1, len(devices), sharex=True, sharey=True, squeeze=False)[0]
    for panel, device in zip(axes, devices, strict=True):
        of_class = subject.say("panel_duration", value=front.duration_s)
        panel.set_title(f"{device} · {of_class}")
        panel.grid(True, axis="both")
        _fill(panel, [setting for setting in drawn if setting.device == device], subject)
    seconds = [setting.latency.value for setting in drawn]
    axes[0].set_xscale("log")
    logarithmic(axes[0].xaxis, max(seconds) / min(seconds), subject.tick)
    axes[0].set_xlim(min(seconds) / 1.5, max(seconds) * 1.5)
    axes[0].set_ylim(bottom=0)
    surround(figure, _legend(drawn, subject), subject.say("latency"), subject.say("wer"), _notes(drawn, subject))
    return figure


def steps(members: Sequence[Setting]) -> list[tuple[float, float]]:
    """Return the corners (seconds, WER) of the line below which no member is: as latency grows the WER falls."""
    corners: list[tuple[float, float]] = []
    for setting in sorted(members, key=lambda setting: setting.latency.value):
        if setting.wer and (not corners or setting.wer.value < corners[-1][1]):
            corners.append((setting.latency.value, setting.wer.value))
    return corners


def _fill(panel: Axes, settings: Sequence[Setting], subject: Subject) -> None:
    """Draw the settings of a device; the larger markers lie below."""
    members = [setting for setting in settings if setting in subject.front.members]
    if corners := steps(members):
        seconds, shares = zip(*corners, strict=True)
        panel.step(seconds, [100 * share for share in shares], where="post", color=INK, linewidth=1.0, zorder=1)
    for setting in sorted(settings, key=lambda setting: -_side(setting, subject)):
        if setting.wer is None:
            continue
        x, y, side = setting.latency.value, 100 * setting.wer.value, _side(setting, subject)
        colour, marker = subject.colour(setting.model), subject.marker(setting.model)
        is_member = setting in members
        alpha = 1.0 if is_member else FADED
        if setting.wer.low is not None and setting.wer.high is not None:
            ends = [100 * setting.wer.low, 100 * setting.wer.high]
            panel.plot([x, x], ends, color=colour, linewidth=1.0, alpha=alpha, zorder=2)
        panel.plot(
            x, y, marker=marker, color=colour, markerfacecolor=colour if setting.converged else "none",
            markersize=side, linestyle="none", alpha=alpha, zorder=3 if is_member else 2,
        )  # fmt: skip
        if mark := subject.mark(setting.variant):
            inner = MARK_COLOUR if setting.converged else colour
            panel.plot(
                x, y, marker=mark, color=inner, markersize=max(4.0, 0.6 * side), linestyle="none", alpha=alpha, zorder=4
            )
        if len(settings) <= MOST_LABELS or (
            is_member and (len(members) <= MOST_LABELS or (x, setting.wer.value) in corners)
        ):
            label = subject.say("batch_label", value=setting.batch_size)
            panel.annotate(
                label, (x, y), (side / 2 + 2, 2), textcoords="offset points", fontsize=8, annotation_clip=True
            )


def _by_device(settings: Sequence[Setting]) -> list[list[Setting]]:
    devices = {setting.device for setting in settings}
    return [[setting for setting in settings if setting.device == device] for device in sorted(devices)]


def _side(setting: Setting, subject: Subject) -> float:
    """Return the side of a setting's marker in points: its area grows with the energy."""
    energies = subject.front.energies
    if setting not in energies:
        return PLAIN
    share = energies[setting].value / max(energy.value for energy in energies.values())
    return max(SMALLEST, LARGEST * math.sqrt(share))


def _legend(drawn: Sequence[Setting], subject: Subject) -> list[Line2D]:
    handles = model_handles(subject, sorted({setting.model for setting in drawn}), "none")
    handles += variant_handles(subject, {setting.variant for setting in drawn})
    if any(len(steps(one)) > 1 for one in _by_device(subject.front.members)):
        handles.append(Line2D([], [], color=INK, linewidth=1.0, label=subject.say("front")))
    handles.append(sign("|", subject.say("interval"), 11))
    if any(setting not in subject.front.members for setting in drawn):
        faded = sign("o", subject.say("left_behind"), 7, INK)
        faded.set_alpha(FADED)
        handles.append(faded)
    if not all(setting.converged for setting in drawn):
        handles.append(sign("o", subject.say("unconverged"), 7))
    ranked = sorted((s for s in drawn if s in subject.front.energies), key=lambda s: subject.front.energies[s].value)
    for setting in dict.fromkeys((*ranked[:1], *ranked[-1:])):
        value = number(subject.front.energies[setting].value)
        key = "wh_modelled" if setting.energy_is_modelled else "wh"
        handles.append(sign("o", subject.say(key, value=value), _side(setting, subject), INK))
    return handles


def _notes(drawn: Sequence[Setting], subject: Subject) -> list[str]:
    n_known = sum(setting in subject.front.energies for setting in drawn)
    energy = "" if n_known == len(drawn) else subject.say("front_part_energy" if n_known else "front_no_energy")
    return [energy, subject.left_out]
