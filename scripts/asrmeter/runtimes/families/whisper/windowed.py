"""Whisper window by window, as transformers' generate does it, for runtimes that decode one window themselves.

Up to 30 s a segment is one window, without timestamps. Beyond, windows follow each other: each begins at the last
timestamp of the one before, and none knows the text of the others (Radford et al., 2022, section 3.8, without its
thresholds). What is cut where follows `WhisperGenerationMixin.generate` and `_retrieve_segment` of transformers 5.23.
"""

import itertools
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from asrmeter.common.vocabulary import DecoderWork
from asrmeter.runtimes.base import Hypothesis, Runtime, Setup, SpeechBatch, Timeline
from asrmeter.runtimes.families.whisper import FAMILY
from asrmeter.runtimes.families.whisper.decoding import WINDOW_SAMPLES, Decoding, TimestampRules, WindowRules, joined
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
    def decode(self, features: np.ndarray, rules: WindowRules, timeline: Timeline) -> list[list[int]]:
        """Run the model over a window of each row; return the rows' tokens, without the prompt and the end.

        `features` are float32 (rows, mels, frames of a window), contiguous. The stages `encoder` and `decoder` are
        marked, and if the runtime knows it, what the decoder ran on is added to `timeline.decoder_work`.
        """

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
            return self._short_form(speech.waveforms, self.rules.window(), timeline)
        return self._long_form(speech.waveforms, timeline)

    def _short_form(self, waveforms: Sequence[np.ndarray], rules: WindowRules, timeline: Timeline) -> list[Hypothesis]:
        timeline.begin("features")
        features = self.log_mel(waveforms)
        tokens = self.decode(features, rules, timeline)
        timeline.begin("text")
        return [self.rules.hypothesis(row, n_windows=1) for row in tokens]

    def _fixed_work(self, speech: SpeechBatch, timeline: Timeline) -> list[Hypothesis]:
        """Do a fixed amount of work; see `Family.fixed_work`."""
        n_tokens = [self.rules.n_tokens(text) for text in speech.references]
        work = FAMILY.fixed_work([len(waveform) for waveform in speech.waveforms], n_tokens, self.rules.max_tokens)
        rules = self.rules.window(n_forced=work.n_tokens)
        windows = [
            self._short_form([waveform[window] for waveform in speech.waveforms], rules, timeline)
            for window in work.windows
        ]
        return [joined(parts) for parts in zip(*windows, strict=True)]

    def _long_form(self, waveforms: list[np.ndarray], timeline: Timeline) -> list[Hypothesis]:
        self.rules.check_timestamps()
        timeline.begin("features")
        features = self.log_mel.whole(waveforms)
        n_frames = self._frames(waveforms, features.shape[2])
        begins, n_windows = [0] * len(waveforms), [0] * len(waveforms)
        tokens: list[list[int]] = [[] for _ in waveforms]
        number = 0
        while rows := [row for row, begin in enumerate(begins) if begin < n_frames[row]]:
            number += 1
            rules = self.rules.window(timestamps=True, number=number)
            assert rules.timestamps is not None
            # What is left of a row, then zeros: not silence, as in the short form.
            window = np.zeros((len(rows), self.log_mel.n_mels, self.log_mel.n_frames), np.float32)
            lengths = [min(n_frames[row] - begins[row], self.log_mel.n_frames) for row in rows]
            for target, row, length in zip(window, rows, lengths, strict=True):
                target[:, :length] = features[row, :, begins[row] : begins[row] + length]
            for row, length, found in zip(rows, lengths, self.decode(window, rules, timeline), strict=True):
                kept, n_done = heard_of(found, length, rules.timestamps)
                tokens[row] += kept
                # An engine whose rules let the timestamp of 0 s come twice would hear the same for ever.
                begins[row] += n_done or length
                n_windows[row] += 1
        timeline.begin("text")
        return [self.rules.hypothesis(row, n) for row, n in zip(tokens, n_windows, strict=True)]

    def _frames(self, waveforms: list[np.ndarray], n_most: int) -> list[int]:
        """Return the frames of each row as transformers counts them, `n_most` those of the longest.

        It reads a mask of every `hop`-th sample, so that a part of a hop counts; for it a batch of one window's frames
        is a short form, in which every row is as long.
        """
        if n_most <= self.log_mel.n_frames:
            return [n_most] * len(waveforms)
        return [min(-(-len(waveform) // self.log_mel.hop), n_most) for waveform in waveforms]


def heard_of(tokens: list[int], n_frames: int, rules: TimestampRules) -> tuple[list[int], int]:
    """Return (the tokens of a window that stay, the frames after which the next window begins).

    A sentence that is whole is followed by two timestamps: its end, and the begin of the next. Where the window ends
    within a sentence, that one is dropped, and heard again from its begin. Where one timestamp ends the text, or no two
    stand together, the window is done.
    """
    stamps = [token >= rules.first for token in tokens]
    pairs = [i for i, both in enumerate(itertools.pairwise(stamps)) if all(both)]
    if not pairs or stamps[-2:] == [False, True]:
        return tokens, n_frames
    last = pairs[-1]
    return tokens[: last + 2], (tokens[last] - rules.first) * _FRAMES_A_TIMESTAMP
