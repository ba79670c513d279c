"""AU (Sun, NeXT) and SPHERE (NIST): a header that counts the samples, then the samples."""

import re
from typing import Literal

from asrmeter.corpora.containers.base import Block, Stream, truncated_bytes

# An offset below 64 KiB, any size, an encoding below 256.
_AU = re.compile(rb"\.snd\0\0..(....)\0\0\0.|dns\...\0\0(....).\0\0\0", re.DOTALL)
_AU_HEAD = 24
_AU_SIZE = slice(8, 12)
_UNKNOWN = 0xFFFFFFFF
# Bytes of a sample by the code of the encoding.
_AU_BYTES = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}
_SPHERE = b"NIST_1A\n"


def recognises(data: bytes, at: int) -> bool:
    """Return True if such a file begins here."""
    return data.startswith(_SPHERE, at) or (_AU.match(data, at) is not None and len(data) - at >= _AU_HEAD)


def read(data: bytes, at: int) -> tuple[Stream, int]:
    """Return the stream that begins here, and where it ends. A size that its writer did not know is put right.

    Raises:
        AsrmeterError: it is cut off.
    """
    return _sphere(data, at) if data.startswith(_SPHERE, at) else _au(data, at)


def _au(data: bytes, at: int) -> tuple[Stream, int]:
    order: Literal["little", "big"] = "big" if data.startswith(b".snd", at) else "little"
    offset, size, encoding, rate_hz, n_channels = (
        int.from_bytes(data[at + place : at + place + 4], order) for place in range(4, _AU_HEAD, 4)
    )
    width = _AU_BYTES.get(encoding)
    block = Block(width * n_channels, 1, rate_hz) if width and n_channels and rate_hz else None
    begin = at + offset
    if size == _UNKNOWN or size == 0:
        found = _AU.search(data, begin)
        end = found.start() if found else len(data)
        fixed = data[at : at + _AU_SIZE.start] + (end - begin).to_bytes(4, order) + data[at + _AU_SIZE.stop : end]
        return Stream(fixed, block.seconds(end - begin) if block else None), end
    if begin + size > len(data):
        raise truncated_bytes(max(len(data) - begin, 0), size, block)
    return Stream(data[at : begin + size], block.seconds(size) if block else None), begin + size


def _sphere(data: bytes, at: int) -> tuple[Stream, int]:
    head_bytes = int(data[at + 8 : at + 16]) if data[at + 8 : at + 16].strip().isdigit() else 1024
    fields = dict(re.findall(rb"(\w+) -(?:i|s\d+) (\d{1,15})\n", data[at : at + head_bytes]))
    count, width, n_channels, rate_hz = (
        int(fields.get(name, 0)) for name in (b"sample_count", b"sample_n_bytes", b"channel_count", b"sample_rate")
    )
    n_bytes = width * max(n_channels, 1)
    if not (count and n_bytes and rate_hz):
        return Stream(data[at:]), len(data)
    begin = at + head_bytes
    if begin + count * n_bytes > len(data):
        raise truncated_bytes(len(data) - begin, count * n_bytes, Block(n_bytes, 1, rate_hz))
    end = begin + count * n_bytes
    return Stream(data[at:end], count / rate_hz), end
