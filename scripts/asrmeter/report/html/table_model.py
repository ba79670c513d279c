"""The model of the report's tables: entries, columns and lines."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from markupsafe import Markup, escape

from asrmeter.analysis.table_rows import cell_name
from asrmeter.common.stats import Estimate
from asrmeter.common.table_types import Row
from asrmeter.common.vocabulary import MEASURED_STATUS
from asrmeter.report.catalogue import MEANINGS, Words
from asrmeter.report.formatting import LARGE, NULL, anchor, format_count, interval, number, shorten

T = TypeVar("T")
# The rows that are shown of a table with more than `LARGE`.
FIRST_ROWS = 30


@dataclass(frozen=True)
class Entry:
    """One field of a table: what is shown, what it is sorted by, and why it is missing.

    A number is sorted by its value in full, an interval by "low high", a value with its interval by "value low high":
    these are copied too. What is missing is sorted by "".
    """

    text: str
    sort: str
    note: str = ""


@dataclass(frozen=True)
class Line:
    """One row of a table; the first entry names it, `anchor` is where links to it lead."""

    anchor: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Table:
    """A table of the report; `numeric` says which columns are numbers, `shown` which rows are shown if not all are.

    `tooltips` say what the columns mean, "" where the dictionary of columns does not.

    A compact one has no more markup than its texts need: it is sorted by them, and a missing value is an empty field.
    """

    name: str
    caption: str
    headings: tuple[str, ...]
    numeric: tuple[bool, ...]
    lines: tuple[Line, ...]
    tooltips: tuple[str, ...] = ()
    shown: str = ""
    compact: bool = False

    @property
    def body(self) -> Markup:
        """The rows as HTML without the end tags that may be left out: in a large report rows are nearly everything."""
        field = _compact_field if self.compact else _field
        return Markup(
            "\n".join(
                (f'<tr id="{escape(line.anchor)}">' if line.anchor else "<tr>")
                + "<th scope=row"
                + "<td".join(map(field, line.entries, self.numeric))
                for line in self.lines
            )
        )


def has_numbers(table: Table) -> bool:
    """Whether any column of numbers has a value."""
    return any(
        entry.sort
        for line in table.lines
        for entry, numeric in zip(line.entries, table.numeric, strict=True)
        if numeric
    )


@dataclass(frozen=True)
class Column(Generic[T]):
    """How a column of a table is shown: its words' key, and the entry for what a line is about.

    `about` are the columns of the run's tables that it shows: the dictionary says what they mean.
    """

    key: str
    entry: Callable[[T], Entry]
    numeric: bool = True
    about: tuple[str, ...] = ()


def table_of(
    name: str,
    caption: str,
    columns: Sequence[Column[T]],
    items: Iterable[T],
    words: Words,
    source: str = "cells",
) -> Table:
    """Return a table with a line for each item.

    Of very many items it has the first; the table `source` of the run has all.
    """
    everything = list(items)
    first = everything if len(everything) <= LARGE else everything[:FIRST_ROWS]
    return Table(
        name=name,
        caption=caption,
        headings=tuple(words["column"][column.key] for column in columns),
        numeric=tuple(column.numeric for column in columns),
        lines=tuple(Line("", tuple(column.entry(item) for column in columns)) for item in first),
        tooltips=tuple(_tooltip(column.about, source, words) for column in columns),
        shown=_shown(len(first), len(everything), source, words),
    )


def lines_of(rows: Iterable[Row], columns: Sequence[Column[Row]], anchored: bool = False) -> tuple[Line, ...]:
    """Return a line for each row; links to cells lead to anchored ones."""
    return tuple(
        Line(anchor(cell_name(row)) if anchored else "", tuple(column.entry(row) for column in columns)) for row in rows
    )


def entry_columns(keys: Sequence[str], numeric: Collection[str]) -> list[Column[Sequence[Entry]]]:
    """Return columns for lines whose entries are ready-made."""

    def column(place: int, key: str) -> Column[Sequence[Entry]]:
        return Column(key, lambda entries: entries[place], key in numeric)

    return [column(place, key) for place, key in enumerate(keys)]


def name_columns() -> list[Column[Row]]:
    """Return the columns that name a cell."""

    def count(key: str) -> Column[Row]:
        return Column(key, lambda row: Entry(str(row[key]), repr(row[key])), about=(key,))

    def plain(key: str) -> Column[Row]:
        return Column(key, lambda row: Entry(row[key], row[key]), numeric=False, about=(key,))

    return [plain("model"), plain("variant"), plain("device"), count("duration_s"), count("batch_size")]


def quantity(
    key: str, why: Callable[[Row], str], scale: float = 1.0, digits: Callable[[float | None], str] = number
) -> Column[Row]:
    """Return a column of numbers; `why` gives the reason of a missing one."""

    def entry(row: Row) -> Entry:
        return number_entry(row[key], _reason(row, why) if row[key] is None else None, scale, digits)

    return Column(key, entry, about=(key,))


def interval_column(key: str, low: str, high: str, why: Callable[[Row], str], scale: float = 1.0) -> Column[Row]:
    """Return a column of intervals between two others; `why` gives the reason of a missing one."""

    def entry(row: Row) -> Entry:
        text = interval(row[low], row[high], scale)
        if text == NULL:
            return Entry(text, "", _reason(row, why))
        return Entry(text, full_precision((row[low], row[high]), scale))

    return Column(key, entry, about=(low, high))


def text_column(key: str, text: Callable[[T], str | None], *about: str) -> Column[T]:
    """Return a column of text; a dash stands where there is none."""

    def entry(item: T) -> Entry:
        return text_entry(NULL if (shown := text(item)) is None else shown)

    return Column(key, entry, numeric=False, about=about)


def number_entry(
    value: float | None, why: str | None, scale: float = 1.0, digits: Callable[[float | None], str] = number
) -> Entry:
    """Return a number, or a dash with the reason for which it is missing."""
    return Entry(NULL, "", why or "") if value is None else Entry(digits(value * scale), full_precision([value], scale))


def estimate_entry(estimate: Estimate | None, why: str, scale: float = 1.0) -> Entry:
    """Return a value with its interval below."""
    if estimate is None:
        return Entry(NULL, "", why)
    below = interval(estimate.low, estimate.high, scale)
    known = [end for end in (estimate.value, estimate.low, estimate.high) if end is not None]
    return Entry(with_note(number(estimate.value * scale), below), full_precision(known, scale))


def full_precision(values: Iterable[float], scale: float = 1.0) -> str:
    """Return numbers with all of their digits, as an entry with numbers is sorted by."""
    return " ".join(repr(value * scale).removesuffix(".0") for value in values)


def _tooltip(about: Sequence[str], source: str, words: Words) -> str:
    """Return what columns mean, by their names in the table `source`, or else in `cells`."""
    meanings = words[MEANINGS]
    places = ([place for place in (f"{source}.{name}", f"cells.{name}") if place in meanings] for name in about)
    return " ".join(f"{meanings[known[0]]} ({known[0]})" for known in places if known)


def _reason(row: Row, why: Callable[[Row], str]) -> str:
    """Return why a number is missing: the cell's own reason if it failed, else the column's."""
    failed = row.get("status", MEASURED_STATUS[0]) not in MEASURED_STATUS
    return row["reason"] or row["status"] if failed else why(row)


def text_entry(text: str) -> Entry:
    """Return text, or markup that is sorted by its text."""
    return Entry(text, Markup(text).striptags() if isinstance(text, Markup) else text)


def with_unit(text: str, unit: str) -> Markup:
    """Return a number with its unit, where a column has several."""
    return Markup('{} <span class="unit">{}</span>').format(text, unit)


def with_note(text: str, note: str) -> Markup:
    """Return a text with a smaller one below; copied, both stay words of their own."""
    return Markup("{} <small>{}</small>").format(text, note)


def _shown(n: int, total: int, source: str, words: Words) -> str:
    """Return how many of the rows are shown, "" if all are."""
    return words["table"]["first"].format(n=n, total=format_count(total), source=source) if n < total else ""


def _field(entry: Entry, numeric: bool) -> str:
    """Return what follows `<td`, all that is known of a field."""
    kind = " class=n" if numeric else ""
    sort = f' data-sort="{escape(shorten(entry.sort))}"' if entry.sort != entry.text else ""
    note = f' title="{escape(shorten(entry.note))}"' if entry.note else ""
    return f"{kind}{sort}{note}>{_text(entry)}"


def _compact_field(entry: Entry, numeric: bool) -> str:
    return f">{_text(entry)}" if entry.sort else ">"


def _text(entry: Entry) -> str:
    return entry.text if isinstance(entry.text, Markup) else escape(shorten(entry.text))
