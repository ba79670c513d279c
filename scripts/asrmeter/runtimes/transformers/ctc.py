"""Encoders with a CTC head by transformers (wav2vec 2.0 and its relatives): one encoder run, greedy collapse."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers.models.wav2vec2.feature_extraction_wav2vec2 import Wav2Vec2FeatureExtractor

from asrmeter.common.constants import SAMPLE_RATE_HZ
from asrmeter.common.vocabulary import DecoderWork
from asrmeter.runtimes.base import Hypothesis, Setup, SpeechBatch, Timeline
from asrmeter.runtimes.families import family_of
from asrmeter.runtimes.families.ctc_spelling import read_spelling
from asrmeter.runtimes.families.shared.ctc_greedy import collapse, hypothesis, lengthened, shortest_input, spelling
from asrmeter.runtimes.transformers.loading import feature_extractor, network
from asrmeter.runtimes.transformers.optioned import OptionedRuntime


class TransformersCtc(OptionedRuntime):
    """An encoder with a CTC head; see `asrmeter.runtimes.base.Runtime`.

    The folder's preprocessor_config.json says whether the model gets an attention mask. Models with group normalisation
    do not: in a batch, the shorter segments are padded with zeros that the model sees, which changes its output a
    little. It changes less where convolutions come after the mask: conformers, data2vec, SEW.
    """

    input_name = "input_values"

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        config = json.loads((setup.folder / "config.json").read_text(encoding="utf-8"))
        self.model = network(family_of(config).network_class(config["model_type"]), setup)
        self._encoder, self.head, n_outputs = self.parts()
        self.attention = self._encoder.config._attn_implementation
        self.apply_to_ctc(self._encoder)
        self._spelling = spelling(read_spelling(setup.folder), n_outputs, self.model.config.pad_token_id)
        self._features, self.n_shortest = self.extractor(setup.folder)

    def parts(self) -> tuple[Any, Any, int]:
        """Return the network's encoder, what follows it, and the number of outputs."""
        return getattr(self.model, self.model.base_model_prefix), self.model.lm_head, self.model.lm_head.out_features

    def extractor(self, folder: Path) -> tuple[Any, int]:
        """Return what makes the network's inputs of waveforms, and of how many samples it takes at least."""
        made_by = partial(feature_extractor(Wav2Vec2FeatureExtractor, folder), padding=True)
        return made_by, shortest_input(self.model.config.to_dict())

    def n_frames(self, waveforms: list[np.ndarray], _inputs: Any) -> list[int]:
        """Return how many frames of the encoder are of each waveform; the rest is padding."""
        lengths = torch.tensor([len(each) for each in waveforms])
        return self.model._get_feat_extract_output_lengths(lengths).tolist()

    def decoding(self) -> dict[str, Any]:
        """Return the settings of decoding, for the record."""
        return {"ctc": "greedy"}

    @torch.inference_mode()
    def transcribe(self, speech: SpeechBatch, timeline: Timeline) -> list[Hypothesis]:
        """Transcribe a batch; see `asrmeter.runtimes.base.Runtime`."""
        timeline.decoder_work = DecoderWork()  # nothing: there is no decoder
        timeline.begin("features")
        waveforms = lengthened(speech.waveforms, self.n_shortest)
        inputs = self._features(waveforms, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")
        inputs[self.input_name] = inputs[self.input_name].to(self.model.dtype)
        inputs = self.on_device(inputs)
        timeline.begin("encoder")
        hidden = self.heard(self._encoder, inputs)
        timeline.begin("decoder")
        frames = self.head(hidden).argmax(dim=-1).tolist()
        timeline.begin("text")
        n_frames = self.n_frames(waveforms, inputs)
        spoken = [collapse(row[:n], self._spelling) for row, n in zip(frames, n_frames, strict=True)]
        processed_s = max(map(len, waveforms)) / SAMPLE_RATE_HZ
        return [hypothesis(letters, processed_s) for letters in spoken]
