"""The words of report and figures: one catalogue a language, `words.<language>.toml` in the template's folder."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

from markupsafe import Markup

from asrmeter.errors import AsrmeterError

Words = Mapping[str, Mapping[str, Markup]]
# The same without markup: what figures say.
Texts = Mapping[str, Mapping[str, str]]


def load_words(template_folder: Path, language: str) -> Words:
    """Return the report's words in a language, as markup: what is put into them is escaped.

    Raises:
        AsrmeterError: there is no file of words for the language.
    """
    texts = load_texts(template_folder, language)
    return {section: {key: Markup(text) for key, text in entries.items()} for section, entries in texts.items()}


def load_texts(template_folder: Path, language: str) -> Texts:
    """Return the words in a language as plain text.

    Raises:
        AsrmeterError: there is no file of words for the language.
    """
    path = template_folder / f"words.{language}.toml"
    if not path.is_file():
        there = ", ".join(sorted(found.name.split(".")[1] for found in template_folder.glob("words.*.toml")))
        raise AsrmeterError(f"report.language: no words for {language!r} ({path}); there are: {there}")
    return tomllib.loads(path.read_text(encoding="utf-8"))
