"""The 2025 study's tables beside this run's, row by row, with a sentence on where they differ and why."""

from collections.abc import Callable, Sequence
from typing import Any

from markupsafe import Markup

from asrmeter.analysis.ranking import comparison_duration
from asrmeter.analysis.results import BASELINE, results_of
from asrmeter.analysis.star_rating import stars
from asrmeter.analysis.unmeasured import unmeasured_of
from asrmeter.common.table_types import Row
from asrmeter.report.catalogue import Words
from asrmeter.report.formatting import NARROW_SPACE, NULL, format_count, number, unit_2025
from asrmeter.report.html.table_model import (
    Column,
    Entry,
    Table,
    full_precision,
    quantity,
    table_of,
    text_column,
    with_unit,
)

STARS = "stars"
# The order in which the study printed them.
_STARS_OF = ("speed", "energy", "memory")


def comparison_2025(rows: Sequence[Row], cells: Sequence[Row], words: Words) -> dict[str, Any]:
    """Return the published figures beside this run's: sentences, and the table; stars are by the rule of `stars`."""
    say = words["edlm2025"]
    ours = _stars(cells)
    measured = [row for row in rows if row["table"] != STARS]
    counted = [row for row in measured if row["reproduced_low"] is not None]
    sentences = [
        say["beside"].format(n=sum(row["measured_low"] is not None for row in measured), total=len(measured)),
        *([say["again"].format(n=sum(map(_is_reproduced, counted)), total=len(counted))] if counted else []),
    ]
    return {"sentences": sentences, "table": _table(rows, ours, words)}


def _stars(cells: Sequence[Row]) -> dict[str, str]:
    """Return each model's stars in the format of the 2025 study, with a dash for missing ones."""
    results = [result for result in results_of(cells) if result.variant == BASELINE]
    duration_s = comparison_duration(results, unmeasured_of(cells))
    of_class = [result for result in results if result.duration_s == duration_s]
    return {
        model: "/".join(NULL if given[measure] is None else str(given[measure]) for measure in _STARS_OF)
        for (model, _), given in stars(of_class).items()
    }


def _table(rows: Sequence[Row], stars_of: dict[str, str], words: Words) -> Table:
    missing = words["why_null"]
    metrics = words["edlm2025_metric"]

    def metric(row: Row) -> str:
        # The published table may grow faster than the words.
        return metrics.get(row["metric"], row["metric"])

    # A range with its unit, which need not be the same for both.
    def span(key: str, prefix: str, unit: str, as_printed: Callable[[float], str] = number) -> Column[Row]:
        def entry(row: Row) -> Entry:
            if row["table"] == STARS and prefix != "reproduced":
                text = row["published_text"] if prefix == "published" else stars_of.get(row["model"])
                return Entry(text, text) if text else Entry(NULL, "", missing["not_measured"])
            low, high = row[f"{prefix}_low"], row[f"{prefix}_high"]
            if low is None and high is None:
                return Entry(NULL, "", row["note"] or missing["not_measured"])
            ends = [end for end in (low, high) if end is not None]
            text = "\u2009–\u2009".join(dict.fromkeys(map(as_printed, ends)))
            return Entry(with_unit(text, unit_2025(row[unit], words)), full_precision((ends[0], ends[-1])))

        return Column(key, entry)

    columns = [
        text_column("metric", metric),
        text_column("model", lambda row: row["model"]),
        text_column("device", lambda row: row["device"] or ""),
        span("published", "published", "unit", _in_full),
        span("measured", "measured", "measured_unit"),
        text_column("differs", lambda row: _difference(row, stars_of, words)),
        quantity("n", lambda row: row["note"] or missing["not_measured"], digits=format_count),
        span("reproduced", "reproduced", "unit"),
        text_column("note", _note),
    ]
    return table_of("edlm2025", words["edlm2025"]["caption"], columns, rows, words, source="edlm2025")


def _difference(row: Row, stars_of: dict[str, str], words: Words) -> Markup | str:
    """Compare this run's range with the published one, and explain the difference."""
    say, why = words["edlm2025_relation"], _why(row, words)
    if row["table"] == STARS:
        given = stars_of.get(row["model"])
        return (
            words["why_null"]["not_measured"]
            if given is None
            else say["same" if given == row["published_text"] else "stars"]
        )
    published = [end for end in (row["published_low"], row["published_high"]) if end is not None]
    ours = [end for end in (row["measured_low"], row["measured_high"]) if end is not None]
    if not published or not ours:
        return row["note"] or words["why_null"]["not_measured"]
    if row["unit"] and row["measured_unit"] != row["unit"]:
        return say["other_unit"].format(why=why)
    low, high = min(published), max(published)
    if low <= min(ours) and max(ours) <= high:
        return say["within"]
    if max(ours) >= low and min(ours) <= high:
        return say["overlap"].format(why=why)
    above = min(ours) > high
    nearest = (min(ours) / high if high else None) if above else low / max(ours) if max(ours) else None
    return say["above" if above else "below"].format(factor=number(nearest), why=why)


def _why(row: Row, words: Words) -> str:
    """Return the differences between the published figure and ours, those of this row first."""
    why = words["edlm2025_why"]
    general = why["flops_ctc"] if (row["table"], row["unit"]) == ("flops", "GMAC") else why.get(row["table"], "")
    own = row["note"] if row["table"] == "batching" else None
    return "; ".join(filter(None, (own, general)))


def _note(row: Row) -> str:
    """Return what is to be known of both figures; why there is none of ours is said beside them."""
    return "; ".join(filter(None, (row["note"] if row["n"] else None, row["published_note"])))


def _in_full(value: float) -> str:
    """Return a published figure with all of its digits."""
    return f"{value:,g}".replace(",", NARROW_SPACE)


def _is_reproduced(row: Row) -> bool:
    """Whether the published figures come out again, to the digits that they are printed with."""
    pairs = [(row[f"published_{end}"], row[f"reproduced_{end}"]) for end in ("low", "high")]
    return all(None not in pair and abs(pair[0] - pair[1]) <= _half_a_digit(pair[0]) for pair in pairs)


def _half_a_digit(printed: float) -> float:
    """Return half of the last digit that a figure is printed with."""
    return 0.5 * 10.0 ** -len(repr(printed).partition(".")[2])
