"""Whisper by transformers: greedy, without timestamps up to 30 s, sequential long-form beyond."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
from transformers.generation.configuration_utils import GenerationConfig
from transformers.models.whisper.feature_extraction_whisper import WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperForConditionalGeneration

from asrmeter.common.constants import SAMPLE_RATE_HZ
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.vocabulary import DecoderWork
from asrmeter.runtimes.base import Hypothesis, Setup, Timeline, UnsupportedError
from asrmeter.runtimes.families.whisper import FAMILY
from asrmeter.runtimes.families.whisper.vocabulary import Vocabulary
from asrmeter.runtimes.transformers.loading import feature_extractor, network
from asrmeter.runtimes.transformers.torch_runtime import TorchRuntime

WINDOW_SAMPLES = FAMILY.window_s * SAMPLE_RATE_HZ
# The generation settings of a folder that are part of the model. All others (sampling, beams, thresholds, tokens forced
# by older versions, what is returned) only record how somebody decoded with it, and are ignored.
PENALTIES = ("repetition_penalty", "no_repeat_ngram_size")
OWN_SETTINGS = (
    "max_length",
    "is_multilingual",
    "lang_to_id",
    "task_to_id",
    "no_timestamps_token_id",
    "prev_sot_token_id",
    "max_initial_timestamp_index",
    "suppress_tokens",
    "begin_suppress_tokens",
    *PENALTIES,
)


class TransformersWhisper(TorchRuntime):
    """A Whisper model; see `asrmeter.runtimes.base.Runtime`."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        folder = setup.folder
        self._tokenizer = FAMILY.tokenizer(folder)
        # Only the long form needs a mask of the padding, and asks for it.
        self._features = feature_extractor(WhisperFeatureExtractor, folder, return_attention_mask=False)
        self.model = network(WhisperForConditionalGeneration, setup)
        _check_features(folder, self._features, self.model.config)
        try:
            settings = self.model.generation_config = own_generation(self.model, self._tokenizer)
        except AsrmeterError as error:
            raise AsrmeterError(f"{folder}: {error}") from error
        vocabulary, n_tokens = _vocabulary(self._tokenizer), self.model.config.vocab_size
        self._words, self._has_timestamps = vocabulary.words, vocabulary.has_timestamps(n_tokens)
        # To transformers, all tokens after the first timestamp are timestamps.
        self._beyond = list(vocabulary.beyond(n_tokens))
        self.model.config.forced_decoder_ids = None  # transformers falls back on it
        self.head = self.model.proj_out
        self.attention = self.model.config._attn_implementation
        self._end: int = settings.eos_token_id
        self._decoding: dict[str, Any] = {"do_sample": False, "num_beams": 1}
        if settings.is_multilingual:
            self._decoding |= {"language": "en", "task": "transcribe"}
        self._decoding |= {key: getattr(settings, key) for key in PENALTIES if getattr(settings, key) is not None}
        self._max_tokens = self.model.config.max_target_positions - FAMILY.prompt_length(settings.to_dict())
        self._random_weights = setup.random_weights
        self._timeline: Timeline | None = None
        encoder = self.model.get_encoder()
        encoder.register_forward_pre_hook(self._enter_encoder)
        encoder.register_forward_hook(self._leave_encoder)
        self.model.get_decoder().register_forward_pre_hook(self._enter_decoder, with_kwargs=True)

    def decoding(self) -> dict[str, Any]:
        """Return the settings of decoding, for the record."""
        return self._decoding

    @torch.inference_mode()
    def transcribe(self, waveforms: list[np.ndarray], references: list[str], timeline: Timeline) -> list[Hypothesis]:
        """Transcribe a batch; see `asrmeter.runtimes.base.Runtime`."""
        self._timeline = timeline
        timeline.decoder_work = DecoderWork()
        if self._random_weights:
            return self._fixed_work(waveforms, references, timeline)
        if max(map(len, waveforms)) <= WINDOW_SAMPLES:
            return self._short_form(waveforms, timeline)
        return self._long_form(waveforms, timeline)

    def _short_form(self, waveforms: list[np.ndarray], timeline: Timeline, **limits: int) -> list[Hypothesis]:
        """Transcribe each segment in one window: Whisper always sees 30 s."""
        timeline.begin("features")
        inputs = self._extract(waveforms, padding="max_length")
        timeline.begin("decoder")
        tokens = self.model.generate(**inputs, **self._decoding, **limits)
        timeline.begin("text")
        return [self._hypothesis(row, n_windows=1) for row in tokens.tolist()]

    def _long_form(self, waveforms: list[np.ndarray], timeline: Timeline) -> list[Hypothesis]:
        """Transcribe window after window, each from the last timestamp of the one before."""
        if not self._has_timestamps:
            raise UnsupportedError(
                f"the model has no tokens for timestamps, by which Whisper goes on after {FAMILY.window_s} s; it "
                "transcribes segments up to that"
            )
        n_windows = torch.zeros(len(waveforms), dtype=torch.int64)

        def count(progress: torch.Tensor) -> None:
            nonlocal n_windows
            n_windows += (progress[:, 0] < progress[:, 1]).cpu()

        timeline.begin("features")
        inputs = self._extract(waveforms, padding="longest", truncation=False, return_attention_mask=True)
        timeline.begin("decoder")
        tokens = self.model.generate(
            **inputs,
            **self._decoding,
            **self._without_words_beyond(),
            return_timestamps=True,
            monitor_progress=count,
        )
        timeline.begin("text")
        return [self._hypothesis(row, n) for row, n in zip(tokens.tolist(), n_windows.tolist(), strict=True)]

    def _fixed_work(self, waveforms: list[np.ndarray], references: list[str], timeline: Timeline) -> list[Hypothesis]:
        """Do a fixed amount of work; see `Family.fixed_work`."""
        n_tokens = [len(self._tokenizer.encode(text).ids) for text in references]
        work = FAMILY.fixed_work([len(waveform) for waveform in waveforms], n_tokens, self._max_tokens)
        limits = {"min_new_tokens": work.n_tokens, "max_new_tokens": work.n_tokens}
        windows = [
            self._short_form([waveform[window] for waveform in waveforms], timeline, **limits)
            for window in work.windows
        ]
        return [_joined(parts) for parts in zip(*windows, strict=True)]

    def _extract(self, waveforms: list[np.ndarray], **padding: Any) -> dict[str, torch.Tensor]:
        inputs = self._features(waveforms, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt", **padding)
        inputs["input_features"] = inputs["input_features"].to(self.model.dtype)
        return dict(inputs.to(self.model.device))

    def _hypothesis(self, row: list[int], n_windows: int) -> Hypothesis:
        """Decode the text tokens: those below the end-of-text token, and words that were added later."""
        text = [token for token in row if token < self._end or token in self._words]
        return Hypothesis(self._tokenizer.decode(text).strip(), len(text), n_windows, n_windows * FAMILY.window_s)

    def _without_words_beyond(self) -> dict[str, list[int]]:
        """Return the setting that keeps words from being read as timestamps, where any were added after these."""
        if not self._words.intersection(self._beyond):
            return {}
        return {"suppress_tokens": sorted({*(self.model.generation_config.suppress_tokens or ()), *self._beyond})}

    def _enter_encoder(self, *_: Any) -> None:
        if self._timeline:
            self._timeline.begin("encoder")

    def _leave_encoder(self, *_: Any) -> None:
        if self._timeline:
            self._timeline.begin("decoder")

    def _enter_decoder(self, _decoder: Any, _arguments: Any, named: dict[str, Any]) -> None:
        if self._timeline and self._timeline.decoder_work:
            n_rows, n_new = named["input_ids"].shape
            caches = named["past_key_values"]
            self._timeline.decoder_work.add(n_rows, n_new, caches.get_seq_length() if caches else 0)


def _joined(parts: Sequence[Hypothesis]) -> Hypothesis:
    """Return the hypothesis of a segment from those of its windows."""
    n_tokens = sum(part.n_tokens or 0 for part in parts)
    text = " ".join(part.text for part in parts if part.text)
    return Hypothesis(text, n_tokens, len(parts), len(parts) * FAMILY.window_s)


def own_generation(model: WhisperForConditionalGeneration, tokenizer: tokenizers.Tokenizer) -> GenerationConfig:
    """Return the generation settings that are part of `model`, with defaults for those that its folder lacks.

    Special tokens are taken from the tokenizer: the settings may name several or wrong ones. Numbers of which no token
    is known, as where an embedding is padded, are never chosen.

    Raises:
        AsrmeterError: a token is missing, or nothing tells whether the model has languages.
    """
    config, vocabulary = model.config, _vocabulary(tokenizer)
    own = {key: value for key in OWN_SETTINGS if (value := getattr(model.generation_config, key, None)) is not None}
    forced = {"forced_decoder_ids": getattr(config, "forced_decoder_ids", None)}
    told = vocabulary.generation(config.vocab_size, own, forced)
    settings = {"max_length": config.max_target_positions} | own | told
    unknown = {*vocabulary.beyond(config.vocab_size)} - vocabulary.words
    if unknown:
        settings["suppress_tokens"] = sorted({*(own.get("suppress_tokens") or ()), *unknown})
    return GenerationConfig(**settings)


def _vocabulary(tokenizer: tokenizers.Tokenizer) -> Vocabulary:
    added = tokenizer.get_added_tokens_decoder().items()
    return Vocabulary.of((token.content, number, token.special) for number, token in added)


def _check_features(folder: Path, features: WhisperFeatureExtractor, config: Any) -> None:
    """Raise AsrmeterError unless the encoder hears what the features are."""
    expected = {"feature_size": config.num_mel_bins, "nb_max_frames": 2 * config.max_source_positions}
    for key, value in expected.items():
        own = getattr(features, key)
        if own != value:
            raise AsrmeterError(
                f"{folder}: preprocessor_config.json gives {key} {own}, and by config.json the model hears {value}; "
                "copy preprocessor_config.json from the model that was fine-tuned"
            )
