"""The exception that is shown to users as one line, and helpers for such lines."""

from collections.abc import Iterable, Sequence


class AsrmeterError(Exception):
    """An error that the user can correct: the message names the file, key or cell and the way out."""


def one_line(error: BaseException) -> str:
    """Return the message of a library's error as one printable line."""
    return " ".join("".join(character if character.isprintable() else " " for character in str(error)).split())


def few(names: Sequence[object], most: int = 5) -> str:
    """Return the first of the names, and how many more there are."""
    more = [f"and {len(names) - most:,} more"] if len(names) > most else []
    return ", ".join([*map(str, names[:most]), *more])


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint at the known word that is most similar to `word`; "" if none is."""
    import difflib  # only where something is wrong

    close = difflib.get_close_matches(word, list(known), 1, 0.75)
    return f" (did you mean {close[0]}?)" if close else ""
