"""The one exception that is shown to people as a single line."""


class AsrmeterError(Exception):
    """Something a person can put right: the message names the file, key or cell and the way out."""
