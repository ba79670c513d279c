"""Error messages about a study: the place of the mistake, the allowed values, and a suggestion."""

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from asrmeter.common.errors import did_you_mean
from asrmeter.common.options import HUB_ID, NAME
from asrmeter.runtimes import OWN_FILE
from asrmeter.study.model import NotDistinctError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_MAX_SHOWN = 80
# The first of hundreds of mistakes are enough, because they have one cause.
_MAX_LINES = 20
_MAX_SORTED = 1000
_TYPE_NAMES = {
    "string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false", "null": "null",
    "array": "a list", "object": "keys with values",
}  # fmt: skip
# Descriptions of the patterns.
_PATTERN_RULES = {
    NAME[
        "pattern"
    ]: "may contain only the letters A to Z, digits, dots, dashes and underscores, and must begin with a letter "
    "or digit",
    HUB_ID["pattern"]: "must be of the form owner/name",
    "^[A-Za-z0-9_][A-Za-z0-9._/-]*$": "must be a folder in the checkout, named by letters, digits, ., -, _ and /",
    "^[0-9a-f]{40}$": "must be a commit, 40 hexadecimal digits",
    "^[0-9a-f]{64}$": "must be a sha256, 64 hexadecimal digits",
}
# Pydantic's error types -> the message about the value, with pydantic's limits in braces.
_LIMITS = {
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
    "string_too_long": "must be at most {max_length} characters long",
}
# Replacements for keys of earlier versions.
_GONE_KEYS = {
    "protocol.min_passes": "each lap times at least one round",
    "protocol.timed_batches": "all batches are timed",
    "protocol.aa_pairs": "all cells are measured once a lap, protocol.laps times",
}
_PROTOCOL_1 = (
    ": protocol 2 measures in laps and cannot use records of protocol 1; remove the key, and give the study another "
    "results folder"
)
_UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")
# The place of an error about a key ends with this.
_KEY = "[key]"


class _Place(NamedTuple):
    """A place in a study: its keys, and the schema of the value there, one part for each choice.

    `words` are allowed there instead of other values, or instead of the list that contains the place.
    """

    keys: tuple[str | int, ...]
    choices: list[dict[str, Any]]
    words: list[str]

    @property
    def prefix(self) -> str:
        """The place as a message begins with it."""
        return f"{'.'.join(map(str, self.keys))}: " if self.keys else ""

    @property
    def types(self) -> list[str]:
        """The allowed types, apart from `words`."""
        return list(dict.fromkeys(choice["type"] for choice in self.choices))

    @property
    def allowed_keys(self) -> list[str]:
        """The allowed keys of the value."""
        return list(dict.fromkeys(key for choice in self.choices for key in choice.get("properties", {})))


def describe(error: ValidationError) -> list[str]:
    """Return a line for each of pydantic's errors, sorted by place."""
    from asrmeter.study import schema  # only where something is wrong

    whole = schema.generate()
    # Pydantic counts only valid items. Invalid items have their own errors.
    details = [one for one in error.errors(include_url=False) if one["type"] != "too_short" or not one["input"]]
    placed = [(_place(detail, whole), detail) for detail in details[:_MAX_SORTED]]
    # At one place, unknown keys come before missing keys.
    placed.sort(key=lambda item: (_order(item[0].keys), item[1]["type"] == "missing"))
    lines: dict[str, None] = {}
    for number, (place, detail) in enumerate(placed):
        if len(lines) == _MAX_LINES:
            return [*lines, f"and up to {len(details) - number:,} more mistakes"]
        lines[_explain(detail, place, details, whole)] = None
    return list(lines)


def _order(keys: tuple[str | int, ...]) -> list[tuple[int, str]]:
    return [(key, "") if isinstance(key, int) else (-1, key) for key in keys]


def quoting_hint(value: Any) -> str:
    """Return how to write a value that is meant as text but that YAML does not read as text."""
    if isinstance(value, bool):
        return "; YAML reads yes, no, on and off as true and false: put it in quotes"
    return f'; put it in quotes ("{value}")'


def _place(detail: "ErrorDetails", whole: dict[str, Any]) -> _Place:
    """Return the place of an error. For an error about a key, it is the place of the value that has the key."""
    loc = detail["loc"]
    if detail["type"] in (*_UNKNOWN_KEY, "missing"):
        loc = loc[:-1]
    elif loc and loc[-1] == _KEY:
        loc = loc[:-2]
    keys: list[str | int] = []
    words: list[str] = []
    choices = _resolved(whole, whole)
    for part in loc:
        inner = [one for choice in choices for one in _inner(choice, part, whole)]
        if inner:
            keys.append(part)
            others = [choice for choice in inner if "const" not in choice]
            alone = [choice["const"] for choice in inner if "const" in choice] if others else []
            words = alone if isinstance(part, str) else words
            choices = others or inner
        else:
            # Not a key, but pydantic's choice among alternatives: a kind of corpus, or not `auto`.
            choices = [choice for choice in choices if choice.get("title") == part] or choices
    return _Place(tuple(keys), choices, words)


def _inner(choice: dict[str, Any], part: str | int, whole: dict[str, Any]) -> list[dict[str, Any]]:
    if isinstance(part, int):
        found = choice.get("items")
    else:
        found = choice.get("properties", {}).get(part) or choice.get("additionalProperties")
    return _resolved(found, whole) if found else []


