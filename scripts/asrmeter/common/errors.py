"""The exception that is shown to users as one line, and helpers for such lines."""

from collections.abc import Iterable, Sequence

from asrmeter.common.addresses import without_secrets
from asrmeter.common.printable import printable

# Longer lines are cut: a name or a library's message may have a megabyte.
MOST_CHARACTERS = 4000


class AsrmeterError(Exception):
    """An error that the user can correct: the message names the file, key or cell and the way out.

    Each argument is one fault and becomes one line.
    """

    def __str__(self) -> str:
        """Return the message in a form that can be shown: see `line`."""
        return "\n".join(line(str(argument)) for argument in self.args)


def line(text: str) -> str:
    """Return any text as one line that can be shown: printable, without passwords, of limited length."""
    return printable(without_secrets(text[: 5 * MOST_CHARACTERS]), MOST_CHARACTERS)


def one_line(error: BaseException) -> str:
    """Return the message of a library's error as one printable line."""
    return line(" ".join(str(error).split()))


def few(names: Sequence[object], most: int = 5) -> str:
    """Return the first names and the number of the others."""
    more = [f"and {len(names) - most:,} more"] if len(names) > most else []
    return ", ".join([*map(str, names[:most]), *more])


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint with the known word that is most similar to `word`; "" if there is none."""
    import difflib  # needed only for an error

    close = difflib.get_close_matches(word, list(known), 1, 0.75)
    return f" (did you mean {close[0]}?)" if close else ""
