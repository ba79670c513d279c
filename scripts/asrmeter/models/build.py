"""Build a model folder that transformers can load: config, safetensors, tokenizer, provenance.json."""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import PreTrainedModel

from asrmeter.common.errors import AsrmeterError
from asrmeter.common.files import atomic, sha256_of
from asrmeter.models import catalogue, pretrained
from asrmeter.models.catalogue import Model, ModelSettings
from asrmeter.runtimes import families
from asrmeter.runtimes.families.base import Family, Parts
from asrmeter.sources.integrity import PROVENANCE, weights_sha256
from asrmeter.sources.packages import Archives


def build(
    name: str, settings: ModelSettings, seed: int, archives: Archives, target: Path, key: str | None = None
) -> None:
    """Build the model folder `target` by the study's `settings` of the model.

    `key` is the fingerprint of what it is made of, for the record. The same inputs give the same bytes. Random weights
    follow transformers' own initialisation after `torch.manual_seed(seed)`.

    Raises:
        AsrmeterError: a package, or a file on the Hub or in a local folder, is missing or altered, or the result is not
            the expected model.
    """
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    origin = catalogue.origin(name, settings)
    with atomic(target) as folder, _disk_errors_as_oserror():
        folder.mkdir()
        n_parameters: int | None = None
        if origin.is_external:
            facts = _make_external(folder)
        else:
            if origin.repo or origin.path:
                facts = _take_saved(name, settings, origin, seed, folder)
            else:
                assert origin.entry is not None
                facts = _make_known(origin.entry, settings.weights, seed, archives, folder)
            n_parameters = pretrained.check(name, facts["family"], folder)
        if origin.entry and n_parameters != origin.entry.parameters:
            raise AsrmeterError(f"{name}: the model has {n_parameters} parameters, expected {origin.entry.parameters}")
        for path in folder.iterdir():
            path.chmod(
                0o644
            )  # safetensors makes files that only their owner may read; a shared checkout has more readers
        files = {path.name: sha256_of(path) for path in sorted(folder.iterdir())}
        provenance = {"model": name, "key": key} | facts
        provenance |= {"parameters": n_parameters, "weights_sha256": weights_sha256(files), "sha256": files}
        (folder / PROVENANCE).write_text(json.dumps(provenance, indent=2) + "\n", encoding="utf-8")


@contextlib.contextmanager
def _disk_errors_as_oserror() -> Iterator[None]:
    """Raise errors of the disk as OSError: libraries written in Rust name them only in the text of their own errors."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) or not (found := re.search(r"\(os error (\d+)\)", str(error))):
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1]))) from error


def _make_external(folder: Path) -> dict[str, Any]:
    """Make the folder of a model that is elsewhere: its config.json says so. Return facts for the record."""
    family = families.named(catalogue.EXTERNAL)
    (folder / pretrained.CONFIG).write_text(json.dumps(family.config_of({})) + "\n", encoding="utf-8")
    return {"family": family.name, "weights": "pretrained", "origin": "elsewhere", "licence": "not stated"}


def _take_saved(
    name: str, settings: ModelSettings, origin: catalogue.Origin, seed: int, folder: Path
) -> dict[str, Any]:
    """Take a model as its authors saved it, with its own weights or random ones; return facts for the record."""
    random = settings.weights == "random"
    facts = pretrained.take(name, origin, with_weights=not random, folder=folder)
    family = families.named(facts["family"])
    try:
        family.complete(folder)
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        raise AsrmeterError(
            f"{name}: its tokenizer or configuration is not that of a {family.title} model ({type(error).__name__}: "
            f"{' '.join(str(error).replace(str(folder), 'its folder').split())[:200]})"
        ) from error
    if not random:
        return facts | {"weights": "random" if _is_random(origin.path) else "pretrained"}
    pretrained.random(name, family, folder, seed).save_pretrained(folder)
    return facts | {"weights": "random", "seed": seed}


def _is_random(path: Path | None) -> bool:
    """Return True if asrmeter made the folder with random weights: they stay random when the folder is copied."""
    try:
        provenance = json.loads((path / PROVENANCE).read_text(encoding="utf-8")) if path else {}
    except (OSError, ValueError):
        return False
    return isinstance(provenance, dict) and provenance.get("weights") == "random"


def _make_known(model: Model, weights: str, seed: int, archives: Archives, folder: Path) -> dict[str, Any]:
    """Make a model of the catalogue from packages, or with random weights; return facts for the record."""
    family = families.named(model.family)
    tokenizer = archives.read(**model.tokenizer) if model.tokenizer else None
    parts = Parts(model.name, model.architecture, tokenizer, model.vocabulary)
    if weights == "packaged":
        network, facts = _packaged(model, family, parts, archives)
    else:
        torch.manual_seed(seed)
        network = family.network(parts)
        facts = {"origin": f"transformers' initialisation, torch seed {seed}", "licence": "none"}
    network.save_pretrained(folder)
    family.write_preprocessing(parts, folder)
    return {"family": model.family, "weights": "random" if weights == "random" else "pretrained"} | facts


def _packaged(model: Model, family: Family, parts: Parts, archives: Archives) -> tuple[PreTrainedModel, dict[str, Any]]:
    assert model.packaged is not None  # or `catalogue.origin` has raised
    raw = b"".join(archives.read(**part) for part in model.packaged["model"])
    digest = hashlib.sha256(raw).hexdigest()
    if digest != model.packaged["model_sha256"]:
        raise AsrmeterError(
            f"{model.name}: the packaged weights have sha256 {digest}, not {model.packaged['model_sha256']}"
        )
    state, architecture = family.packaged_state(raw)
    if architecture != model.architecture:
        raise AsrmeterError(
            f"{model.name}: the packaged weights have the architecture {architecture}, not {model.architecture}"
        )
    network = family.network(replace(parts, hints=json.loads(archives.read(**model.packaged["config"]))))
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in state.items()}
    network.load_state_dict(tensors)
    source = {key: model.packaged[key] for key in ("origin", "licence")}
    return network, source | {"packages": model.packages("packaged"), "source_sha256": digest}
