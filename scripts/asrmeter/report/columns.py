"""What the report's tables are made of: entries, columns, and tables of them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from asrmeter.report.text import NULL, anchor, interval, number
from asrmeter.report.words import Words
from asrmeter.settings import MEASURED_STATUS, Row, cell_name


@dataclass(frozen=True)
class Entry:
    """One field of a table: what is shown, what it is sorted by, and why it is missing."""

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
    """A table of the report; `numeric` says which columns are numbers."""

    name: str
    caption: str
    headings: tuple[str, ...]
    numeric: tuple[bool, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Column:
    """How a column of a table is shown: its words' key and the entry for a row."""

    key: str
    entry: Callable[[Row], Entry]
    numeric: bool = True


def table_of(
    name: str, caption: str, columns: list[Column], rows: Iterable[Row], words: Words, anchored: bool = False
) -> Table:
    """Return a table with a line for each row; links to cells lead to the lines of an anchored one."""
    return Table(
        name=name,
        caption=caption,
        headings=tuple(words["column"][column.key] for column in columns),
        numeric=tuple(column.numeric for column in columns),
        lines=tuple(
            Line(anchor(cell_name(row)) if anchored else "", tuple(column.entry(row) for column in columns))
            for row in rows
        ),
    )


def name_columns() -> list[Column]:
    """Return the columns that name a cell."""

    def count(key: str) -> Column:
        return Column(key, lambda row: Entry(str(row[key]), repr(row[key])))

    def plain(key: str) -> Column:
        return Column(key, lambda row: Entry(row[key], row[key]), numeric=False)

    return [plain("model"), plain("variant"), plain("device"), count("duration_s"), count("batch_size")]


def quantity(
    key: str, why: Callable[[Row], str], scale: float = 1.0, digits: Callable[[float | None], str] = number
) -> Column:
    """Return a column of numbers; `why` gives the reason of a missing one."""

    def entry(row: Row) -> Entry:
        return number_entry(row[key], _reason(row, why) if row[key] is None else None, scale, digits)

    return Column(key, entry)


def interval_column(key: str, low: str, high: str, why: Callable[[Row], str], scale: float = 1.0) -> Column:
    """Return a column of intervals between two others; `why` gives the reason of a missing one."""

    def entry(row: Row) -> Entry:
        text = interval(row[low], row[high], scale)
        return Entry(text, "", _reason(row, why)) if text == NULL else Entry(text, repr(row[low] * scale))

    return Column(key, entry)


def text_column(key: str, text: Callable[[Row], str]) -> Column:
    """Return a column of text."""
    return Column(key, lambda row: text_entry(text(row)), numeric=False)


def number_entry(
    value: float | None, why: str | None, scale: float = 1.0, digits: Callable[[float | None], str] = number
) -> Entry:
    """Return a number, or a dash with the reason for which it is missing."""
    return Entry(NULL, "", why or "") if value is None else Entry(digits(value * scale), repr(value * scale))


def _reason(row: Row, why: Callable[[Row], str]) -> str:
    """Return why a number is missing: the cell's own reason if it failed, else the column's."""
    failed = row.get("status", MEASURED_STATUS[0]) not in MEASURED_STATUS
    return row["reason"] or row["status"] if failed else why(row)


def table_from(
    name: str, caption: str, keys: Sequence[str], lines: Iterable[Iterable[Entry]], words: Words, numeric: str = ""
) -> Table:
    """Return a table whose numeric columns are those keys named in `numeric`."""
    return Table(
        name=name,
        caption=caption,
        headings=tuple(words["column"][key] for key in keys),
        numeric=tuple(key in numeric.split() for key in keys),
        lines=tuple(Line("", tuple(entries)) for entries in lines),
    )


def text_entry(text: str) -> Entry:
    """Return text, or markup that is sorted by its text."""
    return Entry(text, Markup(text).striptags() if isinstance(text, Markup) else text)


def with_note(text: str, note: str) -> Markup:
    """Return a text with a smaller one below."""
    return Markup("{}<small>{}</small>").format(text, note)
