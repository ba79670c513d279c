"""Decode and encode audio: any format, sample rate and number of channels that libsndfile reads."""

import io
import math
import re
from pathlib import Path
from typing import IO, Literal

import librosa
import numpy as np
import soundfile

from asrmeter.common.constants import SAMPLE_RATE_HZ
from asrmeter.common.errors import AsrmeterError

# libsndfile's note on a file that is shorter than its header says: of the samples in AU and CAF, of the whole file in
# the 64-bit formats. It reads what is there, without an error.
_SHORT = re.compile(r"(?:data|Data Size|riff|Riff size)\s*: (\d+) \(should be (\d+)\)")
# A program that writes to a pipe does not know the size. sox writes this number; ffmpeg, arecord and others, larger.
_SIZE_UNKNOWN = 0x7F000000
# libsndfile's SF_COUNT_MAX: the FLAC file does not say its length.
_FRAMES_UNKNOWN = 2**63 - 1
# libsndfile's error codes for a file that is not audio or of an unknown format, and for seeking beyond the end.
_NOT_RECOGNISED = 1
_SEEK_FAILED = 39


def decode(source: Path | IO[bytes]) -> np.ndarray:
    """Return the samples of an audio file: shape (n,), float32, 16 kHz, the mean of its channels.

    libsndfile reads a truncated file as a short one. A truncated file is refused here if the file itself shows it: by
    the sizes in its header, the end-of-stream flag of Ogg, or the Xing or Info header of MP3. MP3 without such a header
    and files that were written to a pipe do not show it, and rare formats such as VOC are not checked.

    Raises:
        AsrmeterError: it cannot be decoded, is truncated, has no samples, or samples that are NaN or infinite.
    """
    try:
        data = source.read_bytes() if isinstance(source, Path) else source.read()
    except OSError as error:
        raise AsrmeterError(f"cannot be read ({error.strerror})") from error
    if not data:
        raise AsrmeterError("is empty (0 bytes)")
    try:
        mono, rate_hz = _read(data)
    except soundfile.LibsndfileError as error:
        words = error.error_string.removeprefix("Error : ").rstrip(".")
        hint = "; convert it to FLAC or WAV" if error.code == _NOT_RECOGNISED else ""
        raise AsrmeterError(f"cannot be decoded ({words}){hint}") from error
    except (soundfile.SoundFileError, ValueError, MemoryError) as error:
        raise AsrmeterError("cannot be decoded (its header is invalid)") from error
    if not len(mono):
        raise AsrmeterError("has no sound (0 samples)")
    if not np.isfinite(mono).all():
        raise AsrmeterError("has samples that are NaN or infinite")
    if rate_hz != SAMPLE_RATE_HZ:
        mono = librosa.resample(mono, orig_sr=rate_hz, target_sr=SAMPLE_RATE_HZ)
    return mono