def _resolved(part: dict[str, Any], whole: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the choices of a part of the schema, one part each, with references resolved."""
    if "$ref" in part:
        return _resolved(whole["$defs"][part["$ref"].rpartition("/")[2]], whole)
    choices = part.get("anyOf") or part.get("oneOf")
    return [one for choice in choices for one in _resolved(choice, whole)] if choices else [part]


def _key_paths(choices: Sequence[dict[str, Any]], whole: dict[str, Any], parent: str = "") -> Iterator[str]:
    """Yield the dotted path of every key, with NAME for a key that the study chooses."""
    for choice in choices:
        for key, inner in choice.get("properties", {}).items():
            yield f"{parent}{key}"
            yield from _key_paths(_resolved(inner, whole), whole, f"{parent}{key}.")
        if entry := choice.get("additionalProperties"):
            yield from _key_paths(_resolved(entry, whole), whole, f"{parent}NAME.")


def _explain(detail: "ErrorDetails", place: _Place, details: "list[ErrorDetails]", whole: dict[str, Any]) -> str:
    """Return one line with the place of the mistake and what is allowed. One line names all missing keys of a value."""
    alike = [one for one in details if one["type"] == detail["type"] and one["loc"][:-1] == detail["loc"][:-1]]
    beside = [str(one["loc"][-1]) for one in alike if one["loc"]]
    if detail["type"] in _UNKNOWN_KEY:
        allowed = place.allowed_keys
        known = list(_key_paths(_resolved(whole, whole), whole))
        unknown = [
            _shown_name(key) + _key_hint(".".join(map(str, (*place.keys, key))), allowed, known)
            for key in sorted(beside)[:_MAX_LINES]
        ]
        more = f", and {len(beside) - _MAX_LINES:,} more" if len(beside) > _MAX_LINES else ""
        return f"{place.prefix}unknown key {', '.join(unknown)}{more}; allowed are {', '.join(allowed)}"
    if detail["type"] == "missing":
        return f"{place.prefix}the key {', '.join(beside)} is missing"
    if detail["type"].startswith("union_tag_"):
        kinds = [str(choice["title"]) for choice in place.choices if "title" in choice]
        if "runtime" in detail["input"]:
            key, kinds = "runtime", [*(name for name in kinds if name != OWN_FILE), "{path: my_engine.py}"]
        else:
            key = "kind"
        if key not in detail["input"]:
            return f"{place.prefix}the key {key} is missing; it is one of {', '.join(kinds)}"
        return f"{'.'.join(map(str, (*place.keys, key)))}: {_not_allowed(detail['input'][key], kinds)}"
    return f"{place.prefix}{_wrong_value(detail, place)}"


def _wrong_value(detail: "ErrorDetails", place: _Place) -> str:
    kind, value, limits = detail["type"], detail["input"], detail.get("ctx", {})
    said, expected = _shown(value), place.choices[0]
    otherwise = "".join(f", or {json.dumps(word)}" for word in place.words)
    if kind == "literal_error" and isinstance(expected.get("const"), int):
        why = _PROTOCOL_1 if place.keys == ("protocol", "version") and value == 1 else ""
        return f"{said} is not allowed; it must be {expected['const']}{why}"
    if kind == "literal_error":
        return f"{_not_allowed(value, expected.get('enum') or [expected['const']])}{otherwise}"
    if kind == "string_pattern_mismatch":
        rule = _PATTERN_RULES.get(limits["pattern"], f"must match {limits['pattern']}")
        return f"{said} {rule}{_non_ascii_hint(value)}"
    if kind in ("int_type", "float_type") and isinstance(value, int | float) and abs(value) > 2**53:
        # Too large for pydantic to compare.
        if value > 0 and "maximum" in expected:
            kind, limits = "less_than_equal", {"le": expected["maximum"]}
        elif value < 0 and "minimum" in expected:
            kind, limits = "greater_than_equal", {"ge": expected["minimum"]}
    if kind in _LIMITS:
        whole = {name: int(one) if isinstance(one, float) and one.is_integer() else one for name, one in limits.items()}
        return f"{said} {_LIMITS[kind].format(**whole)}{otherwise}"
    if kind == "value_error":
        own = limits["error"]
        return f"{said} must not contain a value twice{otherwise}" if isinstance(own, NotDistinctError) else str(own)
    quotes = "string" in place.types and isinstance(value, bool | int | float)
    type_names = " or ".join(_TYPE_NAMES[name] for name in place.types)
    return f"{said} must be {type_names}{quoting_hint(value) if quotes else ''}{otherwise}"


def _not_allowed(value: Any, allowed: list[Any]) -> str:
    choices = [str(choice) for choice in allowed]
    hint = did_you_mean(value, choices) if isinstance(value, str) else ""
    quotes = quoting_hint(value) if isinstance(value, bool) else ""
    return f"{_shown(value)} is not allowed{hint}; allowed are {', '.join(choices)}{quotes}"


def _key_hint(place: str, siblings: list[str], known: list[str]) -> str:
    """Return the replacement of an unknown key, or a suggestion: a similar key, or the same key at another level."""
    key = place.rpartition(".")[2]
    if gone := _GONE_KEYS.get(place):
        return f" (gone: {gone})"
    if hint := did_you_mean(key, siblings):
        return hint
    elsewhere = [path for path in known if path.rpartition(".")[2] == key]
    is_here = any(re.fullmatch(re.escape(path).replace("NAME", r"[^.]+"), place) for path in elsewhere)
    return f" (did you mean {elsewhere[0]}?)" if elsewhere and not is_here else ""


def _shown(value: Any) -> str:
    return _shortened(json.dumps(value, ensure_ascii=False))


def _shown_name(name: str) -> str:
    return _shortened(name) + _non_ascii_hint(name)


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 1]}…"


def _non_ascii_hint(text: str) -> str:
    """Return the Unicode name of the first character that is not ASCII, because it may look like an ASCII one."""
    odd = next((character for character in text if not character.isascii()), None)
    return f" ({odd} is U+{ord(odd):04X}, {unicodedata.name(odd, 'without a name').lower()})" if odd else ""
