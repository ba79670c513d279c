"""Build a model folder that transformers can load: config, safetensors, tokenizer, provenance.json."""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import (
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

from asrmeter.common.errors import AsrmeterError
from asrmeter.common.files import atomic, sha256_of
from asrmeter.models import catalogue, ctranslate2, pretrained
from asrmeter.models.catalogue import Model, ModelSettings
from asrmeter.runtimes.transformers.whisper import MULTILINGUAL_VOCABULARY
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
        (folder / PROVENANCE).write_text(json.dumps(provenance, indent=2) + "\n")


@contextlib.contextmanager
def _disk_errors_as_oserror() -> Iterator[None]:
    """Raise errors of the disk as OSError: libraries written in Rust name them only in the text of their own errors."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) or not (found := re.search(r"\(os error (\d+)\)", str(error))):
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1]))) from error


def _take_saved(
    name: str, settings: ModelSettings, origin: catalogue.Origin, seed: int, folder: Path
) -> dict[str, Any]:
    """Take a model as its authors saved it, with its own weights or random ones; return facts for the record."""
    random = settings.weights == "random"
    facts = pretrained.take(name, origin, with_weights=not random, folder=folder)
    if facts["family"] == "whisper":
        try:
            _add_missing_whisper_files(folder)
        except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
            raise AsrmeterError(
                f"{name}: its tokenizer or configuration is not that of a Whisper model ({type(error).__name__}: "
                f"{' '.join(str(error).replace(str(folder), 'its folder').split())[:200]})"
            ) from error
    if not random:
        return facts | {"weights": "random" if _is_random(origin.path) else "pretrained"}
    pretrained.random(name, facts["family"], folder, seed).save_pretrained(folder)
    return facts | {"weights": "random", "seed": seed}


def _is_random(path: Path | None) -> bool:
    """Return True if asrmeter made the folder with random weights: they stay random when the folder is copied."""
    try:
        provenance = json.loads((path / PROVENANCE).read_text()) if path else {}
    except (OSError, ValueError):
        return False
    return isinstance(provenance, dict) and provenance.get("weights") == "random"


def _make_known(model: Model, weights: str, seed: int, archives: Archives, folder: Path) -> dict[str, Any]:
    """Make a model of the catalogue from packages, or with random weights; return facts for the record."""
    if weights == "packaged":
        network, facts = _packaged(model, archives)
    else:
        network = _random(model, seed, archives)
        facts = {"origin": f"transformers' initialisation, torch seed {seed}", "licence": "none"}
    network.save_pretrained(folder)
    _write_preprocessing(model, archives, folder)
    return {"family": model.family, "weights": "random" if weights == "random" else "pretrained"} | facts


def _packaged(model: Model, archives: Archives) -> tuple[PreTrainedModel, dict[str, Any]]:
    assert model.packaged is not None  # or `catalogue.origin` has raised
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

    `hints` are a packaged model's settings of generation: suppressed tokens, alignment heads.
    """
    if model.tokenizer is None:
        raise AsrmeterError(f"{model.name}: models.toml names no tokenizer")
    ids = _special_tokens(archives.read(**model.tokenizer))
    network = WhisperForConditionalGeneration(WhisperConfig(**model.architecture, **_special(ids)))
    generation = _generation(ids, network.config.vocab_size, network.config.max_target_positions)
    if hints:
        generation["suppress_tokens"] = hints["suppress_ids"]
        generation["begin_suppress_tokens"] = hints["suppress_ids_begin"]
        generation["alignment_heads"] = hints["alignment_heads"]
    network.generation_config = GenerationConfig(**generation)
    return network


def _add_missing_whisper_files(folder: Path) -> None:
    """Add what an old or fine-tuned Whisper may lack: its tokenizer in one file, and ids for generation."""
    tokenizer = folder / pretrained.TOKENIZER
    if not tokenizer.is_file():
        AutoTokenizer.from_pretrained(folder, local_files_only=True).backend_tokenizer.save(str(tokenizer))
    config = json.loads((folder / pretrained.CONFIG).read_text())
    path = folder / pretrained.GENERATION
    own = json.loads(path.read_text()) if path.is_file() else {}
    needed = _generation(_special_tokens(tokenizer.read_bytes()), config["vocab_size"], config["max_target_positions"])
    if any(own.get(key) is None for key in needed):
        own = needed | {key: value for key, value in own.items() if value is not None}
        path.write_text(json.dumps(own, indent=2) + "\n")


def _special(ids: dict[str, int]) -> dict[str, int]:
    return {
        "decoder_start_token_id": ids["<|startoftranscript|>"],
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|endoftext|>"],
        "pad_token_id": ids["<|endoftext|>"],
    }


def _generation(ids: dict[str, int], vocab_size: int, max_length: int) -> dict[str, Any]:
    """Return the settings of generation that follow from the special tokens."""
    generation: dict[str, Any] = dict(_special(ids))
    generation |= {
        "max_length": max_length,
        "max_initial_timestamp_index": 50,
        "no_timestamps_token_id": ids["<|notimestamps|>"],
        "prev_sot_token_id": ids["<|startofprev|>"],
        "return_timestamps": False,
        "is_multilingual": vocab_size >= MULTILINGUAL_VOCABULARY,
    }
    if generation["is_multilingual"]:
        languages = range(ids["<|startoftranscript|>"] + 1, ids["<|translate|>"])
        generation["lang_to_id"] = {token: number for token, number in ids.items() if number in languages}
        generation["task_to_id"] = {task: ids[f"<|{task}|>"] for task in ("transcribe", "translate")}
    return generation


def _special_tokens(tokenizer: bytes) -> dict[str, int]:
    """Return the ids of the special tokens in a tokenizer.json, by their text."""
    return {token["content"]: token["id"] for token in json.loads(tokenizer)["added_tokens"]}


def _write_preprocessing(model: Model, archives: Archives, folder: Path) -> None:
    """Write the files for feature extraction and for decoding to text."""
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
