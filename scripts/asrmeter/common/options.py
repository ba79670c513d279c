"""Shared metadata of a study's options, in the form of pydantic's `Field`, without importing pydantic.

Options for jobs without pydantic are frozen dataclasses. The `metadata` of a field contains its description and limits.
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
    """Return None, the default of a field that `__post_init__` derives from the others."""
    return None
