"""Audio files as samples: any format that libsndfile reads, any rate, any number of channels."""

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

# What libsndfile notes on opening a file whose header says that there are more bytes than there are: of the samples in
# AU and CAF, of the whole file in the 64-bit formats. It reads what is there, without an error.
_SHORT = re.compile(r"(?:data|Data Size|riff|Riff size)\s*: (\d+) \(should be (\d+)\)")
# A program that writes to a pipe cannot know the size; sox writes this number, ffmpeg, arecord and others larger ones.
_SIZE_UNKNOWN = 0x7F000000
# libsndfile's SF_COUNT_MAX stands for a FLAC file that does not say how long it is.
_FRAMES_UNKNOWN = 2**63 - 1
# libsndfile's errors of a file that is no audio, or none that it knows, and of seeking beyond the end.
_NOT_RECOGNISED = 1
_SEEK_FAILED = 39


def decode(source: Path | IO[bytes]) -> np.ndarray:
    """Return the samples of an audio file: shape (n,), float32, 16 kHz, the mean of its channels.

    libsndfile reads a truncated file as a short one. It is refused here wherever the file itself tells: by the sizes
    in its header, by the end-of-stream flag of Ogg, by the Xing or Info header of MP3. It cannot be told of MP3 without
    such a header, of what was streamed into a file, whose header knows no size, and is not of rare formats such as VOC.

    Raises:
        AsrmeterError: it cannot be decoded, is truncated, holds no sound, or samples that are no numbers.
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
        raise AsrmeterError("cannot be decoded (its header makes no sense)") from error
    if not len(mono):
        raise AsrmeterError("holds no sound (0 samples)")
    if not np.isfinite(mono).all():
        raise AsrmeterError("holds samples that are no numbers (NaN or infinite)")
    if rate_hz != SAMPLE_RATE_HZ:
        mono = librosa.resample(mono, orig_sr=rate_hz, target_sr=SAMPLE_RATE_HZ)
    return mono


def encode(path: Path, samples: np.ndarray) -> None:
    """Write samples, shape (n,), float32, 16 kHz, as a FLAC file of 16 bits a sample, whatever its name.

    Raises:
        OSError: the disk is full or the place is not writable; libsndfile itself does not say which.
    """
    content = io.BytesIO()
    soundfile.write(content, samples, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    path.write_bytes(content.getvalue())


def _read(data: bytes) -> tuple[np.ndarray, int]:
    """Return the mean of the channels, shape (n,), float32, at the rate of the file, which is returned too (Hz)."""
    stream = io.BytesIO(data)
    with soundfile.SoundFile(stream) as file:
        if file.frames == 0 and data[:4] == b"RIFF" and int.from_bytes(data[4:8], "little") not in (8, len(data) - 8):
            # Streamed: the size of the samples is 0, and libsndfile believes it unless the file's "size" is 8.
            return _read(data[:4] + (8).to_bytes(4, "little") + data[8:])
        if file.format == "FLAC":
            mono = _read_flac(file)
        else:
            # Not in blocks: soundfile seeks after each, and MP3 is decoded wrongly after seeking.
            mono = file.read(file.frames, dtype="float32", always_2d=True).mean(axis=1)
        n_missing = _n_missing(file, data, len(mono))
        if n_missing > 0:
            there_s, whole_s = len(mono) / file.samplerate, (len(mono) + n_missing) / file.samplerate
            of_s = "" if math.isinf(n_missing) else f" of {whole_s:.2f}"
            raise AsrmeterError(f"truncated: {there_s:.2f}{of_s} s are there")
        # libsndfile guesses the length of an MP3 file without a Xing header, and reads no further.
        follows = data[stream.tell() :][:2]
        if file.format == "MP3" and not _says_length(data) and follows[:1] == b"\xff" and follows[1:] >= b"\xe0":
            raise AsrmeterError("cannot be decoded as a whole (MP3 without a Xing header); convert it to FLAC or WAV")
        return mono, file.samplerate


def _read_flac(file: soundfile.SoundFile) -> np.ndarray:
    """Return what can be read of a FLAC file, shape (n,), float32, the mean of its channels.

    Where the frames end before their announced number, soundfile raises an error after it has read them: how many they
    were can be seen in what it was given to fill.
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
    """Return how many frames a file lacks of which `n` could be read: 0 if it is whole, inf if it is not known."""
    sizes = _sizes(file, data)
    counted = re.search(rb"sample_count -i (\d+)", data[:1024]) if file.format == "NIST" else None
    if sizes:
        announced, there = sizes
        # An odd chunk may lack the byte that makes it even.
        missing = announced - there > 1 and announced < _SIZE_UNKNOWN
        return (n * (announced / there - 1) if n else math.inf) if missing else 0
    if counted:
        return int(counted[1]) - n
    if file.format == "OGG":
        return 0 if _ogg_ends(data) else math.inf
    if file.format == "MP3":
        # An encoder may count one MPEG frame more than it writes; 36 to 72 ms cannot hold a word.
        frame = 1152 if file.samplerate >= 32_000 else 576
        return file.frames - n if _says_length(data) and file.frames - n > frame else 0
    return file.frames - n if file.frames < _FRAMES_UNKNOWN else 0


def _sizes(file: soundfile.SoundFile, data: bytes) -> tuple[int, int] | None:
    """Return how many bytes of samples there should be, and are at most; None if the header does not say."""
    order: Literal["little", "big"] = "little" if data[:4] == b"RIFF" else "big"
    at = 12
    # Not from libsndfile's notes, which end after 2 kB: texts before the samples fill them.
    while file.format in ("WAV", "WAVEX", "AIFF", "SVX") and at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], order)
        if data[at : at + 4] in (b"data", b"SSND", b"BODY"):
            return size, len(data) - at - 8
        at += 8 + size + size % 2
    short = _SHORT.search(file.extra_info)
    return (int(short[1]), int(short[2])) if short else None


def _ogg_ends(data: bytes) -> bool:
    """Tell whether the last page of an Ogg file is whole and carries the flag that says that it is the last."""
    page = data[data.rfind(b"OggS") :]
    lengths = page[27 : 27 + page[26]] if len(page) > 26 else b""
    return len(page) > 26 and bool(page[5] & 4) and len(page) >= 27 + page[26] + sum(lengths)


def _says_length(data: bytes) -> bool:
    """Tell whether an MP3 file has a Xing or Info header: it lies in the first frame, after an ID3v2 tag."""
    begin = 0
    if data[:3] == b"ID3":
        begin = 10 + sum(byte << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=True))
    first = data[begin : begin + 256]
    return b"Xing" in first or b"Info" in first
