"""What an audio file holds is heard whole, or the file is refused: held against the decoder of FFmpeg (PyAV)."""

import io
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from asrmeter.common.constants import SAMPLE_RATE_HZ
from asrmeter.common.errors import AsrmeterError
from asrmeter.corpora.audio import decode

TOLERANCE_S = 0.05
ID3V1 = b"TAG" + bytes(125)
ID3V2 = b"ID3\x03\0\0\0\0\0\x0a" + bytes(10)
APE = (
    b"APETAGEX" + struct.pack("<IIII8x", 2000, 32, 0, 0xA0000000) + b"APETAGEX" + struct.pack("<IIII8x", 2000, 32, 0, 0)
)
TAGS = {"none": b"", "ID3v1": ID3V1, "ID3v2": ID3V2, "APE": APE, "zeros": bytes(999), "several": ID3V1 + ID3V2 + ID3V2}
# SD2 is half of a Macintosh's file, and RAW has no header.
FORMATS = [
    (container, encoding)
    for container in sorted(soundfile.available_formats().keys() - {"RAW", "SD2"})
    for encoding in soundfile.available_subtypes(container)
]
# libsndfile writes them, and cannot read what it wrote.
UNREADABLE = {("AIFF", "DWVW_12"), ("AIFF", "DWVW_16"), ("AIFF", "DWVW_24")}
# Their rate is a constant of the format.
RATES_HZ = {"WVE": 8000, "XI": 44_100}
# A file of these says nowhere how long it is.
WITHOUT_LENGTH = {"IRCAM", "PAF", "PVF", "XI"}


@cache
def speech(length_s: float, rate_hz: int = SAMPLE_RATE_HZ, n_channels: int = 1) -> np.ndarray:
    """Return something like speech: noise of changing level."""
    n = round(length_s * rate_hz)
    noise = np.random.default_rng(round(1000 * length_s)).standard_normal((n, n_channels))
    return (noise * 0.08 * (1 + np.sin(np.arange(n) * 30 / rate_hz))[:, None]).astype(np.float32)


@cache
def written(
    container: str, encoding: str, length_s: float, rate_hz: int = SAMPLE_RATE_HZ, n_channels: int = 1
) -> bytes:
    """Return a file of libsndfile's; b"" where it has none of that kind."""
    stream = io.BytesIO()
    try:
        soundfile.write(stream, speech(length_s, rate_hz, n_channels), rate_hz, format=container, subtype=encoding)
    except (soundfile.LibsndfileError, ValueError):
        return b""
    return stream.getvalue()


class Pipe(io.RawIOBase):
    """Somewhere to write to without a way back."""

    def __init__(self) -> None:
        self.content = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self.content += bytes(memoryview(data))  # type: ignore[arg-type]
        return len(bytes(memoryview(data)))  # type: ignore[arg-type]


# Muxer and encoder of FFmpeg, and its options.
FOREIGN: dict[str, tuple[str, str, dict[str, str]]] = {
    "mp3": ("mp3", "libmp3lame", {}),
    "mp3 without Xing": ("mp3", "libmp3lame", {"write_xing": "0"}),
    "mp3 with ID3v1": ("mp3", "libmp3lame", {"write_id3v1": "1"}),
    "mp2": ("mp2", "mp2", {}),
    "flac": ("flac", "flac", {}),
    "opus": ("ogg", "libopus", {}),
    "aiff": ("aiff", "pcm_s16be", {}),
    "au": ("au", "pcm_s16be", {}),
    "caf": ("caf", "pcm_s16le", {}),
    "w64": ("w64", "pcm_s16le", {}),
    "wav": ("wav", "pcm_s16le", {}),
    "wav of 24 bits": ("wav", "pcm_s24le", {}),
    "wav, IMA ADPCM": ("wav", "adpcm_ima_wav", {}),
    "wav, mu-law": ("wav", "pcm_mulaw", {}),
    "rf64": ("wav", "pcm_s16le", {"rf64": "always"}),
    "voc": ("voc", "pcm_s16le", {}),
}


