"""Decode and encode audio: any format, sample rate and number of channels that libsndfile reads."""

import io
import os
from pathlib import Path
from typing import IO

import librosa
import numpy as np
import soundfile

from asrmeter.common.constants import SAMPLE_RATE_HZ
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.first_bytes import kind_of
from asrmeter.common.printable import printable
from asrmeter.common.regular_files import read_regular
from asrmeter.corpora import level
from asrmeter.corpora.containers import streams
from asrmeter.corpora.containers.base import TOLERANCE_S, Stream, truncated
from asrmeter.corpora.segments import Sound

# More than a day of sound; what is larger, or pretends to be, does not fit into memory.
_MOST_BYTES = 2**32
_LOWEST_RATE_HZ, _HIGHEST_RATE_HZ = 2000, 2_000_000
# libsndfile's error code for a file that is no audio, or of a format that it does not know.
_NOT_RECOGNISED = 1
# Bits of a sample by libsndfile's name of the encoding, where they are whole numbers of bytes.
_BITS = {
    **dict.fromkeys(("PCM_S8", "PCM_U8", "ULAW", "ALAW", "DPCM_8"), 8),
    **dict.fromkeys(("PCM_16", "DPCM_16"), 16),
    **{"PCM_24": 24, "PCM_32": 32, "FLOAT": 32, "DOUBLE": 64},
}
# What headers take in formats whose arithmetic is not known in `containers`: the longest is PAF's.
_LONGEST_HEAD_BYTES = 4096
# 10 samples of 24 bits are 32 bytes in PAF; a block of SDS has 120 of 127 bytes, of 7 bits each.
_PACKED = ("PAF", "SDS")


def decode(source: Path | IO[bytes]) -> Sound:
    """Return the sound of an audio file: all of its streams, one after another, the mean of their channels.

    A file of which not everything can be heard is refused, where the file itself shows that: see
    `asrmeter.corpora.containers`. Nothing shows it in a file without sizes, such as IRCAM's, that was cut off.

    Raises:
        SilentError: nothing in it can be heard.
        AsrmeterError: it cannot be decoded, is cut off or damaged, is clipped, has no samples, or samples that are NaN
            or infinite.
    """
    data = _content(source)
    if not data:
        raise AsrmeterError("is empty (0 bytes)")
    parts: list[np.ndarray] = []
    mended: list[str] = []
    for stream in _streams(data):
        channels, rate_hz = _read(stream)
        if not len(channels):
            continue  # a program that could not go back leaves a header without samples before the right one
        mono, notes = level.mixed(channels)
        mended += notes
        parts.append(mono if rate_hz == SAMPLE_RATE_HZ else _resampled(mono, rate_hz))
    if not parts:
        raise AsrmeterError("has no sound (0 samples)")
    samples, notes = level.audible(parts[0] if len(parts) == 1 else np.concatenate(parts), SAMPLE_RATE_HZ)
    return Sound(samples, "; ".join(dict.fromkeys(mended + notes)))


def silence_in(source: Path | IO[bytes]) -> np.ndarray | None:
    """Return the samples of an audio file if it is silent, shape (n,), float32, 16 kHz; else None."""
    try:
        decode(source)
    except level.SilentError as error:
        return error.samples
    except AsrmeterError:
        pass
    return None


def encode(path: Path, samples: np.ndarray, comment: str = "") -> None:
    """Write samples, shape (n,), float32, 16 kHz, as a 16-bit FLAC file with any name.

    The `comment` becomes a tag of the file.

    Raises:
        OSError: the disk is full or the place is not writable.
    """
    # Encoded in memory: libsndfile does not say why it cannot write a file.
    content = io.BytesIO()
    with soundfile.SoundFile(content, "w", SAMPLE_RATE_HZ, 1, format="FLAC", subtype="PCM_16") as file:
        if comment:
            file.comment = comment
        file.write(samples)
    path.write_bytes(content.getvalue())


