"""Whisper by transformers: greedy, without timestamps up to 30 s, sequential long-form beyond."""

from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
from transformers.models.whisper.feature_extraction_whisper import WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperForConditionalGeneration

from asrmeter.runtimes.base import Hypothesis, Timeline
from asrmeter.segments import SAMPLE_RATE_HZ

WINDOW_S = 30
WINDOW_SAMPLES = WINDOW_S * SAMPLE_RATE_HZ


class TransformersWhisper:
    """A Whisper model; see `asrmeter.runtimes.base.Runtime`."""

    def __init__(self, folder: Path, options: dict[str, Any], device: str, random_weights: bool) -> None:
        self._model = WhisperForConditionalGeneration.from_pretrained(
            folder,
            dtype=getattr(torch, options["dtype"]),
            attn_implementation=options["attention"],
            local_files_only=True,
            use_safetensors=True,
        )
        self._model.to(device).eval()
        self.head = self._model.proj_out
        self._features = WhisperFeatureExtractor.from_pretrained(folder, local_files_only=True)
        self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._random_weights = random_weights
        self._timeline: Timeline | None = None
        encoder = self._model.get_encoder()
        encoder.register_forward_pre_hook(self._enter_encoder)
        encoder.register_forward_hook(self._leave_encoder)

    def decoding(self) -> dict[str, Any]:
        """Return the settings of decoding, for the record."""
        settings: dict[str, Any] = {"do_sample": False, "num_beams": 1}
        if self._model.generation_config.is_multilingual:
            settings |= {"language": "en", "task": "transcribe"}
        return settings

    @torch.inference_mode()
    def transcribe(self, waveforms: list[np.ndarray], references: list[str], timeline: Timeline) -> list[Hypothesis]:
        """Transcribe a batch; see `asrmeter.runtimes.base.Runtime`."""
        self._timeline = timeline
        if self._random_weights:
            return self._fixed_work(waveforms, references, timeline)
        if max(map(len, waveforms)) <= WINDOW_SAMPLES:
            return self._short_form(waveforms, timeline)
        return self._long_form(waveforms, timeline)

    def _short_form(self, waveforms: list[np.ndarray], timeline: Timeline, **limits: int) -> list[Hypothesis]:
        """One window a segment: whatever its length, Whisper sees 30 s."""
        timeline.begin("features")
        inputs = self._extract(waveforms, padding="max_length")
        timeline.begin("decoder")
        tokens = self._model.generate(**inputs, **self.decoding(), **limits)
        timeline.begin("text")
        return [self._hypothesis(row, n_windows=1) for row in tokens.tolist()]

    def _long_form(self, waveforms: list[np.ndarray], timeline: Timeline) -> list[Hypothesis]:
        """Window after window, each from the last timestamp of the one before: their number depends on the speech."""
        n_windows = torch.zeros(len(waveforms), dtype=torch.int64)

        def count(progress: torch.Tensor) -> None:
            nonlocal n_windows
            n_windows += (progress[:, 0] < progress[:, 1]).cpu()

        timeline.begin("features")
        inputs = self._extract(waveforms, padding="longest", truncation=False, return_attention_mask=True)
        timeline.begin("decoder")
        tokens = self._model.generate(**inputs, **self.decoding(), return_timestamps=True, monitor_progress=count)
        timeline.begin("text")
        return [self._hypothesis(row, n) for row, n in zip(tokens.tolist(), n_windows.tolist(), strict=True)]

    def _fixed_work(self, waveforms: list[np.ndarray], references: list[str], timeline: Timeline) -> list[Hypothesis]:
        """Random weights need not emit an end token or timestamps: windows as the audio has, tokens as the text."""
        n_windows = -(-max(map(len, waveforms)) // WINDOW_SAMPLES)
        n_tokens = -(-max(len(self._tokenizer.encode(text).ids) for text in references) // n_windows)
        total = [Hypothesis("", 0, 0, 0)] * len(waveforms)
        for i in range(n_windows):
            pieces = [waveform[i * WINDOW_SAMPLES : (i + 1) * WINDOW_SAMPLES] for waveform in waveforms]
            part = self._short_form(pieces, timeline, min_new_tokens=n_tokens, max_new_tokens=n_tokens)
            total = [
                Hypothesis(
                    f"{a.text} {b.text}".strip(),
                    a.n_tokens + b.n_tokens,
                    a.n_windows + b.n_windows,
                    a.processed_s + b.processed_s,
                )
                for a, b in zip(total, part, strict=True)
            ]
        return total

    def _extract(self, waveforms: list[np.ndarray], **padding: Any) -> dict[str, torch.Tensor]:
        inputs = self._features(waveforms, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt", **padding)
        inputs["input_features"] = inputs["input_features"].to(self._model.dtype)
        return dict(inputs.to(self._model.device))

    def _hypothesis(self, row: list[int], n_windows: int) -> Hypothesis:
        """Text tokens are those below the end-of-text token; special ones and timestamps lie above."""
        text = [token for token in row if token < self._model.generation_config.eos_token_id]
        return Hypothesis(self._tokenizer.decode(text).strip(), len(text), n_windows, n_windows * WINDOW_S)

    def _enter_encoder(self, *_: Any) -> None:
        if self._timeline:
            self._timeline.begin("encoder")

    def _leave_encoder(self, *_: Any) -> None:
        if self._timeline:
            self._timeline.begin("decoder")