@cache
def foreign(name: str, length_s: float, to_pipe: bool = False) -> bytes:
    """Return a file of FFmpeg's."""
    muxer, codec, options = FOREIGN[name]
    target: io.BytesIO | Pipe = Pipe() if to_pipe else io.BytesIO()
    with av.open(target, "w", format=muxer, options=options) as container:
        stream = container.add_stream(codec, rate=SAMPLE_RATE_HZ, layout="mono")
        frame = av.AudioFrame.from_ndarray((speech(length_s)[:, 0] * 32767).astype(np.int16)[None], "s16", "mono")
        frame.sample_rate = SAMPLE_RATE_HZ
        resampler = av.AudioResampler(stream.format, "mono", SAMPLE_RATE_HZ, stream.codec_context.frame_size or None)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return bytes(target.content) if isinstance(target, Pipe) else target.getvalue()


def ffmpeg_length_s(data: bytes) -> float:
    """Return how long a file is by another decoder."""
    with av.open(io.BytesIO(data)) as container:
        return sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))


def heard_s(data: bytes) -> float | None:
    """Return the length that is heard, None if the file is refused; no other error is raised."""
    try:
        return len(decode(io.BytesIO(data)).samples) / SAMPLE_RATE_HZ
    except AsrmeterError as error:
        assert "\n" not in str(error)
        return None


def is_whole(length_s: float | None, expected_s: float) -> bool:
    """Return whether a length is the expected one; blocks of an encoding may add some milliseconds."""
    return length_s is not None and expected_s - TOLERANCE_S <= length_s <= expected_s + 1.5 * TOLERANCE_S


@pytest.mark.parametrize(("container", "encoding"), FORMATS)
def test_no_whole_file_is_refused(container: str, encoding: str) -> None:
    for rate_hz, n_channels in ((8000, 1), (16_000, 1), (16_000, 2), (44_100, 2), (48_000, 1)):
        data = written(container, encoding, 1.3, rate_hz, n_channels)
        if not data or (container, encoding) in UNREADABLE:
            continue
        length_s = 1.3 * rate_hz / RATES_HZ.get(container, rate_hz)
        assert heard_s(data) == pytest.approx(length_s, abs=0.1), (rate_hz, n_channels)


@pytest.mark.parametrize("to_pipe", [False, True])
@pytest.mark.parametrize("name", FOREIGN)
def test_no_file_of_ffmpeg_is_refused(name: str, to_pipe: bool) -> None:
    data = foreign(name, 1.3, to_pipe)
    # Without a header nobody knows what an encoder of MPEG has added, nor what stands in the last block of ADPCM.
    assert heard_s(data) == pytest.approx(1.3, abs=0.13)
    if not to_pipe:  # of some that it wrote to a pipe, FFmpeg itself reads nothing
        assert heard_s(data) == pytest.approx(ffmpeg_length_s(data), abs=0.1)


@pytest.mark.parametrize(("container", "encoding"), FORMATS)
def test_joined_files_are_heard_whole_or_refused(container: str, encoding: str) -> None:
    first, second = written(container, encoding, 0.8), written(container, encoding, 1.1)
    if not first or (container, encoding) in UNREADABLE:
        return
    rate_hz = RATES_HZ.get(container, SAMPLE_RATE_HZ)
    joined_s = heard_s(first + second)
    assert joined_s is None or is_whole(joined_s, 1.9 * SAMPLE_RATE_HZ / rate_hz)
    assert joined_s is not None or container in ("HTK", "SDS", "MAT4", "MAT5", "VOC")


@pytest.mark.parametrize("between", TAGS)
@pytest.mark.parametrize(
    ("container", "encoding"),
    [
        ("WAV", "PCM_16"),
        ("AIFF", "PCM_16"),
        ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("MP3", "MPEG_LAYER_III"),
    ],
)
def test_tags_before_between_and_after_hide_nothing(container: str, encoding: str, between: str) -> None:
    first, second, tag = written(container, encoding, 0.8), written(container, encoding, 1.1), TAGS[between]
    front = b"" if between in ("zeros", "several") else tag
    assert is_whole(heard_s(front + first), 0.8)
    assert is_whole(heard_s(first + tag), 0.8)
    assert is_whole(heard_s(front + first + tag + second + tag + first), 2.7)


