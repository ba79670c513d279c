"""Dataclasses from JSON objects; `vars` is the way back. Standard library only."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

T = TypeVar("T")
# Readings of the machine, settings of a library, rows of a table: what has no fields of its own here.
JsonObject = Mapping[str, Any]


def from_json(kind: type[T], content: JsonObject) -> T:
    """Return the dataclass `kind` with the values of a JSON object.

    A field that the object lacks has its default, and what the class does not know is left out: older and newer
    versions write other fields.

    Raises:
        TypeError: a field without a default is missing.
    """
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: content[name] for name in names if name in content})
