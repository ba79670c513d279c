"""The one exception that is shown to people as a single line."""


class AsrmeterError(Exception):
    """Something a person can put right: the message names the file, key or cell and the way out."""


def one_line(error: Exception) -> str:
    """Return what an error of a library says as one printable line."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in str(error)).split())