def test_files_of_several_kinds_may_be_joined() -> None:
    wav, mp3 = written("WAV", "PCM_16", 0.8), written("MP3", "MPEG_LAYER_III", 1.1, 44_100, 2)
    opus, flac = written("OGG", "OPUS", 0.5), written("FLAC", "PCM_16", 0.6, 8000)
    assert is_whole(heard_s(wav + mp3 + opus + flac), 3.0)
    assert is_whole(heard_s(flac + opus + wav + ID3V1 + mp3), 3.0)


@pytest.mark.parametrize("name", ["mp3", "mp3 without Xing", "flac", "opus", "wav", "aiff", "au", "caf", "w64"])
def test_joined_files_of_ffmpeg_are_heard_whole(name: str) -> None:
    for to_pipe in (False, True):
        first, second = foreign(name, 0.8, to_pipe), foreign(name, 1.1, to_pipe)
        assert heard_s(first + second) == pytest.approx(1.9, abs=2 * 0.1), to_pipe


def with_number(data: bytes, place: int, number: int, pattern: str) -> bytes:
    changed = bytearray(data)
    struct.pack_into(pattern, changed, place, number)
    return bytes(changed)


def xing_count(data: bytes, number: int) -> bytes:
    return with_number(data, max(data.find(b"Xing"), data.find(b"Info")) + 8, number, ">I")


def flac_count(data: bytes, number: int) -> bytes:
    return with_number(data, 22, number, ">I")  # the low 32 of 36 bits


PROMISES: dict[str, tuple[bytes, Callable[[bytes, int], bytes], int]] = {
    # What has the header, how a number is put into it, and which number is true.
    "wav": (written("WAV", "PCM_16", 1.3), lambda data, n: with_number(data, 40, n, "<I"), 41_600),
    "aiff": (
        written("AIFF", "PCM_16", 1.3),
        lambda data, n: with_number(data, data.index(b"SSND") + 4, n, ">I"),
        41_608,
    ),
    "au": (written("AU", "PCM_16", 1.3), lambda data, n: with_number(data, 8, n, ">I"), 41_600),
    "caf": (
        written("CAF", "PCM_16", 1.3),
        lambda data, n: with_number(data, data.index(b"data") + 4, n, ">q"),
        41_604,
    ),
    "w64": (
        written("W64", "PCM_16", 1.3),
        lambda data, n: with_number(data, data.index(b"data") + 16, n, "<q"),
        41_624,
    ),
    "flac": (written("FLAC", "PCM_16", 1.3), flac_count, 20_800),
    "mp3": (written("MP3", "MPEG_LAYER_III", 1.3), xing_count, 39),
    "nist": (
        written("NIST", "PCM_16", 1.3),
        lambda data, n: data.replace(b"sample_count -i 20800", f"sample_count -i {n:05d}".encode()[:21]),
        20_800,
    ),
    "avr": (written("AVR", "PCM_16", 1.3), lambda data, n: with_number(data, 26, n, ">I"), 20_800),
}


