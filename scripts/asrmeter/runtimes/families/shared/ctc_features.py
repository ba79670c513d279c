"""What a CTC model hears, without torch: the batches of transformers' Wav2Vec2FeatureExtractor, in numpy."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from asrmeter.common.constants import SAMPLE_RATE_HZ
from asrmeter.runtimes.base import UnsupportedError
from asrmeter.runtimes.families.preprocessor import check_sampling_rate, settings_of

_KIND = "Wav2Vec2FeatureExtractor"
_DEFAULTS: Mapping[str, Any] = {
    **{"feature_extractor_type": _KIND, "feature_size": 1, "sampling_rate": SAMPLE_RATE_HZ, "padding_value": 0.0},
    **{"padding_side": "right", "do_normalize": True, "return_attention_mask": False},
}
# What is done here, whatever the folder says.
_FIXED = ("feature_extractor_type", "feature_size", "padding_value", "padding_side")
# Added to the variance: silence has none.
_LEAST_VARIANCE = 1e-7


class Batch(NamedTuple):
    """Waveforms as the network gets them, float32 (rows, samples), and a mask of its samples, int64, if it gets one."""

    values: np.ndarray
    mask: np.ndarray | None


class CtcFeatures:
    """Makes batches of waveforms (float32, 16 kHz).

    Attributes:
        is_masked: whether the network gets a mask: 0 where a waveform is padded. Models with group normalisation do
            not, and what they hear is normalised over the padding too.
    """

    def __init__(self, normalises: bool, is_masked: bool) -> None:
        self._normalises, self.is_masked = normalises, is_masked

    @classmethod
    def of_folder(cls, folder: Path) -> "CtcFeatures":
        """Return what makes the batches of a model folder.

        Raises:
            AsrmeterError: the model is for audio of another sampling rate.
            UnsupportedError: it hears something else than waveforms, or padded in another way.
        """
        own = {**_DEFAULTS, **settings_of(folder)}
        check_sampling_rate(folder, own["sampling_rate"])
        for key in _FIXED:
            if own[key] != _DEFAULTS[key]:
                raise UnsupportedError(f"preprocessor_config.json has {key} {own[key]}, which only transformers does")
        return cls(own["do_normalize"], own["return_attention_mask"])

    def __call__(self, waveforms: Sequence[np.ndarray]) -> Batch:
        """Return a batch, padded to its longest waveform."""
        lengths = [len(waveform) for waveform in waveforms]
        values = np.zeros((len(waveforms), max(lengths)), np.float32)
        for row, waveform in zip(values, waveforms, strict=True):
            row[: len(waveform)] = waveform
        if self._normalises:
            for row, length in zip(values, lengths, strict=True):
                heard = row[:length] if self.is_masked else row
                heard[:] = (heard - heard.mean()) / np.sqrt(heard.var() + _LEAST_VARIANCE)
        if not self.is_masked:
            return Batch(values, None)
        return Batch(values, (np.arange(values.shape[1]) < np.array(lengths)[:, None]).astype(np.int64))
