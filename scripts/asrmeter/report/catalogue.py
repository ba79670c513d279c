"""The words of report and figures: one catalogue a language, `words.<language>.toml` in the template's folder."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from asrmeter.common.errors import AsrmeterError, one_line

Words = Mapping[str, Mapping[str, Markup]]
# The same without markup: what figures say.
Texts = Mapping[str, Mapping[str, str]]


def load_words(template_folder: Path, language: str) -> Words:
    """Return the report's words in a language, as markup: what is put into them is escaped.

    Raises:
        AsrmeterError: there is no file of words for the language, or it is broken.
    """
    path, texts = _read(template_folder, language)
    sections = {
        name: _Named({key: Markup(text) for key, text in entries.items()}, path, f"{name}.")
        for name, entries in texts.items()
    }
    return _Named(sections, path)


def load_texts(template_folder: Path, language: str) -> Texts:
    """Return the words in a language as plain text.

    Raises:
        AsrmeterError: there is no file of words for the language, or it is broken.
    """
    path, texts = _read(template_folder, language)
    return _Named({name: _Named(entries, path, f"{name}.") for name, entries in texts.items()}, path)


class _Named(dict[str, Any]):
    """Words that say which ones they lack, and in which file."""

    def __init__(self, words: Mapping[str, Any], path: Path, place: str = "") -> None:
        super().__init__(words)
        self._source, self._place = path, place

    def __missing__(self, key: str) -> Any:
        raise AsrmeterError(f"{self._source}: lacks {self._place}{key}")


def _read(template_folder: Path, language: str) -> tuple[Path, Mapping[str, Mapping[str, str]]]:
    path = template_folder / f"words.{language}.toml"
    if not path.is_file():
        there = ", ".join(sorted(found.name.split(".")[1] for found in template_folder.glob("words.*.toml")))
        raise AsrmeterError(f"report.language: no words for {language!r} ({path}); there are: {there}")
    try:
        texts = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AsrmeterError(f"{path}: cannot be read ({one_line(error)})") from error
    for name, entries in texts.items():
        if not isinstance(entries, dict) or not all(isinstance(text, str) for text in entries.values()):
            raise AsrmeterError(f"{path}: {name} must be a section of texts")
    return path, texts
