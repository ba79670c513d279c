"""Encoders with a CTC head that hear log-mel features, by transformers: one encoder run, greedy collapse."""

import json

import numpy as np
import torch
import transformers

from asrmeter.common.constants import SAMPLE_RATE_HZ
from asrmeter.common.vocabulary import DecoderWork
from asrmeter.runtimes.base import Hypothesis, Setup, Timeline
from asrmeter.runtimes.families import family_of
from asrmeter.runtimes.families.ctc_mel import FEATURES, n_outputs
from asrmeter.runtimes.families.ctc_spelling import read_spelling
from asrmeter.runtimes.families.shared.ctc_greedy import collapse, hypothesis, lengthened, spelling
from asrmeter.runtimes.transformers.loading import feature_extractor, network
from asrmeter.runtimes.transformers.optioned import OptionedRuntime

# Features are normalised by their variance, which one frame does not have.
_FEWEST_FRAMES = 2


class TransformersMelCtc(OptionedRuntime):
    """An encoder with a CTC head; see `asrmeter.runtimes.base.Runtime`. A mask hides the padding from the model."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        folder = setup.folder
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        heard = FEATURES[config["model_type"]]
        self._features = feature_extractor(getattr(transformers, heard.extractor), folder)
        self.model = network(family_of(config).network_class(config["model_type"]), setup)
        self._encoder = getattr(self.model, "encoder", None) or getattr(self.model, self.model.base_model_prefix)
        self.head = getattr(self.model, "ctc_head", None) or self.model.lm_head
        self.attention = self._encoder.config._attn_implementation
        self.apply_to_ctc(self._encoder)
        own = self.model.config
        self._spelling = spelling(read_spelling(folder), own.vocab_size, own.pad_token_id)
        n_frames = _FEWEST_FRAMES
        while n_outputs(self.model, torch.tensor(n_frames)) < 1:
            n_frames += 1
        self.n_shortest = heard.n_samples(n_frames)

    def decoding(self) -> dict[str, str]:
        """Return the settings of decoding, for the record."""
        return {"ctc": "greedy"}

    @torch.inference_mode()
    def transcribe(self, waveforms: list[np.ndarray], references: list[str], timeline: Timeline) -> list[Hypothesis]:
        """Transcribe a batch; see `asrmeter.runtimes.base.Runtime`."""
        timeline.decoder_work = DecoderWork()  # nothing: there is no decoder
        timeline.begin("features")
        waveforms = lengthened(waveforms, self.n_shortest)
        inputs = self._features(
            waveforms, sampling_rate=SAMPLE_RATE_HZ, return_attention_mask=True, return_tensors="pt"
        )
        inputs["input_features"] = inputs["input_features"].to(self.model.dtype)
        inputs = self.on_device(inputs)
        timeline.begin("encoder")
        hidden = self.heard(self._encoder, inputs)
        timeline.begin("decoder")
        frames = self.head(hidden).argmax(dim=-1).tolist()
        timeline.begin("text")
        n_frames = n_outputs(self.model, inputs["attention_mask"].sum(dim=-1)).tolist()
        spoken = [collapse(row[:n], self._spelling) for row, n in zip(frames, n_frames, strict=True)]
        processed_s = max(map(len, waveforms)) / SAMPLE_RATE_HZ
        return [hypothesis(letters, processed_s) for letters in spoken]
