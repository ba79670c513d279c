"""The figure of silence: of how many clips without speech each model and variant writes something."""

from matplotlib.figure import Figure

from asrmeter.analysis.silence import shares_by_kind
from asrmeter.common.vocabulary import SILENCE_KINDS
from asrmeter.report.figures.context import FigureContext, candidate_of
from asrmeter.report.figures.stacked import MOST_BARS, Bar, stacked_bars
from asrmeter.report.figures.style import message


def silence_figure(context: FigureContext) -> Figure:
    """Draw the share of clips with text as a bar of the kinds that they are of, a panel per device."""
    # Those that are drawn elsewhere may all have random weights.
    drawn = [row for row in context.silence if candidate_of(row) in context.candidates] or context.silence
    shares = sorted(shares_by_kind(drawn).items())
    if not shares:
        return message(context.text("no_silence"))
    panels: dict[str, list[Bar]] = {}
    for (model, variant, device), by_kind in sorted(shares[:MOST_BARS], key=lambda item: item[0][2]):
        panels.setdefault(device, []).append(Bar(f"{model} {variant}", by_kind))
    left_out = ""
    if len(shares) > MOST_BARS:
        left_out = context.text("shown_first", n=MOST_BARS, total=len(shares))
    kinds = {kind: context.words["silence_kind"][kind] for kind in SILENCE_KINDS}
    return stacked_bars(panels, kinds, context, left_out, "share_of_clips")
