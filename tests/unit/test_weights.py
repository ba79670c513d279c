"""CTranslate2's binary format: read, converted to transformers' names, and refused when damaged."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from ctranslate2.converters.transformers import WhisperLoader
from transformers import WhisperConfig, WhisperForConditionalGeneration

from asrmeter.common.errors import AsrmeterError
from asrmeter.runtimes.families.whisper import ctranslate2

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
