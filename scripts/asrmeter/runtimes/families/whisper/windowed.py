"""Whisper window by window, as transformers' generate does it, for runtimes that decode one window themselves.

Up to 30 s a segment is one window, without timestamps. Beyond, windows follow each other: each begins at the last
timestamp of the one before, and none knows the text of the others (Radford et al., 2022, section 3.8, without its
thresholds). What is cut where follows `WhisperGenerationMixin.generate` and `_retrieve_segment` of transformers 5.23.

A language that nobody tells is found in the first window, by a run of the decoder over the token that begins a prompt.
"""

import itertools
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from asrmeter.common.vocabulary import DecoderWork
from asrmeter.runtimes.base import Hypothesis, Runtime, Setup, SpeechBatch, Timeline
from asrmeter.runtimes.families.whisper import FAMILY
from asrmeter.runtimes.families.whisper.decoding import WINDOW_SAMPLES, Decoding, WindowRules, heard_in_windows
from asrmeter.runtimes.families.whisper.log_mel import LogMel

# Frames of the log-mel spectrogram that one timestamp (20 ms) stands for.
_FRAMES_A_TIMESTAMP = 2


class WindowedWhisper(Runtime):
    """A Whisper whose subclass decodes windows. It makes features, cuts windows and joins texts.

    Attributes:
        log_mel: what makes features.
        rules: how the model decodes.
    """

    def __init__(self, setup: Setup) -> None:
        self.log_mel = LogMel.of_folder(setup.folder)
        self.rules = Decoding.of_folder(setup.folder)
        self._random_weights = setup.random_weights

    @abstractmethod
    def encode(self, features: np.ndarray) -> Any:
        """Run the encoder over a window of each row; return the state before the first token.

        `features` are float32 (rows, mels, frames of a window), contiguous.
        """

    @abstractmethod
    def detect(self, state: Any, n_rows: int, work: DecoderWork | None) -> list[int]:
        """Return the likeliest of the languages' tokens after the first of the prompt, in each row of a fresh state.

        What the decoder ran on is added to `work`, if the runtime knows it.
        """

    @abstractmethod
    def write(self, state: Any, rules: WindowRules, work: DecoderWork | None) -> list[list[int]]:
        """Run the decoder after `encode`, or `detect`; return the rows' tokens, without the prompt and the end."""

    def decoding(self) -> dict[str, Any]:
        """See `Runtime`."""
        return self.rules.for_record()

    def decoder_work(self) -> DecoderWork | None:
        """Return an empty count of what the decoder runs on; None if `decode` does not count."""
        return DecoderWork()

    def transcribe(self, speech: SpeechBatch, timeline: Timeline) -> list[Hypothesis]:
        """Transcribe a batch; see `Runtime`."""
        timeline.decoder_work = self.decoder_work()
        if self._random_weights:
            return self._fixed_work(speech, timeline)
        if max(map(len, speech.waveforms)) <= WINDOW_SAMPLES:
            return self._short_form(speech.waveforms, speech.languages, timeline)
        return self._long_form(speech, timeline)

    def _short_form(
        self, waveforms: Sequence[np.ndarray], codes: Sequence[str | None], timeline: Timeline, **limits: int
    ) -> list[Hypothesis]:
        timeline.begin("features")
        features = self.log_mel(waveforms)
        tokens, found = self._decode(features, self.rules.told(codes), timeline, **limits)
        timeline.begin("text")
        return [self.rules.hypothesis(row, 1, language) for row, language in zip(tokens, found, strict=True)]

    def _decode(
        self, features: np.ndarray, told: list[int | None], timeline: Timeline, **window: Any
    ) -> tuple[list[list[int]], list[str | None]]:
        """Return the tokens of a window of each row, and the codes of languages that the model found."""
        timeline.begin("encoder")
        state = self.encode(features)
        timeline.begin("decoder")
        found: list[str | None] = [None] * len(told)
        if self.rules.languages and None in told:
            likeliest = [*zip(told, self.detect(state, len(told), timeline.decoder_work), strict=True)]
            found = [self.rules.code_of(token) if own is None else None for own, token in likeliest]
            told = [token if own is None else own for own, token in likeliest]
        return self.write(state, self.rules.window(told, **window), timeline.decoder_work), found

    def _detect_in_silence(self, features: np.ndarray, timeline: Timeline) -> list[str | None]:
        """Return the codes of the languages that the model finds in whole features, of rows shorter than a window.

        transformers looks for them with silence after a row's end, and writes the text with zeros there.
        """
        timeline.begin("encoder")
        state = self.encode(np.ascontiguousarray(features[:, :, : self.log_mel.n_frames]))
        timeline.begin("decoder")
        return [self.rules.code_of(token) for token in self.detect(state, len(features), timeline.decoder_work)]

    def _fixed_work(self, speech: SpeechBatch, timeline: Timeline) -> list[Hypothesis]:
        """Do a fixed amount of work; see `Family.fixed_work`."""
        n_tokens = [self.rules.n_tokens(text) for text in speech.references]
        work = FAMILY.fixed_work([len(waveform) for waveform in speech.waveforms], n_tokens, self.rules.max_tokens)

        def hear(parts: list[np.ndarray], codes: Sequence[str | None]) -> list[Hypothesis]:
            return self._short_form(parts, codes, timeline, n_forced=work.n_tokens)

        return heard_in_windows(hear, speech.waveforms, speech.languages, work.windows)

    def _long_form(self, speech: SpeechBatch, timeline: Timeline) -> list[Hypothesis]:
        self.rules.check_timestamps()
        waveforms, told = speech.waveforms, self.rules.told(speech.languages)
        timeline.begin("features")
        features = self.log_mel.whole(waveforms)
        n_frames = self._frames(waveforms, features.shape[2])
        begins, n_windows = [0] * len(waveforms), [0] * len(waveforms)
        tokens: list[list[int]] = [[] for _ in waveforms]
        languages: list[str | None] = [None] * len(waveforms)

        def take(row: int, language: str | None) -> None:
            if language is not None:
                languages[row], (told[row],) = language, self.rules.told([language])

        within = [i for i, n in enumerate(n_frames) if told[i] is None and n < self.log_mel.n_frames]
        if within and self.rules.languages:
            for row, language in zip(within, self._detect_in_silence(features[within], timeline), strict=True):
                take(row, language)
                n_windows[row] += 1
        number = 0
        while rows := [row for row, begin in enumerate(begins) if begin < n_frames[row]]:
            number += 1
            # What is left of a row, then zeros: not silence, as in the short form.
            window = np.zeros((len(rows), self.log_mel.n_mels, self.log_mel.n_frames), np.float32)
            lengths = [min(n_frames[row] - begins[row], self.log_mel.n_frames) for row in rows]
            for target, row, length in zip(window, rows, lengths, strict=True):
                target[:, :length] = features[row, :, begins[row] : begins[row] + length]
            own = [told[row] for row in rows]
            written, found = self._decode(window, own, timeline, timestamps=True, number=number)
            for row, length, text, language in zip(rows, lengths, written, found, strict=True):
                kept, n_done = heard_of(text, length, self.rules.first_timestamp)
                tokens[row] += kept
                take(row, language)
                # An engine whose rules let the timestamp of 0 s come twice would hear the same for ever.
                begins[row] += n_done or length
                n_windows[row] += 1
        timeline.begin("text")
        return [self.rules.hypothesis(*row) for row in zip(tokens, n_windows, languages, strict=True)]

    def _frames(self, waveforms: list[np.ndarray], n_most: int) -> list[int]:
        """Return the frames of each row as transformers counts them, `n_most` those of the longest.

        It reads a mask of every `hop`-th sample, so that a part of a hop counts; for it a batch of one window's frames
        is a short form, in which every row is as long.
        """
        if n_most <= self.log_mel.n_frames:
            return [n_most] * len(waveforms)
        return [min(-(-len(waveform) // self.log_mel.hop), n_most) for waveform in waveforms]


def heard_of(tokens: list[int], n_frames: int, first: int) -> tuple[list[int], int]:
    """Return (the tokens of a window that stay, the frames after which the next window begins).

    `first` is the timestamp of 0 s.

    A sentence that is whole is followed by two timestamps: its end, and the begin of the next. Where the window ends
    within a sentence, that one is dropped, and heard again from its begin. Where one timestamp ends the text, or no two
    stand together, the window is done.
    """
    stamps = [token >= first for token in tokens]
    pairs = [i for i, both in enumerate(itertools.pairwise(stamps)) if all(both)]
    if not pairs or stamps[-2:] == [False, True]:
        return tokens, n_frames
    last = pairs[-1]
    return tokens[: last + 2], (tokens[last] - first) * _FRAMES_A_TIMESTAMP
