"""RIFF (WAV, RF64), IFF (AIFF, 8SVX), Wave64 and CAF: chunks with a size each, one of which has the samples."""

import struct
from collections.abc import Mapping
from typing import Literal, NamedTuple

from asrmeter.common.errors import AsrmeterError
from asrmeter.corpora.containers import tags
from asrmeter.corpora.containers.base import W64_RIFF, Block, Stream, next_file, truncated_bytes

# A program that writes to a pipe does not know the size. sox writes this number; ffmpeg, arecord and others, larger.
_UNKNOWN_FROM = {4: 0x7F000000, 8: 2**62}
_W64 = b"\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
# Chunks with texts, marks and the like: one that is cut off behind the samples takes nothing from them.
_NAMES = (
    b"LISTfactcue PEAKbextiXMLaxmlid3 ID3 JUNKjunkPAD FLLRacidsmplinstplst_PMXDISPcartlevlchnaumid"
    b"MARKCOMTNAMEAUTH(c) ANNOINSTMIDIAESDAPPLCHANinfofreestrgmarkregnuuidpeakovvwkukipaktchan"
)
_WITHOUT_SAMPLES = frozenset(_NAMES[at : at + 4] for at in range(0, len(_NAMES), 4))
# Where more than this is left of a file whose last chunk is cut, the chunk's size is wrong, and samples may follow it.
_LONGEST_CUT = 2**15


class _Layout(NamedTuple):
    """How a container writes its chunks.

    `head` bytes stand before the first. A chunk has a name, a size (of everything, where it `counts_head`) and content,
    and begins at a multiple of `align`. `lead` bytes stand before the samples in theirs.
    """

    head: int
    samples: bytes
    lead: int
    order: Literal["little", "big"]
    size_bytes: int
    align: int
    counts_head: bool = False


class _Chunk(NamedTuple):
    name: bytes
    place: int
    begin: int
    size: int


_RIFF = _Layout(12, b"data", 0, "little", 4, 2)
_LAYOUTS = {
    (b"RIFF", b"WAVE"): _RIFF,
    (b"RF64", b"WAVE"): _RIFF,
    (b"BW64", b"WAVE"): _RIFF,
    (b"RIFX", b"WAVE"): _RIFF._replace(order="big"),
    (b"FORM", b"AIFF"): _Layout(12, b"SSND", 8, "big", 4, 2),
    (b"FORM", b"AIFC"): _Layout(12, b"SSND", 8, "big", 4, 2),
    (b"FORM", b"8SVX"): _Layout(12, b"BODY", 0, "big", 4, 2),
    (b"FORM", b"16SV"): _Layout(12, b"BODY", 0, "big", 4, 2),
}
_CAF = _Layout(8, b"data", 4, "big", 8, 1)
_WAVE64 = _Layout(40, b"data" + _W64, 0, "little", 8, 8, counts_head=True)


def recognises(data: bytes, at: int) -> bool:
    """Return True if such a container begins here."""
    return _layout(data, at) is not None


def read(data: bytes, at: int) -> tuple[Stream, int]:
    """Return the stream that begins here, and where it ends. A size that its writer did not know is put right.

    Raises:
        AsrmeterError: it is cut off, or its samples are in several places.
    """
    layout = _layout(data, at)
    assert layout is not None
    contents: dict[bytes, bytes] = {}
    place = at + layout.head
    while (chunk := _chunk(data, place, layout)) is not None and chunk.name != layout.samples:
        contents[chunk.name[:4]] = data[chunk.begin : chunk.begin + chunk.size]
        place = _after(data, chunk, at, layout)
    if chunk is None or len(data) - chunk.begin < layout.lead:
        raise AsrmeterError("truncated: it ends before its samples begin")
    block = _block(data[at : at + 12], contents)
    size = chunk.size
    if b"ds64" in contents and size == 0xFFFFFFFF:
        size = int.from_bytes(contents[b"ds64"][8:16], "little")
    there = len(data) - chunk.begin
    end = _after(data, chunk._replace(size=size), at, layout)
    if (size > there and size >= _UNKNOWN_FROM[layout.size_bytes]) or (
        size <= layout.lead and _goes_on(data, end, at, layout)
    ):
        end = next_file(data, chunk.begin, len(data))
        size = end - chunk.begin
        stream = _with_size(data[at:end], chunk, at, layout)
    elif size - there > 1:  # an odd chunk may lack its padding
        raise truncated_bytes(max(there - layout.lead, 0), size - layout.lead, block)
    else:
        end = _after_others(data, end, at, layout, contents)
        stream = data[at:end]
    if block is None:
        return Stream(stream, _counted_s(contents)), end
    return Stream(stream, block.seconds(min(size, there) - layout.lead)), end


