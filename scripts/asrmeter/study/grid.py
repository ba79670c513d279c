"""From a study to its cells: which there are, in which order, and on what each depends. Standard library only."""

import dataclasses
import hashlib
import itertools
import json
import os
import random
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Self

from asrmeter.common.constants import STOP_RULE
from asrmeter.common.errors import AsrmeterError
from asrmeter.corpora import kinds
from asrmeter.models import catalogue

# Raised when building a corpus or a model folder comes to mean something else: cells that use it are measured again.
CORPUS_VERSION = 1
FOLDER_VERSION = 1
# Raised when profiles, or the ceilings of a machine, come to mean something else.
PROFILE_VERSION = 1
CEILINGS_VERSION = 1


# What the file of a second measurement has in its name.
AGAIN = "-again"
# Keys of `protocol` that do not change what a cell measures: which cells are tried, how often, and for how long.
_NOT_OF_A_CELL = ("timeout_s", "aa_pairs", "larger_than_oom")
# A Whisper's window: longer segments take several, which say nothing that one does not.
LONGEST_USUAL_S = 30


@dataclasses.dataclass(frozen=True)
class Keys:
    """Digests of what models, by their names, and the corpus have to be made of: {"models": {...}, "corpus": ...}."""

    models: dict[str, str] = dataclasses.field(default_factory=dict)
    corpus: str | None = None

    @classmethod
    def read(cls, text: str) -> Self:
        """Return the keys that stand in JSON."""
        return cls(**json.loads(text))


NO_KEYS = Keys()


@dataclasses.dataclass(frozen=True, order=True)
class Cell:
    """One (model, variant, device, duration, batch): one job, one file. `again`: its second measurement."""

    model: str
    variant: str
    device: str
    duration_s: int
    batch_size: int
    again: bool = False

    @property
    def id(self) -> str:
        """The cell's path below `measurements/`, without its ending."""
        name = f"{self.duration_s}s-b{self.batch_size}{AGAIN if self.again else ''}"
        return f"{self.model}/{self.variant}/{self.device}/{name}"


def order(study: dict[str, Any]) -> list[Cell]:
    """Return all measurements of a complete study in the order in which they are made.

    Shuffled by the study's seed, so that a drift of the machine does not fall on one model; only that of the cells
    that differ in batch size alone the smaller come first, to find out what does not fit at the least price. The pairs
    that show the noise floor are the first and the last ones, so that a drift shows in them.
    """
    grid = cells(study)
    random.Random(study["seed"]).shuffle(grid)
    of_group: dict[tuple[Any, ...], list[Cell]] = {}
    for cell in grid:
        of_group.setdefault(_group(cell), []).append(cell)
    by_batch_size = {group: iter(sorted(members)) for group, members in of_group.items()}
    shuffled = [next(by_batch_size[_group(cell)]) for cell in grid]
    pairs = aa_pairs(study)
    twice = {first for first, _ in pairs}
    return [
        *(first for first, _ in pairs),
        *(cell for cell in shuffled if cell not in twice),
        *(again for _, again in pairs),
    ]


def aa_pairs(study: dict[str, Any]) -> list[tuple[Cell, Cell]]:
    """Return the cells that are measured twice (A/A), `protocol.aa_pairs` of each device: (first, again).

    The shortest ones, where noise weighs most and a second measurement costs least.
    """
    twice: list[Cell] = []
    for device in study["devices"]:
        own = [cell for cell in cells(study) if cell.device == device]
        twice += sorted(own, key=lambda cell: cell.duration_s * cell.batch_size)[: study["protocol"]["aa_pairs"]]
    return [(cell, dataclasses.replace(cell, again=True)) for cell in twice]


def _group(cell: Cell) -> tuple[Any, ...]:
    return cell.model, cell.variant, cell.device, cell.duration_s


def cells(study: dict[str, Any]) -> list[Cell]:
    """Return the cells of a complete study."""
    limit = study["max_batch_audio_s"]
    grid = itertools.product(
        study["models"], study["variants"], study["devices"], study["durations_s"], study["batch_sizes"]
    )
    return [
        cell for cell in itertools.starmap(Cell, grid) if limit is None or cell.duration_s * cell.batch_size <= limit
    ]


def usual_duration(durations_s: Collection[int]) -> int:
    """Return the duration class (s) that stands for all where one has to: the longest of at most 30 s, or the shortest.

    30 s is Whisper's window: what is shorter is padded to it, what is longer takes several.
    """
    return max((duration_s for duration_s in durations_s if duration_s <= LONGEST_USUAL_S), default=min(durations_s))