def _content(source: Path | IO[bytes]) -> bytes:
    if not isinstance(source, Path):
        return source.read()
    try:
        return read_regular(source, _MOST_BYTES)
    except OSError as error:
        raise AsrmeterError(f"cannot be read ({error.strerror})") from error
    except AsrmeterError as error:  # whoever asked says which file
        raise AsrmeterError(str(error).removeprefix(f"{printable(str(source))}: ")) from error


def _streams(data: bytes) -> list[Stream]:
    try:
        return streams(data)
    except (ArithmeticError, LookupError, ValueError) as error:
        raise AsrmeterError("cannot be decoded (its header is invalid)") from error


def _resampled(mono: np.ndarray, rate_hz: int) -> np.ndarray:
    resampled: np.ndarray = librosa.resample(mono, orig_sr=rate_hz, target_sr=SAMPLE_RATE_HZ)
    return resampled


def _read(stream: Stream) -> tuple[np.ndarray, int]:
    """Return the samples of a stream, shape (n, n_channels), float32, and its sample rate (Hz)."""
    try:
        # By a path: without one libsndfile looks for half of a Macintosh's file in the working folder, and takes
        # what it finds there (`._`, `.AppleDouble/`) for a part of this one.
        with os.fdopen(os.memfd_create("asrmeter-audio"), "wb") as file:
            file.write(stream.data)
            file.flush()
            with soundfile.SoundFile(f"/proc/self/fd/{file.fileno()}") as sound:
                if not _LOWEST_RATE_HZ <= sound.samplerate <= _HIGHEST_RATE_HZ:
                    raise AsrmeterError(f"has {sound.samplerate:,} samples a second, more than any recording of speech")
                return _checked(sound, _samples(sound), stream), sound.samplerate
    except soundfile.LibsndfileError as error:
        if error.code == _NOT_RECOGNISED and (kind := kind_of(stream.data)):
            raise AsrmeterError(str(kind)) from error
        words = error.error_string.removeprefix("Error : ").rstrip(".")
        hint = "; convert it to FLAC or WAV" if error.code == _NOT_RECOGNISED else ""
        raise AsrmeterError(f"cannot be decoded ({words}){hint}") from error
    except (soundfile.SoundFileError, ValueError, MemoryError) as error:
        raise AsrmeterError("cannot be decoded (its header is invalid)") from error


def _samples(sound: soundfile.SoundFile) -> np.ndarray:
    """Return all samples that can be read, shape (n, n_channels), float32."""
    if sound.format != "FLAC":
        # Not in blocks: soundfile seeks after each block, and MP3 is decoded wrongly after seeking.
        samples: np.ndarray = sound.read(sound.frames, dtype="float32", always_2d=True)
        return samples
    # Where frames are damaged, soundfile raises an error after it has read the others: NaN shows which it has.
    block = np.full((sound.frames, sound.channels), np.nan, dtype=np.float32)
    try:
        samples = sound.read(out=block)
    except soundfile.LibsndfileError:
        samples = block[: np.count_nonzero(~np.isnan(block[:, 0]))]
    return samples


def _checked(sound: soundfile.SoundFile, samples: np.ndarray, stream: Stream) -> np.ndarray:
    """Return the samples of a stream if none is missing.

    Raises:
        AsrmeterError: they are not.
    """
    n, rate_hz = len(samples), sound.samplerate
    promised_s = sound.frames / rate_hz if stream.length_s is None else stream.length_s
    if n / rate_hz < promised_s - TOLERANCE_S:
        raise truncated(n / rate_hz, promised_s)
    if n / rate_hz > promised_s + TOLERANCE_S:
        raise AsrmeterError(f"cannot be decoded correctly: {n / rate_hz:.2f} s came out of {promised_s:.2f} s")
    bits = _BITS.get(sound.subtype)
    if stream.length_s is None and bits and sound.format not in _PACKED:
        n_left = len(stream.data) - n * sound.channels * bits // 8
        if n_left < 0 or n_left > _LONGEST_HEAD_BYTES + TOLERANCE_S * rate_hz * sound.channels * bits / 8:
            raise AsrmeterError(
                f"goes on after its end: its header counts {n / rate_hz:.2f} s, and {n_left:,} other bytes are there"
            )
    return samples
