"""FLAC (RFC 9639): metadata blocks, then frames whose headers are numbered and have a checksum."""

import re
from typing import NamedTuple

from asrmeter.common.errors import AsrmeterError
from asrmeter.corpora.containers import mpeg
from asrmeter.corpora.containers.base import Stream, hole, next_file, truncated

_MAGIC = b"fLaC"
_TAG = re.compile(rb"ID3[\x02-\x04]|APETAGEX|TAG")
_INFO, _INFO_BYTES = 8, 34
# Where STREAMINFO has 20 bits of the rate, 3 and 5 of channels and bits, and 36 of the number of samples.
_COUNTS = slice(10, 18)
_SYNC = re.compile(rb"\xff[\xf8\xf9]")
_LONGEST_HEAD = 16
_BLOCK_SIZES = {1: 192} | {code: 576 << (code - 2) for code in range(2, 6)} | {code: 1 << code for code in range(8, 16)}
# Bytes that follow the number, by the code of the block size and that of the rate.
_SIZE_BYTES, _RATE_BYTES = {6: 1, 7: 2}, {12: 1, 13: 2, 14: 2}


class _Frame(NamedTuple):
    number: int
    n_samples: int
    common: tuple[int, int, int]
    """What all frames of a stream have in common: how they are numbered, the codes of rate and bits."""


def recognises(data: bytes, at: int) -> bool:
    """Return True if a FLAC stream begins here."""
    return data.startswith(_MAGIC, at)


def read(data: bytes, at: int) -> tuple[Stream, int]:
    """Return the stream that begins here, and where it ends. If its header says too few samples, that is put right.

    Loss within a frame is found by libFLAC, by the checksum of the frame.

    Raises:
        AsrmeterError: frames are missing in its middle, or it does not say how long it is and is cut off.
    """
    begin, is_last = at + len(_MAGIC), False
    while not is_last and begin + 4 <= len(data):
        is_last = bool(data[begin] & 0x80)
        begin += 4 + int.from_bytes(data[begin + 1 : begin + 4], "big")
    end = next_file(data, begin, len(data), _MAGIC)
    info = data[at + _INFO : at + _INFO + _INFO_BYTES]
    counts = int.from_bytes(info[_COUNTS], "big")
    rate_hz, n_promised = counts >> 44, counts & (2**36 - 1)
    if begin >= end or not rate_hz:
        return Stream(data[at:end]), end
    n_samples, last = _frames(data, begin, end, rate_hz)
    if n_samples < n_promised:
        raise truncated(n_samples / rate_hz, n_promised / rate_hz)
    longest = int.from_bytes(info[7:10], "big") or n_samples * 32 + _LONGEST_HEAD
    end = _end_of_frame(data, last, end, longest)
    if not n_promised and end not in _ends(data, last, end):
        raise truncated(n_samples / rate_hz)
    if n_samples == n_promised:
        return Stream(data[at:end], n_promised / rate_hz), end
    truth = (counts >> 36 << 36 | n_samples).to_bytes(8, "big")
    place = at + _INFO + _COUNTS.start
    return Stream(data[at:place] + truth + data[place + len(truth) : end], n_samples / rate_hz), end


def _frames(data: bytes, begin: int, end: int, rate_hz: int) -> tuple[int, int]:
    """Return how many samples of a channel the frames between two places have, and where the last of them begins.

    Raises:
        AsrmeterError: a frame is missing before another one.
    """
    n, last = 0, begin
    first: _Frame | None = None
    for found in _SYNC.finditer(data, begin, end):
        frame = _frame(data[found.start() : min(found.start() + _LONGEST_HEAD, end)])
        if frame is None or (first and frame.common != first.common):
            continue
        first = first or frame
        # Either frames of one size are numbered, or the first sample of each.
        starts = frame.number if frame.common[0] & 1 else frame.number * first.n_samples
        if starts > n:
            raise hole(n / rate_hz, "frames of FLAC are missing")
        if starts == n:
            n += frame.n_samples
            last = found.start()
    return n, last


def _end_of_frame(data: bytes, begin: int, end: int, longest: int) -> int:
    """Return where a stream's last frame ends: before `end` if something else follows, which its checksum shows.

    Raises:
        AsrmeterError: what follows is not known, or the frame is damaged; frames have no more than `longest` bytes.
    """
    places = [found.start() for found in _TAG.finditer(data, begin, end)]
    if (following := next_file(data, begin, end)) < end:
        places.append(following)
    places += [at for found in mpeg.SYNC.finditer(data, begin + 1, end) if mpeg.recognises(data, at := found.start())]
    if places and (known := _ends(data, begin, min(begin + longest, end)).intersection(places)):
        return min(known)
    n_left = len(data[begin:end].rstrip(b"\0"))
    if n_left > longest:
        raise AsrmeterError(f"continues after its end with about {n_left - longest:,} bytes that are not FLAC frames")
    return end


def _ends(data: bytes, begin: int, end: int) -> set[int]:
    """Return where a frame that begins here can end: its own checksum, CRC-16, makes the remainder 0."""
    found, value = set(), 0
    for place in range(begin, end):
        value = (value << 8 & 0xFFFF) ^ _CRC16[value >> 8 ^ data[place]]
        if not value:
            found.add(place + 1)
    return found


def _frame(head: bytes) -> _Frame | None:
    """Return the frame with this head; None if it is not a head."""
    if len(head) < 6 or head[3] & 1:
        return None
    size_code, rate_code = head[2] >> 4, head[2] & 15
    # The number is coded like a character of UTF-8: the first byte says how many follow.
    n_ones = 8 - (head[4] ^ 0xFF).bit_length()
    n_following = max(n_ones - 1, 0)
    end = 5 + n_following
    if n_ones == 1 or n_ones > 7 or any(byte >> 6 != 0b10 for byte in head[5:end]):
        return None
    number = head[4] & (0x7F >> n_ones)
    for byte in head[5:end]:
        number = number << 6 | byte & 0x3F
    size_end = end + _SIZE_BYTES.get(size_code, 0)
    n_samples = _BLOCK_SIZES.get(size_code) or int.from_bytes(head[end:size_end], "big") + 1
    checksum = size_end + _RATE_BYTES.get(rate_code, 0)
    if size_code == 0 or checksum >= len(head) or _crc8(head[:checksum]) != head[checksum]:
        return None
    return _Frame(number, n_samples, (head[1], rate_code, head[3] & 15))


def _table(polynomial: int, n_bits: int) -> list[int]:
    """Return the remainders of all bytes, for a checksum that begins with 0 and the highest bit."""
    highest, table = 1 << (n_bits - 1), []
    for byte in range(256):
        value = byte << (n_bits - 8)
        for _ in range(8):
            value = (value << 1 ^ (polynomial if value & highest else 0)) & (2 * highest - 1)
        table.append(value)
    return table


_CRC8, _CRC16 = _table(0x07, 8), _table(0x8005, 16)


def _crc8(data: bytes) -> int:
    value = 0
    for byte in data:
        value = _CRC8[value ^ byte]
    return value
