"""Check the level of audio, and repair it if possible.

Levels are shares of full scale, which is 1.
"""

import numpy as np

from asrmeter.common.errors import AsrmeterError

# The loudest tenth of a second of speech that was recorded at -50 dB is above this; noise of 16 bits is 15 dB below.
SILENT_RMS = 10 ** (-72 / 20)
# Channels that cancel out: their mean has less than a tenth of the power of the louder one.
CANCELLED = 0.1
# In a tenth of what is loud, they leave words out; looked at in pieces of a word's length.
CANCELLED_SHARE, _CANCEL_SAMPLES = 0.1, 4096
# Encoding cuts what is beyond full scale. That is a trace where it is less than half a decibel, or rare and not far.
TRACE_PEAK, TRACE_SHARE, FAR_BEYOND = 1.05, 1e-4, 2.0
SCALED_PEAK = 0.99
# A recording that was cut at full scale stays there: more than 1 % of its samples, twice as loud as it can be.
CLIPPED_LEVEL, CLIPPED_SHARE = 0.97, 0.01
_WINDOWS_S = 0.1


class SilentError(AsrmeterError):
    """The audio is silent; `samples` has shape (n,), float32."""

    def __init__(self, samples: np.ndarray) -> None:
        super().__init__("is silent: its level never exceeds -72 dB of full scale")
        self.samples = samples


def mixed(channels: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Return one channel for several, shape (n, n_channels): their mean, or the louder where they cancel out.

    Returns it, shape (n,), and what was put right.

    Raises:
        AsrmeterError: samples are NaN, infinite or clipped.
    """
    mono = channels[:, 0] if channels.shape[1] == 1 else channels.mean(axis=1)
    # NaN and infinity stay in sums; a sum of finite squares may be infinite too.
    if not np.isfinite(np.dot(mono, mono)) and not np.isfinite(mono).all():
        raise AsrmeterError("has samples that are NaN or infinite")
    _check_clipping(channels)
    if channels.shape[1] == 1:
        return mono, []
    n = min(len(mono), _CANCEL_SAMPLES)
    powers = np.stack([_powers(channel, n) for channel in channels.T])
    loudest = int(powers.sum(axis=1).argmax())
    loud = powers.max(axis=0) > max(SILENT_RMS**2, 1e-4 * powers.max())
    cancelled = _powers(mono, n)[loud] < CANCELLED * powers.max(axis=0)[loud]
    if not cancelled.any() or cancelled.mean() <= CANCELLED_SHARE:
        return mono, []
    return channels[:, loudest], [
        f"channel {loudest + 1} of {channels.shape[1]} alone, because the channels cancel out"
    ]


def audible(mono: np.ndarray, rate_hz: int) -> tuple[np.ndarray, list[str]]:
    """Return samples, shape (n,), scaled where they are far beyond full scale, and what was put right.

    Raises:
        SilentError: they are silent.
        AsrmeterError: single samples leave the others silent.
    """
    # What is loud as a whole is loud somewhere.
    power = np.dot(mono, mono) / len(mono) - mono.mean() ** 2
    if power < (2 * SILENT_RMS) ** 2 and _loudest_rms(mono, rate_hz) < SILENT_RMS:
        raise SilentError(mono)
    peak = float(max(mono.max(), -mono.min()))
    if peak <= TRACE_PEAK or (peak <= FAR_BEYOND and np.mean(np.abs(mono) > 1) <= TRACE_SHARE):
        return mono, []
    scaled = mono * np.float32(SCALED_PEAK / peak)
    if _loudest_rms(scaled[np.abs(scaled) < SCALED_PEAK / 2], rate_hz) < SILENT_RMS:
        raise AsrmeterError(f"has single samples of {peak:.3g} times full scale, which make everything else inaudible")
    return scaled, [f"scaled by {SCALED_PEAK / peak:.3g}, because its peak is {peak:.3g}"]


def _check_clipping(channels: np.ndarray) -> None:
    for extreme in (channels.max(), channels.min()):
        if not CLIPPED_LEVEL <= abs(extreme) <= 1:
            continue
        share = np.mean(channels >= extreme) if extreme > 0 else np.mean(channels <= extreme)
        if share > CLIPPED_SHARE:
            raise AsrmeterError(f"is clipped: {share:.0%} of its samples are at full scale")


def _powers(samples: np.ndarray, n: int) -> np.ndarray:
    """Return the power of every `n` samples, without their mean."""
    powers: np.ndarray = samples[: len(samples) // n * n].reshape(-1, n).var(axis=1)
    return powers


def _loudest_rms(mono: np.ndarray, rate_hz: int) -> float:
    """Return the loudest root mean square of a tenth of a second, without its mean: a constant is no sound."""
    n = max(round(_WINDOWS_S * rate_hz), 1)
    whole = mono[: len(mono) // n * n].reshape(-1, n) if len(mono) >= n else mono[None, :]
    return float(whole.std(axis=1).max())
