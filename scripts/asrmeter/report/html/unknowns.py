"""What is not known, in words: which settings could be better, why that is not known, and what it takes to know it."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from markupsafe import Markup

from asrmeter.analysis.scenarios import Recommendation
from asrmeter.analysis.unknowns import Needs, Unknown, Why
from asrmeter.report.catalogue import Words
from asrmeter.report.formatting import FEW, cell_link, display_name, format_count, join, shorten, truncate_list
from asrmeter.report.html.table_model import Table


def not_known(cells: Sequence[str], words: Words) -> list[Markup]:
    """Return a sentence that names the cells of which a value is not known; nothing where it is known of all."""
    links = [cell_link(cell) for cell in dict.fromkeys(cells)]
    return [words["unknown"]["cells"].format(cells=truncate_list(links, words))] if links else []


def with_unknown(table: Table, cells: Sequence[str], words: Words) -> Table:
    """Return a table that says which cells take no part in it."""
    return replace(table, shown=Markup(" ").join([table.shown, *not_known(cells, words)]).strip())


def could_win(recommendation: Recommendation, words: Words) -> Iterator[Markup]:
    """Yield how many settings are not known, and by name those that could be better, with what it takes to know them.

    Those that only lack an interval are named where it is said how sure the answer is.
    """
    say = words["unknown"]
    if recommendation.n_unknown:
        yield say["count"].format(n=recommendation.n_unknown, total=recommendation.n_considered)
    unknown = [one for one in recommendation.unknowns if one.why is not Why.NO_INTERVAL]
    for one in unknown[:FEW]:
        yield Markup(" ").join(filter(None, (_named(one, words), _remedy(one, words))))
    if unknown[FEW:]:
        yield say["more"].format(cells=truncate_list([cell_link(one.cell) for one in unknown[FEW:]], words))
    if recommendation.does_not_run:
        cells = [
            say["status"].format(cell=cell_link(one.cell), status=one.status) for one in recommendation.does_not_run
        ]
        yield say["does_not_run"].format(cells=truncate_list(cells, words))


def names_of_unknown(unknowns: Sequence[Unknown], words: Words) -> Markup:
    """Return the first models and variants with a setting that could win, and how many more there are."""
    names = dict.fromkeys(display_name((one.model, one.variant)) for one in unknowns)
    return truncate_list(list(names), words)


def _named(one: Unknown, words: Words) -> Markup:
    needs = one.needs or Needs()
    key = "too_few_segments" if one.why is Why.NO_WER and needs.segments else one.why.value
    why = words["unknown_why"][key].format(duration=one.duration_s, segments=needs.segments)
    if one.detail:
        why = words["unknown"]["detail"].format(why=why, detail=shorten(one.detail))
    name = display_name((one.model, one.variant))
    return words["unknown"]["could_win"].format(name=name, device=one.device, batch=one.batch_size, why=why)


def _remedy(one: Unknown, words: Words) -> Markup | str:
    """Return what to do about it, and how long that takes; nothing where the study has nothing to go by."""
    say = words["unknown"]
    steps = [say["change"].format(key=one.key)] if one.key else []
    steps += [say["type"].format(command=one.command)] if one.command else []
    if not steps:
        return ""
    minutes = one.needs.minutes if one.needs else None
    # Never less than it takes.
    time = "" if minutes is None else say["minutes"].format(minutes=format_count(math.ceil(minutes)))
    return say["remedy"].format(steps=join(steps), time=time)
