"""The files of a Whisper's folder, and networks to save in it."""

import json
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, GenerationConfig, WhisperFeatureExtractor

from asrmeter.common.errors import AsrmeterError
from asrmeter.runtimes.families.base import Parts
from asrmeter.runtimes.families.whisper import END, MULTILINGUAL_VOCABULARY, START

_TOKENIZER = "tokenizer.json"


def network(kind: Any, parts: Parts) -> Any:
    """Return a freshly initialised network of transformers' class `kind`; see `Family`."""
    ids = _special_tokens(_tokenizer_of(parts))
    made = kind(kind.config_class(**parts.architecture, **_special(ids)))
    generation = _generation(ids, made.config.vocab_size, made.config.max_target_positions)
    if parts.hints:
        generation["suppress_tokens"] = parts.hints["suppress_ids"]
        generation["begin_suppress_tokens"] = parts.hints["suppress_ids_begin"]
        generation["alignment_heads"] = parts.hints["alignment_heads"]
    made.generation_config = GenerationConfig(**generation)
    return made


def write_preprocessing(parts: Parts, folder: Path) -> None:
    """Write the settings of feature extraction and the tokenizer."""
    WhisperFeatureExtractor(feature_size=80).save_pretrained(folder)
    (folder / _TOKENIZER).write_bytes(_tokenizer_of(parts))


def complete(folder: Path) -> None:
    """Add what an old or fine-tuned Whisper may lack: its tokenizer in one file, and ids for generation."""
    tokenizer = folder / _TOKENIZER
    if not tokenizer.is_file():
        AutoTokenizer.from_pretrained(folder, local_files_only=True).backend_tokenizer.save(str(tokenizer))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    path = folder / "generation_config.json"
    own = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    needed = _generation(_special_tokens(tokenizer.read_bytes()), config["vocab_size"], config["max_target_positions"])
    if any(own.get(key) is None for key in needed):
        own = needed | {key: value for key, value in own.items() if value is not None}
        path.write_text(json.dumps(own, indent=2) + "\n", encoding="utf-8")


def _tokenizer_of(parts: Parts) -> bytes:
    if parts.tokenizer is None:
        raise AsrmeterError(f"{parts.name}: models.toml names no tokenizer")
    return parts.tokenizer


def _special_tokens(tokenizer: bytes) -> dict[str, int]:
    """Return the ids of the special tokens in a tokenizer.json, by their text."""
    return {token["content"]: token["id"] for token in json.loads(tokenizer)["added_tokens"]}


def _special(ids: dict[str, int]) -> dict[str, int]:
    return {
        "decoder_start_token_id": ids[START],
        "bos_token_id": ids[END],
        "eos_token_id": ids[END],
        "pad_token_id": ids[END],
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
        languages = range(ids[START] + 1, ids["<|translate|>"])
        generation["lang_to_id"] = {token: number for token, number in ids.items() if number in languages}
        generation["task_to_id"] = {task: ids[f"<|{task}|>"] for task in ("transcribe", "translate")}
    return generation