def encode(path: Path, samples: np.ndarray) -> None:
    """Write samples, shape (n,), float32, 16 kHz, as a FLAC file of 16 bits, whatever its name.

    Raises:
        OSError: the disk is full or the place is not writable.
    """
    # Encoded in memory: libsndfile does not say why it cannot write a file.
    content = io.BytesIO()
    soundfile.write(content, samples, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    path.write_bytes(content.getvalue())


def _read(data: bytes) -> tuple[np.ndarray, int]:
    """Return the mean of the channels, shape (n,), float32, and its sample rate (Hz), that of the file."""
    stream = io.BytesIO(data)
    with soundfile.SoundFile(stream) as file:
        if file.frames == 0 and data[:4] == b"RIFF" and int.from_bytes(data[4:8], "little") not in (8, len(data) - 8):
            # Written to a pipe: the samples' size is 0. libsndfile ignores that only if the file's size is 8.
            return _read(data[:4] + (8).to_bytes(4, "little") + data[8:])
        if file.format == "FLAC":
            mono = _read_flac(file)
        else:
            # Not in blocks: soundfile seeks after each block, and MP3 is decoded wrongly after seeking.
            mono = file.read(file.frames, dtype="float32", always_2d=True).mean(axis=1)
        n_missing = _n_missing(file, data, len(mono))
        if n_missing > 0:
            read_s, whole_s = len(mono) / file.samplerate, (len(mono) + n_missing) / file.samplerate
            of_s = "" if math.isinf(n_missing) else f" of {whole_s:.2f}"
            raise AsrmeterError(f"truncated: only {read_s:.2f}{of_s} s can be read")
        # libsndfile guesses the length of an MP3 file without a Xing header, and reads no further than that.
        follows = data[stream.tell() :][:2]
        if file.format == "MP3" and not _says_length(data) and follows[:1] == b"\xff" and follows[1:] >= b"\xe0":
            raise AsrmeterError("cannot be decoded as a whole (MP3 without a Xing header); convert it to FLAC or WAV")
        return mono, file.samplerate


def _read_flac(file: soundfile.SoundFile) -> np.ndarray:
    """Return all samples of a FLAC file that can be read, shape (n,), float32, the mean of its channels.

    If there are fewer frames than the header says, soundfile raises an error after it has read them. The buffer, filled
    with NaN before, shows how many were read.
    """
    blocks: list[np.ndarray] = []
    n, size = 0, 2**20
    while n == len(blocks) * size:
        block = np.full((size, file.channels), np.nan, dtype=np.float32)
        try:
            block = file.read(out=block)
        except soundfile.LibsndfileError as error:
            if file.frames == _FRAMES_UNKNOWN and error.code != _SEEK_FAILED:
                raise
            block = block[: np.count_nonzero(~np.isnan(block[:, 0]))]
        blocks.append(block.mean(axis=1))
        n += len(block)
    return np.concatenate(blocks)


def _n_missing(file: soundfile.SoundFile, data: bytes, n: int) -> float:
    """Return the number of missing frames if `n` could be read: 0 if the file is whole, inf if it is unknown."""
    sizes = _sizes(file, data)
    counted = re.search(rb"sample_count -i (\d+)", data[:1024]) if file.format == "NIST" else None
    if sizes:
        announced, there = sizes
        # An odd chunk may lack its padding byte.
        missing = announced - there > 1 and announced < _SIZE_UNKNOWN
        return (n * (announced / there - 1) if n else math.inf) if missing else 0
    if counted:
        return int(counted[1]) - n
    if file.format == "OGG":
        return 0 if _ogg_ends(data) else math.inf
    if file.format == "MP3":
        # An encoder may count one MPEG frame more than it writes: 36 to 72 ms, less than a word.
        frame = 1152 if file.samplerate >= 32_000 else 576
        return file.frames - n if _says_length(data) and file.frames - n > frame else 0
    return file.frames - n if file.frames < _FRAMES_UNKNOWN else 0


def _sizes(file: soundfile.SoundFile, data: bytes) -> tuple[int, int] | None:
    """Return how many bytes of samples the header announces, and how many there can be; None if it does not say."""
    order: Literal["little", "big"] = "little" if data[:4] == b"RIFF" else "big"
    at = 12
    # Not from libsndfile's notes: they end after 2 kB, which tags before the samples may fill.
    while file.format in ("WAV", "WAVEX", "AIFF", "SVX") and at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], order)
        if data[at : at + 4] in (b"data", b"SSND", b"BODY"):
            return size, len(data) - at - 8
        at += 8 + size + size % 2
    short = _SHORT.search(file.extra_info)
    return (int(short[1]), int(short[2])) if short else None


def _ogg_ends(data: bytes) -> bool:
    """Return True if the last page of an Ogg file is whole and has the end-of-stream flag."""
    page = data[data.rfind(b"OggS") :]
    lengths = page[27 : 27 + page[26]] if len(page) > 26 else b""
    return len(page) > 26 and bool(page[5] & 4) and len(page) >= 27 + page[26] + sum(lengths)


def _says_length(data: bytes) -> bool:
    """Return True if an MP3 file has a Xing or Info header: in the first frame, after an ID3v2 tag."""
    begin = 0
    if data[:3] == b"ID3":
        begin = 10 + sum(byte << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=True))
    first = data[begin : begin + 256]
    return b"Xing" in first or b"Info" in first
