"""Audio that cannot be heard is named, what can be put right is put right and said, a loud recording stays."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from asrmeter.common.errors import AsrmeterError
from asrmeter.corpora.audio import decode
from asrmeter.corpora.segments import Sound

RATE_HZ = 16_000


def speech(peak: float = 0.5, length_s: float = 2.0) -> np.ndarray:
    """Return something with the levels of speech: few samples are near the peak."""
    rng = np.random.default_rng(0)
    n = round(length_s * RATE_HZ)
    sound = rng.laplace(size=n) * (0.1 + np.sin(np.arange(n) / RATE_HZ * 12) ** 2)
    return (sound * peak / np.abs(sound).max()).astype(np.float32)


def sound_of(samples: np.ndarray, encoding: str = "FLOAT", container: str = "WAV") -> Sound:
    stream = io.BytesIO()
    soundfile.write(stream, samples, RATE_HZ, format=container, subtype=encoding)
    return decode(io.BytesIO(stream.getvalue()))


def refused(samples: np.ndarray, encoding: str = "FLOAT") -> str:
    with pytest.raises(AsrmeterError) as caught:
        sound_of(samples, encoding)
    return str(caught.value)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(RATE_HZ),
        np.full(RATE_HZ, 0.25),  # a constant
        np.random.default_rng(0).integers(-1, 2, RATE_HZ) / 2**15,  # dither
        np.random.default_rng(0).standard_normal((RATE_HZ, 2)) * 1e-4,
        np.concatenate([[0.5], np.zeros(RATE_HZ)]) * 1e-3,
        np.stack([np.zeros(RATE_HZ), np.zeros(RATE_HZ)], axis=1),
    ],
)
def test_silence_is_named(samples: np.ndarray) -> None:
    assert refused(samples) == "is silent: its level never exceeds -72 dB of full scale"


def test_silence_in_every_container_is_named() -> None:
    for container in ("FLAC", "WAV", "AIFF", "OGG", "MP3"):
        with pytest.raises(AsrmeterError, match=r"^is silent: "):
            stream = io.BytesIO()
            soundfile.write(stream, np.zeros(RATE_HZ), RATE_HZ, format=container)
            decode(io.BytesIO(stream.getvalue()))


@pytest.mark.parametrize("peak", [0.003, 0.01, 0.1, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("encoding", ["PCM_16", "PCM_24", "FLOAT", "ULAW"])
def test_quiet_and_loud_recordings_are_taken_as_they_are(peak: float, encoding: str) -> None:
    samples, mended = sound_of(speech(peak), encoding)
    assert not mended
    assert np.abs(samples).max() == pytest.approx(peak, rel=0.1)


def test_a_compressed_recording_is_loud_and_not_clipped() -> None:
    loud = np.tanh(4 * speech(1.0))
    assert sound_of((loud / np.abs(loud).max()).astype(np.float32), "PCM_16").mended == ""


@pytest.mark.parametrize("other", [-1.0, -0.9, -0.5])
def test_of_channels_that_cancel_out_the_louder_one_is_taken(other: float) -> None:
    left = speech()
    samples, mended = sound_of(np.stack([other * left, left], axis=1))
    assert mended == f"channel {1 if other == -1 else 2} of 2 alone, because the channels cancel out"
    assert np.sqrt(np.mean(samples**2)) == pytest.approx(np.sqrt(np.mean(left**2)), rel=1e-3)


def test_channels_that_cancel_out_in_a_part_are_not_mixed() -> None:
    left = speech()
    right = np.where(np.arange(len(left)) < len(left) // 2, left, -left)
    samples, mended = sound_of(np.stack([left, right], axis=1))
    assert mended.startswith("channel 1 of 2 alone")
    assert np.allclose(samples, left, atol=1e-6)


def test_speech_beside_a_spike_is_not_scaled_away() -> None:
    samples = speech(0.3)
    samples[999] = 32_767
    assert refused(samples).startswith("has single samples of 3.28e+04 times full scale")


@pytest.mark.parametrize("other", [1.0, 0.3, 0.0, -0.2])
def test_channels_that_do_not_cancel_out_are_mixed(other: float) -> None:
    left = speech()
    samples, mended = sound_of(np.stack([left, other * left], axis=1))
    assert not mended
    assert np.allclose(samples, (1 + other) / 2 * left, atol=1e-6)


@pytest.mark.parametrize("peak", [1.2, 2.5, 32_768.0, 1e9])
def test_samples_beyond_full_scale_are_scaled(peak: float) -> None:
    samples, mended = sound_of(speech(1.0) * np.float32(peak) * 1.1)
    # Few of them, and not far beyond: a trace, which encoding cuts.
    if peak == 1.2:
        assert not mended
        return
    assert mended.startswith("scaled by ") and mended.endswith(f"because its peak is {peak * 1.1:.3g}")
    assert np.allclose(samples, 0.99 * speech(1.0), atol=1e-3)


@pytest.mark.parametrize("encoding", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("gain", [10, 30, 100])
def test_clipping_is_named(gain: int, encoding: str) -> None:
    clipped = np.clip(gain * speech(1.0), -1, 1)
    assert refused(clipped, encoding).startswith("is clipped: ")
    assert refused(np.stack([clipped, speech(0.1)], axis=1), encoding).startswith("is clipped: ")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0), (77, 1), (-1, 0)])
def test_one_sample_that_is_no_number_is_named(bad: float, place: tuple[int, int]) -> None:
    samples = np.stack([speech(), speech()], axis=1)
    samples[place] = bad
    assert refused(samples) == "has samples that are NaN or infinite"


@given(st.floats(1e-9, 1e9), st.integers(1, 4), st.integers(1, 400))
def test_what_is_heard_can_be_encoded(level: float, n_channels: int, n: int) -> None:
    samples = np.random.default_rng(n).standard_normal((n, n_channels)) * level
    try:
        heard, _ = sound_of(samples)
    except AsrmeterError:
        return
    assert np.isfinite(heard).all() and np.abs(heard).max() <= 2


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.wav")
    with pytest.raises(AsrmeterError, match=r"^is a pipe, not a file$"):
        decode(tmp_path / "a.wav")
