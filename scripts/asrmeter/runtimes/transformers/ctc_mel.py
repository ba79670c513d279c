"""Encoders with a CTC head that hear log-mel features, by transformers: one encoder run, greedy collapse."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from asrmeter.runtimes.families.ctc_mel import FEATURES, n_outputs
from asrmeter.runtimes.transformers.ctc import TransformersCtc
from asrmeter.runtimes.transformers.loading import feature_extractor

# Features are normalised by their variance, which one frame does not have.
_FEWEST_FRAMES = 2


class TransformersMelCtc(TransformersCtc):
    """An encoder with a CTC head; see `asrmeter.runtimes.base.Runtime`. A mask hides the padding from the model."""

    input_name = "input_features"

    def parts(self) -> tuple[Any, Any, int]:
        """See `TransformersCtc`."""
        encoder = getattr(self.model, "encoder", None) or getattr(self.model, self.model.base_model_prefix)
        return encoder, getattr(self.model, "ctc_head", None) or self.model.lm_head, self.model.config.vocab_size

    def extractor(self, folder: Path) -> tuple[Any, int]:
        """See `TransformersCtc`."""
        heard = FEATURES[self.model.config.model_type]
        n_frames = _FEWEST_FRAMES
        while n_outputs(self.model, torch.tensor(n_frames)) < 1:
            n_frames += 1
        made_by = feature_extractor(getattr(transformers, heard.extractor), folder)
        return partial(made_by, return_attention_mask=True), heard.n_samples(n_frames)

    def n_frames(self, _waveforms: list[np.ndarray], inputs: Any) -> list[int]:
        """See `TransformersCtc`."""
        return n_outputs(self.model, inputs["attention_mask"].sum(dim=-1)).tolist()
