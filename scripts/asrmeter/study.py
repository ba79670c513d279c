"""A study: its schema, its defaults, and errors that say where and what is allowed."""

import contextlib
import copy
import json
import math
from pathlib import Path
from typing import Any

from asrmeter import corpora, machine
from asrmeter.errors import AsrmeterError
from asrmeter.files import read_json
from asrmeter.weights import catalogue

ROOT = Path(__file__).parents[2]
# The complete study beside its results: says whose they are, and is what the report shows.
FILE = "study.json"
SCHEMA = ROOT / "schemas" / "study.schema.json"
_PYTHON: dict[str, Any] = {
    "string": str, "integer": int, "number": int | float, "boolean": bool, "null": type(None), "array": list,
    "object": dict,
}  # fmt: skip
# What a pattern of the schema means, where it is not that of a name.
_PATTERNS = {
    "^[0-9a-f]{40}$": "must be a commit, 40 hexadecimal digits",
    "^[0-9a-f]{64}$": "must be a sha256, 64 hexadecimal digits",
    "^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9._-]+$": "must be of the form owner/name",
}


def complete(study: dict[str, Any], source: str) -> dict[str, Any]:
    """Return the study with every default filled in and `devices: auto` resolved; `device_note` says why it has no GPU.

    Every model has its `weights` then, and the corpus its `name`.

    `source` is the file that it came from, for the messages.

    Raises:
        AsrmeterError: an unknown key, a value that is not allowed, a model or corpus that does not exist.
    """
    schema = json.loads(SCHEMA.read_text())
    # What a complete study says of the machine: study.json of a finished run is a study too.
    study = {key: value for key, value in study.items() if key != "device_note"}
    _check_text(study, source)
    study = _numbers(_without_nulls(study, schema), source)
    _validate(study, schema, source)
    whole = _with_defaults(study, schema)
    try:
        _name_and_check(whole)
    except AsrmeterError as error:
        raise AsrmeterError(f"{source}: {error}") from error
    whole["device_note"] = None
    if whole["devices"] == "auto":
        whole["device_note"] = machine.cuda_missing()
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
    python = tuple(_PYTHON[name] for name in ([types] if isinstance(types, str) else types))
    return python or object


def claim(study: dict[str, Any]) -> None:
    """Raise AsrmeterError if the study's results folder holds the results of another study."""
    owner = (written(study) or study).get("name")
    if owner not in (None, study["name"]):
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


def _check_text(value: Any, source: str, place: str = "") -> None:
    """Raise AsrmeterError at a key that is no text, or a text of several lines: names and paths are made of them."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise AsrmeterError(f'{source}: {place}{key} is no text; put it in quotes ("{key}")')
            _check_text(inner, source, f"{place}{key}.")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            _check_text(inner, source, f"{place}{number}.")
    elif isinstance(value, str) and not value.isprintable():
        raise AsrmeterError(
            f"{source}: {place.rstrip('.')}: {json.dumps(value)} must be one line without control signs"
        )


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

    errors = sorted(jsonschema.Draft202012Validator(schema).iter_errors(study), key=lambda error: error.json_path)
    if errors:
        lines = [f"{source}: {_explain(error)}" for error in errors]
        raise AsrmeterError("\n".join(dict.fromkeys(lines)))


def _explain(error: Any) -> str:
    """Say in one line where a study is wrong and what is allowed."""
    place = ".".join(str(part) for part in error.absolute_path)
    prefix = f"{place}: " if place else ""
    value, rule, schema = json.dumps(error.instance), error.validator_value, error.schema
    match error.validator:
        case "additionalProperties":
            unknown = sorted(set(error.instance) - set(schema["properties"]))
            return f"{prefix}unknown key {', '.join(unknown)}; allowed are {', '.join(schema['properties'])}"
        case "required":
            missing = [key for key in rule if key not in error.instance]
            return f"{prefix}the key {', '.join(missing)} is missing"
        case "oneOf":
            return _explain_kind(error)
        case "enum":
            return f"{prefix}{value} is not allowed; allowed are {', '.join(str(choice) for choice in rule)}"
        case "const":
            return f"{prefix}{value} is not allowed; it must be {rule}"
        case "type":
            wanted = " or ".join(rule) if isinstance(rule, list) else rule
            return f"{prefix}{value} is not of type {wanted}"
        case "anyOf":
            inner = min(error.context, key=lambda item: (item.validator == "const", -len(item.absolute_path)))
            return f"{_explain(inner)}, or {json.dumps(rule[0].get('const'))}"
        case "minimum" | "exclusiveMinimum" | "maximum" | "minItems" | "minProperties" | "uniqueItems" | "pattern":
            words = {
                "minimum": f"must be at least {rule}",
                "exclusiveMinimum": f"must be more than {rule}",
                "maximum": f"must be at most {rule}",
                "minItems": "must not be empty",
                "minProperties": "must not be empty",
                "uniqueItems": "must not say anything twice",
                "pattern": _PATTERNS.get(
                    rule, "may hold only letters, digits, dots, dashes and underscores, and begins with no sign"
                ),
            }
            return f"{prefix}{value} {words[error.validator]}"
    return f"{prefix}{error.message}"


def _explain_kind(error: Any) -> str:
    """Explain what is wrong with an object by the one schema of several that its `kind` names."""
    place = ".".join(str(part) for part in error.absolute_path)
    kinds = [branch["properties"]["kind"]["const"] for branch in error.validator_value]
    if "kind" not in error.instance:
        return f"{place}: the key kind is missing; it is one of {', '.join(kinds)}"
    if error.instance["kind"] not in kinds:
        return f"{place}.kind: {json.dumps(error.instance['kind'])} is not allowed; allowed are {', '.join(kinds)}"
    own = [inner for inner in error.context if inner.schema_path[0] == kinds.index(error.instance["kind"])]
    return _explain(min(own, key=lambda inner: inner.json_path))


def _branch(value: Any, schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema that holds for a value: of several, the one that its `kind` names."""
    for branch in schema.get("oneOf", []):
        if isinstance(value, dict) and value.get("kind") == branch["properties"]["kind"]["const"]:
            return dict(branch)
    return schema


def _without_nulls(value: Any, schema: dict[str, Any]) -> Any:
    """Take a key that YAML leaves empty for one that is not there, and an empty entry for one that says nothing."""
    schema = _branch(value, schema)
    if schema.get("type") != "object" or not isinstance(value, dict):
        return _read(value, schema)
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
    types = schema.get("type", "string")
    if isinstance(value, str) and ("string" not in types or ("null" in types and value == "null")):
        with contextlib.suppress(ValueError):
            return json.loads(value)
    return value


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
    for name, settings in study["models"].items():
        weights = "local" if settings["path"] else "hub" if settings["id"] else "packaged"
        study["models"][name] = settings = {"weights": weights} | settings
        catalogue.check(name, settings)
    corpus = study["corpus"]
    kind = corpora.kind(corpus["kind"])
    corpus.setdefault("name", kind.name_of(corpus))
    kind.check(corpus)
    protocol = study["protocol"]
    if protocol["min_passes"] > protocol["max_passes"]:
        raise AsrmeterError("protocol.min_passes is more than protocol.max_passes")
    for key in ("durations_s", "batch_sizes"):
        wanted = study["profile"][key]
        for value in [] if wanted == "auto" else wanted:
            if value not in study[key]:
                raise AsrmeterError(f"profile.{key}: {value} is not among {key}: {', '.join(map(str, study[key]))}")
    _check_report(study["report"], study["durations_s"])


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
