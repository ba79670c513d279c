"""The forms that texts are scored in, English by Whisper's rules apart: what is left to differ are words or characters.

Nothing here fails for any text, but for the numbers of `basic`, and all takes time in proportion to a text's length.
"""

import functools
import re
import unicodedata

from asrmeter.analysis import number_words

# Signs that only say how letters are joined: a zero-width non-joiner and joiner.
_JOINERS = "\u200c\u200d"
_VARIATIONS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_BRACKETS = re.compile(r"[<\[][^>\]]*[>\]]|\([^)]+?\)")
# Unicode's compatibility forms would make "112" of "11²" and "11/2" of "1½".
_RAISED = re.compile("(?=[²³¹¼-¾⁰-⁹₀-₉⅐-⅞])")
_DIGIT = re.compile(r"[^\W\D]")
# Thai and Lao vowels, which compatibility forms take apart though they are one sign.
_VOWELS = (("\u0e4d\u0e32", "\u0e33"), ("\u0ecd\u0eb2", "\u0eb3"))

_APOSTROPHES = "'\u2019\u2018\u02bc`\u00b4"
# Where an apostrophe stands for a vowel between two words ("l'été"), and where it parts a name from its ending.
_PARTED, _JOINED = frozenset({"fr", "it", "ca", "oc"}), frozenset({"tr", "az"})
# Signs of vowels and of long consonants, which Arabic is written without, and the stroke that widens words.
_HARAKAT = [*map(chr, range(0x64B, 0x653)), "\u0670", "\u0640"]
# Points of vowels, which Hebrew is written without, and signs of abbreviations.
_HEBREW = [chr(code) for code in range(0x591, 0x5C8) if unicodedata.category(chr(code)) == "Mn"] + ["״", "׳", '"']
# Arabic keyboards have other letters for these two of Persian and Urdu.
_PERSIAN = {"\u064a": "\u06cc", "\u0643": "\u06a9"}
_SPELLED = {
    "ru": {"ё": "е"},
    "he": dict.fromkeys(_HEBREW, ""),
    "fa": _PERSIAN | {"\u200c": " "},
    "ur": _PERSIAN,
}


def words_of(text: str) -> str:
    """Return the words of a text: letters with their marks, digits, and apostrophes inside of words.

    A mark is part of the letter before it, as the vowel signs of Indic scripts are; alone it is nothing.
    """
    kept: list[str] = []
    for letter in text:
        if letter.isalnum() or letter == "'":
            kept.append(letter)
        elif letter in _JOINERS:
            continue
        elif _is_mark(letter):
            if kept and kept[-1] not in " '":
                kept.append(letter)
        else:
            kept.append(" ")
    return " ".join(filter(None, (word.strip("'") for word in "".join(kept).split())))


def plain(text: str) -> str:
    """Return the words of a text in lower case."""
    return words_of(unicodedata.normalize("NFC", text).lower().replace("\u2019", "'"))


def basic(text: str, language: str | None, numbers: bool = True) -> str:
    """Return a text in the form that Whisper's basic normaliser has in mind, and that the language asks for.

    Compatibility forms are unified (NFKC), what is in brackets is left out, and so are punctuation and symbols; letters
    are small and keep their marks. With `numbers`, they are read as words where that is known for the language.

    Raises:
        ValueError: the numbers cannot be read.
    """
    text = unicodedata.normalize("NFKC", _RAISED.sub(" ", text.replace("\u00b4", "'")))
    text = _DIGIT.sub(lambda digit: str(int(digit[0])), _BRACKETS.sub(" ", closed(text)))
    if language and numbers:
        text = number_words.in_words(_signs(text, language), language)
    if language in ("tr", "az"):
        text = text.replace("İ", "i").replace("I", "ı")
    # Elsewhere Python makes an i with a dot of its own of the capital with a dot.
    text = text.lower().replace("i\u0307", "i").translate(_table(language))
    text = words_of(unicodedata.normalize("NFC", text))
    for apart, whole in _VOWELS:
        text = text.replace(apart, whole)
    return text


def by_characters(text: str) -> str:
    """Return a normalised text with spaces between its characters, as errors are counted where none part the words.

    A letter and its marks are one; so is a run of letters that have cases and of digits, as in "ok" and "2024".
    """
    kept: list[str] = []
    in_run = False
    for letter in text:
        if letter == " ":
            in_run = False
            continue
        runs = letter == "'" or letter.isdecimal() or letter.lower() != letter.upper()
        of_last = _is_mark(letter) or (runs and in_run)
        if kept and not of_last:
            kept.append(" ")
        kept.append(letter)
        in_run = runs or (in_run and of_last)
    return "".join(kept)


def closed(text: str) -> str:
    """Return a text in which a search from every bracket for its end takes no longer than the text.

    A bracket after the last that closes one is a sign like any other, and so is one space of many.
    """
    text = " ".join(text.split())
    for opening, closing in (("<[", ">]"), ("(", ")")):
        end = max(map(text.rfind, closing)) + 1
        text = text[:end] + text[end:].translate(dict.fromkeys(map(ord, opening), "|"))
    return text


def _is_mark(letter: str) -> bool:
    return unicodedata.category(letter) in ("Mn", "Mc") and not _VARIATIONS.match(letter)


def _signs(text: str, language: str) -> str:
    """Return a text with Arabic's own signs of numbers as those that the language has beside our digits."""
    return text.replace("\u066b", ".").replace("\u066c", ",") if language in ("ar", "fa", "ur") else text


@functools.cache
def _table(language: str | None) -> dict[int, str]:
    apostrophe = " " if language in _PARTED else "" if language in _JOINED else "'"
    table = dict.fromkeys(_APOSTROPHES, apostrophe) | dict.fromkeys([*_HARAKAT, "\u00ad"], "")
    if language == "he":
        table["'"] = ""
    return str.maketrans(table | _SPELLED.get(language or "", {}))
