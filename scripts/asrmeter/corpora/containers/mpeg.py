"""MPEG audio (ISO 11172-3, 13818-3): frames without a common header, but for that of Xing in the first one."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from asrmeter.corpora.containers import tags
from asrmeter.corpora.containers.base import Stream, hole, truncated

# kbit/s by MPEG-1 or not, layer, and code.
_BITRATES = {
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
# By the code of the version: 2.5, none, 2, 1.
_RATES_HZ = ((11_025, 12_000, 8_000), (), (22_050, 24_000, 16_000), (44_100, 48_000, 32_000))
_LAYERS = (0, 3, 2, 1)
_MONO = 3
# So many frames in a row are no chance.
_IN_A_ROW = 3
_LONGEST_BYTES = 2881
# Of a decoder: mpg123 leaves them out where there is a header.
_DELAY_SAMPLES = 529
_HEADERS = (b"Xing", b"Info", b"VBRI")
SYNC = re.compile(rb"\xff[\xe0-\xff]")
_VBRI_PLACE = 36
# Flags of a Xing header, and what it holds: frames, bytes, a table, quality; then LAME's own part.
_HAS_FRAMES, _HAS_BYTES = 1, 2
_XING_PARTS = ((_HAS_FRAMES, 4), (_HAS_BYTES, 4), (4, 100), (8, 4))
_LAME_TRIM = 21


class _Frame(NamedTuple):
    """A frame: `side_bytes` are its head and, in layer III, the side information, after which a Xing header stands."""

    n_bytes: int
    n_samples: int
    side_bytes: int
    kind: tuple[int, int, bool]
    """What all frames of a stream have in common: layer, rate (Hz), mono."""


class _Header(NamedTuple):
    """A frame that has no samples: where it has the number of frames, what that is, and what an encoder added."""

    place: int | None
    n_frames: int | None
    n_added: int


def recognises(data: bytes, at: int) -> bool:
    """Return True if frames of MPEG audio begin here."""
    free_bytes = _free_bytes(data, at)
    kind = None
    for number in range(_IN_A_ROW):
        frame = _frame(data[at : at + 4], free_bytes)
        if frame is None or kind not in (None, frame.kind):
            return number > 0 and tags.skip(data, at) == len(data)
        kind = frame.kind
        at += frame.n_bytes
    return True


def read(data: bytes, at: int) -> tuple[Stream, int]:
    """Return the stream that begins here, with a header that says how long it is, and where it ends.

    Raises:
        AsrmeterError: it has a hole, or is cut off.
    """
    free_bytes = _free_bytes(data, at)
    first = _frame(data[at : at + 4], free_bytes)
    assert first is not None
    headers = {place for mark in _HEADERS for place in _places(data, mark, at)}
    header = _header(data, at, first) if not headers.isdisjoint((at + first.side_bytes, at + _VBRI_PLACE)) else None
    place = at + first.n_bytes if header else at
    starts: list[int] = []
    n_bytes = {data[at : at + 4]: first.n_bytes}  # of frames by their heads, of which there are few
    while True:
        head = data[place : place + 4]
        if head not in n_bytes:
            frame = _frame(head, free_bytes)
            if frame is None or frame.kind != first.kind:
                break
            n_bytes[head] = frame.n_bytes
        if starts and place + first.side_bytes in headers:
            break  # of the next stream
        starts.append(place)
        place += n_bytes[head]
    if place > len(data):
        starts.pop()
        n_promised = header.n_frames if header else None
        raise truncated(
            _length_s(len(starts), first, header), _length_s(n_promised, first, header) if n_promised else None
        )
    length_s = _length_s(len(starts), first, header)
    _check_end(data, place, first, headers, length_s, is_counted=bool(header and header.n_frames))
    return _stream(data, at, first, header, starts, place)


def _places(data: bytes, mark: bytes, place: int) -> Iterator[int]:
    """Yield where a mark stands."""
    while (place := data.find(mark, place)) >= 0:
        yield place
        place += 1


def _check_end(data: bytes, place: int, first: _Frame, headers: set[int], length_s: float, is_counted: bool) -> None:
    """Check that frames end at a place, and are not only interrupted.

    Raises:
        AsrmeterError: they go on behind it, or something stands where they may have been.
    """
    after = tags.skip(data, place)
    if after == len(data):
        if after - place > first.n_bytes and not data[place] and not is_counted:
            raise truncated(length_s)
    elif not data[place]:
        frame = _frame(data[after : after + 4])
        if frame is None or after + frame.side_bytes not in headers:
            raise hole(length_s, f"{after - place:,} bytes are 0")
    elif after == place and not recognises(data, place):
        following = (found.start() for found in SYNC.finditer(data, place) if recognises(data, found.start()))
        if (begin := next(following, None)) is not None:
            raise hole(length_s, f"{begin - place:,} bytes are not MPEG frames")
        if not is_counted:
            raise truncated(length_s)


def _stream(
    data: bytes, at: int, first: _Frame, header: _Header | None, starts: list[int], end: int
) -> tuple[Stream, int]:
    """Return the stream whose frames begin at `starts`, and where it ends."""
    layer, rate_hz, _ = first.kind
    n = len(starts)
    if header is None or header.n_frames is None or header.place is None:
        begin = starts[0] if starts else end
        if layer != 3 or not starts or _is_free(data[begin : begin + 4]):  # mpg123 knows of no header there
            return Stream(data[at:end], n * first.n_samples / rate_hz), end
        made = _made_header(data[begin : begin + 4], n, end - begin)
        return Stream(made + data[begin:end], max(n * first.n_samples - _DELAY_SAMPLES, 0) / rate_hz), end
    # An encoder may count one frame more than it writes: 36 to 72 ms, less than a word.
    if header.n_frames - n > 1:
        raise truncated(_length_s(n, first, header), _length_s(header.n_frames, first, header))
    if 0 < header.n_frames < n and _begins_afresh(data, starts[header.n_frames]):
        n = header.n_frames  # what follows is another stream, without a header
        end = starts[n]
    fixed = bytearray(data[at:end])
    place = header.place - at
    fixed[place : place + 4] = n.to_bytes(4, "big")
    if data[header.place - 1] & _HAS_BYTES:
        fixed[place + 4 : place + 8] = len(fixed).to_bytes(4, "big")
    return Stream(bytes(fixed), _length_s(n, first, header)), end


def _length_s(n_frames: int, first: _Frame, header: _Header | None) -> float:
    """Return the length of some frames, without what an encoder added, as far as a header says it."""
    return max(n_frames * first.n_samples - (header.n_added if header else 0), 0) / first.kind[1]


def _header(data: bytes, at: int, first: _Frame) -> _Header:
    """Return the header that the first frame of a stream is."""
    place = at + first.side_bytes
    if data.startswith(b"VBRI", at + _VBRI_PLACE):
        return _Header(None, None, 0)
    flags = int.from_bytes(data[place + 4 : place + 8], "big")
    lame = place + 8 + sum(n_bytes for flag, n_bytes in _XING_PARTS if flags & flag) + _LAME_TRIM
    delay, padding = 0, 0
    if lame + 3 <= at + first.n_bytes:
        trim = int.from_bytes(data[lame : lame + 3], "big")
        delay, padding = trim >> 12, trim & 0xFFF
    n_added = delay + max(padding, _DELAY_SAMPLES)
    if not flags & _HAS_FRAMES:
        return _Header(None, None, n_added)
    return _Header(place + 8, int.from_bytes(data[place + 8 : place + 12], "big"), n_added)


def _made_header(head: bytes, n_frames: int, n_bytes: int) -> bytes:
    """Return a frame with a Xing header for a stream without one: libsndfile would guess how long that is."""
    for code in range(1, 15):
        made = bytes((head[0], head[1] | 1, head[2] & 0x0D | code << 4, head[3]))
        frame = _frame(made)
        if frame and frame.n_bytes >= frame.side_bytes + 16:
            break
    assert frame is not None
    counts = b"Xing" + b"".join(
        value.to_bytes(4, "big") for value in (_HAS_FRAMES | _HAS_BYTES, n_frames, frame.n_bytes + n_bytes)
    )
    return (made + bytes(frame.side_bytes - 4) + counts).ljust(frame.n_bytes, b"\0")


def _begins_afresh(data: bytes, start: int) -> bool:
    """Return True if a frame of layer III needs nothing of those before it: their `main_data_begin` is 0."""
    side = start + (4 if data[start + 1] & 1 else 6)
    is_mpeg1 = data[start + 1] >> 3 & 3 == 3
    return not data[side] and not (is_mpeg1 and data[side + 1] & 0x80)


def _is_free(head: bytes) -> bool:
    """Return True if a head leaves open what the bitrate is: then all frames are of one length."""
    return len(head) >= 4 and head[0] == 0xFF and head[1] >= 0xE0 and head[2] >> 4 == 0


def _free_bytes(data: bytes, at: int) -> int:
    """Return the length of frames of free bitrate without padding; 0 for those of a bitrate."""
    head = data[at : at + 4]
    if not _is_free(head):
        return 0
    alike = re.compile(re.escape(head[:2]) + b"[" + re.escape(bytes((head[2] & 0xFD, head[2] | 2))) + b"]")
    found = alike.search(data, at + 4, at + 2 * _LONGEST_BYTES)
    return found.start() - at - (head[2] >> 1 & 1) if found else 0


@lru_cache(1024)
def _frame(head: bytes, free_bytes: int = 0) -> _Frame | None:
    """Return the frame that begins with these 4 bytes; None if they are none.

    Where the bitrate is free it has `free_bytes`, and one of padding.
    """
    if len(head) < 4 or head[0] != 0xFF or head[1] < 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, _LAYERS[head[1] >> 1 & 3]
    bitrate_code, rate_code, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    is_free = bitrate_code == 0
    if version == 1 or layer == 0 or bitrate_code == 15 or rate_code == 3 or is_free != bool(free_bytes):
        return None
    is_mpeg1, is_mono = version == 3, head[3] >> 6 == _MONO
    bit_per_s = 1000 * _BITRATES[is_mpeg1, layer][bitrate_code]
    rate_hz = _RATES_HZ[version][rate_code]
    side_bytes = 4 + ((17 if is_mono else 32) if is_mpeg1 else (9 if is_mono else 17))
    if layer == 1:
        n_samples, n_bytes = 384, (12 * bit_per_s // rate_hz + padding) * 4
    else:
        n_samples = 1152 if is_mpeg1 or layer == 2 else 576
        n_bytes = n_samples // 8 * bit_per_s // rate_hz + padding
    return _Frame(free_bytes + padding if is_free else n_bytes, n_samples, side_bytes, (layer, rate_hz, is_mono))
