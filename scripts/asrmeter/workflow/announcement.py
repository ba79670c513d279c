"""Announce the plan and duration of a run in words before it begins. Standard library only."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from asrmeter.models import catalogue, heard
from asrmeter.study import grid

if TYPE_CHECKING:
    from asrmeter.study.model import Study


def announcement(study: "Study", n_to_measure: int | None = None, n_possible: int | None = None) -> str:
    """Return the plan of a complete study in a line.

    The run measures `n_to_measure` of `n_possible` sittings; None for all.
    """
    n_cells, n_laps = len(grid.cells(study)), study.protocol.laps
    n_all = n_cells * n_laps if n_possible is None else n_possible
    n = n_all if n_to_measure is None else n_to_measure
    said = f"{count(n_cells, 'cell')}, {count(n_laps, 'lap')}, "
    if n < n_all:
        said += f"{n} of {n_all} measurements to do, "
    minutes, budget_s = study.protocol.minutes, study.protocol.budget_s or 0
    return said + (
        f"at least {approx_duration(n * budget_s)}"
        if minutes is None
        else f"about {approx_duration(60 * minutes * n / n_all)}"
    )


def unheard(study: "Study") -> Iterator[str]:
    """Yield a line for each model that does not know the corpus' language, as far as both are known already."""
    language = study.corpus.told_language or study.corpus.natural_language()
    if language is None:
        return
    for name, settings in study.models.items():
        known = catalogue.languages_of(name, settings)
        if known and settings.weights != "random" and (why := heard.why_not_language(name, known, language)):
            yield f"Not possible: {why}; its rows will say so."


def count(n: int, what: str) -> str:
    """Return a number of things: `1 lap`, `1,200 cells`."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def approx_duration(time_s: float) -> str:
    """Return a rounded time: `40 s`, `8 min`, `5 h`, `3 days`."""
    for unit_s, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if time_s >= 1.5 * unit_s:
            return f"{round(time_s / unit_s)} {name}"
    return f"{max(10, round(time_s, -1)):.0f} s"
