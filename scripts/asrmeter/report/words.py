"""The words of report and figures: one catalogue a language, `words.<language>.toml` in the template's folder."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

from markupsafe import Markup

from asrmeter.errors import AsrmeterError

Words = Mapping[str, Mapping[str, Markup]]


def load_words(template_folder: Path, language: str) -> Words:
    """Return the report's words in a language.

    Raises:
        AsrmeterError: there is no file of words for the language.
    """
    path = template_folder / f"words.{language}.toml"
    if not path.is_file():
        there = ", ".join(sorted(found.name.split(".")[1] for found in template_folder.glob("words.*.toml")))
        raise AsrmeterError(f"report.language: no words for {language!r} ({path}); there are: {there}")
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    return {section: {key: Markup(text) for key, text in texts.items()} for section, texts in content.items()}
