"""The words of report and figures: one catalogue a language, `words.<language>.toml` in the template's folder.

Texts say `{error_rate}` where readers see WER, or CER where the errors of characters are counted.

What the columns of tables mean is said by the dictionary of columns, in English. A translation of those that the report
shows is in `columns.<language>.toml`.
"""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from asrmeter.analysis.dictionary import TABLES
from asrmeter.common.errors import AsrmeterError, one_line
from asrmeter.common.table_types import Row, description
from asrmeter.report.terms import BOTH, WORDS, section_of, with_terms

Words = Mapping[str, Mapping[str, Markup]]
# The section that says what columns mean, and the language of the dictionary.
MEANINGS = "meanings"
ORIGINAL = "en"
# The same without markup: what figures say.
Texts = Mapping[str, Mapping[str, str]]


def error_unit_of(cells: Iterable[Row]) -> str:
    """Return the unit that the error rates of cells count, from their column `error_unit`.

    Words where nothing was scored, and in tables of earlier versions, which lack the column.
    """
    units = {unit for row in cells if (unit := row.get("error_unit"))}
    return units.pop() if len(units) == 1 else BOTH if units else WORDS


def load_words(template_folder: Path, language: str, error_unit: str = WORDS) -> Words:
    """Return the report's texts in a language as markup; inserted values are escaped.

    `error_unit` is what error rates count.

    Raises:
        AsrmeterError: there is no file of words for the language, or it is broken.
    """
    path, texts = _read(template_folder, language, error_unit)
    sections = {
        name: _Named({key: Markup(text) for key, text in entries.items()}, path, f"{name}.")
        for name, entries in texts.items()
    }
    return _Named(sections | {MEANINGS: _meanings(template_folder, language)}, path)


def load_texts(template_folder: Path, language: str, error_unit: str = WORDS) -> Texts:
    """Return the words in a language as plain text; `error_unit` is what error rates count.

    Raises:
        AsrmeterError: there is no file of words for the language, or it is broken.
    """
    path, texts = _read(template_folder, language, error_unit)
    return _Named({name: _Named(entries, path, f"{name}.") for name, entries in texts.items()}, path)


class _Named(dict[str, Any]):
    """Texts whose errors name the missing key and its file."""

    def __init__(self, words: Mapping[str, Any], path: Path, place: str = "") -> None:
        super().__init__(words)
        self._source, self._place = path, place

    def __missing__(self, key: str) -> Any:
        raise AsrmeterError(f"{self._source}: lacks {self._place}{key}")


def _meanings(template_folder: Path, language: str) -> dict[str, Markup]:
    """Return the meanings of the columns, by "table.column", as escaped text."""
    if language == ORIGINAL:
        fields = ((table, field) for table, (_, schema) in TABLES.items() for field in schema)
        told = {f"{table}.{field.name}": description(field).meaning for table, field in fields}
    else:
        tables = _translated(template_folder, language)
        told = {f"{table}.{name}": meaning for table, columns in tables.items() for name, meaning in columns.items()}
    return {name: escape(meaning.replace("`", "")) for name, meaning in told.items()}


def _translated(template_folder: Path, language: str) -> Mapping[str, Mapping[str, str]]:
    """Return the meanings of the columns of each table in a language; empty without a translation."""
    path = template_folder / f"columns.{language}.toml"
    return _sections(path) if path.is_file() else {}


def _read(template_folder: Path, language: str, error_unit: str) -> tuple[Path, Mapping[str, Mapping[str, str]]]:
    path = template_folder / f"words.{language}.toml"
    if not path.is_file():
        there = ", ".join(sorted(found.name.split(".")[1] for found in template_folder.glob("words.*.toml")))
        raise AsrmeterError(f"report.language: no words for {language!r} ({path}); there are: {there}")
    texts = _sections(path)
    terms = _Named(texts, path)[section_of(error_unit)]
    return path, {
        name: {key: with_terms(text, terms) for key, text in entries.items()} for name, entries in texts.items()
    }


def _sections(path: Path) -> Mapping[str, Mapping[str, str]]:
    """Return the texts of a file of words by section and key."""
    try:
        texts = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AsrmeterError(f"{path}: cannot be read ({one_line(error)})") from error
    for name, entries in texts.items():
        if not isinstance(entries, dict) or not all(isinstance(text, str) for text in entries.values()):
            raise AsrmeterError(f"{path}: {name} must be a section of texts")
    return texts
