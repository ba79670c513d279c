"""Write a model folder that transformers loads: config, safetensors, tokenizer, provenance.json."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import (
    GenerationConfig,
    PreTrainedModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

from asrmeter.errors import AsrmeterError
from asrmeter.files import atomic, sha256_of
from asrmeter.packages import Archives
from asrmeter.weights import ctranslate2
from asrmeter.weights.catalogue import Model

PROVENANCE = "provenance.json"


def build(model: Model, weights: str, seed: int, archives: Archives, target: Path) -> None:
    """Make the folder `target` for `model` with `weights` ("packaged" or "random").

    The same inputs give the same bytes. Random weights follow transformers' own initialisation after
    `torch.manual_seed(seed)`.

    Raises:
        AsrmeterError: a package is missing or altered, or the result is not the model that it should be.
    """
    if weights == "packaged":
        network, origin = _packaged(model, archives)
    else:
        network, origin = (
            _random(model, seed, archives),
            {"origin": f"transformers' initialisation, torch seed {seed}", "licence": "none"},
        )
    n_parameters = sum(parameter.numel() for parameter in network.parameters())
    if n_parameters != model.parameters:
        raise AsrmeterError(f"{model.name}: {n_parameters} parameters came out, {model.parameters} expected")
    transformers.utils.logging.disable_progress_bar()
    with atomic(target) as folder:
        network.save_pretrained(folder)
        _write_preprocessing(model, archives, folder)
        for path in folder.iterdir():
            path.chmod(0o644)  # safetensors writes for its owner alone; a shared checkout has more readers
        files = {path.name: sha256_of(path) for path in sorted(folder.iterdir())}
        provenance = {
            "model": model.name,
            "family": model.family,
            "weights": "random" if weights == "random" else "pretrained",
        }
        provenance |= origin | {"parameters": n_parameters, "sha256": files}
        (folder / PROVENANCE).write_text(json.dumps(provenance, indent=2) + "\n")


def _packaged(model: Model, archives: Archives) -> tuple[PreTrainedModel, dict[str, Any]]:
    if model.packaged is None:
        raise AsrmeterError(
            f"{model.name}: no package holds pretrained weights of it; use `weights: random` to measure its speed"
        )
    raw = b"".join(archives.read(**part) for part in model.packaged["model"])
    digest = hashlib.sha256(raw).hexdigest()
    if digest != model.packaged["model_sha256"]:
        raise AsrmeterError(
            f"{model.name}: the packaged weights have sha256 {digest}, not {model.packaged['model_sha256']}"
        )
    state, architecture = ctranslate2.whisper_state(ctranslate2.read(raw))
    if architecture != model.architecture:
        raise AsrmeterError(
            f"{model.name}: the packaged weights have the architecture {architecture}, not {model.architecture}"
        )
    network = _whisper(model, archives, hints=json.loads(archives.read(**model.packaged["config"])))
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in state.items()}
    tensors["proj_out.weight"] = tensors["model.decoder.embed_tokens.weight"]
    network.load_state_dict(tensors)
    source = {key: model.packaged[key] for key in ("origin", "licence")}
    return network, source | {"packages": model.packages("packaged"), "source_sha256": digest}


def _random(model: Model, seed: int, archives: Archives) -> PreTrainedModel:
    torch.manual_seed(seed)
    if model.family == "whisper":
        return _whisper(model, archives, hints={})
    settings = {key: value for key, value in model.architecture.items() if key != "model_type"}
    return Wav2Vec2ForCTC(Wav2Vec2Config(**settings))


def _whisper(model: Model, archives: Archives, hints: dict[str, Any]) -> WhisperForConditionalGeneration:
    """Return a freshly initialised network whose special tokens come from the tokenizer.

    `hints` is what a packaged model says about generation: suppressed tokens, alignment heads.
    """
    ids = _special_tokens(model, archives)
    special = {
        "decoder_start_token_id": ids["<|startoftranscript|>"],
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|endoftext|>"],
        "pad_token_id": ids["<|endoftext|>"],
    }
    network = WhisperForConditionalGeneration(WhisperConfig(**model.architecture, **special))
    generation: dict[str, Any] = dict(special)
    generation |= {
        "max_length": network.config.max_target_positions,
        "max_initial_timestamp_index": 50,
        "no_timestamps_token_id": ids["<|notimestamps|>"],
        "prev_sot_token_id": ids["<|startofprev|>"],
        "return_timestamps": False,
        "is_multilingual": not model.name.endswith(".en"),
    }
    if generation["is_multilingual"]:
        languages = range(ids["<|startoftranscript|>"] + 1, ids["<|translate|>"])
        generation["lang_to_id"] = {token: number for token, number in ids.items() if number in languages}
        generation["task_to_id"] = {task: ids[f"<|{task}|>"] for task in ("transcribe", "translate")}
    if hints:
        generation["suppress_tokens"] = hints["suppress_ids"]
        generation["begin_suppress_tokens"] = hints["suppress_ids_begin"]
        generation["alignment_heads"] = hints["alignment_heads"]
    network.generation_config = GenerationConfig(**generation)
    return network


def _special_tokens(model: Model, archives: Archives) -> dict[str, int]:
    """Return the ids of the tokenizer's special tokens by their text."""
    if model.tokenizer is None:
        raise AsrmeterError(f"{model.name}: models.toml names no tokenizer")
    tokenizer = json.loads(archives.read(**model.tokenizer))
    return {token["content"]: token["id"] for token in tokenizer["added_tokens"]}


def _write_preprocessing(model: Model, archives: Archives, folder: Path) -> None:
    """Write the files that feature extraction and decoding to text read."""
    if model.family == "whisper":
        WhisperFeatureExtractor(feature_size=80).save_pretrained(folder)
        assert model.tokenizer is not None
        (folder / "tokenizer.json").write_bytes(archives.read(**model.tokenizer))
        settings = {
            "tokenizer_class": "WhisperTokenizer",
            "model_max_length": 448,
            "clean_up_tokenization_spaces": False,
        }
        settings |= {"eos_token": "<|endoftext|>", "bos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    else:
        Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=False).save_pretrained(folder)
        vocabulary = {token: number for number, token in enumerate(model.vocabulary)}
        (folder / "vocab.json").write_text(json.dumps(vocabulary) + "\n")
        settings = {
            "tokenizer_class": "Wav2Vec2CTCTokenizer",
            "pad_token": "<pad>",
            "bos_token": "<s>",
            "eos_token": "</s>",
        }
        settings |= {"unk_token": "<unk>", "word_delimiter_token": "|"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
