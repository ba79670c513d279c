"""Ogg (RFC 3533): pages with numbers and checksums, streams in a chain, granule positions that count samples."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from asrmeter.common.errors import AsrmeterError
from asrmeter.corpora.containers.base import TOLERANCE_S, Stream, hole, truncated

_MAGIC = b"OggS"
_HEAD = struct.Struct("<4sBBqIIIB")
_CONTINUED, _FIRST, _LAST = 1, 2, 4
# Granule position of a page on which no packet ends.
_NONE_ENDS = -1
_OPUS_RATE_HZ = 48_000
# Opus (RFC 6716, 3.1): samples of a frame at 48 kHz, by the configuration in the first byte of a packet.
_OPUS_FRAMES = (*((480, 960, 1920, 2880) * 3), *((480, 960) * 2), *((120, 240, 480, 960) * 4))
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class _Page(NamedTuple):
    end: int
    flags: int
    granule: int
    serial: int
    number: int
    packets: list[tuple[int, int]]
    """Begin and end of each piece of a packet; the last goes on in the next page if `is_open`."""
    is_open: bool


@dataclass
class _Track:
    """A logical stream, and what its pages have said so far.

    Attributes:
        clock_hz: unit of granule positions; 0 for what is no sound that is known here.
        n_headers: packets before those with samples.
        n_longest: the most samples of a packet; 0 for Opus, whose packets say how many they have.
        n_skipped: samples at the begin that are not heard.
        begin: granule position at which it begins: later than 0 if it was cut from a longer stream.
        n_samples: the most samples that the packets since the last granule position can have.
        n_open: those of the packet that goes on in the next page.
    """

    number: int
    clock_hz: int = 0
    n_headers: int = 0
    n_longest: int = 0
    n_skipped: int = 0
    begin: int | None = None
    granule: int = 0
    n_samples: int = 0
    n_open: int = 0
    has_ended: bool = False


def recognises(data: bytes, at: int) -> bool:
    """Return True if an Ogg stream begins here."""
    return data.startswith(_MAGIC, at)


def read(data: bytes, at: int) -> tuple[Stream, int]:
    """Return the stream that begins here, which may be a link of a chain, and where it ends.

    Raises:
        AsrmeterError: it has a hole, is cut off, or holds several sounds at once.
    """
    tracks: dict[int, _Track] = {}
    end = at
    for page in _pages(data, at, tracks):
        if page.flags & _FIRST:
            if tracks and all(track.has_ended for track in tracks.values()):
                break  # the next link of a chain
            if page.serial in tracks:
                raise hole(_position_s(tracks), "an Ogg stream begins within another one")
            tracks[page.serial] = _track(data, page)
        else:
            _follow(data, page, tracks)
        tracks[page.serial].has_ended |= bool(page.flags & _LAST)
        end = page.end
    sounds = [track for track in tracks.values() if track.clock_hz]
    if len(sounds) > 1:
        raise AsrmeterError(f"holds {len(sounds)} sounds at once; extract one of them")
    if not all(track.has_ended for track in tracks.values()):
        raise truncated(_position_s(tracks))
    return Stream(data[at:end], _length_s(sounds[0]) if sounds else None), end


def _pages(data: bytes, at: int, tracks: dict[int, _Track]) -> Iterator[_Page]:
    """Yield the pages up to the end of the file, or to what is no page once all tracks have ended."""
    while at < len(data):
        page = _page(data, at)
        if page is None:
            if tracks and all(track.has_ended for track in tracks.values()):
                return
            if data.find(_MAGIC, at + 1) < 0:
                raise truncated(_position_s(tracks))
            raise hole(_position_s(tracks), "bytes of an Ogg page are missing or were changed")
        yield page
        at = page.end


def _page(data: bytes, at: int) -> _Page | None:
    """Return the page that begins here; None if there is none, not all of it, or its checksum is wrong."""
    if len(data) - at < _HEAD.size or not data.startswith(_MAGIC, at):
        return None
    _, version, flags, granule, serial, number, checksum, n_segments = _HEAD.unpack_from(data, at)
    begin = at + _HEAD.size + n_segments
    lacing = data[at + _HEAD.size : begin]
    end = begin + sum(lacing)
    if version != 0 or len(lacing) < n_segments or end > len(data):
        return None
    if _checksum(data[at : at + 22] + bytes(4) + data[at + 26 : end]) != checksum:
        return None
    packets: list[tuple[int, int]] = []
    piece_end = begin
    for length in lacing:
        piece_end += length
        if length < 255:
            packets.append((begin, piece_end))
            begin = piece_end
    is_open = bool(lacing) and lacing[-1] == 255
    if is_open:
        packets.append((begin, piece_end))
    return _Page(end, flags, granule, serial, number, packets, is_open)


def _checksum(page: bytes) -> int:
    """Return Ogg's CRC-32: the polynomial of zlib's with the bits in the other order, and without its inversions."""
    mirrored = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(mirrored.to_bytes(4, "little").translate(_MIRRORED), "big")


def _track(data: bytes, page: _Page) -> _Track:
    """Return the track that begins with a page, by the header of its codec."""
    begin, end = page.packets[0] if page.packets else (0, 0)
    head = data[begin:end]
    if head.startswith(b"\x01vorbis") and len(head) >= 29:
        # A packet has half of its block, and half of that before it: with the longest blocks, half a block.
        rate_hz, longest = int.from_bytes(head[12:16], "little"), 1 << (head[28] >> 4)
        return _Track(page.number, rate_hz, n_headers=2, n_longest=longest // 2)
    if head.startswith(b"OpusHead") and len(head) >= 12:
        return _Track(page.number, _OPUS_RATE_HZ, n_headers=1, n_skipped=int.from_bytes(head[10:12], "little"))
    if head.startswith(b"\x7fFLAC") and len(head) >= 30:
        n_headers, longest = int.from_bytes(head[7:9], "big"), int.from_bytes(head[19:21], "big")
        return _Track(page.number, int.from_bytes(head[27:30], "big") >> 4, n_headers, n_longest=longest)
    return _Track(page.number)


def _follow(data: bytes, page: _Page, tracks: dict[int, _Track]) -> None:
    """Add a page to its track.

    Raises:
        AsrmeterError: it is not the one that follows.
    """
    track = tracks.get(page.serial)
    if track is None or page.number != (track.number + 1) % 2**32:
        raise hole(_position_s(tracks), "an Ogg page is missing")
    track.number = page.number
    n_ended = len(page.packets) - page.is_open
    if track.n_headers > 0:
        track.n_headers -= n_ended
    elif track.clock_hz:
        _count(data, page, track)
        if page.granule != _NONE_ENDS:
            _advance(page, track, tracks)


def _count(data: bytes, page: _Page, track: _Track) -> None:
    """Add the samples of the packets that end on a page."""
    for number, (begin, end) in enumerate(page.packets):
        if number or not page.flags & _CONTINUED:
            track.n_open = track.n_longest or _opus_samples(data[begin : min(begin + 2, end)])
        if number < len(page.packets) - page.is_open:
            track.n_samples += track.n_open
            track.n_open = 0


def _opus_samples(begin: bytes) -> int:
    """Return the samples of an Opus packet at 48 kHz (RFC 6716, 3.1 and 3.2)."""
    if not begin:
        return 0
    n_frames = (1, 2, 2, begin[1] & 0x3F if len(begin) > 1 else 0)[begin[0] & 3]
    return n_frames * _OPUS_FRAMES[begin[0] >> 3]


def _advance(page: _Page, track: _Track, tracks: dict[int, _Track]) -> None:
    if track.begin is None:
        # The last page may have fewer samples than its packets.
        track.begin = 0 if page.flags & _LAST else max(page.granule - track.n_samples, 0)
    else:
        n_more = page.granule - track.granule
        if n_more < 0 or n_more - track.n_samples > TOLERANCE_S * track.clock_hz:
            raise hole(_position_s(tracks), "samples are missing between two Ogg pages")
    track.granule = page.granule
    track.n_samples = 0


def _length_s(track: _Track) -> float | None:
    """Return the length of a track in seconds; None where its begin is known only roughly."""
    begin = track.begin or 0
    if begin and track.n_longest:
        return None
    return max(track.granule - begin - track.n_skipped, 0) / track.clock_hz


def _position_s(tracks: dict[int, _Track]) -> float:
    """Return how far the pages so far have come."""
    return max(
        (
            (track.granule - (track.begin or 0) - track.n_skipped) / track.clock_hz
            for track in tracks.values()
            if track.clock_hz
        ),
        default=0.0,
    )