@pytest.mark.parametrize("name", PROMISES)
@pytest.mark.parametrize("share", [0, 0.3, 0.5, 0.9, 1.2, 3])
def test_a_header_that_promises_otherwise_deceives_nobody(name: str, share: float) -> None:
    data, put, truth = PROMISES[name]
    assert put(data, truth) == data
    promised = put(data, round(truth * share) // 4 * 4)
    length_s = heard_s(promised)
    assert length_s is None or is_whole(length_s, 1.3) or (name == "mp3" and length_s == pytest.approx(1.3, abs=0.13))
    if share == 0 and name in ("wav", "au", "flac", "mp3", "w64", "caf"):
        assert length_s is not None


DAMAGED = {
    "Vorbis": written("OGG", "VORBIS", 3.1),
    "Opus": written("OGG", "OPUS", 3.1),
    "Opus of FFmpeg": foreign("opus", 3.1),
    "FLAC": written("FLAC", "PCM_16", 3.1),
    "FLAC of FFmpeg": foreign("flac", 3.1),
    "MP3": written("MP3", "MPEG_LAYER_III", 3.1),
}
PLACES = st.floats(0.02, 0.98)
LENGTHS = st.sampled_from([1, 2, 7, 100, 417, 3000])


@pytest.mark.parametrize("name", DAMAGED)
@given(place=PLACES, n_bytes=LENGTHS, how=st.sampled_from(["cut out", "zeros", "noise", "flip", "end"]))
@settings(max_examples=25, deadline=None)
def test_damage_is_found_or_takes_nothing(name: str, place: float, n_bytes: int, how: str) -> None:
    data = DAMAGED[name]
    whole_s = ffmpeg_length_s(data) if name != "MP3" else 3.1
    at = round(place * len(data))
    n_bytes = min(n_bytes, len(data) - at)
    middle = {
        "cut out": b"",
        "zeros": bytes(n_bytes),
        "noise": np.random.default_rng(at).bytes(n_bytes),
        "flip": bytes([data[at] ^ 0x10]) + data[at + 1 : at + n_bytes],
    }
    damaged = data[:at] if how == "end" else data[:at] + middle[how] + data[at + n_bytes :]
    length_s = heard_s(damaged)
    assert length_s is None or length_s == pytest.approx(whole_s, abs=TOLERANCE_S)


@pytest.mark.parametrize(("container", "encoding"), FORMATS)
def test_a_file_that_was_cut_off_is_refused(container: str, encoding: str) -> None:
    data = written(container, encoding, 1.3)
    if not data or container in WITHOUT_LENGTH or (container, encoding) in UNREADABLE:
        return
    for share in (0.35, 0.7, 0.9):
        assert heard_s(data[: int(share * len(data))]) is None, share


def test_flac_that_was_written_to_a_pipe_and_cut_off_is_refused() -> None:
    data = foreign("flac", 3.1, to_pipe=True)
    assert is_whole(heard_s(data), 3.1)
    for cut in range(len(data) // 3, len(data) - 1, 997):
        assert heard_s(data[:cut]) is None, cut


@pytest.mark.parametrize("what", [b"\0\0\0\x20ftypM4A " + bytes(range(256)) * 99, bytes(range(1, 200)) * 200])
def test_flac_that_goes_on_with_something_else_is_refused(what: bytes) -> None:
    with pytest.raises(
        AsrmeterError, match=r"^continues after its end with about [\d,]+ bytes that are not FLAC frames$"
    ):
        decode(io.BytesIO(written("FLAC", "PCM_16", 0.8) + what))


def test_headers_of_any_size_end_in_a_line() -> None:
    sphere = written("NIST", "PCM_16", 0.8).replace(b"sample_count -i 12800", b"sample_count -i " + b"9" * 400)
    assert heard_s(sphere) is None or is_whole(heard_s(sphere), 0.8)
    assert heard_s(flac_count(written("FLAC", "PCM_16", 0.8), 10**9)) is None


def test_ogg_pages_are_counted() -> None:
    data = DAMAGED["Vorbis"]
    pages = data.split(b"OggS")[1:]
    without = b"".join(b"OggS" + page for number, page in enumerate(pages) if number != len(pages) - 2)
    with pytest.raises(AsrmeterError, match=r"^is damaged at \d\.\d\d s: an Ogg page is missing$"):
        decode(io.BytesIO(without))


def test_several_sounds_at_once_are_refused() -> None:
    first, second = written("OGG", "OPUS", 0.8), written("OGG", "VORBIS", 1.1)
    end = first.index(b"OggS", 4)
    with pytest.raises(AsrmeterError, match=r"^holds 2 sounds at once; extract one of them$"):
        decode(io.BytesIO(first[:end] + second + first[end:]))


def test_samples_behind_the_end_are_named() -> None:
    with pytest.raises(AsrmeterError, match=r"^continues after its end with 20,000 bytes that are not audio$"):
        decode(io.BytesIO(written("WAV", "PCM_16", 0.8) + np.random.default_rng(0).bytes(20_000)))


def test_files_beside_the_working_folder_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # libsndfile takes them for the other half of a Macintosh's file.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "._").write_bytes(b"")
    (tmp_path / ".AppleDouble").mkdir()
    (tmp_path / ".AppleDouble" / "a.mp3").write_bytes(b"x")
    assert is_whole(heard_s(written("MP3", "MPEG_LAYER_III", 0.8)), 0.8)


def test_a_chunk_of_absurd_size_hides_no_samples() -> None:
    data, put, _ = PROMISES["wav"]
    half = put(data, 2000)
    with pytest.raises(AsrmeterError, match=r"^(goes on|continues) after its end with "):
        decode(io.BytesIO(half[:2044] + b"LIST" + struct.pack("<I", 2**31 - 1) + half[2044:]))
