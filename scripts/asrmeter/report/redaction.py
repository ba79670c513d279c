"""Texts of programs without what is withheld: what is known to be private, and every path that is not known."""

import functools
import re
from collections.abc import Callable, Mapping

FOLDER, PATH, FILE = "FOLDER", "PATH", "FILE-"
# What the system has on every machine says nothing of this one.
_SAME_EVERYWHERE = re.compile(r"/(?:sys|proc)/(?!.*\.\.)")
_BEFORE = r"(?:\bfile://|(?<![\w/]))(?:\.{1,2}|~[\w.-]*)?"
_PART = r"[^\s'\"`,;:()<>|]"
_QUOTED = re.compile(rf"(?<=['\"`]){_BEFORE}/(?!/)[^'\"`]+(?=['\"`])")
# A folder may have a space in its name.
_BARE = re.compile(rf"{_BEFORE}/(?!/){_PART}{{2,}}(?: {_PART}*/{_PART}*)*")
# Of what lies below a folder that is withheld nothing is told but which recording it is.
_BELOW = re.compile(rf"\b{FOLDER}/(?!{FILE}\d)[^:'\"`]*")


def redactor(known: Mapping[str, str], paths: bool) -> Callable[[str], str]:
    """Return a function that puts placeholders into a text for what is private.

    `known` are private texts, each with its placeholder. With `paths` any other path stays.
    """
    longest_first = sorted(known.items(), key=lambda item: (-len(item[0]), item[0]))

    @functools.cache
    def redacted(text: str) -> str:
        for private, placeholder in longest_first:
            # A quick look first: of many names few are in a text.
            if private in text:
                text = re.sub(rf"(?<!\w){re.escape(private)}(?!\w)", placeholder, text)
        return text if paths else _without_paths(text)

    return redacted


def _without_paths(text: str) -> str:
    for pattern in (_QUOTED, _BARE):
        text = pattern.sub(lambda found: found[0] if _SAME_EVERYWHERE.match(found[0]) else PATH, text)
    return _BELOW.sub(FOLDER, text)
