"""Torch networks for model folders: known ones from packages, seeded random ones, and a loading check."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import GenerationConfig, PreTrainedModel

from asrmeter import runtimes
from asrmeter.common.errors import AsrmeterError, one_line
from asrmeter.common.printable import printable
from asrmeter.models import sizes
from asrmeter.models.catalogue import Model
from asrmeter.models.saved_files import CONFIG, DESCRIPTION, GENERATION, SavedFiles
from asrmeter.runtimes import families
from asrmeter.runtimes.base import Setup
from asrmeter.runtimes.families.base import Family, Parts
from asrmeter.runtimes.transformers.torch_runtime import TorchRuntime
from asrmeter.sources.packages import Archives

# Descriptions that say what tokens spell, and how they are generated.
_OF_TOKENS = {*DESCRIPTION} - {CONFIG, "preprocessor_config.json", "processor_config.json"}

transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()


def make_known(model: Model, weights: str, seed: int, archives: Archives, folder: Path) -> dict[str, Any]:
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


def check(family: str, folder: Path) -> int:
    """Load a model folder as a cell does, and return the number of parameters.

    Raises:
        AsrmeterError: the folder is damaged, or lacks something that transcribing needs.
    """
    options = {"dtype": "float32", "attention": "sdpa"}
    try:
        loaded = runtimes.load("transformers", Setup(folder, family, options, threads=torch.get_num_threads()))
    except AsrmeterError as error:
        raise AsrmeterError(_without(folder, str(error))) from error
    except Exception as error:  # safetensors, tokenizers, torch or transformers may raise any at a damaged file
        raise AsrmeterError(
            f"transformers {transformers.__version__} cannot load its files together ({_explained(error, folder)}); "
            "check that all belong to one model and one commit, and that this version supports it"
        ) from error
    assert isinstance(loaded, TorchRuntime)
    return sum(parameter.numel() for parameter in loaded.model.parameters())


def finish(saved: SavedFiles, weights: str, seed: int, folder: Path) -> dict[str, Any]:
    """Add the missing files of a saved model, and random weights if requested; return facts for the record.

    Raises:
        AsrmeterError: its files do not belong to one model.
    """
    is_random = weights == "random"
    sizes.check(saved, with_weights=not is_random)
    facts = _complete(saved.family, folder)
    if not is_random:
        return facts | {"weights": "pretrained"}
    _random(saved.family, folder, seed).save_pretrained(folder)
    return facts | {"weights": "random", "seed": seed}


def _complete(family: Family, folder: Path) -> dict[str, Any]:
    try:
        family.complete(folder)
        outputs = family.outputs(folder)
    except AsrmeterError as error:
        raise AsrmeterError(_without(folder, str(error))) from error
    except Exception as error:  # tokenizers or transformers may raise any at a file of another form
        files = ", ".join(path.name for path in sorted(folder.iterdir()) if path.name in _OF_TOKENS)
        raise AsrmeterError(
            f"its tokenizer or configuration is not that of a {family.title} model ({_explained(error, folder)}); copy "
            f"{files} from the model that was fine-tuned"
        ) from error
    return {"outputs": outputs} if outputs else {}


def _explained(error: Exception, folder: Path) -> str:
    """Return a library's error about a folder, as part of a message."""
    return f"{type(error).__name__}: {printable(_without(folder, one_line(error)), 300)}"


def _without(folder: Path, message: str) -> str:
    """Return a message without the path of the folder, which is a temporary one."""
    return message.removeprefix(f"{folder}: ").replace(f"{folder}/", "").replace(str(folder), "its folder")


def _random(family: Family, folder: Path, seed: int) -> PreTrainedModel:
    """Return a network with the architecture in a folder's config.json and seeded random weights."""
    torch.manual_seed(seed)
    try:
        kind = family.network_class(json.loads((folder / CONFIG).read_text(encoding="utf-8"))["model_type"])
        network = kind(kind.config_class.from_pretrained(folder, local_files_only=True))
    except Exception as error:  # torch and transformers may raise any at an impossible size
        raise AsrmeterError(
            f"the network in {CONFIG} cannot be built ({_explained(error, folder)}); compare the file with that of the "
            "model that was fine-tuned"
        ) from error
    if (folder / GENERATION).is_file():
        network.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    return network
