"""Whisper by OpenVINO: a graph of the encoder and one of a step of the decoder, in a greedy loop of our own."""

from typing import Any

import numpy as np
import openvino

from asrmeter.runtimes.base import Setup
from asrmeter.runtimes.families.whisper.greedy import GreedyWhisper
from asrmeter.runtimes.openvino.graphs import OpenVinoRuntime

ENCODER, DECODER = "encoder", "decoder"
FEATURES, TOKENS, ROWS, SCORES = "features", "tokens", "rows", "scores"


def cross(number: int) -> str:
    """Return the name of a key or value that cross-attention sees: output of one graph, input of the other."""
    return f"cross_{number}"


class OpenVinoBackend:
    """Runs both graphs. Keys and values of self-attention stay in the decoder's."""

    def __init__(self, encoder: Any, decoder: Any) -> None:
        self._encoder, self._decoder = encoder.create_infer_request(), decoder.create_infer_request()
        self._cross = [cross(number) for number in range(len(encoder.outputs))]

    def encode(self, features: np.ndarray) -> np.ndarray:
        """See `greedy.Backend`: the state is the numbers of the rows, all else is in the requests."""
        self._encoder.set_tensor(FEATURES, openvino.Tensor(features))
        self._encoder.infer()
        self._decoder.reset_state()
        for name in self._cross:
            self._decoder.set_tensor(name, self._encoder.get_tensor(name))
        return np.arange(len(features), dtype=np.int32)

    def step(self, state: np.ndarray, tokens: np.ndarray, n_past: int) -> np.ndarray:
        """See `greedy.Backend`."""
        self._decoder.set_tensor(TOKENS, openvino.Tensor(np.ascontiguousarray(tokens)))
        self._decoder.set_tensor(ROWS, openvino.Tensor(state))
        self._decoder.infer()
        scores: np.ndarray = self._decoder.get_tensor(SCORES).data
        return scores


class OpenVinoWhisper(OpenVinoRuntime, GreedyWhisper):
    """A Whisper model; see `Runtime`."""

    def __init__(self, setup: Setup) -> None:
        OpenVinoRuntime.__init__(self, setup)
        GreedyWhisper.__init__(self, setup)
        self.backend = OpenVinoBackend(self.graph(ENCODER), self.graph(DECODER))
