"""Read Whisper weights in CTranslate2's binary format, and convert them to the names that transformers uses.

Format: binary version 6 and Whisper revision 3, as written by CTranslate2 v4 (`python/ctranslate2/specs/model_spec.py`,
`specs/whisper_spec.py`, `converters/transformers.py`). Little endian; strings are length (uint16) + bytes + NUL:

    uint32 version, string spec, uint32 revision, uint32 n, then n variables:
        string name, uint8 rank, uint32 shape[rank], uint8 dtype, uint32 n_bytes, bytes
    uint32 n, then n aliases: string alias, string name

CTranslate2 stacks the self-attention's q, k, v and the cross-attention's k, v in one linear layer each and stores the
k bias, which Whisper does not have, as zeros. OpenAI's checkpoints are float16, so the conversion loses nothing.
"""

import struct
from dataclasses import dataclass

import numpy as np

from asrmeter.common.errors import AsrmeterError

_DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
_VERSION, _SPEC, _REVISION = 6, "WhisperSpec", 3
_GELU = 3
_OPTIONAL = (
    "decoder/alibi_use_positive_positions",
    "decoder/alignment_heads",
    "decoder/alignment_layer",
    "decoder/scale_alibi",
    "encoder/activation",
    "encoder/pre_norm",
)


@dataclass
class Container:
    """The content of a model.bin: arrays by name (scalars have shape ()), and aliases."""

    arrays: dict[str, np.ndarray]
    aliases: dict[str, str]


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, n_bytes: int) -> bytes:
        piece = self._data[self._at : self._at + n_bytes]
        if len(piece) != n_bytes:
            raise AsrmeterError(
                f"CTranslate2 file ends early: byte {len(self._data)}, {n_bytes} more expected at {self._at}"
            )
        self._at += n_bytes
        return piece

    def number(self, code: str) -> int:
        return struct.unpack(f"<{code}", self.take(struct.calcsize(f"<{code}")))[0]

    def string(self) -> str:
        text = self.take(self.number("H"))
        if not text.endswith(b"\0"):
            raise AsrmeterError("CTranslate2 file is damaged: a name does not end in NUL")
        return text[:-1].decode()

    def at_end(self) -> bool:
        return self._at == len(self._data)


def read(data: bytes) -> Container:
    """Parse the bytes of a model.bin.

    Raises:
        AsrmeterError: another version or model, or the file is too short or too long.
    """
    reader = _Reader(data)
    header = (reader.number("I"), reader.string(), reader.number("I"))
    if header != (_VERSION, _SPEC, _REVISION):
        raise AsrmeterError(f"CTranslate2 header is {header}, expected {(_VERSION, _SPEC, _REVISION)}")
    arrays = {}
    for _ in range(reader.number("I")):
        name = reader.string()
        shape = tuple(reader.number("I") for _ in range(reader.number("B")))
        code = reader.number("B")
        if code not in _DTYPES:
            raise AsrmeterError(f"CTranslate2 variable {name} has the unknown type {code}")
        raw = reader.take(reader.number("I"))
        array = np.frombuffer(raw, dtype=_DTYPES[code])
        if array.size != int(np.prod(shape)):
            raise AsrmeterError(
                f"CTranslate2 variable {name} has {array.size} numbers, which do not fit its shape {shape}"
            )
        arrays[name] = array.reshape(shape)
    aliases = {reader.string(): reader.string() for _ in range(reader.number("I"))}
    if not reader.at_end():
        raise AsrmeterError("CTranslate2 file continues after its last variable")
    return Container(arrays, aliases)


