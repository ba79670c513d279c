"""Models as their authors saved them, on the Hub or in a folder: what asrmeter takes of them, and if it is whole."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, GenerationConfig, PreTrainedModel, WhisperForConditionalGeneration

from asrmeter import runtimes
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.files import sha256_of
from asrmeter.models.catalogue import Origin
from asrmeter.runtimes.base import TorchRuntime
from asrmeter.runtimes.transformers_ctc import network_class
from asrmeter.sources import hub

CONFIG, GENERATION, TOKENIZER = "config.json", "generation_config.json", "tokenizer.json"
# No code and no pickle: what else lies in a repository is not fetched.
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
    """Put the files of a model into `folder`; return where they come from and the model's family, for the record.

    `with_weights` False leaves the weights out: what is to get random ones needs only their description.

    Raises:
        AsrmeterError: the files cannot be had, lack something, or are of no model that asrmeter runs.
    """
    patterns = (*DESCRIPTION, *WEIGHTS) if with_weights else DESCRIPTION
    if origin.repo:
        assert origin.revision is not None
        files = hub.fetch("model", origin.repo, origin.revision, patterns)
        told = {"origin": origin.repo, "revision": origin.revision, "licence": f"as {origin.repo} says"}
    else:
        assert origin.path is not None
        files = {path.name: path for path in sorted(origin.path.iterdir()) if any(map(path.match, patterns))}
        told = {"origin": f"the folder {origin.path.name}", "licence": "not stated"}
    if CONFIG not in files:
        raise AsrmeterError(f"{name}: {told['origin']} has no {CONFIG}; it is no model of transformers")
    config = _object(name, files[CONFIG])
    try:
        family = runtimes.family_of(config)
    except AsrmeterError as error:
        raise AsrmeterError(f"{name}: {error}") from error
    if with_weights:
        files = _with_one_set_of_weights(name, told["origin"], files)
    for file, path in files.items():
        try:
            _put(path.resolve(), folder / file, may_link=origin.repo is not None and path.suffix == ".safetensors")
        except (FileNotFoundError, IsADirectoryError, PermissionError, RuntimeError) as error:
            raise AsrmeterError(f"{name}: {path}: cannot be read ({error})") from error
    weights = folder / SINGLE
    if origin.sha256 and with_weights and (found := sha256_of(weights)) != origin.sha256:
        raise AsrmeterError(f"{name}: {weights.name} has sha256 {found}, expected {origin.sha256}")
    return told | {"family": family}


def _with_one_set_of_weights(name: str, origin: str, files: dict[str, Path]) -> dict[str, Path]:
    """Return the files without weights that are not loaded: there may be one file, or parts and their index.

    Raises:
        AsrmeterError: there is neither, or the index names a part that is not there, or lies elsewhere.
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
            "the commit of a pull request that adds it will do as its revision"
        )
    return {file: path for file, path in files.items() if file not in weights or file in wanted}


def _object(name: str, path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise AsrmeterError(f"{name}: its {path.name} cannot be read ({error})") from error
    if not isinstance(content, dict):
        raise AsrmeterError(f"{name}: its {path.name} is no object")
    return content


def check(name: str, family: str, folder: Path) -> int:
    """Load a folder as a cell does, and return the number of its parameters.

    Raises:
        AsrmeterError: it is damaged, or lacks what transcribing needs.
    """
    options = {"runtime": "transformers", "dtype": "float32", "attention": "sdpa"}
    try:
        loaded = runtimes.load(family, folder, options, "cpu", random_weights=False)
    except AsrmeterError as error:
        # The folder is still a scratch one, whose path nobody knows.
        told = str(error).replace(f"{folder}/", "").removeprefix(f"{folder}: ")
        raise AsrmeterError(f"{name}: {told}") from error
    except Exception as error:  # of safetensors, tokenizers, torch, transformers: whatever a damaged file leads to
        told = " ".join(str(error).replace(f"{folder}/", "").replace(str(folder), "its folder").split())[:300]
        raise AsrmeterError(f"{name}: it cannot be loaded ({type(error).__name__}: {told})") from error
    assert isinstance(loaded, TorchRuntime)
    return sum(parameter.numel() for parameter in loaded.model.parameters())


def random(name: str, family: str, folder: Path, seed: int) -> PreTrainedModel:
    """Return a network of the architecture that a folder's config.json describes, with seeded random weights.

    Raises:
        AsrmeterError: it describes none that can be built.
    """
    torch.manual_seed(seed)
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        kind = WhisperForConditionalGeneration if family == "whisper" else network_class(config.model_type)
        network = kind(config)
    except Exception as error:  # of whatever a strange size leads to in torch and transformers
        told = " ".join(str(error).split())[:200]
        raise AsrmeterError(f"{name}: its {CONFIG} describes no network ({type(error).__name__}: {told})") from error
    if (folder / GENERATION).is_file():
        network.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    return network


def _put(source: Path, target: Path, may_link: bool) -> None:
    """Have a file at `target`; weights in the Hub's cache, which nobody alters, are not copied where a link will do."""
    if may_link:
        try:
            os.link(source, target)
            return
        except OSError:
            pass  # another file system, or one without links
    shutil.copyfile(source, target)
