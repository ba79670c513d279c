"""Convert values of YAML and command lines to the types of the model: drop empty keys and parse text."""

import contextlib
import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from asrmeter.runtimes import DEFAULT_RUNTIME


def read(value: Any, expected: Any) -> Any:
    """Return a value of an expected type without empty keys; an empty named entry becomes {}.

    Text is parsed if no text is expected, because Snakemake turns every value inside `--config key='{...}'` into text.
    A value of another type is not changed.
    """
    choices = _choices(expected)
    value = _parsed(value, choices)
    for choice in choices:
        inner = typing.get_args(choice)
        if isinstance(value, list) and typing.get_origin(choice) is tuple:
            return [read(item, inner[0]) for item in value]
        if isinstance(value, dict) and typing.get_origin(choice) is Mapping:
            is_named = type(None) not in _choices(inner[1])
            return {key: {} if one is None and is_named else read(one, inner[1]) for key, one in value.items()}
        if isinstance(value, dict) and (fields := _fields(choice)) and _is_of_kind(value, fields):
            return {
                key: read(one, fields.get(key, str))
                for key, one in value.items()
                if one is not None or key not in fields or type(None) in _choices(fields[key])
            }
    return value


def _choices(expected: Any) -> list[Any]:
    """Return the types that an annotation allows, without their metadata."""
    origin, inner = typing.get_origin(expected), typing.get_args(expected)
    if origin is typing.Annotated:
        return _choices(inner[0])
    if origin in (typing.Union, types.UnionType):
        return [choice for one in inner for choice in _choices(one)]
    return [expected]


def _fields(choice: Any) -> dict[str, Any]:
    """Return the annotations of a class by key; empty for any other type."""
    if isinstance(choice, type) and issubclass(choice, BaseModel):
        return {key: field.annotation for key, field in choice.model_fields.items()}
    if isinstance(choice, type) and dataclasses.is_dataclass(choice):
        return typing.get_type_hints(choice)
    return {}


def _is_of_kind(value: dict[Any, Any], fields: dict[str, Any]) -> bool:
    """Return True if a value has the kind or runtime of a class, or the class has neither."""
    if "runtime" in fields:
        names = typing.get_args(fields["runtime"])
        return (value.get("runtime") or DEFAULT_RUNTIME) in names if names else isinstance(value.get("runtime"), dict)
    return "kind" not in fields or value.get("kind") in typing.get_args(fields["kind"])


def _parsed(value: Any, choices: list[Any]) -> Any:
    takes_text = str in choices or all(typing.get_origin(choice) is typing.Literal for choice in choices)
    is_null = value == "null" and type(None) in choices
    if isinstance(value, str) and (is_null or not takes_text):
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(value)
    return value