def _layout(data: bytes, at: int) -> _Layout | None:
    if data.startswith(W64_RIFF, at):
        return _WAVE64
    if data.startswith(b"caff", at):
        return _CAF
    return _LAYOUTS.get((data[at : at + 4], data[at + 8 : at + 12]))


def _chunk(data: bytes, place: int, layout: _Layout) -> _Chunk | None:
    """Return the chunk at a place; None if there is none."""
    name = data[place : place + len(layout.samples)]
    begin = place + len(name) + layout.size_bytes
    if begin > len(data) or not name[:4].isascii() or not name[:4].decode().isprintable():
        return None
    size = int.from_bytes(data[begin - layout.size_bytes : begin], layout.order)
    return _Chunk(name, place, begin, size - (begin - place if layout.counts_head else 0))


def _after(data: bytes, chunk: _Chunk, at: int, layout: _Layout) -> int:
    """Return where what follows a chunk begins: at a multiple, unless its writer forgot that."""
    end = chunk.begin + chunk.size
    padded = end + -(end - at) % layout.align
    is_padded = padded == end or not _begins(data, end, layout) or _begins(data, padded, layout)
    return min(padded if is_padded else end, len(data))


def _begins(data: bytes, place: int, layout: _Layout) -> bool:
    """Return True if a whole chunk, another file or its end is at a place."""
    chunk = _chunk(data, place, layout)
    fits = chunk is not None and 0 <= chunk.size <= len(data) - chunk.begin + 1
    return place >= len(data) or fits or recognises(data, place)


def _after_others(data: bytes, place: int, at: int, layout: _Layout, contents: dict[bytes, bytes]) -> int:
    """Return where the chunks that follow the samples end, and add them to the `contents`.

    Raises:
        AsrmeterError: one of them has samples too.
    """
    while not recognises(data, place) and tags.skip(data, place) == place:
        chunk = _chunk(data, place, layout)
        if chunk is None or (
            not _begins(data, place, layout)
            and (chunk.name[:4] not in _WITHOUT_SAMPLES or len(data) - place > _LONGEST_CUT)
        ):
            break
        if chunk.name == layout.samples:
            raise AsrmeterError("has its samples in several places; convert it to FLAC or WAV")
        contents[chunk.name[:4]] = data[chunk.begin : chunk.begin + chunk.size]
        place = _after(data, chunk, at, layout)
    return place


def _goes_on(data: bytes, end: int, at: int, layout: _Layout) -> bool:
    """Return True if samples seem to follow a chunk that declares none."""
    rest = _after_others(data, end, at, layout, {})
    return tags.skip(data, rest) < len(data) and not recognises(data, tags.skip(data, rest))


def _with_size(stream: bytes, chunk: _Chunk, at: int, layout: _Layout) -> bytes:
    """Return a stream whose last chunk, that of the samples, has the size that is there."""
    place = chunk.begin - at - layout.size_bytes
    size = len(stream) - (chunk.place - at if layout.counts_head else chunk.begin - at)
    fixed = bytearray(stream)
    fixed[place : place + layout.size_bytes] = size.to_bytes(layout.size_bytes, layout.order)
    if layout.size_bytes == 4:
        fixed[4:8] = (len(stream) - 8).to_bytes(4, layout.order)
    elif layout.counts_head:
        fixed[16:24] = len(stream).to_bytes(8, layout.order)
    if bytes(fixed[:4]) in (b"RF64", b"BW64"):
        fixed[:4] = b"RIFF"
    return bytes(fixed)


