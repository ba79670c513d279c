"""metadata.csv or metadata.jsonl of a folder of audio: the text of each file. Standard library only.

What could give a file the text of another is refused, with the line where it began. An entry whose text cannot be used
says why, and spoils no other. Metadata may hold no text at all: then every entry has an empty one.
"""

import csv
import io
import json
import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from asrmeter.common import first_bytes
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.languages import languages, unknown_language
from asrmeter.common.printable import printable, spoken, whole_characters
from asrmeter.common.regular_files import read_regular
from asrmeter.common.typed_json import JsonObject

METADATA = ("metadata.csv", "metadata.jsonl")
FILE_COLUMN = "file_name"
# The column of the texts where the study names none: it may be missing where nothing else could be meant.
TEXT_COLUMN = "text"
# The column of languages, which may be missing.
LANGUAGE_COLUMN = "language"
# Files that are reported if the metadata does not list them: what libsndfile reads, and what people expect it to read.
AUDIO_NAME = re.compile(
    r".+\.(aac|aif[cf]?|amr|au|caf|flac|m4a|mp[34]|nist|og[ag]|opus|rf64|snd|sph|voc|w64|wav|webm|wma)", re.I | re.S
)
# A million lines of a kilobyte each.
MOST_BYTES = 10**9
# Excel separates by semicolons where the comma is the decimal separator.
_DELIMITERS = ",;\t"
_LINE_BREAK = re.compile(r"\r\n|\r|\n")
_BYTE_ORDER_MARK = "\ufeff"
# How surrogateescape reads a byte that is not UTF-8.
_UNDECODED = re.compile("[\udc80-\udcff]")
_SAVE_AS_UTF_8 = 'save it as UTF-8 (in Excel: "CSV UTF-8")'


class Entry(NamedTuple):
    """An entry: its line, the name of its file as it is written, its text, and why that cannot be used ("" if it can).

    `language` is the code of its language, "" where none is written. `lacks_text`: others have a text, and it has none.
    A byte of the name that is not UTF-8 is read as the operating system's names are (surrogateescape).
    """

    line: int
    file: str
    text: str
    why_unusable: str = ""
    language: str = ""
    lacks_text: bool = False


# Refuses the metadata for what is wrong with a line.
Refuse = Callable[[int, str], NoReturn]


def find(folder: Path, column: str | None) -> Path | None:
    """Return the metadata file of a folder, None if it has none; `column` is that of the texts, None: there are none.

    Raises:
        AsrmeterError: there is no such folder, there are two such files, or none for a column that the study names.
    """
    if not os.path.isdir(folder):
        raise AsrmeterError(f"corpus.path: {folder} is not a folder")
    present = [folder / name for name in METADATA if os.path.lexists(folder / name)]
    if not present and column not in (None, TEXT_COLUMN):
        raise AsrmeterError(
            f"corpus.path: {folder} has neither {' nor '.join(METADATA)}; write one with the columns {FILE_COLUMN} "
            f"(relative to the folder) and {column} (the text), or corpus.text: null if there are no texts"
        )
    if len(present) > 1:
        raise AsrmeterError(f"corpus.path: {folder} has both {' and '.join(METADATA)}; keep one")
    return present[0] if present else None