def whisper_state(container: Container) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """Return (state dict in transformers' names as float32, architecture) of a Whisper container.

    The output projection is tied to the decoder's embedding, and therefore not in the state dict.

    Raises:
        AsrmeterError: a variable is missing or unknown, the projection is not tied, or a k bias is not zero.
    """
    left = dict(container.arrays)

    def take(name: str) -> np.ndarray:
        if name not in left:
            raise AsrmeterError(f"CTranslate2 file lacks the variable {name}")
        return left.pop(name)

    if container.aliases != {"decoder/projection/weight": "decoder/embeddings/weight"}:
        raise AsrmeterError("CTranslate2 file: the output projection is not tied to the embedding")
    switches = {"activation": _GELU, "pre_norm": 1, "scale_embeddings": 0, "alibi": 0, "start_from_zero_embedding": 0}
    for name, wanted in switches.items():
        if int(take(f"decoder/{name}")) != wanted:
            raise AsrmeterError(f"CTranslate2 file: decoder/{name} is not {wanted}: this is not a Whisper model")
    heads = {side: int(take(f"{side}/num_heads")) for side in ("encoder", "decoder")}
    # Some versions write these; those of alibi do not matter, since alibi is off.
    for name in _OPTIONAL:
        left.pop(name, None)

    state: dict[str, np.ndarray] = {}

    def keep(target: str, array: np.ndarray) -> None:
        state[f"model.{target}"] = array.astype(np.float32)

    def linear(source: str, target: str) -> None:
        keep(f"{target}.weight", take(f"{source}/weight"))
        keep(f"{target}.bias", take(f"{source}/bias"))

    def norm(source: str, target: str) -> None:
        keep(f"{target}.weight", take(f"{source}/gamma"))
        keep(f"{target}.bias", take(f"{source}/beta"))

    def stacked(source: str, target: str, parts: str) -> None:
        weights = np.split(take(f"{source}/weight"), len(parts))
        biases = np.split(take(f"{source}/bias"), len(parts))
        for part, weight, bias in zip(parts, weights, biases, strict=True):
            keep(f"{target}.{part}_proj.weight", weight)
            if part != "k":
                keep(f"{target}.{part}_proj.bias", bias)
            elif np.any(bias):
                raise AsrmeterError(f"CTranslate2 file: {source} has a k bias, which Whisper does not have")

    keep("decoder.embed_tokens.weight", take("decoder/embeddings/weight"))
    linear("encoder/conv1", "encoder.conv1")
    linear("encoder/conv2", "encoder.conv2")
    layers = {}
    for side in ("encoder", "decoder"):
        keep(f"{side}.embed_positions.weight", take(f"{side}/position_encodings/encodings"))
        norm(f"{side}/layer_norm", f"{side}.layer_norm")
        layers[side] = len(
            {
                name.split("/")[1]
                for name in container.arrays
                if name.startswith(f"{side}/layer_") and name.split("/")[1] != "layer_norm"
            }
        )
        for i in range(layers[side]):
            old, new = f"{side}/layer_{i}", f"{side}.layers.{i}"
            norm(f"{old}/self_attention/layer_norm", f"{new}.self_attn_layer_norm")
            stacked(f"{old}/self_attention/linear_0", f"{new}.self_attn", "qkv")
            linear(f"{old}/self_attention/linear_1", f"{new}.self_attn.out_proj")
            if side == "decoder":
                norm(f"{old}/attention/layer_norm", f"{new}.encoder_attn_layer_norm")
                stacked(f"{old}/attention/linear_0", f"{new}.encoder_attn", "q")
                stacked(f"{old}/attention/linear_1", f"{new}.encoder_attn", "kv")
                linear(f"{old}/attention/linear_2", f"{new}.encoder_attn.out_proj")
            norm(f"{old}/ffn/layer_norm", f"{new}.final_layer_norm")
            linear(f"{old}/ffn/linear_0", f"{new}.fc1")
            linear(f"{old}/ffn/linear_1", f"{new}.fc2")
    if left:
        raise AsrmeterError(f"CTranslate2 file has variables that Whisper does not have: {', '.join(sorted(left))}")
    architecture = {
        "d_model": state["model.decoder.embed_tokens.weight"].shape[1],
        "vocab_size": state["model.decoder.embed_tokens.weight"].shape[0],
        "encoder_layers": layers["encoder"],
        "decoder_layers": layers["decoder"],
        "encoder_attention_heads": heads["encoder"],
        "decoder_attention_heads": heads["decoder"],
        "encoder_ffn_dim": state["model.encoder.layers.0.fc1.weight"].shape[0],
        "decoder_ffn_dim": state["model.decoder.layers.0.fc1.weight"].shape[0],
    }
    return state, architecture
