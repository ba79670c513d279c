"""CTC models by OpenVINO: one graph from waveforms to scores."""

import json
from typing import Any

import numpy as np
import openvino

from asrmeter.runtimes.base import Setup
from asrmeter.runtimes.families.shared.ctc_features import Batch
from asrmeter.runtimes.families.shared.ctc_greedy import CONFIG, MASK, SCORES, VALUES, GreedyCtc
from asrmeter.runtimes.openvino.graphs import OpenVinoRuntime

GRAPH = "ctc"


class OpenVinoCtc(OpenVinoRuntime, GreedyCtc):
    """An encoder with a CTC head; see `Runtime`."""

    def __init__(self, setup: Setup) -> None:
        OpenVinoRuntime.__init__(self, setup)
        GreedyCtc.__init__(self, setup, json.loads((self.folder / CONFIG).read_text(encoding="utf-8")))
        self._request = self.graph(GRAPH).create_infer_request()

    def scores(self, batch: Batch) -> np.ndarray:
        """See `GreedyCtc`."""
        return run(self._request, batch)


def run(request: Any, batch: Batch) -> np.ndarray:
    """Return the scores of a batch by a request of a graph; the next run overwrites them."""
    request.set_tensor(VALUES, openvino.Tensor(batch.values))
    if batch.mask is not None:
        request.set_tensor(MASK, openvino.Tensor(batch.mask))
    request.infer()
    scores: np.ndarray = request.get_tensor(SCORES).data
    return scores