def read(path: Path, column: str | None) -> list[Entry]:
    """Return the entries of a metadata file, at least one; `column` has the texts, None: there are none.

    Where no entry has a text, none lacks one.

    Raises:
        AsrmeterError: it cannot be read, or what it says is not certain.
    """
    try:
        content = read_regular(path, MOST_BYTES)
    except OSError as error:
        raise AsrmeterError(f"corpus.path: {path} cannot be read ({error.strerror})") from error
    except AsrmeterError as error:
        raise AsrmeterError(f"corpus.path: {error}") from error
    kind = first_bytes.kind_of(content)
    if kind and kind.name != "text":
        is_zip = kind.name == "a ZIP archive"
        raise AsrmeterError(
            f"corpus.path: {path} {f'is {kind.name} (a spreadsheet?); {_SAVE_AS_UTF_8}' if is_zip else kind}"
        )
    text, is_utf_8 = _decoded(content)

    def refuse(line: int, what: str) -> NoReturn:
        raise AsrmeterError(f"corpus.path: {path}, line {line} {what}")

    entries_of = _of_csv if path.suffix == ".csv" else _of_json
    entries = list(entries_of(path, text, column, refuse))
    if not entries:
        needed = FILE_COLUMN if column is None else f"{FILE_COLUMN} and {column}"
        raise AsrmeterError(f"corpus.path: {path} lists no files; each file needs a line with {needed}")
    if not is_utf_8:
        for entry in entries:
            unknown_name = _UNDECODED.search(entry.file) and not os.path.lexists(path.parent / entry.file)
            if unknown_name or _UNDECODED.search(entry.text):
                refuse(entry.line, f"is not UTF-8; {_SAVE_AS_UTF_8}")
    for entry in entries:
        if entry.language and entry.language not in languages():
            refuse(entry.line, f"has the {LANGUAGE_COLUMN} {unknown_language(entry.language)}")
    has_texts = any(entry.text.strip() or entry.why_unusable for entry in entries)
    return [_checked(entry, path.name) if has_texts else entry._replace(text="") for entry in entries]


def _decoded(content: bytes) -> tuple[str, bool]:
    """Return a text, and whether it is UTF-8. Invalid bytes are read like those of file names."""
    try:
        text, is_utf_8 = content.decode("utf-8"), True
    except UnicodeDecodeError:
        text, is_utf_8 = content.decode("utf-8", "surrogateescape"), False
    # Excel writes a byte order mark before UTF-8, and a program that does not know it may write another one.
    return text.lstrip(_BYTE_ORDER_MARK), is_utf_8


def _checked(entry: Entry, name: str) -> Entry:
    """Return an entry with its words separated by single spaces, or with the reason why it cannot be used."""
    text, why = " ".join(spoken(entry.text).split()), entry.why_unusable
    if not why and whole_characters(entry.text) != entry.text:
        shown = printable(entry.text.strip(), 80)
        why = f"its text has half a character ({name}, line {entry.line}: {shown})"
    lacks_text = not why and not any(map(str.isalnum, text))
    if lacks_text:
        why = f"has no text in {name}"
    return entry._replace(text=text, why_unusable=why, lacks_text=lacks_text)


def _of_csv(path: Path, content: str, column: str | None, refuse: Refuse) -> Iterator[Entry]:
    limit = csv.field_size_limit(max(len(content), 1))
    try:
        delimiter = _delimiter(path, content, column, refuse)
        rows = _rows(content, delimiter, refuse)
        # A spreadsheet may begin or end with empty rows.
        filled = ((line, row) for line, row in rows if any(map(str.strip, row)))
        line, header = next(filled, (1, []))
        columns = [name.strip() for name in header]
        column = _text_column(path, columns, column)
        if _UNDECODED.search("".join(columns)):
            refuse(line, f"is not UTF-8; {_SAVE_AS_UTF_8}")
        read = (FILE_COLUMN, column, _language_column(columns, column))
        places = [None if name is None else columns.index(name) for name in read]
        for line, row in filled:
            _check_row(line, row, columns, delimiter, path.parent, refuse)
            file, text, language = (row[at] if at is not None and at < len(row) else "" for at in places)
            yield Entry(line, _file_name(file, line, refuse), text, language=_code(language))
    finally:
        csv.field_size_limit(limit)


def _delimiter(path: Path, content: str, column: str | None, refuse: Refuse) -> str:
    """Return the delimiter that gives the header its columns; a comma if there is none or only one column."""
    fitting: dict[str, bool] = {}
    for mark in _DELIMITERS:
        try:
            rows = (row for _, row in _rows(content, mark, refuse))
            header = list(map(str.strip, next((row for row in rows if any(map(str.strip, row))), [])))
            if header == [FILE_COLUMN]:
                continue
        except AsrmeterError:
            continue
        if FILE_COLUMN in header:
            fitting[mark] = column in header if column else len(header) > 1
    certain = [mark for mark in fitting if fitting[mark]] or list(fitting)
    if len(certain) > 1:
        marks = " or ".join(f'"{printable(mark)}"' for mark in certain)
        raise AsrmeterError(f"corpus.path: {path}: the separator of the fields is ambiguous ({marks}); use one")
    return certain[0] if certain else ","


