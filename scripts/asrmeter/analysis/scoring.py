"""Word and character errors of a transcript by named and versioned normalisers, counted by jiwer; failed decodings."""

import functools
import json
import os
import unicodedata
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

import jiwer

from asrmeter.common.printable import spoken, whole_characters
from asrmeter.common.vocabulary import OF_CORPUS, Errors
from asrmeter.corpora import gigaspeech_text
from asrmeter.sources.packages import Archives, catalogue

_SPELLING = {"package": "openai-whisper", "member": "whisper/normalizers/english.json"}
# Raised when `plain` makes another text of any text.
_PLAIN_VERSION = 1

# Above this ratio Whisper takes a decoding for failed, as it repeats itself (Radford et al., 2022, section 4.5).
REPEATING_ABOVE = 2.4
# Ten times what is spoken in ten minutes. Whisper's search for numbers takes quadratic time.
_MOST_CHARACTERS = 100_000
# Whisper's ratio is that of a window of 30 s, and grows with the text: English prose has up to 2.0 in 500 characters
# (30 s of quick speech), but 2.5 in 4000. So longer texts are looked at in pieces, each half over the one before.
_PIECE_CHARACTERS = 500
# As a share of the reference's words, and as a number, so that short references are not judged by one word.
_LEAST_BURST_SHARE, _LEAST_BURST_WORDS = 0.5, 3


def _plain(text: str) -> str:
    """Lower case, letters and digits, and apostrophes inside of words: what is left to differ are words."""
    letters = unicodedata.normalize("NFC", text).lower().replace("’", "'")
    words = "".join(letter if letter.isalnum() or letter == "'" else " " for letter in letters).split()
    return " ".join(filter(None, (word.strip("'") for word in words)))


@dataclass(frozen=True)
class Normaliser:
    """Brings texts into a form in which only what counts as an error differs; `version` says which form that is.

    `without_numbers` takes a text that `normalise` refuses, such as one with a number of thousands of digits.
    """

    name: str
    version: str
    normalise: Callable[[str], str]
    without_numbers: Callable[[str], str] = _plain

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
        closed = _closed(text)
        if len(closed) > _MOST_CHARACTERS:
            raise ValueError("too long for a search for numbers")
        return str(whole(closed))

    return Normaliser("whisper-english", f"({made_of})", normalise, lambda text: str(without_numbers(_closed(text))))


def _closed(text: str) -> str:
    """Return a text that the normaliser makes the same of, in time: it searches from every bracket for its end.

    A bracket after the last that closes one is a sign like any other, and so is one space of many.
    """
    text = " ".join(text.split())
    for opening, closing in (("<[", ">]"), ("(", ")")):
        end = max(map(text.rfind, closing)) + 1
        text = text[:end] + text[end:].translate(dict.fromkeys(map(ord, opening), "|"))
    return text


PLAIN = Normaliser("plain", str(_PLAIN_VERSION), _plain)

# Every normaliser that texts of any corpus are scored by, under the ending of its columns; see `vocabulary.ENDINGS`.
NORMALISERS: dict[str, Callable[[Archives], Normaliser]] = {"": whisper_english, "_plain": lambda _: PLAIN}


def normalisers(archives: Archives, corpus_kind: str) -> dict[str, Normaliser]:
    """Return every normaliser of a kind of corpus under the ending of its columns' names; `archives` hold their tables.

    GigaSpeech's own scoring drops more hesitations than Whisper's normaliser, so here both do; but it leaves
    punctuation and figures as they are, which only systems that write neither can be judged by.

    Raises:
        AsrmeterError: an archive is missing or altered.
    """
    made = {ending: make(archives) for ending, make in NORMALISERS.items()}
    if corpus_kind == "gigaspeech":
        rules = f"gigaspeech-scoring {gigaspeech_text.RULES_VERSION}"
        made[""] = _without_fillers(made[""], rules)
        made[OF_CORPUS] = Normaliser("gigaspeech-scoring", str(gigaspeech_text.RULES_VERSION), gigaspeech_text.official)
    return made


def _without_fillers(then: Normaliser, rules: str) -> Normaliser:
    return Normaliser(
        then.name,
        f"{then.version} without the fillers of {rules}",
        lambda text: gigaspeech_text.without_fillers(then.normalise(text)),
        lambda text: gigaspeech_text.without_fillers(then.without_numbers(text)),
    )


def compare(reference: str, hypothesis: str) -> Errors:
    """Count the errors of a hypothesis against its reference, both normalised; either may be empty."""
    words = jiwer.process_words(reference, hypothesis)
    characters = jiwer.process_characters(reference, hypothesis)
    return Errors(
        n_words=words.hits + words.substitutions + words.deletions,
        n_errors=words.substitutions + words.deletions + words.insertions,
        n_substitutions=words.substitutions,
        n_deletions=words.deletions,
        n_insertions=words.insertions,
        n_characters=characters.hits + characters.substitutions + characters.deletions,
        n_character_errors=characters.substitutions + characters.deletions + characters.insertions,
    )


def is_empty(text: str) -> bool:
    """Tell whether a normalised text has no word; Whisper's normaliser leaves a full stop of an ellipsis."""
    return not any(map(str.isalnum, text))


def is_hallucinated(reference: str, hypothesis: str, n_insertions: int, n_words: int) -> bool:
    """Tell whether a hypothesis looks made up; the texts are raw, the counts those of the normalised ones.

    It repeats itself where its reference does not, or it has a burst of insertions: at least three words, and half as
    many as the reference has. A fluent text of about the right length about something else is not found by this: its
    words count as substituted.
    """
    burst = n_insertions >= max(_LEAST_BURST_WORDS, _LEAST_BURST_SHARE * n_words)
    return burst or (repeats_itself(hypothesis) and not repeats_itself(reference))


def repeats_itself(text: str) -> bool:
    """Tell whether any 500 characters of a text compress by zlib to less than 1/2.4 of their bytes.

    A text of under 27 bytes never does, for zlib's own bytes; a loop as short as that shows as insertions only.
    """
    half = _PIECE_CHARACTERS // 2
    pieces = (text[i : i + _PIECE_CHARACTERS] for i in range(0, max(1, len(text) - half), half))
    return any(_compression_ratio(whole_characters(piece).encode()) > REPEATING_ABOVE for piece in pieces)


def _compression_ratio(data: bytes) -> float:
    return len(data) / len(zlib.compress(data))
