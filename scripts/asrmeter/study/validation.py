"""A study: its schema, its defaults, and errors that say where and what is allowed."""

import contextlib
import copy
import json
import math
import os
import posixpath
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from asrmeter.common.errors import AsrmeterError, did_you_mean
from asrmeter.common.files import read_json
from asrmeter.common.paths import SCHEMAS
from asrmeter.corpora import kinds
from asrmeter.machine.facts import cuda_missing
from asrmeter.models import catalogue
from asrmeter.study import grid

# The complete study beside its results: says whose they are, and is what the report shows.
FILE = "study.json"
SCHEMA = SCHEMAS / "study.schema.json"
_PYTHON: dict[str, Any] = {
    "string": str, "integer": int, "number": int | float, "boolean": bool, "null": type(None), "array": list,
    "object": dict,
}  # fmt: skip
_LONGEST_SHOWN = 80
# Planning this many takes minutes, and measuring them weeks.
MOST_CELLS = 100_000
# What lies in a results folder from the first step on, or is there before it.
_PARTS = ("downloads", "corpus", "models", "measurements", "tables", "logs", FILE)
_WORDS = {
    "string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false", "null": "null",
    "array": "a list", "object": "keys with values",
}  # fmt: skip
_NAME = "may hold only the letters A to Z, digits, dots, dashes and underscores, and begins with a letter or digit"
# What a pattern of the schema means, where it is not that of a name.
_PATTERNS = {
    "^[A-Za-z0-9_][A-Za-z0-9._/-]*$": "must be a folder in the checkout, named by letters, digits, ., -, _ and /",
    "^[0-9a-f]{40}$": "must be a commit, 40 hexadecimal digits",
    "^[0-9a-f]{64}$": "must be a sha256, 64 hexadecimal digits",
    "^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9_][A-Za-z0-9._-]*$": "must be of the form owner/name",
}


def complete(study: dict[str, Any], source: str, here: bool = True) -> dict[str, Any]:
    """Return the study with every default filled in and `devices: auto` resolved; `device_note` says why it has no GPU.

    Every model has its `weights` then, and the corpus its `name`.

    `source` is the file that it came from, for the messages. `here` says that cells are measured on this machine, and
    not on a cluster, of which nobody here knows what its nodes have.

    Raises:
        AsrmeterError: an unknown key, a value that is not allowed, a model or corpus that does not exist.
    """
    schema = json.loads(SCHEMA.read_text())
    # What a complete study says of the machine: study.json of a finished run is a study too.
    study = {key: value for key, value in study.items() if key != "device_note"}
    study = _without_nulls(study, schema)
    _check_plain(study, source)
    study = _numbers(study, source)
    _validate(study, schema, source)
    whole = _with_defaults(study, schema)
    try:
        _name_and_check(whole)
        _check_cells(whole)
    except AsrmeterError as error:
        raise AsrmeterError(f"{source}: {error}") from error
    whole["device_note"] = None
    if whole["devices"] == "auto":
        if not here:
            raise AsrmeterError(
                f"{source}: devices: auto looks at this machine, and --jobs is for a cluster; name them there "
                "(devices: [cpu, cuda], or --config devices=[cpu,cuda]), and leave --jobs out here"
            )
        whole["device_note"] = cuda_missing()
        whole["devices"] = ["cpu"] if whole["device_note"] else ["cpu", "cuda"]
    return whole


def read(path: Path) -> dict[str, Any]:
    """Return a complete study as an earlier step wrote it, with all that a report shows of it.

    Raises:
        AsrmeterError: it cannot be read or lacks something.
    """
    properties = json.loads(SCHEMA.read_text(encoding="utf-8"))["properties"]
    shape = {key: _shape(properties[key]) for key in ("name", "results", "seed", "protocol", "report")}
    return dict(read_json(path, alone=True, shape=shape | {"device_note": (str, type(None)), "corpus": dict}))


def _shape(schema: dict[str, Any]) -> Any:
    """Return what a complete value must be by its schema, without its limits; see `files.read_json`."""
    if "enum" in schema:
        return frozenset(schema["enum"])
    if schema.get("type") == "object":
        own = {key: _shape(inner) for key, inner in schema.get("properties", {}).items()}
        others = schema.get("additionalProperties")
        return own | ({"*": _shape(others)} if others else {})
    types = schema.get("type", ())
    python = tuple(_PYTHON[name] for name in _listed(types))
    return python or object


