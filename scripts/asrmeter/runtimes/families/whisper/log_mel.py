"""Whisper's features without torch: the log-mel spectrogram of transformers' WhisperFeatureExtractor, in numpy.

Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision" (2022), section 2.2; the filters are those
of Slaney's Auditory Toolbox (1998): linear in Hz up to 1 kHz, logarithmic beyond, each of area 1.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asrmeter.common.constants import SAMPLE_RATE_HZ
from asrmeter.common.errors import AsrmeterError
from asrmeter.runtimes.base import UnsupportedError
from asrmeter.runtimes.families.preprocessor import check_sampling_rate, settings_of
from asrmeter.runtimes.families.whisper.decoding import config_of

_HIGHEST_HZ = 8000
# Powers below this are silence, and what is so many decades below the loudest point is as quiet as that.
_SILENCE, _DECADES = 1e-10, 8.0
# Frames at a time: their spectra stay in the cache.
_CHUNK = 512
_DEFAULTS: Mapping[str, Any] = {
    **{"feature_size": 80, "n_fft": 400, "hop_length": 160, "chunk_length": 30, "sampling_rate": SAMPLE_RATE_HZ},
    **{"dither": 0.0, "padding_value": 0.0},
}


class LogMel:
    """Makes features of waveforms (float32, 16 kHz).

    Attributes:
        n_mels: features of a frame.
        hop: samples from one frame to the next.
        n_frames: frames of a window.
    """

    def __init__(self, n_mels: int = 80, n_fft: int = 400, hop: int = 160, window_s: int = 30) -> None:
        self.n_mels, self.hop = n_mels, hop
        self._n_fft, self._n_samples = n_fft, window_s * SAMPLE_RATE_HZ
        self.n_frames = self._n_samples // hop
        self._window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)
        filters = mel_filters(n_mels, n_fft)
        # Each filter hears a few neighbouring frequencies. A product with the whole matrix would be work for a library
        # of matrices, which has threads of its own.
        ranges = [slice(heard.min(initial=0), heard.max(initial=-1) + 1) for heard in map(np.flatnonzero, filters)]
        self._filters = [(heard, row[heard]) for heard, row in zip(ranges, filters, strict=True)]

    @classmethod
    def of_folder(cls, folder: Path) -> "LogMel":
        """Return what makes the features of a model folder.

        Raises:
            AsrmeterError: the model hears other features, or audio of another sampling rate.
            UnsupportedError: they are made in a way that is not known here.
        """
        own = {**_DEFAULTS, **settings_of(folder)}
        check_sampling_rate(folder, own["sampling_rate"])
        made = cls(own["feature_size"], own["n_fft"], own["hop_length"], own["chunk_length"])
        check_features(folder, {"feature_size": made.n_mels, "nb_max_frames": made.n_frames})
        for key in ("dither", "padding_value"):
            if own[key]:
                raise UnsupportedError(f"preprocessor_config.json has {key} {own[key]}, which only transformers does")
        return made

    def __call__(self, waveforms: Sequence[np.ndarray]) -> np.ndarray:
        """Return float32 features (waveforms, `n_mels`, `n_frames`) of a window each: padded with silence, or cut."""
        features = np.empty((len(waveforms), self.n_mels, self.n_frames), np.float32)
        for waveform, target in zip(waveforms, features, strict=True):
            self._fill(target, waveform[: self._n_samples], self._n_samples)
        return features

    def whole(self, waveforms: Sequence[np.ndarray]) -> np.ndarray:
        """Return float32 features (waveforms, `n_mels`, frames) of whole waveforms, padded with silence to the longest.

        A frame is whole: what is left of a hop at the end has none.
        """
        n_samples = max(map(len, waveforms))
        features = np.empty((len(waveforms), self.n_mels, n_samples // self.hop), np.float32)
        for waveform, target in zip(waveforms, features, strict=True):
            self._fill(target, waveform, n_samples)
        return features

    def _fill(self, target: np.ndarray, waveform: np.ndarray, n_samples: int) -> None:
        """Write the features of a waveform, padded with silence to `n_samples`, into `target`.

        A frame is centred on its first sample. At both ends the audio goes on as its own mirror image.
        """
        half = self._n_fft // 2
        # Frames after the last one that hears any sample are silence.
        n_heard = min((len(waveform) + half - 1) // self.hop + 1, target.shape[1])
        n_needed = min((n_heard - 1) * self.hop + half, n_samples)
        padded = np.zeros(max(n_needed, len(waveform)), np.float32)
        padded[: len(waveform)] = waveform
        mirrored = 2 * (n_samples - 1) - np.arange(n_samples, (n_heard - 1) * self.hop + half)
        padded = np.concatenate([padded[half:0:-1], padded, padded[mirrored]])
        frames = np.lib.stride_tricks.sliding_window_view(padded, self._n_fft)[:: self.hop][:n_heard]
        for begin in range(0, n_heard, _CHUNK):
            spectra = np.fft.rfft(frames[begin : begin + _CHUNK] * self._window, axis=1).T
            powers = np.square(spectra.real, order="C")
            powers += np.square(spectra.imag, order="C")
            for mel, (heard, weights) in enumerate(self._filters):
                np.einsum("b,bf->f", weights, powers[heard], out=target[mel, begin : begin + _CHUNK][: powers.shape[1]])
        target[:, n_heard:] = 0
        np.log10(np.maximum(target, _SILENCE, out=target), out=target)
        np.maximum(target, target.max() - _DECADES, out=target)
        target += 4
        target /= 4


def mel_filters(n_mels: int, n_fft: int) -> np.ndarray:
    """Return Slaney's filters, float32 (`n_mels`, frequencies of the transform)."""
    mels = np.linspace(0, _mel(_HIGHEST_HZ), n_mels + 2)
    edges = np.where(mels < 15, mels * 200 / 3, 1000 * 6.4 ** ((mels - 15) / 27))[:, None]
    frequencies = np.linspace(0, SAMPLE_RATE_HZ // 2, 1 + n_fft // 2)
    rising = (frequencies - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequencies) / (edges[2:] - edges[1:-1])
    triangles = np.maximum(0, np.minimum(rising, falling))
    return (triangles * 2 / (edges[2:] - edges[:-2])).astype(np.float32)


def _mel(frequency_hz: float) -> float:
    """Return a frequency beyond 1 kHz in mels."""
    return 15 + 27 * math.log(frequency_hz / 1000, 6.4)


def check_features(folder: Path, own: Mapping[str, int]) -> None:
    """Raise AsrmeterError unless the encoder hears what the features are.

    `own` are feature_size and nb_max_frames of preprocessor_config.json.
    """
    config = config_of(folder)
    n_frames = 2 * config.get("max_source_positions", 1500)
    expected = {"feature_size": config.get("num_mel_bins", 80), "nb_max_frames": n_frames}
    for key, value in expected.items():
        if own[key] != value:
            raise AsrmeterError(
                f"{folder}: preprocessor_config.json gives {key} {own[key]}, and by config.json the model hears "
                f"{value}; copy preprocessor_config.json from the model that was fine-tuned"
            )
