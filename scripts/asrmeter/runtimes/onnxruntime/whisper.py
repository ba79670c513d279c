"""Whisper by ONNX Runtime: a graph of the encoder and one of a step of the decoder, in a greedy loop of our own."""

from typing import Any

import numpy as np

from asrmeter.runtimes.base import Setup
from asrmeter.runtimes.families.whisper.decoding import config_of
from asrmeter.runtimes.families.whisper.greedy import GreedyWhisper
from asrmeter.runtimes.onnxruntime.sessions import Graph, OrtRuntime

# Names of the exporter's graphs (`builders/whisper.py` of onnxruntime-genai 0.18).
_FEATURES, _TOKENS, _SCORES = "audio_features", "input_ids", "logits"
_PRESENT, _PAST = "present_", "past_"


class OrtBackend:
    """Runs both graphs. Keys and values stay where they are from step to step."""

    def __init__(self, encoder: Graph, decoder: Graph, n_heads: int, head_size: int) -> None:
        self._encoder, self._decoder = encoder, decoder
        self._n_heads, self._head_size = n_heads, head_size
        self._past = [name for name in decoder.inputs if name.startswith(f"{_PAST}") and "_self_" in name]

    def encode(self, features: np.ndarray) -> dict[str, Any]:
        """See `greedy.Backend`."""
        made = self._encoder.run({_FEATURES: self._encoder.value(_FEATURES, features)})
        cross = {_past(name): value for name, value in made.items() if name.startswith(_PRESENT)}
        nothing = np.zeros((len(features), self._n_heads, 0, self._head_size), np.float32)
        return cross | {name: self._decoder.value(name, nothing) for name in self._past}

    def step(self, state: dict[str, Any], tokens: np.ndarray, n_past: int) -> np.ndarray:
        """See `greedy.Backend`."""
        read = {_TOKENS: self._decoder.value(_TOKENS, tokens.astype(np.int32))}
        made = self._decoder.run(read | state, on_host=(_SCORES,))
        scores: np.ndarray = made.pop(_SCORES).numpy()[:, -1]
        state.update({_past(name): value for name, value in made.items()})
        return scores.astype(np.float32, copy=False)


def _past(name: str) -> str:
    """Return the input of the next step that gets an output."""
    return _PAST + name.removeprefix(_PRESENT)


class OrtWhisper(OrtRuntime, GreedyWhisper):
    """A Whisper model; see `Runtime`."""

    def __init__(self, setup: Setup) -> None:
        OrtRuntime.__init__(self, setup)
        GreedyWhisper.__init__(self, setup)
        config = config_of(setup.folder)
        n_heads = config["decoder_attention_heads"]
        self.backend = OrtBackend(self.graph("encoder"), self.graph("decoder"), n_heads, config["d_model"] // n_heads)