def _block(magic: bytes, contents: Mapping[bytes, bytes]) -> Block | None:
    """Return the size of samples; None for unknown encodings."""
    try:
        if magic[:4] == b"caff":
            return _caf_block(contents[b"desc"])
        if magic[8:] in (b"8SVX", b"16SV"):
            rate_hz, compression = struct.unpack_from(">HxB", contents[b"VHDR"], 12)
            return None if compression or not rate_hz else Block(1 if magic[8:] == b"8SVX" else 2, 1, rate_hz)
        if magic[:4] == b"FORM":
            return _aiff_block(contents[b"COMM"])
        return _wave_block(contents[b"fmt "], ">" if magic[:4] == b"RIFX" else "<")
    except (KeyError, struct.error):
        return None


# Tags of WAVE formats: PCM, IEEE float, A-law, mu-law; Microsoft's and IMA's ADPCM; GSM 6.10.
_PLAIN_WAVE, _ADPCM_WAVE, _GSM_WAVE, _EXTENSIBLE = (1, 3, 6, 7), (2, 0x11), 0x31, 0xFFFE


def _wave_block(content: bytes, order: str) -> Block | None:
    tag, n_channels, rate_hz, _, n_bytes, _ = struct.unpack_from(f"{order}HHIIHH", content)
    if tag == _EXTENSIBLE:
        (tag,) = struct.unpack_from(f"{order}H", content, 24)
    if not (n_bytes and n_channels and rate_hz):
        return None
    if tag in _PLAIN_WAVE:
        return Block(n_bytes, 1, rate_hz)
    if tag in _ADPCM_WAVE:
        (n_samples,) = struct.unpack_from(f"{order}H", content, 18)
        return Block(n_bytes, n_samples, rate_hz) if n_samples else None
    return Block(65, 320, rate_hz) if tag == _GSM_WAVE else None


# Bytes of a sample by the compression type of AIFF-C; others as COMM says.
_AIFF_BYTES = {b"ulaw": 1, b"ULAW": 1, b"alaw": 1, b"ALAW": 1, b"fl32": 4, b"FL32": 4, b"fl64": 8, b"FL64": 8}
_AIFF_PLAIN = (b"", b"NONE", b"twos", b"sowt", b"raw ", b"in24", b"in32", b"ni24", b"42ni", b"23ni")


def _aiff_block(content: bytes) -> Block | None:
    n_channels, _, n_bits, exponent, mantissa = struct.unpack_from(">hIhHQ", content)
    rate_hz = mantissa * 2.0 ** ((exponent & 0x7FFF) - 16383 - 63)
    compression = content[18:22]
    width = _AIFF_BYTES.get(compression) or (-(-n_bits // 8) if compression in _AIFF_PLAIN else 0)
    return Block(n_channels * width, 1, rate_hz) if n_channels > 0 and width and rate_hz else None


def _counted_s(contents: Mapping[bytes, bytes]) -> float | None:
    """Return the length of packets of several sizes, which CAF counts; None where nothing does."""
    try:
        (rate_hz,) = struct.unpack_from(">d", contents[b"desc"])
        _, n_samples = struct.unpack_from(">qq", contents[b"pakt"])
    except (KeyError, struct.error):
        return None
    return n_samples / rate_hz if rate_hz > 0 and n_samples >= 0 else None


def _caf_block(content: bytes) -> Block | None:
    rate_hz, _, _, n_bytes, n_samples = struct.unpack_from(">d4sIII", content)
    return Block(n_bytes, n_samples, rate_hz) if n_bytes and n_samples and rate_hz > 0 else None
