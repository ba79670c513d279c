"""Word and character errors of a normalised transcript, counted by jiwer; failed decodings."""

import zlib

import jiwer

from asrmeter.common.languages import has_spaces
from asrmeter.common.printable import whole_characters
from asrmeter.common.vocabulary import Errors

# Above this ratio Whisper takes a decoding for failed, as it repeats itself (Radford et al., 2022, section 4.5).
REPEATING_ABOVE = 2.4
# Whisper's ratio is that of a window of 30 s, and grows with the text: English prose has up to 2.0 in 500 characters
# (30 s of quick speech), but 2.5 in 4000. So longer texts are looked at in pieces, each half over the one before.
_PIECE_CHARACTERS = 500
# As a share of what the reference has, and as a number, so that short references are not judged by one word: three
# words, or the characters of about as many where characters are counted.
_LEAST_BURST_SHARE, _LEAST_BURST_WORDS, _LEAST_BURST_CHARACTERS = 0.5, 3, 10


def compare(reference: str, hypothesis: str, spaces: bool = True) -> Errors:
    """Count the errors of a hypothesis against its reference, both normalised; either may be empty.

    Without `spaces` those of the texts only part what is counted, and are no characters.
    """
    words = jiwer.process_words(reference, hypothesis)
    if not spaces:
        reference, hypothesis = reference.replace(" ", ""), hypothesis.replace(" ", "")
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


def is_hallucinated(
    reference: str, hypothesis: str, n_insertions: int, n_words: int, language: str | None = "en"
) -> bool:
    """Tell whether a hypothesis looks made up; the texts are raw, the counts those of the normalised ones.

    It repeats itself where its reference does not, or it has a burst of insertions: at least three words (ten
    characters where they are counted), and half as many as the reference has. A fluent text of about the right length
    about something else is not found by this: its words count as substituted.
    """
    least = _LEAST_BURST_WORDS if has_spaces(language) else _LEAST_BURST_CHARACTERS
    burst = n_insertions >= max(least, _LEAST_BURST_SHARE * n_words)
    in_utf8 = language == "en"
    return burst or (repeats_itself(hypothesis, in_utf8) and not repeats_itself(reference, in_utf8))


def repeats_itself(text: str, in_utf8: bool = True) -> bool:
    """Tell whether any 500 characters of a text compress by zlib to less than 1/2.4 of their bytes.

    A text of under 27 bytes never does, for zlib's own bytes; a loop as short as that shows as insertions only. Whisper
    takes the bytes of UTF-8, two or three a letter beyond Latin ones, of which all but the last hardly change: so Hindi
    prose would seem a loop. Not `in_utf8`, each character is a byte.
    """
    half = _PIECE_CHARACTERS // 2
    encoded = _in_utf8 if in_utf8 else _in_bytes
    pieces = (text[i : i + _PIECE_CHARACTERS] for i in range(0, max(1, len(text) - half), half))
    return any(_compression_ratio(encoded(piece)) > REPEATING_ABOVE for piece in pieces)


def _in_utf8(piece: str) -> bytes:
    return whole_characters(piece).encode()


def _in_bytes(piece: str) -> bytes:
    """Return a byte for each character: its place among those that the piece has, of which a loop has under 256."""
    places: dict[str, int] = {}
    return bytes(min(places.setdefault(character, len(places)), 255) for character in piece)


def _compression_ratio(data: bytes) -> float:
    return len(data) / len(zlib.compress(data))