def profiled(study: dict[str, Any]) -> list[Cell]:
    """Return the cells whose operators are profiled, in a job of their own (`profile` in the study's schema).

    Unless the study says which: of each model, variant and device the usual duration class at its smallest and its
    largest batch size.
    """
    wanted = study["profile"]
    grid = cells(study)
    usual = wanted["durations_s"] == "auto"
    durations_s = [usual_duration({cell.duration_s for cell in grid})] if usual else wanted["durations_s"]
    found = [cell for cell in grid if cell.duration_s in durations_s]
    if wanted["batch_sizes"] != "auto":
        return [cell for cell in found if cell.batch_size in wanted["batch_sizes"]]
    sizes: dict[tuple[Any, ...], list[int]] = {}
    for cell in found:
        sizes.setdefault(_group(cell), []).append(cell.batch_size)
    return [cell for cell in found if cell.batch_size in (min(sizes[_group(cell)]), max(sizes[_group(cell)]))]


def options(study: dict[str, Any], cell: Cell, model_key: str, corpus_key: str) -> list[str]:
    """Return the options of `measure.py` that decide what a cell measures.

    When they change the cell is measured again.
    """
    protocol = {key: value for key, value in study["protocol"].items() if key not in _NOT_OF_A_CELL}
    return _options(study, cell, model_key, corpus_key, protocol)


def profile_options(study: dict[str, Any], cell: Cell, model_key: str, corpus_key: str) -> list[str]:
    """Return the options of `profile_operators.py` that decide what a profile shows; see `options`."""
    protocol = {"version": PROFILE_VERSION, "timed_batches": study["protocol"]["timed_batches"]}
    return _options(study, cell, model_key, corpus_key, protocol)


def _options(study: dict[str, Any], cell: Cell, model_key: str, corpus_key: str, protocol: dict[str, Any]) -> list[str]:
    values = {
        "model": cell.model,
        "model-key": model_key,
        "corpus-key": corpus_key,
        "variant": cell.variant,
        "variant-options": json.dumps(study["variants"][cell.variant]),
        "device": cell.device,
        "duration-s": cell.duration_s,
        "batch-size": cell.batch_size,
        "threads": study["threads"],
        "seed": study["seed"],
        "protocol": json.dumps(protocol),
    }
    return [f"--{name}={value}" for name, value in values.items()]


def check_records(study: dict[str, Any], headers: Mapping[Path, tuple[Cell, Mapping[str, Any]]], keys: Keys) -> None:
    """Raise AsrmeterError if a record is of something else than a complete study plans for its cell.

    `headers` are those of cells' files or profiles. What an older one does not tell is taken for right, and so is
    what there is no key for.
    """
    others = {
        path: why for path, (cell, header) in headers.items() if (why := _misfit(_planned(study, cell, keys), header))
    }
    if others:
        first, why = next(iter(others.items()))
        all_alike = len(others) == len(headers) > 1
        to_delete = os.path.commonpath(others) if all_alike else ", ".join(map(str, others))
        raise AsrmeterError(
            f"{first}: is of another study or version ({why}), as {len(others)} of {len(headers)} are; "
            f"delete {to_delete} and run again"
        )


def _planned(study: dict[str, Any], cell: Cell, keys: Keys) -> dict[str, Any]:
    """Return what the header of a cell's record, or profile, has to hold."""
    protocol = study["protocol"]
    return {
        **{field.name: getattr(cell, field.name) for field in dataclasses.fields(cell) if field.name != "again"},
        "options": study["variants"].get(cell.variant),
        "threads": None if study["threads"] == "auto" else int(study["threads"]),
        "seed": study["seed"],
        "protocol": protocol["version"],
        "profile_version": PROFILE_VERSION,
        "n_timed_batches": protocol["timed_batches"],
        "stop_rule": {name: protocol[name] for name in STOP_RULE},
        "energy_window_s": protocol["energy_window_s"],
        "corpus": study["corpus"]["name"],
        "model_key": keys.models.get(cell.model),
        "corpus_key": keys.corpus,
    }


def _misfit(planned: Mapping[str, Any], header: Mapping[str, Any]) -> str | None:
    for name, value in planned.items():
        own = header.get(name)
        if None not in (own, value) and own != value:
            return f"{name} {json.dumps(own)}, where {json.dumps(value)} is planned"
    return None


def corpus_key(study: dict[str, Any]) -> str:
    """Return a digest of all that decides what audio a duration class holds."""
    options = study["corpus"]
    # What the selection must be does not change what it is.
    chosen_by = {key: value for key, value in options.items() if key != "selection_sha256"}
    return _digest(CORPUS_VERSION, chosen_by, study["seed"], kinds.kind(options["kind"]).made_of(options))


def model_key(study: dict[str, Any], model: str) -> str:
    """Return a digest of all that decides what a model folder holds."""
    settings = study["models"][model]
    seed = study["seed"] if settings["weights"] == "random" else None
    return _digest(FOLDER_VERSION, settings["weights"], seed, catalogue.made_of(model, settings))


def recorded_key(record: Path) -> str | None:
    """Return the key of what a folder was made of, as its record has it; None where there is none."""
    try:
        key: str | None = json.loads(record.read_text()).get("key")
    except (OSError, ValueError):
        return None
    return key


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
