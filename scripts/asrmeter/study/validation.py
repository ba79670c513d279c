"""A complete study: defaults filled in, checked against the schema, and against what a schema cannot express."""

import json
import math
import posixpath
from typing import Any

from asrmeter.common.errors import AsrmeterError
from asrmeter.corpora import kinds
from asrmeter.machine import cuda
from asrmeter.models import catalogue
from asrmeter.study import grid, json_schema, messages

# Planning more takes minutes, and measuring them weeks.
MAX_CELLS = 100_000


def with_defaults(study: dict[str, Any], source: str, here: bool = True) -> dict[str, Any]:
    """Return the study with every default filled in and checked, and with `devices: auto` resolved.

    In a complete study each model has its `weights`, the corpus has its `name`, and `device_note` says why there is no
    GPU. `source` is the file of the study, for messages. `here`: cells are measured on this machine, and not on the
    nodes of a cluster, whose devices are not known here.

    Raises:
        AsrmeterError: an unknown key, a value that is not allowed, a model or corpus that does not exist.
    """
    schema = json_schema.load()
    # The study.json of a finished run is a valid study too; its note on devices is about that run.
    study = {key: value for key, value in study.items() if key != "device_note"}
    study = json_schema.drop_empty(study, schema)
    _check_json_types(study, source)
    study = _normalise_numbers(study, source)
    _check_schema(study, schema, source)
    complete = json_schema.fill_defaults(study, schema)
    try:
        _derive_values(complete)
        _check_values(complete)
    except AsrmeterError as error:
        raise AsrmeterError(f"{source}: {error}") from error
    complete["device_note"] = None
    if complete["devices"] == "auto":
        if not here:
            raise AsrmeterError(
                f"{source}: devices: auto looks at this machine, and --jobs is for a cluster; name the devices of its "
                "nodes (devices: [cpu, cuda], or --config devices=[cpu,cuda]), or leave --jobs out to measure here"
            )
        complete["device_note"] = cuda.missing()
        complete["devices"] = ["cpu"] if complete["device_note"] else ["cpu", "cuda"]
    return complete


def _check_json_types(value: Any, source: str, place: str = "") -> None:
    """Raise AsrmeterError at a value that JSON does not have, at a key that is not text, and at text of several lines.

    Names and paths are made of keys and texts.
    """
    where = f"{source}: {place.rstrip('.')}"
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise AsrmeterError(
                    f"{source}: {place}{messages.printable(key)} is not text{messages.quoting_hint(key)}"
                )
            if not key.isprintable():
                raise AsrmeterError(f"{source}: {place}{json.dumps(key)} must be one line without control characters")
            _check_json_types(inner, source, f"{place}{key}.")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            _check_json_types(inner, source, f"{place}{number}.")
    elif isinstance(value, str) and not value.isprintable():
        raise AsrmeterError(f"{where}: {json.dumps(value)} must be one line without control characters")
    elif not isinstance(value, str | int | float | None):
        raise AsrmeterError(
            f"{where}: {messages.printable(value)} is taken for a {type(value).__name__}{messages.quoting_hint(value)}"
        )


def _normalise_numbers(value: Any, source: str, place: str = "") -> Any:
    """Return 5.0 as 5: the schema takes both for a whole number, but names are made of them.

    Raises:
        AsrmeterError: a number is infinite or not a number.
    """
    if isinstance(value, dict):
        return {key: _normalise_numbers(inner, source, f"{place}{key}.") for key, inner in value.items()}
    if isinstance(value, list):
        return [_normalise_numbers(inner, source, f"{place}{number}.") for number, inner in enumerate(value)]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise AsrmeterError(f"{source}: {place.rstrip('.')}: {value} must be a finite number")
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    return value


def _check_schema(study: dict[str, Any], schema: dict[str, Any], source: str) -> None:
    # Imported here: reading this module then costs nothing where nothing is validated.
    import jsonschema

    errors = list(jsonschema.Draft202012Validator(schema).iter_errors(study))
    if errors:
        raise AsrmeterError("\n".join(f"{source}: {line}" for line in messages.describe(errors, schema)))


def _derive_values(study: dict[str, Any]) -> None:
    """Fill in the values whose default depends on other keys."""
    study["results"] = posixpath.normpath(study["results"])
    for name, settings in study["models"].items():
        weights = "local" if settings["path"] else "hub" if settings["id"] else "packaged"
        study["models"][name] = {"weights": weights} | settings
    corpus = study["corpus"]
    corpus.setdefault("name", kinds.kind(corpus["kind"]).default_name(corpus))


def _check_values(study: dict[str, Any]) -> None:
    """Raise AsrmeterError at what a schema cannot express: a place, model or corpus that is wrong, keys at odds."""
    if study["results"].startswith("."):
        raise AsrmeterError(f"results: {study['results']} is not in the checkout; name a folder in it")
    for name, settings in study["models"].items():
        catalogue.check(name, settings)
    kinds.kind(study["corpus"]["kind"]).check(study["corpus"])
    _check_protocol(study["protocol"])
    if (baseline := study["variants"].get("fp32", {}).get("dtype", "float32")) != "float32":
        raise AsrmeterError(
            f"variants.fp32.dtype: fp32 is the baseline, float32; give the variant in {baseline} another name"
        )
    for key in ("durations_s", "batch_sizes"):
        profiled = study["profile"][key]
        for value in [] if profiled == "auto" else profiled:
            if value not in study[key]:
                raise AsrmeterError(f"profile.{key}: {value} is not among {key}: {', '.join(map(str, study[key]))}")
    _check_report(study["report"], study["durations_s"])
    _check_cells(study)


def _check_protocol(protocol: dict[str, Any]) -> None:
    if protocol["min_passes"] > protocol["max_passes"]:
        raise AsrmeterError("protocol.min_passes is more than protocol.max_passes")
    for key in ("budget_s", "energy_window_s"):
        if protocol[key] > protocol["timeout_s"]:
            raise AsrmeterError(
                f"protocol.{key}: {protocol[key]} is more than protocol.timeout_s, {protocol['timeout_s']}, which ends "
                "a cell; raise that"
            )


def _check_cells(study: dict[str, Any]) -> None:
    """Raise AsrmeterError if a study has no cell, too many, or asks for profiles of cells that it does not have."""
    # Every model, variant and device has the same sizes, so that one of each is enough.
    one = study | {"models": ["any"], "variants": ["any"], "devices": ["any"]}
    sizes = len(grid.cells(one))
    limit = study["max_batch_audio_s"]
    if not sizes:
        duration_s, batch_size = min(study["durations_s"]), min(study["batch_sizes"])
        raise AsrmeterError(
            f"max_batch_audio_s: {limit} leaves no cell; the smallest, {duration_s} s times {batch_size}, has "
            f"{duration_s * batch_size} s of audio"
        )
    n = (
        sizes
        * len(study["models"])
        * len(study["variants"])
        * (2 if study["devices"] == "auto" else len(study["devices"]))
    )
    if n > MAX_CELLS:
        raise AsrmeterError(
            f"{n:,} cells are more than the {MAX_CELLS:,} that can be planned; name fewer models, variants, "
            "durations_s or batch_sizes, or set max_batch_audio_s"
        )
    if [] not in study["profile"].values() and not grid.profiled(one):
        raise AsrmeterError(
            f"profile: max_batch_audio_s, {limit}, leaves no cell to profile; name other sizes, or durations_s: [] for "
            "none"
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
