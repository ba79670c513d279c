"""The one exception that is shown to people as a single line, and what such lines are made of."""

from collections.abc import Iterable


class AsrmeterError(Exception):
    """Something a person can put right: the message names the file, key or cell and the way out."""


def one_line(error: Exception) -> str:
    """Return what an error of a library says as one printable line."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in str(error)).split())


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a question after the known word that looks most like `word`, or "" where none does."""
    import difflib  # only where something is wrong

    close = difflib.get_close_matches(word, list(known), 1, 0.75)
    return f" (did you mean {close[0]}?)" if close else ""
