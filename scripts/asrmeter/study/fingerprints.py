"""Fingerprints: the dependencies of cells, profiles, silence records, model folders and corpora.

Options are derived from a study in the form of `study.json`, because the retry job has no pydantic.
"""

import dataclasses
import functools
import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from asrmeter import runtimes
from asrmeter.common.errors import AsrmeterError, few
from asrmeter.common.paths import REQUIREMENTS
from asrmeter.common.typed_json import JsonObject
from asrmeter.models import catalogue
from asrmeter.study.grid import Cell, Sitting
from asrmeter.study.layouts import LayoutRun

if TYPE_CHECKING:
    from asrmeter.runtimes.base import Conversion
    from asrmeter.study.model import Study

# Raise this when a built corpus or model folder changes its meaning. Cells that use it are then measured again.
CORPUS_VERSION = 3
FOLDER_VERSION = 2
# Raise this when a converted model folder changes its meaning.
CONVERSION_VERSION = 1
# Raise these when profiles or the ceilings of a machine change their meaning.
PROFILE_VERSION = 2
CEILINGS_VERSION = 1
# Raise this when the clips without speech or their transcription change their meaning.
SILENCE_VERSION = 1
# Raise this when load tests change their meaning.
LOAD_VERSION = 1
# Raise this when layout measurements change their meaning.
LAYOUT_VERSION = 1

# Seconds for which the processes of a layout run passes, if the study gives its cells no budget.
LAYOUT_BUDGET_S = 10

# Keys of `protocol` that decide what a sitting measures. The other keys select cells, laps and time limits: another lap
# measures nothing again.
_OF_A_SITTING = ("version", "minutes", "budget_s", "target", "max_passes", "energy_window_s")
# Keys of `load` that decide what a load test measures. The other keys select what is tested.
_OF_A_LOAD = ("duration_s", "target_latency_s", "percentile", "max_batch", "max_wait_ms", "minutes")
# A study gives one of these, and the other is null.
_TIMES = ("minutes", "budget_s")


