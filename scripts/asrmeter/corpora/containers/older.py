"""Formats of older programs that libsndfile reads: AVR, IRCAM, MAT, MPC 2000, PAF, PVF, SDS, VOC, WVE, XI.

Where the samples end is counted in a header of theirs. Some say nothing: then only another header of the same kind
tells that a second file follows.
"""

import struct
from collections.abc import Callable

from asrmeter.corpora.containers.base import Stream, truncated_bytes

# Of a format that says nothing: as much of its head as two files of the same kind have in common.
_UNCOUNTED = {
    b" paf": 24,
    b"fap ": 24,
    b"\x64\xa3": 16,
    b"\0\0\xa3\x64": 16,
    b"PVF1\n": 5,
    b"Extended Instrument: ": 21,
}
_VOC_SLACK = 16
_MAT4_BYTES = {0: 8, 1: 4, 2: 4, 3: 2, 4: 2, 5: 1}


def _avr(data: bytes, at: int) -> int:
    is_stereo, n_bits = struct.unpack_from(">HH", data, at + 12)
    (n,) = struct.unpack_from(">I", data, at + 26)
    return 128 + n * (2 if is_stereo else 1) * n_bits // 8


def _mpc2000(data: bytes, at: int) -> int:
    (n,) = struct.unpack_from("<I", data, at + 30)
    return 42 + n * 2 * (2 if data[at + 21] else 1)


def _mat4(data: bytes, at: int) -> int:
    # A matrix of the rate, named samplerate, and one of the samples, named wavedata.
    order = "<" if data[at + 16] else ">"
    kind, n_rows, n_columns, _, name_bytes = struct.unpack_from(f"{order}5I", data, at + 39)
    return 59 + name_bytes + n_rows * n_columns * _MAT4_BYTES[kind // 10 % 10]


def _mat5(data: bytes, at: int) -> int:
    order = "<" if data[at + 126 : at + 128] == b"IM" else ">"
    (n_bytes,) = struct.unpack_from(f"{order}I", data, at + 260)
    return 264 + n_bytes


def _wve(data: bytes, at: int) -> int:
    return 32 + int.from_bytes(data[at + 18 : at + 22], "big")


def _sds(data: bytes, at: int) -> int:
    n_bits = data[at + 6]
    n = data[at + 10] | data[at + 11] << 7 | data[at + 12] << 14
    return 21 + -(-n // (120 // -(-n_bits // 7))) * 127


def _voc(data: bytes, at: int) -> int:
    place = int.from_bytes(data[at + 20 : at + 22], "little")
    # sox counts some bytes of the head less.
    while len(data) - at - place > _VOC_SLACK and data[at + place]:
        place += 4 + int.from_bytes(data[at + place + 1 : at + place + 4], "little")
    return place + (
        1 if data[at + place : at + place + 1] == b"\0" else min(_VOC_SLACK, max(len(data) - at - place, 0))
    )


_ENDS: dict[bytes, Callable[[bytes, int], int]] = {
    b"2BIT": _avr,
    b"\x01\x04": _mpc2000,
    b"\0\0\0\0\1\0\0\0\1\0\0\0\0\0\0\0\x0b\0\0\0samplerate": _mat4,
    b"\0\0\x03\xe8\0\0\0\1\0\0\0\1\0\0\0\0\0\0\0\x0bsamplerate": _mat4,
    b"MATLAB 5.0 MAT-file": _mat5,
    b"ALawSoundFile**\0": _wve,
    b"\xf0\x7e\0\1": _sds,
    b"Creative Voice File\x1a": _voc,
}


def recognises(data: bytes, at: int) -> bool:
    """Return True if such a file begins here."""
    return any(data.startswith(magic, at) for magic in (*_ENDS, *_UNCOUNTED))


def read(data: bytes, at: int) -> tuple[Stream, int]:
    """Return the stream that begins here, and where it ends.

    Raises:
        AsrmeterError: it is cut off.
    """
    for magic, n_bytes in _UNCOUNTED.items():
        if data.startswith(magic, at):
            end = data.find(data[at : at + n_bytes], at + n_bytes)
            return (Stream(data[at:end]), end) if end >= 0 else (Stream(data[at:]), len(data))
    count = next(count for magic, count in _ENDS.items() if data.startswith(magic, at))
    try:
        end = at + count(data, at)
    except (IndexError, KeyError, struct.error, ZeroDivisionError):
        return Stream(data[at:]), len(data)  # libsndfile says what is wrong
    # One byte is the mark of the end, or padding.
    if end - len(data) > 1:
        raise truncated_bytes(len(data) - at, end - at, None)
    return Stream(data[at:end]), min(end, len(data))
