"""Languages: their codes, names and scripts, and the script of a text. Standard library only."""

import functools
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from asrmeter.common.paths import RESOURCES
from asrmeter.common.toml_files import read_catalogue

# Letters of a text that are looked at: its script shows long before.
_MOST_LETTERS = 100_000


@dataclass(frozen=True)
class Language:
    """A language.

    Attributes:
        code: ISO 639-1, or Whisper's code where that has none.
        name: its English name.
        scripts: what it is written in, the usual one first, as `script_of` names them.
        spaces: whether spaces part its words. Where they do not, errors are counted by characters.
    """

    code: str
    name: str
    scripts: list[str]
    spaces: bool = True


@functools.cache
def languages() -> Mapping[str, Language]:
    """Return every language by its code."""
    return read_catalogue(RESOURCES / "languages.toml", Language, key="code")


def has_spaces(code: str | None) -> bool:
    """Tell whether spaces part the words of a language; so it is taken of one that is not known."""
    language = languages().get(code or "")
    return language is None or language.spaces


def script_of(letter: str) -> str | None:
    """Return the script of a letter by Unicode's name of it, such as LATIN; None of what is no letter."""
    if not letter.isalpha():
        return None
    return unicodedata.name(letter, "").partition(" ")[0] or None


def scripts_of(text: str) -> Counter[str]:
    """Return how many letters of a text are of each script, the most frequent first."""
    found = Counter(filter(None, map(script_of, text[:_MOST_LETTERS])))
    return Counter(dict(found.most_common()))
