"""Whisper by transformers: greedy, without timestamps up to 30 s, sequential long-form beyond."""

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
from asrmeter.runtimes.families.whisper.decoding import WINDOW_SAMPLES, Decoding, joined
from asrmeter.runtimes.families.whisper.log_mel import check_features
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
            return self._short_form(speech.waveforms, timeline)
        return self._long_form(speech.waveforms, timeline)

    def _short_form(self, waveforms: list[np.ndarray], timeline: Timeline, **limits: int) -> list[Hypothesis]:
        """Transcribe each segment in one window: Whisper always sees 30 s."""
        timeline.begin("features")
        inputs = self._extract(waveforms, padding="max_length")
        timeline.begin("decoder")
        tokens = self.model.generate(**self._begun(inputs), **self.decoding(), **self._caching, **limits)
        timeline.begin("text")
        return [self.rules.hypothesis(row, n_windows=1) for row in tokens.tolist()]

    def _long_form(self, waveforms: list[np.ndarray], timeline: Timeline) -> list[Hypothesis]:
        """Transcribe window after window, each from the last timestamp of the one before."""
        self.rules.check_timestamps()
        n_windows = torch.zeros(len(waveforms), dtype=torch.int64)

        def count(progress: torch.Tensor) -> None:
            nonlocal n_windows
            n_windows += (progress[:, 0] < progress[:, 1]).cpu()

        timeline.begin("features")
        inputs = self._extract(waveforms, padding="longest", truncation=False, return_attention_mask=True)
        if self.overlapped:
            inputs = pinned(inputs, self.model.device)
        timeline.begin("decoder")
        tokens = self.model.generate(
            **inputs,
            **self.decoding(),
            **self._caching,
            **self._without_words_beyond(),
            return_timestamps=True,
            monitor_progress=count,
        )
        timeline.begin("text")
        return [self.rules.hypothesis(row, n) for row, n in zip(tokens.tolist(), n_windows.tolist(), strict=True)]

    def _fixed_work(self, speech: SpeechBatch, timeline: Timeline) -> list[Hypothesis]:
        """Do a fixed amount of work; see `Family.fixed_work`."""
        n_tokens = [self.rules.n_tokens(text) for text in speech.references]
        work = FAMILY.fixed_work([len(waveform) for waveform in speech.waveforms], n_tokens, self.rules.max_tokens)
        limits = {"min_new_tokens": work.n_tokens, "max_new_tokens": work.n_tokens}
        # Two timestamps in a row, which random weights may choose, would end the window there and begin another.
        limits["force_unique_generate_call"] = True
        windows = [
            self._short_form([waveform[window] for waveform in speech.waveforms], timeline, **limits)
            for window in work.windows
        ]
        return [joined(parts) for parts in zip(*windows, strict=True)]

    def _extract(self, waveforms: list[np.ndarray], **padding: Any) -> dict[str, torch.Tensor]:
        inputs = self._features(waveforms, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt", **padding)
        inputs["input_features"] = inputs["input_features"].to(self.model.dtype)
        return self.on_device(inputs)

    def _begun(self, inputs: dict[str, torch.Tensor]) -> dict[str, Any]:
        """Return what generation begins with: the features, or what the encoder heard in them part by part."""
        if not self.overlapped:
            return inputs
        return {"encoder_outputs": BaseModelOutput(self.heard(self._encoder, inputs))}

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
