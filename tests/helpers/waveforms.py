"""Waveforms that no file holds."""

import numpy as np

from asrmeter.common.constants import SAMPLE_RATE_HZ


def noise(*seconds: float) -> list[np.ndarray]:
    """Return white noise of some lengths, each of its own seed."""
    lengths = [int(SAMPLE_RATE_HZ * length_s) for length_s in seconds]
    return [np.random.default_rng(i).standard_normal(n).astype(np.float32) for i, n in enumerate(lengths)]
