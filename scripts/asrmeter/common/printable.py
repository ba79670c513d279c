"""Make text of unknown origin printable: file names, transcripts, messages of libraries. Standard library only."""

import re
import unicodedata

# Characters that are invisible or change the order of their neighbours. Soft hyphens, zero-width joiners and
# non-joiners stay, because letters need them, and so do spaces of every width.
_INVISIBLE = re.compile(
    "[\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_UNDECODED = range(0xDC80, 0xDD00)
_CONTROL = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]")
# Half of a character in UTF-16. Neither UTF-8 nor Parquet can store it.
_HALF = re.compile("[\ud800-\udfff]")


def printable(text: str, most: int | None = None) -> str:
    r"""Return a text as one line that terminals, logs, tables and pages can show, and that UTF-8 can store.

    What cannot be seen is escaped as in Python: `\x1b`, `\n`, `\u202e`; a byte of a name that is not UTF-8 by its
    value, `\xe9`. Of a text longer than `most` characters the beginning is returned, and how long it is.
    """
    cut = text if most is None or len(text) <= most else text[:most]
    # Python's isprintable excludes few control characters. A search for them is faster than a lookup of each category.
    shown = cut if cut.isascii() and cut.isprintable() else "".join(map(_shown, cut))
    return shown if cut is text else f"{shown}… ({len(text):,} characters)"


def spoken(text: str) -> str:
    """Return a text for a comparison of words: without invisible characters, and valid in UTF-8.

    Control characters become spaces, half of a surrogate pair becomes U+FFFD, invisible marks are removed.
    """
    if text.isascii() and text.isprintable():
        return text
    return _INVISIBLE.sub("", _CONTROL.sub(" ", whole_characters(text)))


def whole_characters(text: str) -> str:
    """Return a text with U+FFFD for each half of a surrogate pair, so that UTF-8 can store it."""
    return _HALF.sub("\N{REPLACEMENT CHARACTER}", text)


def _shown(character: str) -> str:
    if character.isprintable() and not _INVISIBLE.match(character):
        return character
    if ord(character) in _UNDECODED:  # by surrogateescape, as the operating system's names are read
        return f"\\x{ord(character) - 0xDC00:02x}"
    if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or _INVISIBLE.match(character):
        return character.encode("unicode_escape").decode("ascii")
    return character
