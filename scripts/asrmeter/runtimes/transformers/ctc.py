"""Encoders with a CTC head by transformers (wav2vec 2.0 and its relatives): one encoder run, greedy collapse."""

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers.models.wav2vec2.feature_extraction_wav2vec2 import Wav2Vec2FeatureExtractor

from asrmeter.common.constants import SAMPLE_RATE_HZ
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.vocabulary import DecoderWork
from asrmeter.runtimes.base import Hypothesis, Setup, Timeline
from asrmeter.runtimes.families import family_of
from asrmeter.runtimes.transformers.loading import feature_extractor, network
from asrmeter.runtimes.transformers.torch_runtime import TorchRuntime

# The defaults of transformers' CTC tokenizer.
DEFAULT_SPECIAL_TOKENS = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
DEFAULT_WORD_DELIMITER = "|"


class TransformersCtc(TorchRuntime):
    """An encoder with a CTC head; see `asrmeter.runtimes.base.Runtime`.

    The folder's preprocessor_config.json says whether the model gets an attention mask. Models with group normalisation
    do not: in a batch, the shorter segments are padded with zeros that the model sees, which changes its output a
    little. It changes less where convolutions come after the mask: conformers, data2vec, SEW.
    """

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        folder = setup.folder
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        spelling = read_spelling(folder)
        self._features = feature_extractor(Wav2Vec2FeatureExtractor, folder)
        self.model = network(family_of(config).network_class(config["model_type"]), setup)
        self._encoder = getattr(self.model, self.model.base_model_prefix)
        self.head = self.model.lm_head
        self.attention = self.model.config._attn_implementation
        # By token. The blank, and outputs of the head that no file names, spell nothing.
        self._spelling = [spelling.get(token, "") for token in range(self.model.lm_head.out_features)]
        self._spelling[self.model.config.pad_token_id] = ""

    def decoding(self) -> dict[str, Any]:
        """Return the settings of decoding, for the record."""
        return {"ctc": "greedy"}

    @torch.inference_mode()
    def transcribe(self, waveforms: list[np.ndarray], references: list[str], timeline: Timeline) -> list[Hypothesis]:
        """Transcribe a batch; see `asrmeter.runtimes.base.Runtime`."""
        timeline.decoder_work = DecoderWork()  # nothing: there is no decoder
        timeline.begin("features")
        inputs = self._features(waveforms, sampling_rate=SAMPLE_RATE_HZ, padding=True, return_tensors="pt")
        inputs["input_values"] = inputs["input_values"].to(self.model.dtype)
        inputs = inputs.to(self.model.device)
        timeline.begin("encoder")
        hidden = self._encoder(**inputs).last_hidden_state
        timeline.begin("decoder")
        frames = self.head(hidden).argmax(dim=-1).tolist()
        timeline.begin("text")
        n_frames = self.model._get_feat_extract_output_lengths(torch.tensor([len(w) for w in waveforms])).tolist()
        spoken = [collapse(row[:n], self._spelling) for row, n in zip(frames, n_frames, strict=True)]
        processed_s = max(map(len, waveforms)) / SAMPLE_RATE_HZ
        return [Hypothesis(" ".join("".join(s).split()), len(s), n_windows=1, processed_s=processed_s) for s in spoken]


def collapse(frames: list[int], spelling: list[str]) -> list[str]:
    """Return what the best tokens of the frames spell: repeats are merged, then tokens that spell nothing are dropped.

    A blank between two equal letters keeps them apart. The blank and special tokens spell nothing.
    """
    return [spelling[token] for token, _ in groupby(frames) if spelling[token]]


def read_spelling(folder: Path) -> dict[int, str]:
    """Return what each token of a CTC vocabulary adds to the text: special tokens nothing, the word delimiter a space.

    Raises:
        AsrmeterError: the folder has no vocabulary, or one for each of several languages.
    """
    vocabulary = _read_json(folder / "vocab.json")
    if not vocabulary:
        raise AsrmeterError(f"{folder}: has no vocab.json, which says what a CTC model's tokens spell")
    if any(isinstance(number, dict) for number in vocabulary.values()):
        raise AsrmeterError(f"{folder}: vocab.json has a vocabulary for each language; asrmeter runs models with one")
    settings = _read_json(folder / "tokenizer_config.json")
    special = set(_special_tokens(DEFAULT_SPECIAL_TOKENS | settings))
    special |= set(_special_tokens(_read_json(folder / "special_tokens_map.json")))
    delimiter = _text(settings.get("word_delimiter_token") or DEFAULT_WORD_DELIMITER)
    vocabulary |= _read_json(folder / "added_tokens.json")
    return {number: "" if token in special else token.replace(delimiter, " ") for token, number in vocabulary.items()}


def _special_tokens(settings: dict[str, Any]) -> Iterator[str]:
    """Yield the special tokens that tokenizer_config.json or special_tokens_map.json names."""
    for key in DEFAULT_SPECIAL_TOKENS:
        if settings.get(key):
            yield _text(settings[key])
    for key in ("additional_special_tokens", "extra_special_tokens"):
        tokens = settings.get(key) or []
        yield from map(_text, tokens.values() if isinstance(tokens, dict) else tokens)
    for token in settings.get("added_tokens_decoder", {}).values():
        if token.get("special"):
            yield _text(token)


def _text(token: str | dict[str, Any]) -> str:
    """Return the text of a token, which tokenizer files give as a string or within a mapping."""
    return token if isinstance(token, str) else token["content"]


def _read_json(path: Path) -> dict[str, Any]:
    """Return the content of a file, an empty mapping if there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
