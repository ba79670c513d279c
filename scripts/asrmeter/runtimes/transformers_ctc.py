"""Models with a CTC head by transformers (wav2vec 2.0): one encoder run, greedy collapse."""

import json
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers.models.wav2vec2.feature_extraction_wav2vec2 import Wav2Vec2FeatureExtractor
from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2ForCTC

from asrmeter.runtimes.base import Hypothesis, Timeline
from asrmeter.segments import SAMPLE_RATE_HZ

WORD_DELIMITER = "|"


class TransformersCtc:
    """A wav2vec 2.0 model with a CTC head; see `asrmeter.runtimes.base.Runtime`.

    The base model's group normalisation takes no attention mask: beyond a batch of one the shorter segments are padded
    with zeros that the model sees, which changes its output a little.
    """

    def __init__(self, folder: Path, options: dict[str, Any], device: str, random_weights: bool) -> None:
        self._model = Wav2Vec2ForCTC.from_pretrained(
            folder,
            dtype=getattr(torch, options["dtype"]),
            attn_implementation=options["attention"],
            local_files_only=True,
            use_safetensors=True,
        )
        self._model.to(device).eval()
        self.head = self._model.lm_head
        self._features = Wav2Vec2FeatureExtractor.from_pretrained(folder, local_files_only=True)
        vocabulary: dict[str, int] = json.loads((folder / "vocab.json").read_text())
        self._letters = {number: token for token, number in vocabulary.items()}
        self._blank = self._model.config.pad_token_id

    def decoding(self) -> dict[str, Any]:
        """Return the settings of decoding, for the record."""
        return {"ctc": "greedy"}

    @torch.inference_mode()
    def transcribe(self, waveforms: list[np.ndarray], references: list[str], timeline: Timeline) -> list[Hypothesis]:
        """Transcribe a batch; see `asrmeter.runtimes.base.Runtime`."""
        timeline.begin("features")
        inputs = self._features(waveforms, sampling_rate=SAMPLE_RATE_HZ, padding=True, return_tensors="pt")
        inputs["input_values"] = inputs["input_values"].to(self._model.dtype)
        inputs = inputs.to(self._model.device)
        timeline.begin("encoder")
        hidden = self._model.wav2vec2(**inputs).last_hidden_state
        timeline.begin("decoder")
        frames = self._model.lm_head(hidden).argmax(dim=-1).tolist()
        timeline.begin("text")
        n_frames = self._model._get_feat_extract_output_lengths(torch.tensor([len(w) for w in waveforms])).tolist()
        texts = [ctc_text(row[:n], self._letters, self._blank) for row, n in zip(frames, n_frames, strict=True)]
        processed_s = max(map(len, waveforms)) / SAMPLE_RATE_HZ
        return [Hypothesis(text, n_tokens=len(text), n_windows=1, processed_s=processed_s) for text in texts]


def ctc_text(frames: list[int], letters: dict[int, str], blank: int) -> str:
    """Collapse the best token of each frame: repeats first, then blanks (a blank keeps double letters apart)."""
    tokens = [letters[token] for token, _ in groupby(frames) if token != blank]
    spoken = "".join(token for token in tokens if not token.startswith("<"))
    return " ".join(spoken.replace(WORD_DELIMITER, " ").split())
