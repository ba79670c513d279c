"""A Whisper folder as one file of ggml, which whisper.cpp loads.

The format is that of whisper.cpp's `models/convert-h5-to-ggml.py`, whose numbers all pass through float16; here those
that stay float32, or are quantised, come from float32.
"""

import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import gguf
import numpy as np
import torch
from gguf.quants import quantize
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

from asrmeter.common.errors import AsrmeterError
from asrmeter.runtimes.base import UnsupportedError
from asrmeter.runtimes.families.whisper.vocabulary import END, START, Vocabulary
from asrmeter.runtimes.whispercpp.files import FILE

_MAGIC = 0x67676D6C
# How whisper.cpp numbers what a file holds (ggml_ftype); of quantised ones it wants the version of ggml's blocks too.
_FILE_TYPES = {"float32": 0, "float16": 1, "q5_0": 2008, "q8_0": 2007}
_TYPES = {
    "float32": gguf.GGMLQuantizationType.F32,
    "float16": gguf.GGMLQuantizationType.F16,
    "q5_0": gguf.GGMLQuantizationType.Q5_0,
    "q8_0": gguf.GGMLQuantizationType.Q8_0,
}
_BLOCK = 32
# What whisper.cpp takes a model for, by the number of its tokens: whether it has languages, and the number of `END`.
_KINDS = {51_864: (False, 50_256), 51_865: (True, 50_257), 51_866: (True, 50_257)}
_FEATURES = {"n_fft": 400, "hop_length": 160, "chunk_length": 30}
# A word that whisper.cpp can be told to suppress. Random weights have it as the end: their texts are as long as asked.
_SUPPRESSED_WORD = "♪♪♪"
_PARTS = {
    "self_attn.q_proj": "attn.query",
    "self_attn.k_proj": "attn.key",
    "self_attn.v_proj": "attn.value",
    "self_attn.out_proj": "attn.out",
    "self_attn_layer_norm": "attn_ln",
    "encoder_attn.q_proj": "cross_attn.query",
    "encoder_attn.k_proj": "cross_attn.key",
    "encoder_attn.v_proj": "cross_attn.value",
    "encoder_attn.out_proj": "cross_attn.out",
    "encoder_attn_layer_norm": "cross_attn_ln",
    "fc1": "mlp.0",
    "fc2": "mlp.2",
    "final_layer_norm": "mlp_ln",
}
_TOPS = {
    "encoder.layer_norm": "encoder.ln_post",
    "encoder.embed_positions": "encoder.positional_embedding",
    "decoder.layer_norm": "decoder.ln",
    "decoder.embed_positions": "decoder.positional_embedding",
    "decoder.embed_tokens": "decoder.token_embedding",
}


class Tensor(NamedTuple):
    """A tensor of a file: its name in whisper.cpp, and its numbers."""

    name: str
    numbers: np.ndarray


def convert(source: Path, family: str, number_format: str, target: Path) -> None:
    """Write the model of the folder `source` into the folder `target`.

    Raises:
        AsrmeterError: the folder is not that of a whole model.
        UnsupportedError: whisper.cpp has no way to run the model as it is.
    """
    if family != "whisper":
        raise UnsupportedError(f"whisper.cpp runs Whisper models, and this one is of the family {family}")
    config = _object(source / "config.json")
    tokenizer = (source / "tokenizer.json").read_bytes()
    _check(config, _object(source / "generation_config.json"), _features(source), Vocabulary.of_json(tokenizer))
    network = WhisperForConditionalGeneration.from_pretrained(
        source, dtype=torch.float32, local_files_only=True, use_safetensors=True
    )
    if not torch.equal(network.proj_out.weight, network.model.decoder.embed_tokens.weight):
        raise UnsupportedError("the model's output layer is not its embedding, which whisper.cpp requires")
    words = _words(json.loads(tokenizer)["model"]["vocab"], _KINDS[config["vocab_size"]][1])
    if _object(source / "provenance.json").get("weights") == "random":
        words.append(_SUPPRESSED_WORD.encode())
    with open(target / FILE, "xb") as stream:
        _write_head(stream, config, number_format)
        _write_filters(stream, WhisperFeatureExtractor(feature_size=config["num_mel_bins"]).mel_filters.T)
        _write_words(stream, words)
        for tensor in _tensors(network):
            _write_tensor(stream, tensor, number_format)


