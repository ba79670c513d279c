"""The files of a Whisper's folder, and networks to save in it."""

import json
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, GenerationConfig, WhisperFeatureExtractor

from asrmeter.common.errors import AsrmeterError
from asrmeter.runtimes.families.base import Parts
from asrmeter.runtimes.families.whisper.vocabulary import Vocabulary

_TOKENIZER = "tokenizer.json"
# Tokens of the third large Whisper and of those that were made of it.
_WITH_CANTONESE, _CANTONESE = 51_866, "<|yue|>"
_OLD_SETTINGS = ("max_length", "suppress_tokens", "begin_suppress_tokens")


def network(kind: Any, parts: Parts) -> Any:
    """Return a freshly initialised network of transformers' class `kind`; see `Family`."""
    vocabulary = Vocabulary.of_json(_tokenizer_of(parts))
    made = kind(kind.config_class(**parts.architecture))
    settings = vocabulary.generation(made.config.vocab_size, {}, {})
    for key in ("decoder_start_token_id", "bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(made.config, key, settings[key])
    generation = _complete(settings, made.config.max_target_positions)
    if parts.hints:
        generation["suppress_tokens"] = parts.hints["suppress_ids"]
        generation["begin_suppress_tokens"] = parts.hints["suppress_ids_begin"]
        generation["alignment_heads"] = parts.hints["alignment_heads"]
    made.generation_config = GenerationConfig(**generation)
    return made


def write_preprocessing(parts: Parts, folder: Path) -> None:
    """Write the settings of feature extraction and the tokenizer."""
    WhisperFeatureExtractor(feature_size=parts.architecture.get("num_mel_bins", 80)).save_pretrained(folder)
    (folder / _TOKENIZER).write_bytes(_tokenizer_of(parts))


def complete(folder: Path) -> None:
    """Add what an old or fine-tuned Whisper may lack: its tokenizer in one file, and ids for generation.

    Raises:
        AsrmeterError: a token is missing, or its languages cannot be told.
    """
    tokenizer = folder / _TOKENIZER
    if not tokenizer.is_file():
        AutoTokenizer.from_pretrained(folder, local_files_only=True).backend_tokenizer.save(str(tokenizer))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    path = folder / "generation_config.json"
    # Those of 2022 have none, and what it would say in config.json.
    own = (
        json.loads(path.read_text(encoding="utf-8"))
        if path.is_file()
        else {key: config.get(key) for key in _OLD_SETTINGS}
    )
    own = {key: value for key, value in own.items() if value is not None}
    settings = Vocabulary.of_json(tokenizer.read_bytes()).generation(config["vocab_size"], own, config)
    needed = _complete(settings, config["max_target_positions"])
    if not path.is_file() or needed.keys() - own.keys():
        path.write_text(json.dumps(needed | own, indent=2) + "\n", encoding="utf-8")


def _tokenizer_of(parts: Parts) -> bytes:
    if parts.tokenizer is None:
        raise AsrmeterError(f"{parts.name}: models.toml names no tokenizer")
    if parts.architecture.get("vocab_size") == _WITH_CANTONESE:
        return with_cantonese(parts.tokenizer)
    return parts.tokenizer


def with_cantonese(tokenizer: bytes) -> bytes:
    """Return a multilingual tokenizer of 2022 with the language that OpenAI added in 2023, as the last of them."""
    content, added = json.loads(tokenizer), Vocabulary.of_json(tokenizer)
    if _CANTONESE in added.numbers:
        return tokenizer
    new = added.number("<|translate|>")
    shifted = {text: number + 1 for text, number in added.numbers.items() if number >= new}
    language = next(token for token in content["added_tokens"] if token["id"] == new - 1)
    for token in content["added_tokens"]:
        token["id"] = shifted.get(token["content"], token["id"])
    content["added_tokens"].append(language | {"id": new, "content": _CANTONESE})
    content["added_tokens"].sort(key=lambda token: token["id"])
    # What it puts around a text that is encoded.
    for text, special in (content.get("post_processor") or {}).get("special_tokens", {}).items():
        special["ids"] = [shifted.get(text, number) for number in special["ids"]]
    return json.dumps(content, ensure_ascii=False).encode()


def _complete(settings: dict[str, Any], max_length: int) -> dict[str, Any]:
    """Return the settings of generation with those that no token tells."""
    return settings | {"max_length": max_length, "max_initial_timestamp_index": 50}
