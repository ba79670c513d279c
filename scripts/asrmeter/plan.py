"""From a study to its cells: which there are, in which order, and on what each depends. Standard library only."""

import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrmeter import packages as pinned
from asrmeter.corpora import packages
from asrmeter.weights.catalogue import catalogue

# Raised when building a corpus or a model folder comes to mean something else: cells that use it are measured again.
CORPUS_VERSION = 1
FOLDER_VERSION = 1


@dataclass(frozen=True, order=True)
class Cell:
    """One (model, variant, device, duration, batch): one job, one file."""

    model: str
    variant: str
    device: str
    duration_s: int
    batch_size: int

    @property
    def id(self) -> str:
        """The cell's path below `measurements/`, without its ending."""
        return f"{self.model}/{self.variant}/{self.device}/{self.duration_s}s-b{self.batch_size}"


def cells(study: dict[str, Any]) -> list[Cell]:
    """Return the cells of a complete study in the order in which they are measured.

    The order is shuffled by the study's seed, so that a drift of the machine does not fall on one model.
    """
    order = list(_grid(study))
    random.Random(study["seed"]).shuffle(order)
    return order


def _grid(study: dict[str, Any]) -> Iterator[Cell]:
    limit = study["max_batch_audio_s"]
    for model in study["models"]:
        for variant in study["variants"]:
            for device in study["devices"]:
                for duration_s in study["durations_s"]:
                    for batch_size in study["batch_sizes"]:
                        if limit is None or duration_s * batch_size <= limit:
                            yield Cell(model, variant, device, duration_s, batch_size)


def options(study: dict[str, Any], cell: Cell, model_key: str, corpus_key: str) -> list[str]:
    """Return the options of `measure.py` that decide what a cell measures.

    When they change the cell is measured again. The time-out is not among them: a longer one measures the same.
    """
    protocol = {key: value for key, value in study["protocol"].items() if key != "timeout_s"}
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


def corpus_key(study: dict[str, Any], resources: Path) -> str:
    """Return a digest of all that decides what audio a duration class holds."""
    path = resources / "corpora" / f"{study['corpus']['name']}.toml"
    listing = path.read_text()
    return _digest(CORPUS_VERSION, study["corpus"], study["seed"], listing, _pins(packages.of_listing(path)))


def model_key(study: dict[str, Any], model: str) -> str:
    """Return a digest of all that decides what a model folder holds."""
    weights = study["models"][model]["weights"]
    seed = study["seed"] if weights == "random" else None
    entry = catalogue()[model]
    return _digest(FOLDER_VERSION, repr(entry), weights, seed, _pins(entry.packages(weights)))


def _pins(names: list[str]) -> list[str]:
    known = pinned.catalogue()
    return [known[name].sha256 for name in names]


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
