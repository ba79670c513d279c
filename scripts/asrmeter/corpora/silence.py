"""Clips without speech: digital silence, white noise, mains hum, room tone, and the corpus' own silent recordings.

What is made here is the same on every machine: of the random bits of PCG64, which numpy never changes, by sums that are
exact, and rounded to 16 bits, so that the last digit of a sine does not matter. Standard library only until there are
samples.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrmeter.common.constants import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    import numpy as np

# Recordings are cut off after as much, and no clip that is made is longer: one window of Whisper's.
LONGEST_S = 30
_FULL_SCALE = 2**15
# A hum has as many harmonics; each is weaker than the one before.
_N_HARMONICS = 8
# Room tone is the sum of noises that are smoothed over as many samples: their square roots are whole.
_SMOOTHED_OVER = (1, 4, 16, 64, 256, 1024)
# Its level is another after as many seconds, between these amplitudes.
_LEVEL_S, _LEVELS = 2, (0.5, 2.0)


@dataclass(frozen=True)
class Clip:
    """Audio without speech.

    Attributes:
        name: what tables call it.
        kind: one of `vocabulary.SILENCE_KINDS`.
        audio_s: its length.
        level_dbfs: root mean square of the samples, in decibels of full scale; None for digital silence.
        mains_hz: of a hum.
        file: of a recording.
    """

    name: str
    kind: str
    audio_s: float
    level_dbfs: float | None = None
    mains_hz: int | None = None
    file: str | None = None


# Four of each kind, so that kinds count alike, and each kind in every length.
MADE = (
    *(Clip(f"digital-silence-{s}s", "digital_silence", s) for s in (5, 10, 20, 30)),
    *(
        Clip(f"white-noise{level_dbfs}dbfs-{s}s", "white_noise", s, level_dbfs)
        for s, level_dbfs in ((5, -50), (10, -30), (20, -50), (30, -30))
    ),
    *(
        Clip(f"hum-{mains_hz}hz-{s}s", "hum", s, -40, mains_hz)
        for s, mains_hz in ((5, 50), (10, 60), (20, 50), (30, 60))
    ),
    *(Clip(f"room-tone-{s}s", "room_tone", s, -55) for s in (5, 10, 20, 30)),
)


def recordings(silent: Sequence[Mapping[str, Any]], corpus: Path) -> list[Clip]:
    """Return the silent recordings of a corpus folder; `silent` are their entries in its selection.json."""
    return [
        Clip(f"recording-{number:03d}", "recording", entry["audio_s"], file=str(corpus / entry["path"]))
        for number, entry in enumerate(silent)
    ]


def samples(clip: Clip, seed: int) -> "np.ndarray":
    """Return the waveform of a clip: float32, 16 kHz. A study's seed makes it another one, but for a recording.

    Raises:
        ValueError: a recording is not 16 kHz mono.
    """
    import numpy as np

    if clip.file is not None:
        return _read(clip.file)
    n = round(clip.audio_s * SAMPLE_RATE_HZ)
    if clip.level_dbfs is None:
        return np.zeros(n, np.float32)
    draw = _Random(f"{seed}/{clip.name}")
    if clip.kind == "hum":
        wave = _hum(n, clip.mains_hz or 50, draw)
    else:
        wave = _room_tone(n, draw) if clip.kind == "room_tone" else draw.uniform(n)
    wave *= _FULL_SCALE * 10 ** (clip.level_dbfs / 20) / np.sqrt(np.mean(wave**2))
    whole = np.clip(np.rint(wave), -_FULL_SCALE, _FULL_SCALE - 1)
    return (whole / _FULL_SCALE).astype(np.float32)


def sha256_of(waveform: "np.ndarray") -> str:
    """Return the sha256 of the samples of a waveform, as little-endian float32."""
    return hashlib.sha256(waveform.astype("<f4").tobytes()).hexdigest()


class _Random:
    """Numbers between -1/2 and 1/2 that a text decides: multiples of 2^-24, whose sums are exact."""

    def __init__(self, seed: str) -> None:
        from numpy.random import PCG64

        self._bits = PCG64(int.from_bytes(hashlib.sha256(seed.encode()).digest()))

    def uniform(self, n: int) -> "np.ndarray":
        import numpy as np

        drawn: np.ndarray = (self._bits.random_raw(n) >> np.uint64(40)) / 2**24 - 0.5
        return drawn


def _hum(n: int, mains_hz: int, draw: _Random) -> "np.ndarray":
    import numpy as np

    turns = np.arange(n) * (mains_hz / SAMPLE_RATE_HZ)
    phases = draw.uniform(_N_HARMONICS)
    wave: np.ndarray = sum(
        (np.sin(2 * np.pi * ((k * turns + phases[k - 1]) % 1)) / k for k in range(1, _N_HARMONICS + 1)), np.zeros(n)
    )
    return wave


def _room_tone(n: int, draw: _Random) -> "np.ndarray":
    import numpy as np

    wave = np.zeros(n)
    for width in _SMOOTHED_OVER:
        total = np.concatenate([[0.0], np.cumsum(draw.uniform(n + width - 1))])
        wave += (total[width:] - total[:-width]) / width**0.5
    every = _LEVEL_S * SAMPLE_RATE_HZ
    low, high = _LEVELS
    levels = low + (high - low) * (draw.uniform(n // every + 2) + 0.5)
    return wave * np.interp(np.arange(n), every * np.arange(len(levels)), levels)


def _read(file: str) -> "np.ndarray":
    import soundfile

    waveform, rate_hz = soundfile.read(file, dtype="float32")
    if rate_hz != SAMPLE_RATE_HZ or waveform.ndim != 1:
        raise ValueError(f"{file} is not 16 kHz mono")
    return waveform