def claim(study: dict[str, Any]) -> None:
    """Raise AsrmeterError if the study's results folder holds the results of another study, or no results at all."""
    folder = Path(study["results"])
    if os.path.lexists(folder) and not folder.is_dir():
        raise AsrmeterError(f"results: {folder} is a file; give this study a folder (results: results-{study['name']})")
    owner = (written(study) or {}).get("name")
    if owner is None:
        there = {entry for entry in os.listdir(folder) if not entry.startswith(".")} if folder.is_dir() else set()
        if there and there.isdisjoint(_PARTS):
            raise AsrmeterError(
                f"results: {folder}/ holds something else than results; "
                f"give this study a folder of its own (results: results-{study['name']})"
            )
    elif owner != study["name"]:
        raise AsrmeterError(
            f"{study['results']}/ holds the results of the study {owner}, not of {study['name']}: "
            f"give this study a folder of its own (results: results-{study['name']}), or move the old one away"
        )


def written(study: dict[str, Any]) -> dict[str, Any] | None:
    """Return the study that is written down in the study's results folder, None if there is none that can be read."""
    try:
        found = json.loads((Path(study["results"]) / FILE).read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _check_plain(value: Any, source: str, place: str = "") -> None:
    """Raise AsrmeterError at what JSON has not, at keys that are no text, and at text of several lines.

    Names and paths are made of keys and texts.
    """
    where = f"{source}: {place.rstrip('.')}"
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise AsrmeterError(f"{source}: {place}{_line(key)} is no text{_quotes(key)}")
            if not key.isprintable():
                raise AsrmeterError(f"{source}: {place}{json.dumps(key)} must be one line without control signs")
            _check_plain(inner, source, f"{place}{key}.")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            _check_plain(inner, source, f"{place}{number}.")
    elif isinstance(value, str) and not value.isprintable():
        raise AsrmeterError(f"{where}: {json.dumps(value)} must be one line without control signs")
    elif not isinstance(value, str | int | float | None):
        raise AsrmeterError(f"{where}: {_line(value)} is taken for a {type(value).__name__}{_quotes(value)}")


def _line(value: Any) -> str:
    text = str(value)
    return text if text.isprintable() else ascii(text)


def _quotes(value: Any) -> str:
    """Return how to have a value taken for text that YAML takes for something else."""
    if isinstance(value, bool):
        return "; YAML takes yes, no, on and off for true and false: put it in quotes"
    return f'; put it in quotes ("{_line(value)}")'


def _numbers(value: Any, source: str, place: str = "") -> Any:
    """Return 5.0 as 5: to the schema both are whole, but names are made of them; refuse what passes every limit.

    Raises:
        AsrmeterError: a number is infinite or none.
    """
    if isinstance(value, dict):
        return {key: _numbers(inner, source, f"{place}{key}.") for key, inner in value.items()}
    if isinstance(value, list):
        return [_numbers(inner, source, f"{place}{number}.") for number, inner in enumerate(value)]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise AsrmeterError(f"{source}: {place.rstrip('.')}: {value} must be a finite number")
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    return value


def _validate(study: dict[str, Any], schema: dict[str, Any], source: str) -> None:
    # Part of Snakemake's own environment; imported here so that reading this module costs nothing.
    import jsonschema

    errors = list(_single(jsonschema.Draft202012Validator(schema).iter_errors(study)))
    if errors:
        places = list(_places(schema))
        lines = [f"{source}: {_explain(error, places)}" for error in errors]
        raise AsrmeterError("\n".join(dict.fromkeys(lines)))


def _single(errors: Iterable[Any]) -> Iterator[Any]:
    """Return errors by place; those of an object by the one schema of several that its `kind` names."""
    for error in sorted(errors, key=lambda error: error.json_path):
        if error.validator != "oneOf":
            yield error
        elif isinstance(error.instance, dict):
            kinds = _kinds(error)
            kind = error.instance.get("kind")
            if kind in kinds:
                yield from _single(inner for inner in error.context if inner.schema_path[0] == kinds.index(kind))
            else:
                yield error


def _places(schema: dict[str, Any], place: str = "") -> Iterator[str]:
    """Return where keys stand; NAME is for those that a study names."""
    for key, inner in schema.get("properties", {}).items():
        yield f"{place}{key}"
        yield from _places(inner, f"{place}{key}.")
    if isinstance(entry := schema.get("additionalProperties"), dict):
        yield from _places(entry, f"{place}NAME.")
    for branch in schema.get("oneOf", []):
        yield from _places(branch, place)


def _explain(error: Any, places: list[str]) -> str:
    """Say in one line where a study is wrong and what is allowed; `places` are those of all keys."""
    place = ".".join(str(part) for part in error.absolute_path)
    prefix = f"{place}: " if place else ""
    value, rule, schema = _shown(error.instance), error.validator_value, error.schema
    match error.validator:
        case "additionalProperties":
            allowed = list(schema["properties"])
            unknown = [
                f"{_shown_name(key)}{_meant(f'{place}.{key}'.lstrip('.'), allowed, places)}"
                for key in sorted(set(error.instance) - set(allowed))
            ]
            return f"{prefix}unknown key {', '.join(unknown)}; allowed are {', '.join(allowed)}"
        case "required":
            missing = [key for key in rule if key not in error.instance]
            return f"{prefix}the key {', '.join(missing)} is missing"
        case "oneOf":
            kinds = _kinds(error)
            if "kind" not in error.instance:
                return f"{prefix}the key kind is missing; it is one of {', '.join(kinds)}"
            return f"{place}.kind: {_not_among(error.instance['kind'], kinds)}"
        case "enum":
            return f"{prefix}{_not_among(error.instance, rule)}"
        case "const":
            return f"{prefix}{value} is not allowed; it must be {rule}"
        case "type":
            words = " or ".join(_WORDS[name] for name in _listed(rule))
            quotes = "string" in _listed(rule) and isinstance(error.instance, bool | int | float)
            return f"{prefix}{value} must be {words}{_quotes(error.instance) if quotes else ''}"
        case "anyOf":
            inner = min(error.context, key=lambda item: (item.validator == "const", -len(item.absolute_path)))
            return f"{_explain(inner, places)}, or {json.dumps(rule[0].get('const'))}"
        case "pattern":
            return f"{prefix}{value} {_PATTERNS.get(rule, _NAME)}{_odd_sign(error.instance)}"
    must = {
        "minimum": f"must be at least {rule}",
        "exclusiveMinimum": f"must be more than {rule}",
        "maximum": f"must be at most {rule}",
        "minItems": "must not be empty",
        "minProperties": "must not be empty",
        "minLength": "must not be empty",
        "maxLength": f"must be at most {rule} signs long",
        "uniqueItems": "must not say anything twice",
    }
    return f"{prefix}{value} {must[error.validator]}"


def _kinds(error: Any) -> list[str]:
    return [branch["properties"]["kind"]["const"] for branch in error.validator_value]


def _not_among(value: Any, allowed: list[Any]) -> str:
    choices = [str(choice) for choice in allowed]
    hint = did_you_mean(value, choices) if isinstance(value, str) else ""
    quotes = _quotes(value) if isinstance(value, bool) else ""
    return f"{_shown(value)} is not allowed{hint}; allowed are {', '.join(choices)}{quotes}"


def _meant(place: str, siblings: list[str], places: list[str]) -> str:
    """Return which key may have been meant by one that is not known where it stands."""
    key = place.rpartition(".")[2]
    if hint := did_you_mean(key, siblings):
        return hint
    elsewhere = [known for known in places if known.rpartition(".")[2] == key]
    return f" (did you mean {elsewhere[0]}?)" if elsewhere and place not in elsewhere else ""


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"


def _shown_name(name: str) -> str:
    return (name if len(name) <= _LONGEST_SHOWN else f"{name[: _LONGEST_SHOWN - 1]}…") + _odd_sign(name)


def _odd_sign(text: str) -> str:
    """Return the first sign of a text that is not ASCII by its name: it may look like one that is."""
    odd = next((sign for sign in text if not sign.isascii()), None)
    return f" ({odd} is U+{ord(odd):04X}, {unicodedata.name(odd, 'without a name').lower()})" if odd else ""


def _branch(value: Any, schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema that holds for a value: of several, the one that its `kind` names."""
    for branch in schema.get("oneOf", []):
        if isinstance(value, dict) and value.get("kind") == branch["properties"]["kind"]["const"]:
            return dict(branch)
    return schema


def _without_nulls(value: Any, schema: dict[str, Any]) -> Any:
    """Take a key that YAML leaves empty for one that is not there, and an empty entry for one that says nothing."""
    schema = _branch(value, schema)
    value = _read(value, schema)
    if isinstance(value, list):
        items: dict[str, Any] = next((choice["items"] for choice in _choices(schema) if "items" in choice), {})
        return [_without_nulls(inner, items) for inner in value]
    if schema.get("type") != "object" or not isinstance(value, dict):
        return value
    kept: dict[str, Any] = {}
    for key, inner in value.items():
        if key not in schema.get("properties", {}):
            entry = schema.get("additionalProperties")
            kept[key] = {} if inner is None and entry else _without_nulls(inner, entry or {})
        elif inner is not None or "null" in schema["properties"][key].get("type", ""):
            kept[key] = _without_nulls(inner, schema["properties"][key])
    return kept


def _read(value: Any, schema: dict[str, Any]) -> Any:
    """Take text for what it says where the schema has no text: `--config key='{...}'` makes text of all inside."""
    types = [name for choice in _choices(schema) for name in _listed(choice.get("type", []))]
    if isinstance(value, str) and types and ("string" not in types or ("null" in types and value == "null")):
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(value)
    return value


def _choices(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [schema, *schema.get("anyOf", [])]


def _listed(types: str | list[str]) -> list[str]:
    return [types] if isinstance(types, str) else types


def _with_defaults(value: Any, schema: dict[str, Any]) -> Any:
    """Fill in the defaults of the schema, keys in the schema's order."""
    schema = _branch(value, schema)
    if schema.get("type") != "object":
        return value
    properties = schema.get("properties", {})
    whole: dict[str, Any] = {}
    for key, inner in properties.items():
        if key in value or "default" in inner:
            whole[key] = _with_defaults(copy.deepcopy(value.get(key, inner.get("default"))), inner)
    for key in value:
        if key not in properties:
            whole[key] = _with_defaults(value[key], schema["additionalProperties"])
    return whole


def _name_and_check(study: dict[str, Any]) -> None:
    """Fill in what follows from other keys, and check what a schema cannot: that things exist and fit together."""
    study["results"] = posixpath.normpath(study["results"])
    if study["results"].startswith("."):
        raise AsrmeterError(f"results: {study['results']} does not lie in the checkout; name a folder in it")
    for name, settings in study["models"].items():
        weights = "local" if settings["path"] else "hub" if settings["id"] else "packaged"
        study["models"][name] = settings = {"weights": weights} | settings
        catalogue.check(name, settings)
    corpus = study["corpus"]
    kind = kinds.kind(corpus["kind"])
    corpus.setdefault("name", kind.name_of(corpus))
    kind.check(corpus)
    protocol = study["protocol"]
    if protocol["min_passes"] > protocol["max_passes"]:
        raise AsrmeterError("protocol.min_passes is more than protocol.max_passes")
    for key in ("budget_s", "energy_window_s"):
        if protocol[key] > protocol["timeout_s"]:
            raise AsrmeterError(
                f"protocol.{key}: {protocol[key]} is more than protocol.timeout_s, {protocol['timeout_s']}, which ends "
                "a cell; raise that"
            )
    if (baseline := study["variants"].get("fp32", {}).get("dtype", "float32")) != "float32":
        raise AsrmeterError(
            f"variants.fp32.dtype: fp32 is the baseline, float32; name a variant in {baseline} otherwise"
        )
    for key in ("durations_s", "batch_sizes"):
        wanted = study["profile"][key]
        for value in [] if wanted == "auto" else wanted:
            if value not in study[key]:
                raise AsrmeterError(f"profile.{key}: {value} is not among {key}: {', '.join(map(str, study[key]))}")
    _check_report(study["report"], study["durations_s"])


def _check_cells(study: dict[str, Any]) -> None:
    """Raise AsrmeterError if a study has no cell, more than can be planned, or names profiles that none can have."""
    # One model, variant and device stand for all: those say nothing of which sizes there are.
    one = study | {"models": ["any"], "variants": ["any"], "devices": ["any"]}
    sizes = len(grid.cells(one))
    limit = study["max_batch_audio_s"]
    if not sizes:
        least = min(study["durations_s"]), min(study["batch_sizes"])
        raise AsrmeterError(
            f"max_batch_audio_s: {limit} leaves no cell; the smallest, {least[0]} s times {least[1]}, has "
            f"{least[0] * least[1]} s of audio"
        )
    n = (
        sizes
        * len(study["models"])
        * len(study["variants"])
        * (2 if study["devices"] == "auto" else len(study["devices"]))
    )
    if n > MOST_CELLS:
        raise AsrmeterError(
            f"{n:,} cells are more than the {MOST_CELLS:,} that can be planned; name fewer models, variants, "
            "durations_s or batch_sizes, or set max_batch_audio_s"
        )
    if [] not in study["profile"].values() and not grid.profiled(one):
        raise AsrmeterError(
            f"profile: max_batch_audio_s, {limit}, leaves none of its cells; name others, or durations_s: [] for none"
        )


def _check_report(report: dict[str, Any], durations_s: list[int]) -> None:
    for name, scenario in report["scenarios"].items():
        if scenario["duration_s"] not in (None, *durations_s):
            raise AsrmeterError(
                f"report.scenarios.{name}.duration_s: {scenario['duration_s']} is not among durations_s: "
                f"{', '.join(map(str, durations_s))}"
            )
    tariff = report["tariff"]
    priced = [tariff["price_per_kwh"], *tariff["price_per_device_hour"].values()]
    if (tariff["currency"] is None) is not all(price is None for price in priced):
        raise AsrmeterError("report.tariff: give a currency with a price, and at least one price with a currency")
