"""Named and versioned normalisers: what texts are brought into before their errors are counted, by language."""

import functools
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TypeAlias

from asrmeter.analysis import normalised_text, number_words
from asrmeter.common.languages import has_spaces
from asrmeter.common.printable import spoken
from asrmeter.common.vocabulary import OF_CORPUS
from asrmeter.corpora import gigaspeech_text
from asrmeter.sources.packages import Archives, catalogue

ENGLISH = "en"
_SPELLING = {"package": "openai-whisper", "member": "whisper/normalizers/english.json"}
# Raised when `plain`, or `basic`, makes another text of any text.
_PLAIN_VERSION, _BASIC_VERSION = 2, 1
# Ten times what is spoken in ten minutes. Whisper's search for numbers takes quadratic time.
_MOST_CHARACTERS = 100_000


@dataclass(frozen=True)
class Normaliser:
    """Brings texts into a form in which only what counts as an error differs; `version` says which form that is.

    `without_numbers` takes a text that `normalise` refuses, such as one with a number of thousands of digits.
    """

    name: str
    version: str
    normalise: Callable[[str], str]
    without_numbers: Callable[[str], str] = normalised_text.plain

    def __call__(self, text: str) -> str:
        """Return the normalised text."""
        return self.normalise(spoken(text))

    def pair(self, reference: str, hypothesis: str) -> tuple[str, str, str | None]:
        """Return both texts in the same form, and a note where that is not the usual one.

        A segment is not left out for its text: the model that writes endless digits would seem better for it.
        """
        reference, hypothesis = spoken(reference), spoken(hypothesis)
        try:
            return self.normalise(reference), self.normalise(hypothesis), None
        except Exception as error:  # the normalisers are those of others
            note = f"scored without reading numbers ({type(error).__name__})"
            return self.without_numbers(reference), self.without_numbers(hypothesis), note

    def __str__(self) -> str:
        """Return name and version, as the tables have them."""
        return f"{self.name} {self.version}"


def whisper_english(archives: Archives) -> Normaliser:
    """Return Whisper's English normaliser with its table of British spellings (Radford et al., 2022, appendix C)."""
    # Only the normaliser is used here: a warning about missing torch would mislead.
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    made_of = f"openai-whisper {catalogue()['openai-whisper'].version}, transformers {version('transformers')}"
    spelling = json.loads(archives.read(**_SPELLING))
    whole, without_numbers = EnglishTextNormalizer(spelling), EnglishTextNormalizer(spelling)
    without_numbers.standardize_numbers = str

    # It takes a millisecond, and each cell of a class has the same references.
    @functools.cache
    def normalise(text: str) -> str:
        closed = normalised_text.closed(text)
        if len(closed) > _MOST_CHARACTERS:
            raise ValueError("too long for a search for numbers")
        return str(whole(closed))

    return Normaliser(
        "whisper-english", f"({made_of})", normalise, lambda text: str(without_numbers(normalised_text.closed(text)))
    )


def basic(language: str | None) -> Normaliser:
    """Return the normaliser of a language other than English; None: of speech whose language nobody knows."""
    made_of = f"language {language or 'unknown'}"
    if number_words.reads(language):
        made_of += f", num2words {version('num2words')}"

    @functools.cache
    def normalise(text: str) -> str:
        if len(text) > _MOST_CHARACTERS:
            raise ValueError("too long for a search for numbers")
        return normalised_text.basic(text, language)

    def without_numbers(text: str) -> str:
        return normalised_text.basic(text, language, numbers=False)

    return Normaliser("asrmeter-basic", f"{_BASIC_VERSION} ({made_of})", normalise, without_numbers)


PLAIN = Normaliser("plain", str(_PLAIN_VERSION), normalised_text.plain)

# Every normaliser that texts of any corpus are scored by, of a language, under the ending of its columns; see
# `vocabulary.ENDINGS`.
NORMALISERS: dict[str, Callable[[Archives, str | None], Normaliser]] = {
    "": lambda archives, language: whisper_english(archives) if language == ENGLISH else basic(language),
    "_plain": lambda *_: PLAIN,
}
# Of a language by its code, None where nobody knows it: every normaliser under the ending of its columns.
ByLanguage: TypeAlias = Callable[[str | None], Mapping[str, Normaliser]]


def normalisers(archives: Archives, corpus_kind: str) -> ByLanguage:
    """Return what tells the normalisers of a language for a kind of corpus; `archives` hold their tables.

    Where no spaces part the words of a language, characters stand for words. GigaSpeech's own scoring drops more
    hesitations than Whisper's normaliser, so here both do; but it leaves punctuation and figures as they are, which
    only systems that write neither can be judged by. An archive that is missing or altered is an `AsrmeterError` when
    texts of its language are scored.
    """

    @functools.cache
    def of_language(language: str | None) -> Mapping[str, Normaliser]:
        made = {ending: make(archives, language) for ending, make in NORMALISERS.items()}
        if corpus_kind == "gigaspeech":
            rules = str(gigaspeech_text.RULES_VERSION)
            made[""] = _then(
                made[""], gigaspeech_text.without_fillers, f"without the fillers of gigaspeech-scoring {rules}"
            )
            made[OF_CORPUS] = Normaliser("gigaspeech-scoring", rules, gigaspeech_text.official)
        if has_spaces(language):
            return made
        return {
            ending: _then(normaliser, normalised_text.by_characters, "by characters")
            for ending, normaliser in made.items()
        }

    return of_language


def _then(first: Normaliser, step: Callable[[str], str], told: str) -> Normaliser:
    return replace(
        first,
        version=f"{first.version} {told}",
        normalise=lambda text: step(first.normalise(text)),
        without_numbers=lambda text: step(first.without_numbers(text)),
    )
