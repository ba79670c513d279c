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

# Number of letters to examine. Fewer are enough to recognise the script.
_MOST_LETTERS = 100_000
# Codes that datasets use in addition to those of `common.languages`.
# Models know one code for Norwegian, and Nynorsk.
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
        code: ISO 639-1, or Whisper's code if there is none.
        name: its English name.
        scripts: its scripts, the usual one first, as named by `script_of`.
        spaces: whether spaces separate its words. If not, errors are counted in characters.
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
    """Return whether spaces separate the words of a language; True if the language is unknown."""
    language = languages().get(code or "")
    return language is None or language.spaces


@functools.lru_cache(maxsize=2**16)
def script_of(letter: str) -> str | None:
    """Return the script of a letter by its Unicode name, such as LATIN; None if it is not a letter."""
    if not letter.isalpha():
        return None
    return unicodedata.name(letter, "").partition(" ")[0] or None


def scripts_of(text: str) -> Counter[str]:
    """Return the number of letters of each script in a text, the most frequent first."""
    found: Counter[str] = Counter()
    for letter, n in Counter(text[:_MOST_LETTERS]).items():
        if script := script_of(letter):
            found[script] += n
    return Counter(dict(found.most_common()))


def unknown_language(written: str) -> str:
    """Return the message about a text that is not a language code."""
    by_name = {language.name.lower(): code for code, language in languages().items()}
    code = by_name.get(written.lower()) or language_of_tag(written)
    hint = f" (did you mean {code}?)" if code else did_you_mean(written.lower(), by_name)
    return f"unknown language {written}{hint}; give an ISO 639-1 code, such as ru"


def language_of_tag(tag: str) -> str | None:
    """Return the language that a tag such as ru-RU, cmn_hans_cn or german names; None if it names none."""
    word = tag.strip().lower()
    if found := re.fullmatch(r"([a-z]{2,3})([_-][a-z]{4})?([_-]([a-z]{2}|\d{3}))?", word):
        code = _OTHER_CODES.get(found[1], found[1])
        return code if code in languages() else None
    return next((code for code, language in languages().items() if language.name.lower() == word), None)
