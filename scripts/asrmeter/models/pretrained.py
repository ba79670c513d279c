"""Models as their authors saved them, on the Hub or in a local folder: take their files, check and load them."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedModel

from asrmeter import runtimes
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.files import sha256_of
from asrmeter.models.catalogue import Origin
from asrmeter.runtimes.base import Setup
from asrmeter.runtimes.families import family_of
from asrmeter.runtimes.families.base import Family
from asrmeter.runtimes.transformers.torch_runtime import TorchRuntime
from asrmeter.sources import hub

CONFIG, GENERATION, TOKENIZER = "config.json", "generation_config.json", "tokenizer.json"
# No code and no pickle: other files of a repository are not fetched.
DESCRIPTION = (
    CONFIG,
    GENERATION,
    "preprocessor_config.json",
    "processor_config.json",
    TOKENIZER,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "normalizer.json",
)
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
WEIGHTS = (SINGLE, INDEX, "model-?????-of-?????.safetensors")


def take(name: str, origin: Origin, with_weights: bool, folder: Path) -> dict[str, Any]:
    """Put the files of a model into `folder`; return their origin and the model's family, for the record.

    Without `with_weights` the weights are left out: a model that gets random ones needs its description only.

    Raises:
        AsrmeterError: a file cannot be read or is missing, or asrmeter does not run such a model.
    """
    patterns = (*DESCRIPTION, *WEIGHTS) if with_weights else DESCRIPTION
    if origin.repo:
        assert origin.revision is not None
        files = hub.fetch("model", origin.repo, origin.revision, patterns)
        facts = {"origin": origin.repo, "revision": origin.revision, "licence": f"as {origin.repo} says"}
    else:
        assert origin.path is not None
        files = {path.name: path for path in sorted(origin.path.iterdir()) if any(map(path.match, patterns))}
        facts = {"origin": f"the folder {origin.path.name}", "licence": "not stated"}
    if CONFIG not in files:
        raise AsrmeterError(f"{name}: {facts['origin']} has no {CONFIG}; it is not a model of transformers")
    config = _object(name, files[CONFIG])
    try:
        family = family_of(config)
    except AsrmeterError as error:
        raise AsrmeterError(f"{name}: {error}") from error
    if with_weights:
        files = _without_unused_weights(name, facts["origin"], files)
    for file, path in files.items():
        try:
            _put(path.resolve(), folder / file, may_link=origin.repo is not None and path.suffix == ".safetensors")
        except (FileNotFoundError, IsADirectoryError, PermissionError, RuntimeError) as error:
            raise AsrmeterError(f"{name}: {path}: cannot be read ({error})") from error
    weights = folder / SINGLE
    if origin.sha256 and with_weights and (found := sha256_of(weights)) != origin.sha256:
        raise AsrmeterError(f"{name}: {weights.name} has sha256 {found}, expected {origin.sha256}")
    return facts | {"family": family.name}


def _without_unused_weights(name: str, origin: str, files: dict[str, Path]) -> dict[str, Path]:
    """Return the files without weights that are not loaded. Weights are one file, or parts with an index.

    Raises:
        AsrmeterError: there is neither, or the index names a part that is missing or in another folder.
    """
    weights = {file for file in files if ".safetensors" in file}
    if SINGLE in files:
        wanted = {SINGLE}
    elif INDEX in files:
        parts = _object(name, files[INDEX]).get("weight_map")
        wanted = {INDEX, *(parts.values() if isinstance(parts, dict) else ())}
        absent = sorted(str(part) for part in wanted if part not in weights)
        if absent or len(wanted) == 1:
            raise AsrmeterError(f"{name}: {INDEX} names {', '.join(absent[:3]) or 'no part'}, which is not in {origin}")
    else:
        raise AsrmeterError(
            f"{name}: {origin} has no {SINGLE} (nor parts of one with {INDEX}), and asrmeter opens no other weights; "
            "its revision may be the commit of a pull request that adds it"
        )
    return {file: path for file, path in files.items() if file not in weights or file in wanted}


def _object(name: str, path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise AsrmeterError(f"{name}: its {path.name} cannot be read ({error})") from error
    if not isinstance(content, dict):
        raise AsrmeterError(f"{name}: its {path.name} is not an object")
    return content


def check(name: str, family: str, folder: Path) -> int:
    """Load a model folder as a cell does, and return the number of parameters.

    Raises:
        AsrmeterError: the folder is damaged, or lacks something that transcribing needs.
    """
    options = {"dtype": "float32", "attention": "sdpa"}
    try:
        loaded = runtimes.load("transformers", Setup(folder, family, options, threads=torch.get_num_threads()))
    except AsrmeterError as error:
        # Without the path of the folder, which is a temporary one.
        message = str(error).replace(f"{folder}/", "").removeprefix(f"{folder}: ")
        raise AsrmeterError(f"{name}: {message}") from error
    except Exception as error:  # safetensors, tokenizers, torch or transformers may raise any at a damaged file
        message = " ".join(str(error).replace(f"{folder}/", "").replace(str(folder), "its folder").split())[:300]
        raise AsrmeterError(f"{name}: it cannot be loaded ({type(error).__name__}: {message})") from error
    assert isinstance(loaded, TorchRuntime)
    return sum(parameter.numel() for parameter in loaded.model.parameters())


def random(name: str, family: Family, folder: Path, seed: int) -> PreTrainedModel:
    """Return a network with the architecture in a folder's config.json and seeded random weights.

    Raises:
        AsrmeterError: no such network can be built.
    """
    torch.manual_seed(seed)
    try:
        kind = family.network_class(json.loads((folder / CONFIG).read_text(encoding="utf-8"))["model_type"])
        network = kind(kind.config_class.from_pretrained(folder, local_files_only=True))
    except Exception as error:  # torch and transformers may raise any at an impossible size
        message = " ".join(str(error).split())[:200]
        raise AsrmeterError(
            f"{name}: its {CONFIG} describes no network that can be built ({type(error).__name__}: {message})"
        ) from error
    if (folder / GENERATION).is_file():
        network.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    return network


def _put(source: Path, target: Path, may_link: bool) -> None:
    """Copy a file to `target`; with `may_link`, link to it if possible, as the Hub's cache is never altered."""
    if may_link:
        try:
            os.link(source, target)
            return
        except OSError:
            pass  # another file system, or one without links
    shutil.copyfile(source, target)