@dataclasses.dataclass(frozen=True)
class Fingerprints:
    """Expected digests of the sources of each model folder, by the model's name, and of the corpus.

    `conversions` are those of converted folders, by model and format (`whisper-base/ctranslate2-int8`).
    """

    models: dict[str, str] = dataclasses.field(default_factory=dict)
    corpus: str | None = None
    conversions: dict[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the fingerprints that `to_json` wrote."""
        return cls(**json.loads(text))

    def to_json(self) -> str:
        """Return them as JSON, for a command line."""
        return json.dumps(dataclasses.asdict(self))


NO_FINGERPRINTS = Fingerprints()


def fingerprints_of(study: "Study") -> Fingerprints:
    """Return the fingerprints of a complete study."""
    models = {model: model_fingerprint(study, model) for model in study.models}
    formats = {made.format: made for variant in study.variants.values() if (made := variant.conversion())}
    conversions = {
        f"{model}/{name}": _conversion_fingerprint(fingerprint, made)
        for model, fingerprint in models.items()
        for name, made in formats.items()
    }
    return Fingerprints(models, corpus_fingerprint(study), conversions)


def measure_options(study: JsonObject, sitting: Sitting, made_of: Fingerprints) -> list[str]:
    """Return the options of `measure.py` that decide what a sitting measures. A change of them repeats the measurement.

    `study` is complete, in the form of `study.json`.
    """
    values = {key: study["protocol"][key] for key in _OF_A_SITTING}
    protocol = {key: value for key, value in values.items() if value is not None}
    return [f"--lap={sitting.lap}", *_options(study, sitting.cell, made_of, protocol)]


def profile_options(study: JsonObject, cell: Cell, made_of: Fingerprints) -> list[str]:
    """Return the options of `profile_operators.py` that decide what a profile shows: see `measure_options`."""
    return _options(study, cell, made_of, {"version": PROFILE_VERSION})


def silence_options(study: JsonObject, cell: Cell, made_of: Fingerprints) -> list[str]:
    """Return the options of `hear_silence.py` that decide the transcripts of silence: see `measure_options`.

    All cells of a model and variant on a device have the same.
    """
    options = _options(study, cell, made_of, {"version": SILENCE_VERSION})
    return [option for option in options if not option.startswith(("--duration-s=", "--batch-size="))]


def load_options(study: JsonObject, tested: Cell, made_of: Fingerprints) -> list[str]:
    """Return the options of `measure_load.py` that decide what a load test measures: see `measure_options`.

    `tested` is one of `grid.load_tested`.
    """
    return [
        *_options(study, tested, made_of, {"version": LOAD_VERSION}),
        f"--load={json.dumps(settings_of_load(study))}",
    ]


def settings_of_load(study: JsonObject) -> JsonObject:
    """Return the part of a study's `load` on which load tests and their predictions depend."""
    return {key: study["load"][key] for key in _OF_A_LOAD}


def layout_options(study: JsonObject, run: LayoutRun, made_of: Fingerprints) -> list[str]:
    """Return the options of `measure_layout.py` that decide what a layout measures in a lap: see `measure_options`."""
    protocol = {"version": LAYOUT_VERSION, "budget_s": study["protocol"]["budget_s"] or LAYOUT_BUDGET_S}
    options = _options({**study, "threads": run.threads}, run.cell, made_of, protocol)
    return [f"--lap={run.lap}", f"--processes={run.processes}", *options]


def _options(study: JsonObject, cell: Cell, made_of: Fingerprints, protocol: dict[str, Any]) -> list[str]:
    values = {
        "model": cell.model,
        "model-key": made_of.models[cell.model],
        "corpus-key": made_of.corpus,
        "variant": cell.variant,
        "variant-options": json.dumps(study["variants"][cell.variant]),
        "device": cell.device,
        "duration-s": cell.duration_s,
        "batch-size": cell.batch_size,
        "threads": study["threads"],
        "seed": study["seed"],
        "protocol": json.dumps(protocol),
    }
    if conversion := runtimes.variant_options(study["variants"][cell.variant]).conversion():
        values["conversion-key"] = made_of.conversions[f"{cell.model}/{conversion.format}"]
    return [f"--{name}={value}" for name, value in values.items()]


def check_records(
    study: "Study", headers: Mapping[Path, tuple[Sitting | LayoutRun | Cell, object]], made_of: Fingerprints
) -> None:
    """Raise AsrmeterError if the header of a record, profile or similar file differs from the plan of a complete study.

    A record belongs to a sitting or to a layout in a lap, a profile to a cell, and a silence record to any cell of its
    model and variant. The attributes of the header identify it. An attribute that an older header lacks counts as
    correct, and so does a model or corpus without a fingerprint.
    """
    others = {
        path: why
        for path, (of, header) in headers.items()
        if (why := _difference(_planned(study, of, made_of), header))
    }
    if others:
        first, why = next(iter(others.items()))
        all_alike = len(others) == len(headers) > 1
        to_delete = os.path.commonpath(others) if all_alike else few(list(others))
        raise AsrmeterError(
            f"{first}: belongs to another study or version ({why}), as {len(others)} of {len(headers)} are; "
            f"delete {to_delete} and run again"
        )


def _planned(study: "Study", of: Sitting | LayoutRun | Cell, made_of: Fingerprints) -> dict[str, Any]:
    """Return the expected header of a record or of a cell's profile."""
    cell, lap = (of, None) if isinstance(of, Cell) else (of.cell, of.lap)
    layout: dict[str, Any] = {}
    if isinstance(of, LayoutRun):
        layout = {"processes": of.processes, "threads": of.threads, "layout_version": LAYOUT_VERSION}
        layout |= {"minutes": None, "budget_s": study.protocol.budget_s or LAYOUT_BUDGET_S}
    protocol, variant = study.protocol, study.variants.get(cell.variant)
    conversion = variant.conversion() if variant else None
    return {
        **vars(cell),
        "lap": lap,
        "options": variant.as_json() if variant else None,
        "threads": None if study.threads == "auto" else study.threads,
        "seed": study.seed,
        "protocol": protocol.version,
        "profile_version": PROFILE_VERSION,
        "silence_version": SILENCE_VERSION,
        "load_version": LOAD_VERSION,
        "load": settings_of_load(study.as_json()) if study.load else None,
        **{key: getattr(protocol, key) for key in _OF_A_SITTING if key != "version"},
        "corpus": study.corpus.name,
        "model_key": made_of.models.get(cell.model),
        "corpus_key": made_of.corpus,
        "conversion_key": made_of.conversions.get(f"{cell.model}/{conversion.format}") if conversion else None,
        **layout,
    }


def _difference(planned: Mapping[str, Any], header: object) -> str | None:
    says_time = any(getattr(header, name, None) is not None for name in _TIMES)
    for name, value in planned.items():
        own = getattr(header, name, None)
        if own != value and (None not in (own, value) or (name in _TIMES and says_time)):
            return f"{name} {json.dumps(own)}, but {json.dumps(value)} is planned"
    return None


def corpus_fingerprint(study: "Study") -> str:
    """Return a digest of everything that decides the audio of a duration class."""
    # The expected hash of the selection only checks it.
    chosen_by = {key: value for key, value in study.corpus.as_json().items() if key != "selection_sha256"}
    return _digest(CORPUS_VERSION, chosen_by, study.seed, study.corpus.fingerprint_inputs())


def model_fingerprint(study: "Study", model: str) -> str:
    """Return a digest of everything that decides the content of a model folder."""
    settings = study.models[model]
    seed = study.seed if settings.weights == "random" else None
    return _digest(FOLDER_VERSION, settings.weights, seed, catalogue.fingerprint_inputs(model, settings))


def _conversion_fingerprint(model: str, conversion: "Conversion") -> str:
    """Return a digest of everything that decides the conversion of a model folder with this fingerprint."""
    versions = {name: pinned_versions()[name] for name in conversion.packages}
    return _digest(CONVERSION_VERSION, model, conversion.format, dict(conversion.settings), versions)


@functools.cache
def pinned_versions() -> dict[str, str]:
    """Return the versions that requirements/ pins, by package."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(REQUIREMENTS.glob("*.in")))
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", text, re.MULTILINE))


def recorded_fingerprint(record: Path) -> str | None:
    """Return the fingerprint in the JSON record of a folder; None if there is no record."""
    try:
        fingerprint: str | None = json.loads(record.read_text(encoding="utf-8")).get("key")
    except (OSError, ValueError):
        return None
    return fingerprint


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
