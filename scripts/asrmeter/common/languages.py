"""Languages: their codes, names and scripts, and the script of a text. Standard library only."""

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from asrmeter.common.errors import did_you_mean
from asrmeter.common.paths import RESOURCES
from asrmeter.common.toml_files import read_catalogue

# Letters of a text that are looked at: its script shows long before.
_MOST_LETTERS = 100_000
# Codes that datasets use beside those of `common.languages`.
# Of Norwegian models know one code, and Nynorsk.
_OTHER_CODES = {
    "cmn": "zh",
    "fil": "tl",
    "nb": "no",
    "nob": "no",
    "nor": "no",
    "nno": "nn",
    "eng": "en",
    "rus": "ru",
    "ukr": "uk",
}
_OTHER_CODES |= {"fra": "fr", "fre": "fr", "deu": "de", "ger": "de", "spa": "es", "ita": "it", "por": "pt", "jpn": "ja"}


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


@functools.lru_cache(maxsize=2**16)
def script_of(letter: str) -> str | None:
    """Return the script of a letter by Unicode's name of it, such as LATIN; None of what is no letter."""
    if not letter.isalpha():
        return None
    return unicodedata.name(letter, "").partition(" ")[0] or None


def scripts_of(text: str) -> Counter[str]:
    """Return how many letters of a text are of each script, the most frequent first."""
    found: Counter[str] = Counter()
    for letter, n in Counter(text[:_MOST_LETTERS]).items():
        if script := script_of(letter):
            found[script] += n
    return Counter(dict(found.most_common()))


def unknown_language(written: str) -> str:
    """Return what is wrong with a text that is no code of a language."""
    by_name = {language.name.lower(): code for code, language in languages().items()}
    code = by_name.get(written.lower()) or language_of_tag(written)
    hint = f" (did you mean {code}?)" if code else did_you_mean(written.lower(), by_name)
    return f"unknown language {written}{hint}; give a code of ISO 639-1, such as ru"


def language_of_tag(tag: str) -> str | None:
    """Return the language that a tag such as ru-RU, cmn_hans_cn or german names; None if it names none."""
    word = tag.strip().lower()
    if found := re.fullmatch(r"([a-z]{2,3})([_-][a-z]{4})?([_-]([a-z]{2}|\d{3}))?", word):
        code = _OTHER_CODES.get(found[1], found[1])
        return code if code in languages() else None
    return next((code for code, language in languages().items() if language.name.lower() == word), None)
