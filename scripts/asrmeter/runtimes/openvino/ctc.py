"""CTC models by OpenVINO: one graph from waveforms to scores."""

import json

import numpy as np

from asrmeter.runtimes.base import Setup
from asrmeter.runtimes.families.shared.ctc_features import Batch
from asrmeter.runtimes.families.shared.ctc_greedy import CONFIG, MASK, SCORES, VALUES, GreedyCtc
from asrmeter.runtimes.openvino.graphs import Graph, OpenVinoRuntime

GRAPH = "ctc"


class OpenVinoCtc(OpenVinoRuntime, GreedyCtc):
    """An encoder with a CTC head; see `Runtime`."""

    def __init__(self, setup: Setup) -> None:
        OpenVinoRuntime.__init__(self, setup)
        GreedyCtc.__init__(self, setup, json.loads((self.folder / CONFIG).read_text(encoding="utf-8")))
        self._graph = self.graph(GRAPH)

    def scores(self, batch: Batch) -> np.ndarray:
        """See `GreedyCtc`."""
        return run(self._graph, batch)


def run(graph: Graph, batch: Batch) -> np.ndarray:
    """Return the scores of a batch by a graph; the next run overwrites them."""
    graph.run({VALUES: batch.values} if batch.mask is None else {VALUES: batch.values, MASK: batch.mask})
    scores: np.ndarray = graph.request.get_tensor(SCORES).data
    return scores