def _rows(content: str, delimiter: str, refuse: Refuse) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of CSV, each with the line in which it begins."""
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            _refuse_quote(content, line, delimiter, refuse)
            refuse(line, f"is not CSV ({error})")
        if row is None:
            return
        yield line, row


def _refuse_quote(content: str, line: int, delimiter: str, refuse: Refuse) -> None:
    """Refuse a row with a double quote that is not closed, or closed within a field."""
    text = "".join(io.StringIO(content, newline="").readlines()[line - 1 :])
    field = re.compile(rf' *(?:"(?:[^"]|"")*+"(?=[{delimiter}\r\n]|\Z)|(?! *")[^{delimiter}\r\n]*)')
    at = 0
    while whole := field.match(text, at):
        at = whole.end()
        if text[at : at + 1] != delimiter:
            return  # not a matter of quotes
        at += 1
    opened = text.index('"', at)
    begin = line + _n_line_breaks(text[:opened])
    closed = re.compile(r'(?:[^"]|"")*+"').match(text, opened + 1)
    if closed is None:
        refuse(begin, "opens a double quote that is never closed; close it, or write each quote in a text twice")
    end = line + _n_line_breaks(text[: closed.end()])
    refuse(
        begin,
        f"opens a double quote, and more text follows where it is closed{f' in line {end}' if end != begin else ''}; "
        f'write a double quote inside of quotes twice, and "{printable(delimiter)}" or the end of the line after them',
    )


def _check_row(
    line: int, row: Sequence[str], columns: Sequence[str], delimiter: str, folder: Path, refuse: Refuse
) -> None:
    """Refuse a row that its author cannot have meant: a wrong number of fields, or other lines in a field."""
    for number, field in enumerate(row):
        if ("\n" in field or "\r" in field) and _holds_rows(field, number, columns, delimiter, folder):
            begin = line + sum(map(_n_line_breaks, row[:number]))
            refuse(
                begin,
                f"opens a double quote that ends in line {begin + _n_line_breaks(field)}, and what is between them "
                "looks like lines of their own; close the quote where the text ends, or write the text in one line",
            )
    if len(row) > len(columns):
        if any(field.lstrip().startswith('"') for field in row):
            refuse(line, f'has a character between "{printable(delimiter)}" and a double quote; nothing may be there')
        refuse(
            line,
            f'has {len(row)} fields, not {len(columns)}; a text with a "{printable(delimiter)}" in it must be in '
            "double quotes",
        )
    file = row[columns.index(FILE_COLUMN)] if columns.index(FILE_COLUMN) < len(row) else ""
    apart = [mark for mark in _DELIMITERS if mark in file and AUDIO_NAME.fullmatch(file.partition(mark)[0].strip())]
    if apart and not os.path.lexists(folder / file):
        refuse(
            line, f'is not separated by "{printable(delimiter)}", as the first line is ({printable(file, 80)}); use one'
        )


def _holds_rows(field: str, number: int, columns: Sequence[str], delimiter: str, folder: Path) -> bool:
    """Return whether a field of several lines contains a row.

    It does if one of its lines has the name of an audio file, or of a file of the folder, where fields begin and end;
    or the right number of fields and a single word in place of the name. A text has spaces after its commas.
    """
    lines = _LINE_BREAK.split(field)
    for i, line in enumerate(lines):
        pieces = line.split(delimiter)
        if any(_is_name(piece.strip(" \"'"), len(pieces), folder) for piece in pieces):
            return True
        at = columns.index(FILE_COLUMN)
        is_last = i == len(lines) - 1
        fits = len(pieces) <= len(columns) if is_last else len(pieces) == len(columns)
        tight = not any(piece[:1].isspace() for piece in pieces[1:])
        if i and fits and tight and 1 < len(pieces) > at and re.fullmatch(r"\S+", pieces[at]):
            return True
    return False


def _is_name(piece: str, n_pieces: int, folder: Path) -> bool:
    if AUDIO_NAME.fullmatch(piece) and (n_pieces > 1 or not re.search(r"\s", piece)):
        return True
    return piece not in ("", ".", "..") and os.path.isfile(folder / piece)


def _n_line_breaks(text: str) -> int:
    return len(_LINE_BREAK.findall(text))


class _KeyTwiceError(ValueError):
    """A JSON object has a key twice."""


def _of_json(path: Path, content: str, column: str | None, refuse: Refuse) -> Iterator[Entry]:
    columns: dict[str, None] = {}
    objects: list[tuple[int, JsonObject]] = []
    # Not splitlines: JSON text may hold other line separators.
    for line, written in enumerate(content.split("\n"), start=1):
        if not written.strip(f" \t\r{_BYTE_ORDER_MARK}"):
            continue
        try:
            # A number of any length; what a number is matters only where a text should be.
            entry = json.loads(written, object_pairs_hook=_with_distinct_keys, parse_int=float)
        except json.JSONDecodeError as error:
            refuse(line, f"is not JSON ({error.msg}, at character {error.pos + 1}); each line is an object of its own")
        except RecursionError:
            refuse(line, "is JSON that is nested too deeply")
        except _KeyTwiceError as error:
            refuse(line, f"has the key {error} twice; keep one")
        if not isinstance(entry, dict):
            refuse(line, f"is not an object with {FILE_COLUMN}{f' and {column}' if column else ''}")
        columns |= dict.fromkeys(entry)
        objects.append((line, entry))
    column = _text_column(path, list(columns), column) if objects else None
    language_column = _language_column(columns, column)
    for line, entry in objects:
        file, text = entry.get(FILE_COLUMN), entry.get(column) if column else None
        language = entry.get(language_column) if language_column else None
        if not isinstance(language, str | None):
            refuse(line, f"has the {LANGUAGE_COLUMN} {json.dumps(language)[:80]}, not a text; write its code in quotes")
        why = (
            ""
            if isinstance(text, str | None)
            else f"its text is {_json_type(text)}, not a text ({path.name}, line {line})"
        )
        if why and isinstance(text, float):
            why += "; write it in quotes"
        said = text if isinstance(text, str) else ""
        yield Entry(line, _file_name(file, line, refuse), said, why, _code(language or ""))


def _with_distinct_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        raise _KeyTwiceError(printable(next(name for name in names if names.count(name) > 1), 80))
    return content


def _json_type(value: Any) -> str:
    """Return the kind of a JSON value that is not a text."""
    if isinstance(value, bool):
        return "true or false"
    return {float: "a number", list: "a list", dict: "an object"}[type(value)]


def _file_name(file: Any, line: int, refuse: Refuse) -> str:
    if isinstance(file, str) and file.strip():
        return file
    refuse(
        line, f"has no {FILE_COLUMN}" + ("" if isinstance(file, str | None) else f" ({_json_type(file)} is not a name)")
    )


def _language_column(columns: Collection[str], text_column: str | None) -> str | None:
    """Return the column of languages, None if there is none."""
    return LANGUAGE_COLUMN if LANGUAGE_COLUMN in columns and text_column != LANGUAGE_COLUMN else None


def _code(written: str) -> str:
    return printable(written.strip(), 80).lower()


def _text_column(path: Path, columns: Sequence[str], column: str | None) -> str | None:
    """Return the column of the texts, None if there is none.

    Raises:
        AsrmeterError: a column that the study names is not there, or one is there twice.
    """
    present = printable(", ".join(columns), 200) or "none"
    if FILE_COLUMN not in columns:
        raise AsrmeterError(
            f"corpus.path: {path} has no column {FILE_COLUMN} with the audio files relative to the folder; "
            f"it has {present}"
        )
    if twice := next((name for name in columns if name and columns.count(name) > 1), None):
        raise AsrmeterError(f"corpus.path: {path} has the column {twice} twice; give each its own name")
    if column is None or column in columns:
        return column
    if column == TEXT_COLUMN and not any(name not in ("", FILE_COLUMN, LANGUAGE_COLUMN) for name in columns):
        return None
    raise AsrmeterError(
        f"corpus.text: {path} has no column {column}; it has {present}: set corpus.text to the column of the texts, or "
        "to null if there are no texts"
    )
