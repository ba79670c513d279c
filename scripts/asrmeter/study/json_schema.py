"""The JSON schema of a study: fill in its defaults, and read values as its types ask."""

import contextlib
import copy
import json
from collections.abc import Iterator
from typing import Any

from asrmeter.common.paths import SCHEMAS

PATH = SCHEMAS / "study.schema.json"
_PYTHON_TYPES: dict[str, Any] = {
    "string": str, "integer": int, "number": int | float, "boolean": bool, "null": type(None), "array": list,
    "object": dict,
}  # fmt: skip


def load() -> dict[str, Any]:
    """Return the schema."""
    return dict(json.loads(PATH.read_text(encoding="utf-8")))


def types_of(schema: dict[str, Any]) -> list[str]:
    """Return the names of the types that a schema allows, without those inside its `anyOf`."""
    types: str | list[str] = schema.get("type", [])
    return [types] if isinstance(types, str) else types


def kinds_of(branches: list[dict[str, Any]]) -> list[str]:
    """Return the `kind` of each branch of a `oneOf`."""
    return [branch["properties"]["kind"]["const"] for branch in branches]


def key_paths(schema: dict[str, Any], parent: str = "") -> Iterator[str]:
    """Yield the dotted path of every key; NAME stands for a key that the study chooses."""
    for key, inner in schema.get("properties", {}).items():
        yield f"{parent}{key}"
        yield from key_paths(inner, f"{parent}{key}.")
    if isinstance(entry := schema.get("additionalProperties"), dict):
        yield from key_paths(entry, f"{parent}NAME.")
    for branch in schema.get("oneOf", []):
        yield from key_paths(branch, parent)


def shape_of(schema: dict[str, Any]) -> Any:
    """Return the shape of a complete value, without the schema's limits; see `files.read_json`."""
    if "enum" in schema:
        return frozenset(schema["enum"])
    if schema.get("type") == "object":
        own = {key: shape_of(inner) for key, inner in schema.get("properties", {}).items()}
        others = schema.get("additionalProperties")
        return own | ({"*": shape_of(others)} if others else {})
    python_types = tuple(_PYTHON_TYPES[name] for name in types_of(schema))
    return python_types or object


def fill_defaults(value: Any, schema: dict[str, Any]) -> Any:
    """Return a valid value with the defaults of the schema filled in, keys in the schema's order."""
    schema = _branch_of(value, schema)
    if schema.get("type") != "object":
        return value
    properties = schema.get("properties", {})
    filled: dict[str, Any] = {}
    for key, inner in properties.items():
        if key in value or "default" in inner:
            filled[key] = fill_defaults(copy.deepcopy(value.get(key, inner.get("default"))), inner)
    for key in value:
        if key not in properties:
            filled[key] = fill_defaults(value[key], schema["additionalProperties"])
    return filled


def drop_empty(value: Any, schema: dict[str, Any]) -> Any:
    """Return a value without the keys that YAML leaves empty; a named entry that is empty becomes {}.

    Text is parsed where the schema allows no text, see `_parse_text`.
    """
    schema = _branch_of(value, schema)
    value = _parse_text(value, schema)
    if isinstance(value, list):
        items: dict[str, Any] = next((choice["items"] for choice in _choices(schema) if "items" in choice), {})
        return [drop_empty(inner, items) for inner in value]
    if schema.get("type") != "object" or not isinstance(value, dict):
        return value
    kept: dict[str, Any] = {}
    for key, inner in value.items():
        if key not in schema.get("properties", {}):
            entry = schema.get("additionalProperties")
            kept[key] = {} if inner is None and entry else drop_empty(inner, entry or {})
        elif inner is not None or "null" in schema["properties"][key].get("type", ""):
            kept[key] = drop_empty(inner, schema["properties"][key])
    return kept


def _branch_of(value: Any, schema: dict[str, Any]) -> dict[str, Any]:
    """Return the branch of a `oneOf` that the value's `kind` names, or the schema itself."""
    for branch in schema.get("oneOf", []):
        if isinstance(value, dict) and value.get("kind") == branch["properties"]["kind"]["const"]:
            return dict(branch)
    return schema


def _parse_text(value: Any, schema: dict[str, Any]) -> Any:
    """Parse text where the schema allows none: Snakemake makes text of every value inside `--config key='{...}'`."""
    types = [name for choice in _choices(schema) for name in types_of(choice)]
    if isinstance(value, str) and types and ("string" not in types or ("null" in types and value == "null")):
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(value)
    return value


def _choices(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [schema, *schema.get("anyOf", [])]
