"""What descriptions of a study's options share, in the words of pydantic's `Field`, without importing it.

Options that jobs without pydantic read are frozen dataclasses. The `metadata` of a field has its description and its
limits.
"""

from typing import Any

FORBID_OTHERS: dict[str, Any] = {"extra": "forbid"}

NAME: dict[str, Any] = {"pattern": r"^[A-Za-z0-9][A-Za-z0-9._-]*$", "max_length": 100}
# A repository on the Hub.
HUB_ID: dict[str, Any] = {
    "pattern": r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9_][A-Za-z0-9._-]*$",
    "max_length": 200,
}
TEXT: dict[str, Any] = {"min_length": 1}


def derived() -> Any:
    """Return None, which `__post_init__` replaces: the default of a field that follows from the others."""
    return None
