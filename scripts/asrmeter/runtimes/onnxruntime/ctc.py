"""CTC models by ONNX Runtime: one graph from waveforms to scores."""

import json

import numpy as np

from asrmeter.runtimes.base import Setup
from asrmeter.runtimes.families.shared.ctc_features import Batch
from asrmeter.runtimes.families.shared.ctc_greedy import CONFIG, MASK, SCORES, VALUES, GreedyCtc
from asrmeter.runtimes.onnxruntime.sessions import Graph, OrtRuntime

GRAPH = "ctc"


class OrtCtc(OrtRuntime, GreedyCtc):
    """An encoder with a CTC head; see `Runtime`."""

    def __init__(self, setup: Setup) -> None:
        OrtRuntime.__init__(self, setup)
        GreedyCtc.__init__(self, setup, json.loads((self.folder / CONFIG).read_text(encoding="utf-8")))
        self._graph = self.graph(GRAPH)

    def scores(self, batch: Batch) -> np.ndarray:
        """See `GreedyCtc`."""
        return run(self._graph, batch)


def run(graph: Graph, batch: Batch) -> np.ndarray:
    """Return the scores of a batch by a graph."""
    given = {VALUES: batch.values} if batch.mask is None else {VALUES: batch.values, MASK: batch.mask}
    made = graph.run({name: graph.value(name, array) for name, array in given.items()}, on_host=(SCORES,))
    scores: np.ndarray = made[SCORES].numpy()
    return scores
