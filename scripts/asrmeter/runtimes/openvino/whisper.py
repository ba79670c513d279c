"""Whisper by OpenVINO: a graph of the encoder and one of a step of the decoder, in a greedy loop of our own."""

from typing import Any

import numpy as np

from asrmeter.runtimes.base import Setup
from asrmeter.runtimes.families.whisper.greedy import GreedyWhisper
from asrmeter.runtimes.openvino.graphs import Graph, OpenVinoRuntime

ENCODER, DECODER = "encoder", "decoder"
FEATURES, TOKENS, ROWS, SCORES = "features", "tokens", "rows", "scores"


def cross(number: int) -> str:
    """Return the name of a key or value that cross-attention sees: output of one graph, input of the other."""
    return f"cross_{number}"


class OpenVinoBackend:
    """Runs both graphs. Keys and values of self-attention stay in the decoder's."""

    def __init__(self, encoder: Graph, decoder: Graph) -> None:
        self._encoder, self._decoder = encoder, decoder
        self._cross = [cross(number) for number in range(len(encoder.compiled.outputs))]

    def encode(self, features: np.ndarray) -> dict[str, Any]:
        """See `greedy.Backend`: what does not change from step to step, in the encoder's own memory."""
        self._encoder.run({FEATURES: features})
        self._decoder.request.reset_state()
        heard = {name: self._encoder.request.get_tensor(name) for name in self._cross}
        return heard | {ROWS: np.arange(len(features), dtype=np.int32)}

    def step(self, state: dict[str, Any], tokens: np.ndarray, n_past: int) -> np.ndarray:
        """See `greedy.Backend`."""
        # The request keeps what it was given.
        self._decoder.run({TOKENS: np.ascontiguousarray(tokens)} | ({} if n_past else state))
        scores: np.ndarray = self._decoder.request.get_tensor(SCORES).data
        return scores


class OpenVinoWhisper(OpenVinoRuntime, GreedyWhisper):
    """A Whisper model; see `Runtime`."""

    def __init__(self, setup: Setup) -> None:
        OpenVinoRuntime.__init__(self, setup)
        GreedyWhisper.__init__(self, setup)
        self.backend = OpenVinoBackend(self.graph(ENCODER), self.graph(DECODER))
