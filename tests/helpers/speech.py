"""Batches of speech for runtimes."""

from collections.abc import Sequence

import numpy as np

from asrmeter.runtimes.base import SpeechBatch


def english(waveforms: Sequence[np.ndarray], references: Sequence[str] | None = None) -> SpeechBatch:
    """Return a batch of which models are told that it is English."""
    return told(waveforms, ["en"] * len(waveforms), references)


def told(
    waveforms: Sequence[np.ndarray], languages: Sequence[str | None], references: Sequence[str] | None = None
) -> SpeechBatch:
    """Return a batch of which models are told these languages."""
    return SpeechBatch(list(waveforms), list(references or [""] * len(waveforms)), list(languages))
