"""Silence in the report: what models write where nobody speaks."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from asrmeter.analysis.results import Candidate
from asrmeter.common.stats import Estimate
from asrmeter.common.table_types import Row
from asrmeter.report.catalogue import Words
from asrmeter.report.formatting import display_name, format_count, join, percent, shorten
from asrmeter.report.html.table_model import (
    Column,
    Entry,
    Table,
    estimate_entry,
    number_entry,
    quantity,
    table_of,
    text_column,
    text_entry,
)
from asrmeter.report.html.takeaways import Takeaway, TakeawayContext

# From this share on, an answer that is told of it warns.
MUCH = 0.1
# Of what was written most often so many are shown, and of a longer text its beginning; the table has more.
_MOST_NAMED, _MOST_CHARACTERS = 3, 40


@dataclass(frozen=True)
class Silence:
    """The section: how it was done, in a sentence, and its table."""

    rule: Markup
    table: Table


def silence_section(rows: Sequence[Row], words: Words) -> Silence | None:
    """Return the section of the rows of the table `silence_models`; None where nothing was heard."""
    if not any(row["n_clips"] for row in rows):
        return None
    return Silence(words["silence"]["rule"], _table(rows, words))


def silence_takeaway(of: TakeawayContext) -> Takeaway | None:
    """Say who writes most often where nobody speaks, and who least often."""
    heard = [row for row in of.silence if row["n_clips"]]
    if not heard:
        return None
    shares = [row["share_with_text"] for row in heard]
    most, least = ([row for row in heard if row["share_with_text"] == end] for end in (max(shares), min(shares)))
    say = of.words["takeaway"]
    if most == least:
        return say["silence_one" if len(heard) == 1 else "silence_same"].format(**_fields(*heard)), []
    said = say["silence_most"].format(**_fields(*most)), say["silence_least"].format(**_fields(*least))
    return Markup(" ").join(said), []


def silence_sentence(candidate: Candidate, rows: Sequence[Row], words: Words) -> Markup:
    """Say what a model and variant write where nobody speaks; nothing where it heard no such clip."""
    own = [row for row in rows if (row["model"], row["variant"]) == candidate and row["n_clips"]]
    if not own:
        return Markup()
    share = own[0]["share_with_text"]
    return words["silence"]["none" if not share else "much" if share > MUCH else "little"].format(**_fields(own[0]))


def _fields(row: Row, *alike: Row) -> dict[str, str]:
    """Return what sentences say of a row, and of others with the same share."""
    return {
        "names": join(display_name((one["model"], one["variant"])) for one in (row, *alike)),
        "share": percent(row["share_with_text"]),
        "n": format_count(row["n_with_text"]),
        "total": format_count(row["n_clips"]),
    }


def _table(rows: Sequence[Row], words: Words) -> Table:
    def why(row: Row) -> str:
        return row["reason"] or words["why_null"]["not_measured"]

    def plain(key: str) -> Column[Row]:
        return text_column(key, lambda row: row[key], key)

    def share(row: Row) -> Entry:
        if row["share_with_text"] is None:
            return number_entry(None, why(row))
        ends = row["share_with_text"], row["share_ci_low"], row["share_ci_high"]
        return estimate_entry(Estimate(*ends), "", 100)

    def commonest(row: Row) -> Entry:
        if row["commonest"] is None:
            return Entry("", "") if not row["n_clips"] else text_entry(words["silence"]["withheld"])
        named = [*zip(row["commonest"], row["n_commonest"], strict=True)][:_MOST_NAMED]
        say = words["silence"]["written"]
        return text_entry(join(say.format(text=shorten(text, _MOST_CHARACTERS), n=n) for text, n in named))

    columns = [
        *map(plain, ("model", "variant", "device")),
        quantity("n_clips", why, digits=format_count),
        Column("share_with_text", share, about=("share_with_text",)),
        quantity("words_per_minute", why),
        quantity("n_words_longest", why, digits=format_count),
        Column("commonest", commonest, numeric=False, about=("commonest",)),
    ]
    return table_of("silence", words["silence"]["caption"], columns, rows, words, "silence_models")
