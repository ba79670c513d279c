"""Names beside the markers of a panel, where they cover nothing."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

from matplotlib.axes import Axes

from asrmeter.analysis.alternatives import Alternative, Standing
from asrmeter.analysis.results import BASELINE, Candidate
from asrmeter.common.printable import printable

# More names than these, and longer ones, have no room.
MOST_NAMES, LONGEST_NAME = 5, 26
# In points: half of a marker, the space beside it, the height of a line; the width of a character by the font's size.
MARKER_PT, GAP_PT, LINE_PT, CHARACTER_WIDTH = 5.0, 8.0, 10.0, 0.62


class Box(NamedTuple):
    """A rectangle in points, from the panel's lower left corner."""

    left: float
    bottom: float
    right: float
    top: float

    def overlaps(self, other: "Box") -> bool:
        """Tell whether two have a part in common."""
        return (
            self.left < other.right and other.left < self.right and self.bottom < other.top and other.bottom < self.top
        )

    def is_in(self, width: float, height: float) -> bool:
        """Tell whether the whole of it is in a panel of that size."""
        return self.left >= 0 and self.bottom >= 0 and self.right <= width and self.top <= height


def set_names(panel: Axes, placed: Sequence[tuple[Alternative, float]], font_pt: float) -> None:
    """Name the chosen one, and the first of each other model that has room.

    `placed` are the alternatives with their place along the x axis, the chosen one first.
    """
    points = [_point(panel, x, one) for one, x in placed]
    width, height = (pixels * 72 / panel.figure.dpi for pixels in (panel.bbox.width, panel.bbox.height))
    markers = [Box(x - MARKER_PT, y - MARKER_PT, x + MARKER_PT, y + MARKER_PT) for x, y in points]
    taken = list(markers)
    named: set[Candidate] = set()
    for (one, _), point, own in zip(placed, points, markers, strict=True):
        if one.result.candidate in named or len(named) == MOST_NAMES:
            continue
        name = _name_of(one.result.candidate)
        is_chosen = one.standing is Standing.CHOSEN
        inside = [box for box in _places(*point, CHARACTER_WIDTH * font_pt * len(name)) if box.is_in(width, height)]
        free = [box for box in inside if not any(box.overlaps(other) for other in taken if other is not own)]
        if not free and not (is_chosen and inside):
            continue
        box = (free or inside)[0]
        text = panel.annotate(
            name, (0, 0), (box.left, box.bottom + 2), xycoords="axes fraction", textcoords="offset points",
            fontsize=font_pt, fontweight="bold" if is_chosen else "normal", zorder=7,
        )  # fmt: skip
        text.set_in_layout(False)
        taken.append(box)
        named.add(one.result.candidate)


def _places(x: float, y: float, wide: float) -> Iterator[Box]:
    """Yield where a name can stand: beside its marker, else above and below it."""
    beside = product((x + GAP_PT, x - GAP_PT - wide), (y + 2, y - LINE_PT - 2))
    over = product((x + MARKER_PT - wide, x - MARKER_PT), (y + GAP_PT, y - LINE_PT - GAP_PT))
    for left, bottom in (*beside, *over):
        yield Box(left, bottom, left + wide, bottom + LINE_PT)


def _point(panel: Axes, x: float, one: Alternative) -> tuple[float, float]:
    """Return where a marker is, in points from the panel's lower left corner."""
    assert one.result.wer is not None  # only such are alternatives
    across, upwards = panel.transData.transform((x, 100 * one.result.wer.value))
    scale = 72 / panel.figure.dpi
    return (across - panel.bbox.x0) * scale, (upwards - panel.bbox.y0) * scale


def _name_of(candidate: Candidate) -> str:
    model, variant = candidate
    name = printable(model if variant == BASELINE else f"{model} ({variant})")
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