def _check(
    config: Mapping[str, Any], generation: Mapping[str, Any], features: Mapping[str, Any], vocabulary: Vocabulary
) -> None:
    """Raise UnsupportedError if whisper.cpp would take the model for another one."""
    n_tokens = config["vocab_size"]
    if n_tokens not in _KINDS:
        raise UnsupportedError(
            f"whisper.cpp knows a Whisper by the number of its tokens ({', '.join(map(str, _KINDS))}), and this model "
            f"has {n_tokens}"
        )
    has_languages, end = _KINDS[n_tokens]
    own = (vocabulary.is_multilingual(n_tokens, generation, config), *map(vocabulary.number, (END, START)))
    if own != (has_languages, end, end + 1) or not vocabulary.has_timestamps(n_tokens):
        raise UnsupportedError("the model's tokens are in another order than OpenAI's, which whisper.cpp requires")
    for key in ("repetition_penalty", "no_repeat_ngram_size"):
        if generation.get(key) not in (None, 0, 1.0):
            raise UnsupportedError(f"the model decodes with {key} {generation[key]}, which whisper.cpp does not have")
    for key, value in _FEATURES.items():
        if features.get(key, value) != value:
            raise UnsupportedError(
                f"the model hears features with {key} {features[key]}, and whisper.cpp makes {value}"
            )
    width = config["d_model"]
    if {config[f"{side}_ffn_dim"] for side in ("encoder", "decoder")} != {4 * width}:
        raise UnsupportedError("the inner layers are not four times as wide as the outer, which whisper.cpp expects")
    if width % _BLOCK:
        raise UnsupportedError(f"the model's width {width} cannot be cut into blocks of {_BLOCK}, as ggml quantises it")


def _features(source: Path) -> dict[str, Any]:
    return _object(source / "preprocessor_config.json") or _object(source / "processor_config.json").get(
        "feature_extractor", {}
    )


def _words(vocabulary: Mapping[str, int], n_words: int) -> list[bytes]:
    """Return the bytes that each token of text spells.

    Raises:
        AsrmeterError: a token has no text, or signs that stand for no byte.
    """
    signs = _byte_of_sign()
    by_number = {number: token for token, number in vocabulary.items()}
    try:
        return [bytes(signs[sign] for sign in by_number[number]) for number in range(n_words)]
    except KeyError as error:
        raise AsrmeterError(f"tokenizer.json: {error} is missing, or does not represent a byte") from error


def _byte_of_sign() -> dict[str, int]:
    """Return the byte that each sign of a byte-level vocabulary stands for (Radford et al., 2019: GPT-2)."""
    printed = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printed]
    return {chr(byte): byte for byte in printed} | {chr(256 + i): byte for i, byte in enumerate(others)}


def _tensors(network: Any) -> Iterator[Tensor]:
    for name, tensor in network.model.state_dict().items():
        numbers = tensor.numpy()
        own, kind = name.rsplit(".", 1)
        if own in _TOPS:
            own, kind = _TOPS[own], "" if "positions" in own else kind
        elif ".layers." in own:
            side, _, layer, part = own.split(".", 3)
            own = f"{side}.blocks.{layer}.{_PARTS[part]}"
        elif kind == "bias":  # of a convolution
            numbers = numbers[:, None]
        yield Tensor(f"{own}.{kind}".rstrip("."), numbers)


def _number_format(tensor: Tensor, wanted: str) -> str:
    """Return the number format of a tensor in a file whose matrices have the format `wanted`."""
    n_dimensions = tensor.numbers.ndim
    is_matrix = n_dimensions == 2 and tensor.name.endswith(".weight")
    if is_matrix or wanted == "float32":
        return wanted
    return "float16" if n_dimensions == 3 else "float32"  # of convolutions


def _write_head(stream: BinaryIO, config: Mapping[str, Any], number_format: str) -> None:
    numbers = (
        *(config[key] for key in ("vocab_size", "max_source_positions", "d_model")),
        *(config[key] for key in ("encoder_attention_heads", "encoder_layers", "max_target_positions", "d_model")),
        *(config[key] for key in ("decoder_attention_heads", "decoder_layers", "num_mel_bins")),
        _FILE_TYPES[number_format],
    )
    _write_numbers(stream, _MAGIC, *numbers)


def _write_filters(stream: BinaryIO, filters: np.ndarray) -> None:
    _write_numbers(stream, *filters.shape)
    stream.write(filters.astype("<f4").tobytes())


def _write_words(stream: BinaryIO, words: list[bytes]) -> None:
    _write_numbers(stream, len(words))
    for word in words:
        _write_numbers(stream, len(word))
        stream.write(word)


def _write_tensor(stream: BinaryIO, tensor: Tensor, wanted: str) -> None:
    kind, name = _TYPES[_number_format(tensor, wanted)], tensor.name.encode()
    shape = tensor.numbers.shape
    _write_numbers(stream, len(shape), len(name), kind.value, *reversed(shape))
    stream.write(name)
    stream.write(quantize(tensor.numbers.astype(np.float32), kind).tobytes())


def _write_numbers(stream: BinaryIO, *numbers: int) -> None:
    stream.write(struct.pack(f"<{len(numbers)}i", *numbers))


def _object(path: Path) -> dict[str, Any]:
    """Return the content of a file, an empty mapping if there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
