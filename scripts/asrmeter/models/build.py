"""Build a model folder that transformers can load: config, safetensors, tokenizer, provenance.json."""

import contextlib
import json
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from asrmeter.common.errors import AsrmeterError
from asrmeter.common.files import atomic, sha256_of
from asrmeter.common.regular_files import read_regular
from asrmeter.models import catalogue, heard, pretrained
from asrmeter.models.catalogue import ModelSettings
from asrmeter.models.saved_files import CONFIG, MOST_DESCRIPTION_BYTES
from asrmeter.runtimes import families
from asrmeter.sources.integrity import PROVENANCE, weights_sha256
from asrmeter.sources.packages import Archives


def build(
    name: str, settings: ModelSettings, seed: int, archives: Archives, target: Path, key: str | None = None
) -> None:
    """Build the model folder `target` according to the study's `settings` of the model.

    `key` is the fingerprint of its sources, for the record. The same inputs give the same bytes. Random weights follow
    transformers' own initialisation after `torch.manual_seed(seed)`.

    Raises:
        AsrmeterError: a package, or a file on the Hub or in a local folder, is missing or altered, or the result is not
            the expected model.
    """
    origin = catalogue.origin(name, settings)
    with atomic(target) as folder, _disk_errors_as_oserror():
        folder.mkdir()
        with _naming(name):
            facts, n_parameters = _fill(name, settings, origin, seed, archives, folder)
            family = families.named(facts["family"])
            facts |= heard.facts(family, folder, catalogue.languages_of(name, settings))
        files = {path.name: sha256_of(path) for path in sorted(folder.iterdir())}
        provenance = {"model": name, "key": key} | facts
        provenance |= {"parameters": n_parameters, "weights_sha256": weights_sha256(files), "sha256": files}
        (folder / PROVENANCE).write_text(json.dumps(provenance, indent=2) + "\n", encoding="utf-8")


@contextlib.contextmanager
def _naming(name: str) -> Iterator[None]:
    """Make messages begin with the name of the model."""
    try:
        yield
    except AsrmeterError as error:
        raise AsrmeterError(f"{name}: {str(error).removeprefix(f'{name}: ')}") from error


def _fill(
    name: str, settings: ModelSettings, origin: catalogue.Origin, seed: int, archives: Archives, folder: Path
) -> tuple[dict[str, Any], int | None]:
    """Make the files of a model; return facts for the record, and the number of parameters."""
    if origin.is_external:
        return _make_external(folder), None
    is_saved = origin.repo or origin.path
    saved = pretrained.take(origin, settings.weights != "random", folder) if is_saved else None
    taken = {path.name for path in folder.iterdir()}

    from asrmeter.models import networks  # torch and transformers take seconds to import, and a refusal need not wait

    if saved:
        facts = {**saved.facts} | networks.finish(saved, settings.weights, seed, folder)
        if _is_random(origin.path):
            facts["weights"] = "random"
    else:
        assert origin.entry is not None
        facts = networks.make_known(origin.entry, settings.weights, seed, archives, folder)
    _share(folder, taken)
    n_parameters = networks.check(facts["family"], folder)
    if origin.entry and n_parameters != origin.entry.parameters:
        raise AsrmeterError(f"the model has {n_parameters} parameters, expected {origin.entry.parameters}")
    return facts, n_parameters


def _share(folder: Path, taken: Collection[str]) -> None:
    """Make the files readable for everyone who can read their sources.

    safetensors writes files that only their owner can read, but a shared checkout has more readers.
    """
    mode = 0o644
    for name in taken:
        mode &= (folder / name).stat().st_mode
    for path in folder.iterdir():
        if path.name not in taken:
            path.chmod(mode)


@contextlib.contextmanager
def _disk_errors_as_oserror() -> Iterator[None]:
    """Raise disk errors as OSError: Rust libraries name them only in the text of their own errors."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) or not (found := re.search(r"\(os error (\d+)\)", str(error))):
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1]))) from error


def _make_external(folder: Path) -> dict[str, Any]:
    """Make the folder of an external model, marked in its config.json. Return facts for the record."""
    family = families.named(catalogue.EXTERNAL)
    (folder / CONFIG).write_text(json.dumps(family.config_of({})) + "\n", encoding="utf-8")
    return {"family": family.name, "weights": "pretrained", "origin": "elsewhere", "licence": "not stated"}


def _is_random(path: Path | None) -> bool:
    """Return True if asrmeter made the folder with random weights: they stay random when the folder is copied."""
    try:
        provenance = json.loads(read_regular(path / PROVENANCE, MOST_DESCRIPTION_BYTES)) if path else {}
    except (AsrmeterError, OSError, ValueError, RecursionError):
        return False
    return isinstance(provenance, dict) and provenance.get("weights") == "random"
