"""Validation: complete a study from a file, and check it against the model and against further rules."""

import json
import math
import re
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from asrmeter import runtimes
from asrmeter.common.addresses import has_secret
from asrmeter.common.errors import AsrmeterError, few
from asrmeter.machine import cuda
from asrmeter.models import catalogue
from asrmeter.study import grid, messages, reading
from asrmeter.study.model import Protocol, Report, Study

if TYPE_CHECKING:
    from asrmeter.runtimes.base import RuntimeOptions

# More sittings would take minutes to plan and weeks to measure.
MAX_SITTINGS = 100_000
# The rule of Snakemake's PeriodicityDetector. A name has 100 characters at most.
_ENDLESS = re.compile(r"(.{1,5})\1{19}$")


def with_defaults(written: dict[str, Any], source: str, here: bool = True) -> Study:
    """Return the complete study that a file describes: checked, every default filled in, `devices: auto` resolved.

    `source` is the file, for messages. `here` means that cells are measured on this machine. The devices of a cluster's
    nodes are not known here.

    Raises:
        AsrmeterError: an unknown key, a value that is not allowed, a model or corpus that does not exist.
    """
    # The study.json of a finished run is also a valid study. Its note on devices is about that run.
    written = reading.read({key: value for key, value in written.items() if key != "device_note"}, Study)
    is_auto = here and written.get("devices", "auto") == "auto"
    machine = {"cuda_missing": cuda.missing() if is_auto else None} if here else None
    study = from_json(written, source, machine)
    try:
        _check_values(study)
    except AsrmeterError as error:
        raise AsrmeterError(f"{source}: {error}") from error
    return study.model_copy(update=machine and {"device_note": machine["cuda_missing"]})


def from_json(written: dict[str, Any], source: str, machine: dict[str, str | None] | None = None) -> Study:
    """Return the study that JSON describes, checked against the model alone.

    `machine` has its `cuda_missing`, and is needed if the study's devices are `auto`.

    Raises:
        AsrmeterError: an unknown key, or a value that is not allowed.
    """
    _check_json_types(written, source)
    written = _normalise_numbers(written, source)
    try:
        # As in JSON: values are not converted to another type, except lists to tuples.
        return Study.model_validate_json(json.dumps(written), strict=True, context=machine)
    except ValidationError as error:
        raise AsrmeterError(*(f"{source}: {line}" for line in messages.describe(error))) from error


def _check_json_types(value: Any, source: str, place: str = "") -> None:
    """Raise AsrmeterError for a value that JSON lacks, a key that is not text, and text with several lines.

    Keys and texts become names and paths.
    """
    where = f"{source}: {place.rstrip('.')}"
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise AsrmeterError(f"{source}: {place}{key} is not text{messages.quoting_hint(key)}")
            if not key.isprintable():
                raise AsrmeterError(f"{source}: {place}{json.dumps(key)} must be one line without control characters")
            _check_json_types(inner, source, f"{place}{key}.")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            _check_json_types(inner, source, f"{place}{number}.")
    elif isinstance(value, str) and not value.isprintable():
        raise AsrmeterError(f"{where}: {json.dumps(value)} must be one line without control characters")
    elif isinstance(value, str) and has_secret(value):
        raise AsrmeterError(
            f"{where}: {value} must not contain a password or token: all results of a study would show it"
        )
    elif not isinstance(value, str | int | float | None):
        raise AsrmeterError(f"{where}: {value} is taken for a {type(value).__name__}{messages.quoting_hint(value)}")


