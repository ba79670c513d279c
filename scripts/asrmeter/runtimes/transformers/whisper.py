"""Whisper by transformers: greedy, without timestamps up to 30 s, sequential long-form beyond.

A language that nobody tells is found as `generate` finds it: the encoder hears the first window once more for that.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers.generation.configuration_utils import GenerationConfig
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.whisper.feature_extraction_whisper import WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperForConditionalGeneration

from asrmeter.common.constants import SAMPLE_RATE_HZ
from asrmeter.common.vocabulary import DecoderWork
from asrmeter.runtimes.base import Hypothesis, Setup, SpeechBatch, Timeline
from asrmeter.runtimes.families.whisper import FAMILY
from asrmeter.runtimes.families.whisper.decoding import WINDOW_SAMPLES, Decoding, heard_in_windows
from asrmeter.runtimes.families.whisper.log_mel import check_features
from asrmeter.runtimes.families.whisper.vocabulary import name_of
from asrmeter.runtimes.transformers.compilation import compile_decoder, compile_encoder
from asrmeter.runtimes.transformers.loading import feature_extractor, network
from asrmeter.runtimes.transformers.optioned import OptionedRuntime
from asrmeter.runtimes.transformers.static_cache import keep_static_caches
from asrmeter.runtimes.transformers.transfers import pinned


class TransformersWhisper(OptionedRuntime):
    """A Whisper model; see `asrmeter.runtimes.base.Runtime`."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        folder = setup.folder
        # Only the long form needs a mask of the padding, and asks for it.
        self._features = feature_extractor(WhisperFeatureExtractor, folder, return_attention_mask=False)
        self.model = network(WhisperForConditionalGeneration, setup)
        check_features(folder, vars(self._features))
        self.rules = Decoding.of_folder(folder)
        self.model.generation_config = GenerationConfig(**self.rules.settings)
        self.model.config.forced_decoder_ids = None  # transformers falls back on it
        self.head = self.model.proj_out
        self.attention = self.model.config._attn_implementation
        self._random_weights = setup.random_weights
        self._timeline: Timeline | None = None
        self._n_cached = 0
        self._encoder, decoder = self.model.get_encoder(), self.model.get_decoder()
        compilation = self.apply(self._encoder, decoder)
        if compilation:
            compile_encoder(compilation, self._encoder)
            if self.options.compile == "all":
                compile_decoder(compilation, decoder)
        if self.options.cache == "static":
            keep_static_caches(self.model)
        self._caching = self._cache_settings()
        self._encoder.register_forward_pre_hook(self._enter_encoder)
        self._encoder.register_forward_hook(self._leave_encoder)
        decoder.register_forward_pre_hook(self._enter_decoder, with_kwargs=True)

    def decoding(self) -> dict[str, Any]:
        """Return the settings of decoding, for the record."""
        return self.rules.for_record()

    @torch.inference_mode()
    def transcribe(self, speech: SpeechBatch, timeline: Timeline) -> list[Hypothesis]:
        """Transcribe a batch; see `asrmeter.runtimes.base.Runtime`."""
        self._timeline = timeline
        timeline.decoder_work = DecoderWork()
        if self._random_weights:
            return self._fixed_work(speech, timeline)
        if max(map(len, speech.waveforms)) <= WINDOW_SAMPLES:
            return self._short_form(speech.waveforms, speech.languages, timeline)
        return self._long_form(speech, timeline)

    def _short_form(
        self, waveforms: list[np.ndarray], codes: Sequence[str | None], timeline: Timeline, **limits: int
    ) -> list[Hypothesis]:
        """Transcribe each segment in one window: Whisper always sees 30 s."""
        timeline.begin("features")
        inputs = self._extract(waveforms, padding="max_length")
        timeline.begin("decoder")
        begun = self._begun(inputs)
        found = self._found(codes, **begun)
        tokens = self.model.generate(**begun, **self.decoding(), **self._told(codes, found), **self._caching, **limits)
        timeline.begin("text")
        # What the encoder heard is at hand where it was run before.
        n_windows = [1 + (language is not None and not self.overlapped) for language in found]
        return [self.rules.hypothesis(*row) for row in zip(tokens.tolist(), n_windows, found, strict=True)]

    def _long_form(self, speech: SpeechBatch, timeline: Timeline) -> list[Hypothesis]:
        """Transcribe window after window, each from the last timestamp of the one before."""
        self.rules.check_timestamps()
        waveforms, codes = speech.waveforms, speech.languages
        n_windows = torch.zeros(len(waveforms), dtype=torch.int64)

        def count(progress: torch.Tensor) -> None:
            nonlocal n_windows
            n_windows += (progress[:, 0] < progress[:, 1]).cpu()

        timeline.begin("features")
        inputs = self._extract(waveforms, padding="longest", truncation=False, return_attention_mask=True)
        if self.overlapped:
            inputs = pinned(inputs, self.model.device)
        timeline.begin("decoder")
        found = self._found(codes, input_features=inputs["input_features"])
        n_windows += torch.tensor([language is not None for language in found])
        tokens = self.model.generate(
            **inputs,
            **self.decoding(),
            **self._told(codes, found),
            **self._caching,
            **self._without_words_beyond(),
            return_timestamps=True,
            monitor_progress=count,
        )
        timeline.begin("text")
        return [self.rules.hypothesis(*row) for row in zip(tokens.tolist(), n_windows.tolist(), found, strict=True)]

    def _fixed_work(self, speech: SpeechBatch, timeline: Timeline) -> list[Hypothesis]:
        """Do a fixed amount of work; see `Family.fixed_work`."""
        n_tokens = [self.rules.n_tokens(text) for text in speech.references]
        work = FAMILY.fixed_work([len(waveform) for waveform in speech.waveforms], n_tokens, self.rules.max_tokens)
        limits = {"min_new_tokens": work.n_tokens, "max_new_tokens": work.n_tokens}
        # Two timestamps in a row, which random weights may choose, would end the window there and begin another.
        limits["force_unique_generate_call"] = True

        def hear(parts: list[np.ndarray], codes: Sequence[str | None]) -> list[Hypothesis]:
            return self._short_form(parts, codes, timeline, **limits)

        return heard_in_windows(hear, speech.waveforms, speech.languages, work.windows)

    def _extract(self, waveforms: list[np.ndarray], **padding: Any) -> dict[str, torch.Tensor]:
        inputs = self._features(waveforms, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt", **padding)
        inputs["input_features"] = inputs["input_features"].to(self.model.dtype)
        return self.on_device(inputs)

    def _begun(self, inputs: dict[str, torch.Tensor]) -> dict[str, Any]:
        """Return what generation begins with: the features, or what the encoder heard in them part by part."""
        if not self.overlapped:
            return inputs
        return {"encoder_outputs": BaseModelOutput(self.heard(self._encoder, inputs))}

    def _found(self, codes: Sequence[str | None], **begun: Any) -> list[str | None]:
        """Return the languages that the model finds in the rows of which it is told none; None for the others.

        `begun` are features, or what the encoder heard in them.
        """
        told = self.rules.told(codes)
        rows = [row for row, token in enumerate(told) if token is None]
        found: list[str | None] = [None] * len(codes)
        if not rows or not self.rules.languages:
            return found
        if len(rows) < len(codes):
            begun = {name: _rows(each, rows) for name, each in begun.items()}
        n_frames = 2 * self.model.config.max_source_positions
        tokens = self.model.detect_language(**begun, num_segment_frames=n_frames).tolist()
        for row, token in zip(rows, tokens, strict=True):
            found[row] = self.rules.code_of(token)
        return found

    def _told(self, codes: Sequence[str | None], found: Sequence[str | None]) -> dict[str, list[str]]:
        """Return the setting that tells the model the language of each row; none for an English-only model."""
        if not self.rules.languages:
            return {}
        known = [own or code for own, code in zip(codes, found, strict=True)]
        return {"language": [f"<|{name_of(code)}|>" for code in known if code]}

    def _cache_settings(self) -> dict[str, Any]:
        """Return the settings of generation that keep keys and values as the variant says; none for the default."""
        if self.options.cache == "none":
            return {"use_cache": False}
        if self.options.cache == "dynamic":
            return {}
        # Of one length for all texts. What is compiled is compiled here, on a GPU too.
        longest = self.model.config.max_target_positions
        return {"cache_implementation": "static", "max_cache_len": longest, "disable_compile": True}

    def _without_words_beyond(self) -> dict[str, list[int]]:
        """Return the setting that keeps words from being read as timestamps, where any were added after these."""
        if not (beyond := self.rules.suppressed_with_timestamps()):
            return {}
        return {"suppress_tokens": sorted({*(self.model.generation_config.suppress_tokens or ()), *beyond})}

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
            self._timeline.decoder_work.add(n_rows, n_new, self._n_past(caches, n_new) if caches else 0)

    def _n_past(self, caches: Any, n_new: int) -> int:
        """Return how many tokens caches hold. Static ones know it on the device alone, which would have to be asked."""
        if self.options.cache == "dynamic":
            return int(caches.get_seq_length())
        n_past = self._n_cached if caches.is_updated.get(0) else 0
        self._n_cached = n_past + n_new
        return n_past


def _rows(heard: Any, rows: list[int]) -> Any:
    """Return some rows of features, or of what the encoder heard."""
    return BaseModelOutput(heard.last_hidden_state[rows]) if isinstance(heard, BaseModelOutput) else heard[rows]
