"""Weights: CTranslate2's format is read, converted and refused when damaged; sizes that cannot be are refused."""

import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ctranslate2.converters.transformers import WhisperLoader
from transformers import WhisperConfig, WhisperForConditionalGeneration

from asrmeter.common.errors import AsrmeterError
from asrmeter.models import sizes
from asrmeter.models.saved_files import SavedFiles
from asrmeter.models.tensors import Tensor
from asrmeter.runtimes.families import family_of
from asrmeter.runtimes.families.whisper import ctranslate2

WHISPER = {"model_type": "whisper", "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "vocab_size": 99}
WHISPER |= dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 32)
WHISPER |= dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 2)
WHISPER |= dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 1)
Damage = Callable[[dict[str, np.ndarray]], bytes]
ALIASES = {"decoder/projection/weight": "decoder/embeddings/weight"}


def small_whisper() -> WhisperForConditionalGeneration:
    torch.manual_seed(0)
    sizes = {
        "d_model": 8,
        "encoder_layers": 2,
        "decoder_layers": 1,
        "vocab_size": 20,
        "encoder_ffn_dim": 12,
        "decoder_ffn_dim": 16,
    }
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "num_mel_bins": 4}
    ids = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 1)
    network = WhisperForConditionalGeneration(
        WhisperConfig(**sizes, **heads, **ids, max_source_positions=6, max_target_positions=5)
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter).half())
    return network


def written(network: WhisperForConditionalGeneration, folder: Path) -> bytes:
    """Return the output of CTranslate2's own converter."""
    spec = WhisperLoader().get_model_spec(network)
    spec.register_vocabulary([str(i) for i in range(network.config.vocab_size)])
    spec.validate()
    spec.optimize(quantization="float16")
    spec.save(str(folder))
    return (folder / "model.bin").read_bytes()


def serialise(arrays: dict[str, np.ndarray], aliases: dict[str, str] = ALIASES, version: int = 6) -> bytes:
    def string(text: str) -> bytes:
        return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"

    codes = {np.dtype(kind): code for code, kind in ctranslate2._DTYPES.items()}
    out = struct.pack("<I", version) + string("WhisperSpec") + struct.pack("<I", 3) + struct.pack("<I", len(arrays))
    for name, array in arrays.items():
        out += string(name) + struct.pack("<B", array.ndim) + struct.pack(f"<{array.ndim}I", *array.shape)
        out += struct.pack("<BI", codes[array.dtype], array.nbytes) + array.tobytes()
    out += struct.pack("<I", len(aliases))
    return out + b"".join(string(alias) + string(name) for alias, name in aliases.items())


def test_every_weight_comes_back_where_it_was(tmp_path: Path) -> None:
    network = small_whisper()
    state, architecture = ctranslate2.whisper_state(ctranslate2.read(written(network, tmp_path)))
    expected = {name: tensor for name, tensor in network.state_dict().items() if name != "proj_out.weight"}
    assert state.keys() == expected.keys()
    for name, tensor in expected.items():
        assert np.array_equal(state[name], tensor.numpy()), name
    assert architecture == {key: getattr(network.config, key) for key in architecture}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda a: serialise(a)[:-3], "ends early"),
        (lambda a: serialise(a) + b"x", "continues after its last variable"),
        (lambda a: serialise(a, version=5), "header is"),
        (lambda a: serialise(a, aliases={}), "not tied"),
        (
            lambda a: serialise({k: v for k, v in a.items() if k != "encoder/conv1/bias"}),
            "lacks the variable encoder/conv1/bias",
        ),
        (lambda a: serialise(a | {"encoder/odd": np.zeros(1, np.float16)}), "does not have: encoder/odd"),
        (lambda a: serialise(a | {"decoder/pre_norm": np.int8(0)}), "not a Whisper model"),
        (
            lambda a: serialise(a | {"encoder/layer_0/self_attention/linear_0/bias": np.ones(24, np.float16)}),
            "has a k bias",
        ),
    ],
)
def test_damaged_files_are_refused(damage: Damage, message: str, tmp_path: Path) -> None:
    arrays = ctranslate2.read(written(small_whisper(), tmp_path)).arrays
    ctranslate2.whisper_state(ctranslate2.read(serialise(arrays)))
    with pytest.raises(AsrmeterError, match=message):
        ctranslate2.whisper_state(ctranslate2.read(damage(arrays)))


# Sizes


def described(config: dict[str, Any], **tensors: tuple[int, ...]) -> SavedFiles:
    shapes = {name: Tensor("F32", shape) for name, shape in tensors.items()}
    return SavedFiles({}, config, family_of(config), shapes)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"d_model": 10**6, "encoder_ffn_dim": 10**6}, "describes a model of "),
        ({"encoder_layers": 100, "d_model": 10**6}, "describes a model of "),
        ({"encoder_attention_heads": 3}, "cannot be built"),
        ({"decoder_attention_heads": 0}, "cannot be built"),
        ({"encoder_ffn_dim": "wide"}, "cannot be built"),
        ({"encoder_ffn_dim": 10**19}, "cannot be built"),
        ({"model_type": "wav2vec2", "hidden_size": 10**6, "num_attention_heads": 10}, "describes a model of "),
        ({"model_type": "wav2vec2", "conv_dim": [10**8] * 7}, "describes a model of "),
        ({"model_type": "wav2vec2", "conv_dim": [512] * 3}, "cannot be built"),
        ({"model_type": "wavlm", "num_buckets": 10**12}, "describes a model of "),
    ],
)
@pytest.mark.parametrize("with_weights", [True, False])
def test_absurd_sizes_are_refused_before_anything_is_built(
    changes: dict[str, Any], why: str, with_weights: bool
) -> None:
    begin = time.monotonic()
    with pytest.raises(AsrmeterError, match=f"^(the network in )?config.json {why}") as caught:
        sizes.check(described(WHISPER | changes), with_weights)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - begin < 20


def test_weights_of_another_model_are_named() -> None:
    embedding = "model.decoder.embed_tokens.weight"
    sizes.check(described(WHISPER, **{embedding: (99, 16), "other": (100_000,)}), True)
    sizes.check(described(WHISPER), False)
    why = r"config.json and the weights are of different models: .*tokens.weight has the shape 99 x 16 by .* 98 x 16 "
    with pytest.raises(AsrmeterError, match=why):
        sizes.check(described(WHISPER, **{embedding: (98, 16)}), True)
    why = r"config.json describes a model of \d\d,... parameters, and the weights have 1,584 numbers"
    with pytest.raises(AsrmeterError, match=why):
        sizes.check(described(WHISPER, **{embedding: (99, 16)}), True)