def _normalise_numbers(value: Any, source: str, place: str = "") -> Any:
    """Return 5.0 as 5, because names and options of jobs contain numbers.

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


def _check_values(study: Study) -> None:
    """Raise AsrmeterError for mistakes beyond types: a wrong place, model or corpus, or contradicting keys."""
    parts = study.results.split("/")
    if parts[0] in (".", ".."):
        raise AsrmeterError(f"results: {study.results} is not in the checkout; name a folder in it")
    if hidden := next((part for part in parts if part.startswith(".")), None):
        raise AsrmeterError(
            f"results: {study.results}: {hidden} is hidden and may belong to another program; name a folder in the "
            "checkout that does not begin with a dot"
        )
    for key in ("models", "variants"):
        for name in getattr(study, key):
            if _ENDLESS.search(name):
                raise AsrmeterError(
                    f"{key}.{name}: ends with 20 or more repetitions of the same letters, which Snakemake mistakes for "
                    "an endless loop; shorten the name"
                )
    for name, settings in study.models.items():
        catalogue.check(name, settings)
    study.corpus.check()
    _check_protocol(study.protocol)
    for name, variant in study.variants.items():
        try:
            variant.check()
        except AsrmeterError as error:
            raise AsrmeterError(f"variants.{name}.{error}") from error
    baseline = study.variants.get("fp32")
    if baseline is not None and not _is_baseline(baseline):
        dtype = baseline.wanted_dtype
        raise AsrmeterError(
            f"variants.fp32.dtype: fp32 is the baseline, float32; give the variant in {dtype} another name"
            if dtype not in (None, "float32")
            else "variants.fp32: fp32 is the baseline, in float32 by transformers; give this variant another name"
        )
    for key, profiled, measured in (
        ("durations_s", study.profile.durations_s, study.durations_s),
        ("batch_sizes", study.profile.batch_sizes, study.batch_sizes),
    ):
        for value in () if profiled == "auto" else profiled:
            if value not in measured:
                raise AsrmeterError(f"profile.{key}: {value} is not among {key}: {few(measured, 20)}")
    _check_report(study.report, study.durations_s, has_load=study.load is not None)
    _check_cells(study)
    _check_load(study)


def _is_baseline(variant: "RuntimeOptions") -> bool:
    """Return whether a variant is transformers in float32, with any attention."""
    usual = runtimes.options_of(runtimes.DEFAULT_RUNTIME)().as_json()
    return variant.as_json() | {"attention": None} == usual | {"attention": None}


def _check_protocol(protocol: Protocol) -> None:
    for key, value in (("budget_s", protocol.budget_s), ("energy_window_s", protocol.energy_window_s)):
        if value is not None and value > protocol.timeout_s:
            raise AsrmeterError(
                f"protocol.{key}: {value} is more than protocol.timeout_s, {protocol.timeout_s}, which ends a cell; "
                "raise that"
            )


def _check_cells(study: Study) -> None:
    """Raise AsrmeterError if a study has no cell, too many, or asks for profiles of cells that it does not have."""
    # Every model, variant and device has the same sizes, so one of each is enough.
    first_model, first_variant = next(iter(study.models.items())), next(iter(study.variants.items()))
    one = study.model_copy(
        update={"models": dict([first_model]), "variants": dict([first_variant]), "devices": study.devices[:1]}
    )
    sizes = len(grid.cells(one))
    limit = study.max_batch_audio_s
    if not sizes:
        duration_s, batch_size = min(study.durations_s), min(study.batch_sizes)
        raise AsrmeterError(
            f"max_batch_audio_s: {limit} leaves no cell; the smallest, {duration_s} s times {batch_size}, has "
            f"{duration_s * batch_size} s of audio"
        )
    n = sizes * len(study.models) * len(study.variants) * len(study.devices)
    laps, minutes, timeout_s = study.protocol.laps, study.protocol.minutes, study.protocol.timeout_s
    if n * laps > MAX_SITTINGS:
        raise AsrmeterError(
            f"{n:,} cells in {laps} lap{'s' if laps > 1 else ''} are more than the {MAX_SITTINGS:,} that can be "
            "planned; name fewer models, variants, durations_s or batch_sizes, or set max_batch_audio_s, or fewer laps"
        )
    if minutes and 60 * minutes / (n * laps) > timeout_s:
        raise AsrmeterError(
            f"protocol.minutes: {minutes} is {60 * minutes / (n * laps):.0f} s for each cell in each lap, more than "
            f"protocol.timeout_s, {timeout_s}, which ends it; raise that"
        )
    if () not in (study.profile.durations_s, study.profile.batch_sizes) and not grid.profiled(one):
        raise AsrmeterError(
            f"profile: max_batch_audio_s, {limit}, leaves no cell to profile; name other sizes, or durations_s: [] for "
            "none"
        )


def _check_load(study: Study) -> None:
    """Raise AsrmeterError if a load test names something outside the study, or no cell can predict it."""
    if (load := study.load) is None:
        return
    for key, known in (("models", study.models), ("variants", study.variants), ("devices", study.devices)):
        for name in getattr(load, key) or ():
            if name not in known:
                raise AsrmeterError(f"load.{key}: {name} is not among {key}: {few(list(known), 20)}")
    if load.segments_s not in (None, *study.durations_s):
        raise AsrmeterError(
            f"load.segments_s: {load.segments_s} is not among durations_s: {few(study.durations_s, 20)}"
        )
    if not grid.behind_load(study, grid.of_load(study)[0]):
        raise AsrmeterError(
            f"load.max_batch: {load.max_batch} is less than every batch size of its class, so no cell predicts "
            "where to search; add one to batch_sizes (1)"
        )


def _check_report(report: Report, durations_s: tuple[int, ...], has_load: bool) -> None:
    for name, scenario in report.scenarios.items():
        asks_load = {"load_per_s": scenario.load_per_s is not None, "prefer": scenario.prefer == "capacity"}
        if not has_load and (key := next((key for key, asks in asks_load.items() if asks), None)):
            raise AsrmeterError(
                f"report.scenarios.{name}.{key}: a capacity needs the key load, which the study does not have; add it "
                "(load: {})"
            )
        if scenario.duration_s not in (None, *durations_s):
            raise AsrmeterError(
                f"report.scenarios.{name}.duration_s: {scenario.duration_s} is not among durations_s: "
                f"{few(durations_s, 20)}"
            )
    if report.embed_audio and report.transcripts == "none":
        raise AsrmeterError(
            "report.embed_audio: true puts speech into the report, and report.transcripts: none excludes all texts; "
            "change one of them"
        )
    tariff = report.tariff
    priced = [tariff.price_per_kwh, tariff.price_per_device_hour.cpu, tariff.price_per_device_hour.cuda]
    if (tariff.currency is None) is not all(price is None for price in priced):
        raise AsrmeterError("report.tariff: give a currency with a price, and at least one price with a currency")
