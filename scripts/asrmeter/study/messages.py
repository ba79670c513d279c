"""Error messages about a study: where it is wrong, what is allowed, and what was probably meant."""

import json
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

from asrmeter.common.errors import did_you_mean
from asrmeter.study import json_schema

_MAX_SHOWN = 80
_TYPE_NAMES = {
    "string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false", "null": "null",
    "array": "a list", "object": "keys with values",
}  # fmt: skip
_NAME_RULE = "may hold only the letters A to Z, digits, dots, dashes and underscores, and begins with a letter or digit"
# What the schema's patterns mean; every other pattern is that of a name.
_PATTERN_RULES = {
    "^[A-Za-z0-9_][A-Za-z0-9._/-]*$": "must be a folder in the checkout, named by letters, digits, ., -, _ and /",
    "^[0-9a-f]{40}$": "must be a commit, 40 hexadecimal digits",
    "^[0-9a-f]{64}$": "must be a sha256, 64 hexadecimal digits",
    "^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9_][A-Za-z0-9._-]*$": "must be of the form owner/name",
}


def describe(errors: Iterable[Any], schema: dict[str, Any]) -> list[str]:
    """Return a line for each of jsonschema's errors, sorted by place."""
    known = list(json_schema.key_paths(schema))
    return list(dict.fromkeys(_explain(error, known) for error in _flatten(errors)))


def quoting_hint(value: Any) -> str:
    """Return how to write a value that YAML does not read as text, but that is meant as text."""
    if isinstance(value, bool):
        return "; YAML takes yes, no, on and off for true and false: put it in quotes"
    return f'; put it in quotes ("{printable(value)}")'


def printable(value: Any) -> str:
    """Return a value as printable text."""
    text = str(value)
    return text if text.isprintable() else ascii(text)


def _flatten(errors: Iterable[Any]) -> Iterator[Any]:
    """Yield errors sorted by place; of a failed `oneOf` only the errors of the branch that the value's `kind` names."""
    for error in sorted(errors, key=lambda error: error.json_path):
        if error.validator != "oneOf":
            yield error
        elif isinstance(error.instance, dict):
            kinds = json_schema.kinds_of(error.validator_value)
            kind = error.instance.get("kind")
            if kind in kinds:
                yield from _flatten(inner for inner in error.context if inner.schema_path[0] == kinds.index(kind))
            else:
                yield error


def _explain(error: Any, known: list[str]) -> str:
    """Say in one line where a study is wrong and what is allowed; `known` are the paths of all keys."""
    place = ".".join(str(part) for part in error.absolute_path)
    prefix = f"{place}: " if place else ""
    value, rule, schema = _shown(error.instance), error.validator_value, error.schema
    match error.validator:
        case "additionalProperties":
            allowed = list(schema["properties"])
            unknown = [
                f"{_shown_name(key)}{_key_hint(f'{place}.{key}'.lstrip('.'), allowed, known)}"
                for key in sorted(set(error.instance) - set(allowed))
            ]
            return f"{prefix}unknown key {', '.join(unknown)}; allowed are {', '.join(allowed)}"
        case "required":
            missing = [key for key in rule if key not in error.instance]
            return f"{prefix}the key {', '.join(missing)} is missing"
        case "oneOf":
            kinds = json_schema.kinds_of(rule)
            if "kind" not in error.instance:
                return f"{prefix}the key kind is missing; it is one of {', '.join(kinds)}"
            return f"{place}.kind: {_not_allowed(error.instance['kind'], kinds)}"
        case "enum":
            return f"{prefix}{_not_allowed(error.instance, rule)}"
        case "const":
            return f"{prefix}{value} is not allowed; it must be {rule}"
        case "type":
            types = json_schema.types_of(schema)
            quotes = "string" in types and isinstance(error.instance, bool | int | float)
            type_names = " or ".join(_TYPE_NAMES[name] for name in types)
            return f"{prefix}{value} must be {type_names}{quoting_hint(error.instance) if quotes else ''}"
        case "anyOf":
            inner = min(error.context, key=lambda item: (item.validator == "const", -len(item.absolute_path)))
            return f"{_explain(inner, known)}, or {json.dumps(rule[0].get('const'))}"
        case "pattern":
            return f"{prefix}{value} {_PATTERN_RULES.get(rule, _NAME_RULE)}{_non_ascii_hint(error.instance)}"
    must = {
        "minimum": f"must be at least {rule}",
        "exclusiveMinimum": f"must be more than {rule}",
        "maximum": f"must be at most {rule}",
        "minItems": "must not be empty",
        "minProperties": "must not be empty",
        "minLength": "must not be empty",
        "maxLength": f"must be at most {rule} characters long",
        "uniqueItems": "must not hold a value twice",
    }
    return f"{prefix}{value} {must[error.validator]}"


def _not_allowed(value: Any, allowed: list[Any]) -> str:
    choices = [str(choice) for choice in allowed]
    hint = did_you_mean(value, choices) if isinstance(value, str) else ""
    quotes = quoting_hint(value) if isinstance(value, bool) else ""
    return f"{_shown(value)} is not allowed{hint}; allowed are {', '.join(choices)}{quotes}"


def _key_hint(place: str, siblings: list[str], known: list[str]) -> str:
    """Return which key an unknown one may mean: one that is spelled alike, or the same one at another level."""
    key = place.rpartition(".")[2]
    if hint := did_you_mean(key, siblings):
        return hint
    elsewhere = [path for path in known if path.rpartition(".")[2] == key]
    return f" (did you mean {elsewhere[0]}?)" if elsewhere and place not in elsewhere else ""


def _shown(value: Any) -> str:
    return _shortened(json.dumps(value, ensure_ascii=False))


def _shown_name(name: str) -> str:
    return _shortened(name) + _non_ascii_hint(name)


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 1]}…"


def _non_ascii_hint(text: str) -> str:
    """Return the Unicode name of the first character that is not ASCII: it may look like one that is."""
    odd = next((character for character in text if not character.isascii()), None)
    return f" ({odd} is U+{ord(odd):04X}, {unicodedata.name(odd, 'without a name').lower()})" if odd else ""
