"""Dataclasses from JSON objects; `vars` is the way back. Standard library only."""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

T = TypeVar("T")
# JSON objects without a class of their own: readings of the machine, settings of a library, rows of a table.
JsonObject = Mapping[str, Any]


def from_json(kind: type[T], content: JsonObject) -> T:
    """Return the dataclass `kind` with the values of a JSON object.

    A missing field gets its default, and unknown fields are dropped, because older and newer versions write other
    fields.

    Raises:
        TypeError: a field without a default is missing.
    """
    own = fields(kind)  # type: ignore[arg-type]
    try:
        return kind(**{field.name: content[field.name] for field in own if field.name in content})
    except TypeError as error:
        needed = [field.name for field in own if field.default is MISSING and field.default_factory is MISSING]
        raise TypeError(f"{', '.join(name for name in needed if name not in content)} is missing") from error
