"""The small picture beside the answer: speed against errors of the alternatives, the chosen one marked."""

from collections.abc import Iterator, Sequence
from itertools import chain

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from asrmeter.analysis.alternatives import Alternative, Standing, alternatives
from asrmeter.common.stats import Estimate
from asrmeter.report.figures.context import FigureContext
from asrmeter.report.figures.names import set_names
from asrmeter.report.figures.style import logarithmic, message
from asrmeter.report.theme import ACCENT, INK

# Drawn at the size at which a telephone shows it.
WIDTH_IN, HEIGHT_IN, FONT_PT = 4.4, 1.72, 8.0
FADED, LINE_ALPHA = 0.45, 0.35
# Over a smaller range a logarithmic axis has too few ticks.
LEAST_LOG_RATIO = 4.0


def alternatives_figure(context: FigureContext) -> Figure:
    """Draw WER in per cent against RTFx, or against latency where the purpose prefers a short wait."""
    recommendation = context.recommendation
    drawn = alternatives(recommendation) if recommendation else []
    if recommendation is None or not drawn:
        return message(context.text("no_alternatives"))
    by_latency = recommendation.asked.prefer == "latency"
    figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN), layout="constrained")
    panel = figure.subplots()
    panel.tick_params(labelsize=FONT_PT, length=2.5)
    panel.set_title(context.text("alternatives_wer"), fontsize=FONT_PT, pad=4)
    panel.set_xlabel(context.text("alternatives_latency" if by_latency else "alternatives_rtfx"), fontsize=FONT_PT)
    for alternative in reversed(drawn):
        _mark(panel, alternative, _speed(alternative, by_latency))
    _scale(panel, drawn, by_latency, context)
    _limit(panel, recommendation.asked.max_wer, context)
    # Where markers are is known once the panel has its place.
    figure.draw_without_rendering()
    set_names(panel, [(one, _speed(one, by_latency).value) for one in drawn], FONT_PT)
    return figure


def _speed(alternative: Alternative, by_latency: bool) -> Estimate:
    return alternative.result.latency if by_latency else alternative.result.rtfx


def _mark(panel: Axes, alternative: Alternative, speed: Estimate) -> None:
    """Draw a setting with both intervals: filled if it meets the limits, faded if it misses one, else hollow."""
    wer, standing = alternative.result.wer, alternative.standing
    assert wer is not None  # only such are alternatives
    is_chosen = standing is Standing.CHOSEN
    colour, alpha = ACCENT if is_chosen else INK, FADED if standing is Standing.MISSES else 1.0
    x, y = speed.value, 100 * wer.value
    lines = [((low, high), (y, y)) for low, high in _ends(speed)]
    lines += [((x, x), (100 * low, 100 * high)) for low, high in _ends(wer)]
    for across, upwards in lines:
        panel.plot(
            across, upwards, color=colour, linewidth=1.6 if is_chosen else 0.9, alpha=1.0 if is_chosen else LINE_ALPHA,
            zorder=5 if is_chosen else 2,
        )  # fmt: skip
    panel.plot(
        x, y, marker="o", color=colour, alpha=alpha, linestyle="none", zorder=6 if is_chosen else 3,
        markersize=9 if is_chosen else 6.5, markeredgewidth=1.4,
        markerfacecolor="none" if standing is Standing.UNKNOWN else colour,
    )  # fmt: skip


def _ends(estimate: Estimate) -> Iterator[tuple[float, float]]:
    """Yield the interval of an estimate, if it has one."""
    if estimate.low is not None and estimate.high is not None:
        yield estimate.low, estimate.high


def _scale(panel: Axes, drawn: Sequence[Alternative], by_latency: bool, context: FigureContext) -> None:
    known = [_speed(one, by_latency) for one in drawn]
    speeds = [value for speed in known for value in (speed.value, *chain(*_ends(speed)))]
    slowest, fastest = min(speeds), max(speeds)
    if fastest / slowest >= LEAST_LOG_RATIO:
        panel.set_xscale("log")
        logarithmic(panel.xaxis, fastest / slowest, context.tick)
        panel.set_xlim(slowest / 1.2, fastest * 1.2)
    else:
        panel.xaxis.set_major_locator(MaxNLocator(5))
        margin = max(0.06 * (fastest - slowest), 0.02 * fastest)
        panel.set_xlim(slowest - margin, fastest + margin)
        panel.xaxis.set_major_formatter(FuncFormatter(context.tick))
    ends = [value for one in drawn if (wer := one.result.wer) for value in (wer.value, *chain(*_ends(wer)))]
    panel.set_ylim(0, 112 * max(ends) or 1)
    panel.yaxis.set_major_locator(MaxNLocator(4))
    panel.yaxis.set_major_formatter(FuncFormatter(context.tick))


def _limit(panel: Axes, max_wer: float | None, context: FigureContext) -> None:
    """Draw the limit on WER, where that does not make all else small."""
    top = panel.get_ylim()[1]
    if max_wer is None or 100 * max_wer > 1.5 * top:
        return
    limit = 100 * max_wer
    panel.set_ylim(0, max(top, 1.15 * limit))
    panel.axhline(limit, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    text = context.text("alternatives_limit", value=context.tick(limit))
    panel.annotate(
        text, (0, limit), (2, 2), xycoords=("axes fraction", "data"), textcoords="offset points", fontsize=FONT_PT - 1
    )
