"""Check values that were read against the annotations of a dataclass. Standard library only.

The name of a number limits it further; see `quantities`.
"""

import functools
import json
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from asrmeter.common.printable import printable
from asrmeter.common.quantities import limits

# Takes a value and its name; returns what is wrong, or None.
_Check = Callable[[Any, str], str | None]
# Settings are never nested this deep. Values nested deeper than Python's stack could not be written again.
_DEEPEST = 20
# Integers that every JSON reader represents exactly.
_LARGEST = 2**53
_KINDS: dict[Any, tuple[str, tuple[type, ...]]] = {
    str: ("a text", (str,)),
    bool: ("true or false", (bool,)),
    int: ("a whole number", (int,)),
    float: ("a number", (int, float)),
}


def misfit(value: Any) -> str | None:
    """Return the first field of a dataclass with an impossible value, and the value; None if all are possible."""
    wrong = _of_fields(value, "")
    return wrong and printable(wrong)


@functools.cache
def _check_of(kind: Any) -> _Check:
    """Return the check of a type; an unknown type accepts any JSON value."""
    if kind in _KINDS:
        return functools.partial(_of_number if kind in (int, float) else _of_kind, *_KINDS[kind])
    if is_dataclass(kind):
        return _of_fields
    if typing.is_typeddict(kind):
        own = {name: _check_of(annotation) for name, annotation in typing.get_type_hints(kind).items()}
        return functools.partial(_of_keys, own, kind.__required_keys__)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        (known,) = (one for one in arguments if one is not types.NoneType)
        return functools.partial(_or_null, _check_of(known))
    if origin is Mapping:
        return functools.partial(_of_mapping, _check_of(arguments[1]))
    return functools.partial(_of_list, _check_of(arguments[0])) if origin is Sequence else _of_json


@functools.cache
def _checks_of_fields(kind: Any) -> dict[str, _Check]:
    annotated = typing.get_type_hints(kind)
    return {field.name: _check_of(annotated[field.name]) for field in fields(kind)}


def _of_fields(value: Any, name: str) -> str | None:
    kind: Any = type(value)
    checks = _checks_of_fields(kind)
    return _first(name, ((check, getattr(value, key), key) for key, check in checks.items()))


def _or_null(check: _Check, value: Any, name: str) -> str | None:
    return None if value is None else check(value, name)


def _of_kind(expected: str, own: tuple[type, ...], value: Any, name: str) -> str | None:
    return None if type(value) in own else f"{name} is {_shown(value)}, not {expected}"


def _of_number(expected: str, own: tuple[type, ...], value: Any, name: str) -> str | None:
    if type(value) not in own:
        return f"{name} is {_shown(value)}, not {expected}"
    low, high = limits(name)
    if low <= value <= high and (type(value) is float or abs(value) <= _LARGEST):
        return None
    return f"{name} is {_shown(value)}, which is impossible"


def _of_mapping(check: _Check, value: Any, name: str) -> str | None:
    if not isinstance(value, dict):
        return f"{name} is {_shown(value)}, not an object"
    return _first(name, ((check, one, key) for key, one in value.items()))


def _of_keys(checks: Mapping[str, _Check], required: frozenset[str], value: Any, name: str) -> str | None:
    if not isinstance(value, dict):
        return f"{name} is {_shown(value)}, not an object"
    if not required <= value.keys():
        return f"{name}.{min(required - value.keys())} is missing"
    return _first(name, ((check, value[key], key) for key, check in checks.items() if key in value))


def _of_list(check: _Check, value: Any, name: str) -> str | None:
    if not isinstance(value, list | tuple):
        return f"{name} is {_shown(value)}, not a list"
    return _first(name, ((check, one, str(place)) for place, one in enumerate(value)))


def _of_json(value: Any, name: str, depth: int = 0) -> str | None:
    is_odd = not math.isfinite(value) if isinstance(value, float) else isinstance(value, int) and abs(value) > _LARGEST
    if is_odd:
        return f"{name} is {_shown(value)}, which is impossible"
    if not isinstance(value, list | tuple | dict):
        return None
    if depth == _DEEPEST:
        return f"{name} is nested too deeply"
    inner = functools.partial(_of_json, depth=depth + 1)
    return (_of_mapping if isinstance(value, dict) else _of_list)(inner, value, name)


def _first(name: str, inner: Iterable[tuple[_Check, Any, str]]) -> str | None:
    for check, one, key in inner:
        if wrong := check(one, key):
            return f"{name}.{wrong}" if name else wrong
    return None


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f'the text "{printable(value, 60)}"'
    if isinstance(value, dict | list | tuple):
        return "an object" if isinstance(value, dict) else "a list"
    return printable(json.dumps(value), 60)
