"""Tags before, between and after streams: ID3, APE, Lyrics3; and padding of zeros."""

import re

_ZEROS = re.compile(rb"\0+")
_ID3V1_BYTES, _ENHANCED_BYTES, _APE_BYTES, _ID3V2_BYTES = 128, 227, 32, 10
_LYRICS_END = (b"LYRICS200", b"LYRICSEND")


def skip(data: bytes, at: int, zeros: bool = True) -> int:
    """Return where the tags, and the `zeros` between them, that begin at `at` end: `at` itself if there are none."""
    while True:
        begin = at
        if data[at : at + 3] == b"ID3":
            at += _id3v2(data, at)
        elif data[at : at + 4] == b"TAG+" and len(data) - at >= _ENHANCED_BYTES:
            at += _ENHANCED_BYTES
        elif data[at : at + 3] == b"TAG" and len(data) - at >= _ID3V1_BYTES:
            at += _ID3V1_BYTES
        elif data[at : at + 8] == b"APETAGEX":
            at += _ape(data, at)
        elif data[at : at + 11] == b"LYRICSBEGIN":
            ends = [end + len(mark) for mark in _LYRICS_END if (end := data.find(mark, at)) >= 0]
            at = min(ends, default=at)
        elif zeros and data[at : at + 1] == b"\0":
            at = _ZEROS.match(data, at).end()  # type: ignore[union-attr]
        if at == begin:
            return at
        at = min(at, len(data))


def _id3v2(data: bytes, at: int) -> int:
    """Return the length of an ID3v2 tag, 0 if it is none: its size is 4 times 7 bits, without head and foot."""
    head = data[at : at + _ID3V2_BYTES]
    if len(head) < _ID3V2_BYTES or head[3] == 0xFF or any(byte & 0x80 for byte in head[6:]):
        return 0
    size = sum(byte << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
    return _ID3V2_BYTES + size + (_ID3V2_BYTES if head[5] & 0x10 else 0)


def _ape(data: bytes, at: int) -> int:
    """Return the length of an APE tag that begins with a head; its size is that of items and foot."""
    flags = int.from_bytes(data[at + 20 : at + 24], "little")
    is_head = bool(flags & (1 << 29))
    return _APE_BYTES + (int.from_bytes(data[at + 12 : at + 16], "little") if is_head else 0)
