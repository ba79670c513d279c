"""wav2vec 2.0 by CTranslate2: those with layer normalisation, whose features are standardised frame by frame."""

import json

import ctranslate2
import numpy as np

from asrmeter.runtimes.base import Setup
from asrmeter.runtimes.ctranslate2.engine import CTranslate2Runtime
from asrmeter.runtimes.families.shared.ctc_features import Batch
from asrmeter.runtimes.families.shared.ctc_greedy import CONFIG, GreedyCtc


class CTranslate2Ctc(CTranslate2Runtime, GreedyCtc):
    """An encoder with a CTC head; see `Runtime`.

    CTranslate2 takes no mask: in a batch, shorter segments are padded with zeros that the model hears.
    """

    def __init__(self, setup: Setup) -> None:
        CTranslate2Runtime.__init__(self, ctranslate2.models.Wav2Vec2, setup)
        assert setup.converted is not None
        GreedyCtc.__init__(self, setup, json.loads((setup.converted / CONFIG).read_text(encoding="utf-8")))

    def differences(self) -> tuple[str, ...]:
        """See `Runtime`."""
        return (*super().differences(), *(("padding",) if self.features.is_masked else ()))

    def scores(self, batch: Batch) -> np.ndarray:
        """See `GreedyCtc`."""
        heard = ctranslate2.StorageView.from_array(batch.values[:, None])
        scores: np.ndarray = np.array(self.engine.encode(heard, to_cpu=True).to(ctranslate2.DataType.float32))
        return scores
