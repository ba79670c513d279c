"""Audio is decoded as it was written; a truncated file is refused, not shortened."""

import io
import math
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrmeter.common.constants import SAMPLE_RATE_HZ
from asrmeter.common.errors import AsrmeterError
from asrmeter.corpora.audio import decode, encode

LENGTH_S = 3.4
TONE_HZ = 440
# Container, encoding, and how much longer the sound may become (up to a block of the encoding).
FORMATS = [
    ("WAV", "PCM_16", 0),
    ("WAV", "PCM_24", 0),
    ("WAV", "FLOAT", 0),
    ("WAV", "ULAW", 0),
    ("WAV", "MS_ADPCM", 1024),
    ("WAVEX", "PCM_16", 0),
    ("RF64", "PCM_16", 0),
    ("W64", "PCM_16", 0),
    ("AIFF", "PCM_16", 0),
    ("AU", "PCM_16", 0),
    ("NIST", "PCM_16", 0),
    ("FLAC", "PCM_16", 0),
    ("OGG", "VORBIS", 0),
    ("OGG", "OPUS", 0),
    ("MP3", "MPEG_LAYER_III", 0),
]


def tone(rate_hz: int = SAMPLE_RATE_HZ, length_s: float = LENGTH_S) -> np.ndarray:
    n = round(rate_hz * length_s)
    noise = np.random.default_rng(0).standard_normal(n) * 0.003
    return (0.3 * np.sin(2 * np.pi * TONE_HZ * np.arange(n) / rate_hz) + noise).astype(np.float32)


def written(container: str, encoding: str | None = None, samples: np.ndarray | None = None, **how: object) -> bytes:
    stream, rate_hz = io.BytesIO(), how.pop("rate_hz", SAMPLE_RATE_HZ)
    samples = tone() if samples is None else samples
    soundfile.write(stream, samples, rate_hz, format=container, subtype=encoding, **how)
    return stream.getvalue()


def heard(data: bytes) -> np.ndarray:
    return decode(io.BytesIO(data)).samples


def refused(data: bytes) -> str:
    with pytest.raises(AsrmeterError) as caught:
        heard(data)
    assert "0x" not in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


def pitch_hz(samples: np.ndarray) -> float:
    middle = samples[len(samples) // 4 : -len(samples) // 4]
    return float(np.abs(np.fft.rfft(middle * np.hanning(len(middle)))).argmax() * SAMPLE_RATE_HZ / len(middle))


@pytest.mark.parametrize(("container", "encoding", "slack"), FORMATS)
def test_whole_files_pass_and_truncated_ones_are_refused(container: str, encoding: str, slack: int) -> None:
    data, n = written(container, encoding), round(LENGTH_S * SAMPLE_RATE_HZ)
    assert n <= len(heard(data)) <= n + slack
    assert pitch_hz(heard(data)) == pytest.approx(TONE_HZ, abs=1)
    for share in (0.3, 0.5, 0.9, 0.98):
        reason = refused(data[: int(len(data) * share)])
        assert reason.startswith("truncated: ") and reason.endswith(" s can be read")
        told = [float(word) for word in reason.replace(" of ", " ").split() if word[0].isdigit()]
        assert told[0] < LENGTH_S
        assert all(whole == pytest.approx(LENGTH_S, abs=0.11) for whole in told[1:])
        assert bool(told[1:]) == (container != "OGG")


@pytest.mark.parametrize("container", ["WAV", "AIFF", "FLAC", "OGG", "MP3"])
def test_file_cut_anywhere_is_never_a_shorter_one(container: str) -> None:
    data = written(container, samples=tone(length_s=0.5))
    # The last MPEG frame may be one that the encoder only counted; everything else counts to the sample.
    for cut in range(0, len(data) - (400 if container == "MP3" else 2), 97):
        refused(data[:cut])


def test_truncation_names_the_seconds() -> None:
    data = written("WAV")
    assert refused(data[: 44 + 2 * 19_200]) == "truncated: only 1.20 of 3.40 s can be read"
    assert refused(data[:44]) == "truncated: only 0.00 of 3.40 s can be read"
    flac = written("FLAC")
    assert refused(flac[: len(flac) // 2]).endswith(" of 3.40 s can be read")


def wav(riff_size: int | None = None, data_size: int | None = None, before: bytes = b"", after: bytes = b"") -> bytes:
    """Return a 16-bit WAV file with other chunks around its samples and any sizes in its headers."""
    plain = written("WAV")
    body = (
        before + b"data" + struct.pack("<I", len(plain) - 44 if data_size is None else data_size) + plain[44:] + after
    )
    size = 28 + len(body) if riff_size is None else riff_size
    return b"RIFF" + struct.pack("<I", size) + plain[8:36] + body


LIST = b"LIST" + struct.pack("<I", 26) + b"INFOISFT" + struct.pack("<I", 14) + b"Lavf58.29.100\0"


@pytest.mark.parametrize(
    "data",
    [
        wav(),
        wav(after=LIST),
        wav(after=LIST)[:-10],  # all samples are there
        wav(before=LIST),
        wav(before=b"LIST" + struct.pack("<I", 13) + b"INFOabcdefghi\0"),
        wav(riff_size=99),
        wav(riff_size=10**6),
        wav(after=b"\0" * 1000),
        wav(0xFFFFFFFF, 0xFFFFFFFF, before=LIST),  # ffmpeg to a pipe
        wav(0x7FFFF024, 0x7FFFF000),  # sox to a pipe
        wav(0x80000024, 0x80000000),  # arecord to a pipe
        wav(0, 0xFFFFFFFF),
        wav(0, 0),
        wav(36, 0),
        wav(0xFFFFFFFF, 0),
        wav(62, 0, before=LIST),
    ],
)
def test_a_wav_with_other_chunks_or_of_unknown_size_is_whole(data: bytes) -> None:
    assert np.array_equal(heard(data), heard(written("WAV")))


def test_long_texts_before_the_samples_hide_nothing() -> None:
    text = b"INFOICMT" + struct.pack("<I", 9000) + b"talk " * 1800
    items = b"INFO" + (b"ICMT" + struct.pack("<I", 100) + b"talk " * 20) * 90
    for content in (text, items):
        data = wav(before=b"LIST" + struct.pack("<I", len(content)) + content)
        assert np.array_equal(heard(data), heard(written("WAV")))
        assert refused(data[:-32_000]) == "truncated: only 2.40 of 3.40 s can be read"


def test_an_odd_chunk_may_lack_its_padding() -> None:
    odd = tone()[:1001]
    data = written("WAV", "PCM_U8", odd)
    assert len(data) % 2 == 0
    assert len(heard(data)) == len(heard(data[:-1])) == 1001


def test_a_flac_file_need_not_say_how_long_it_is() -> None:
    # As flac and ffmpeg write to a pipe: 36 bits of STREAMINFO are 0.
    data = bytearray(written("FLAC", samples=tone(length_s=70)))
    whole = heard(bytes(data))
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    assert len(whole) == 70 * SAMPLE_RATE_HZ
    assert np.array_equal(heard(bytes(data)), whole)
    assert refused(bytes(data[: len(data) // 2])).startswith("truncated: only 3")


def test_a_damaged_flac_file_is_refused() -> None:
    data = bytearray(written("FLAC"))
    data[len(data) // 2] ^= 0x55
    assert refused(bytes(data)).endswith(" of 3.40 s can be read")


def without_info(mp3: bytes) -> bytes:
    """Cut the first frame, which has the Xing or Info header only."""
    return mp3[mp3.index(mp3[:2], 4) :]


def test_mp3_without_a_header_is_read_as_a_whole() -> None:
    constant = without_info(written("MP3", bitrate_mode="CONSTANT", compression_level=0.5))
    assert len(heard(constant)) == pytest.approx(LENGTH_S * SAMPLE_RATE_HZ, abs=3 * 1152)
    # libsndfile assumes the size of the first frames for all.
    loud = np.random.default_rng(0).uniform(-0.5, 0.5, 30_000).astype(np.float32)
    for samples in (np.concatenate([loud, *[0.001 * loud] * 3]), np.concatenate([0 * loud, *[loud] * 3])):
        variable = without_info(written("MP3", samples=samples))
        assert len(heard(variable)) == pytest.approx(len(samples), abs=3 * 1152)
        assert refused(variable[: len(variable) * 2 // 3]).startswith("truncated: only ")


def test_an_mp3_file_may_have_tags_at_both_ends() -> None:
    data = written("MP3")
    cover = b"ID3\x03\0\0" + bytes([0, 2, 0x7F, 0x7F]) + bytes(3 * 128 * 128 - 1)
    assert np.array_equal(heard(cover + data + b"TAG" + bytes(125)), heard(data))
    assert refused(cover + data[: len(data) // 2]).startswith("truncated: ")


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("n_channels", [1, 2])
def test_any_rate_becomes_16_khz_and_channels_their_mean(rate_hz: int, n_channels: int, tmp_path: Path) -> None:
    mono = tone(rate_hz, length_s=1.05)
    # The tone at different levels; what is opposite in both channels cancels out.
    side = 0.2 * np.ones_like(mono)
    path = tmp_path / "a.wav"
    soundfile.write(path, mono if n_channels == 1 else np.stack([mono + side, mono - side], axis=1), rate_hz, "FLOAT")
    samples = decode(path).samples
    assert samples.dtype == np.float32 and samples.ndim == 1
    assert len(samples) == math.ceil(len(mono) * SAMPLE_RATE_HZ / rate_hz)
    assert pitch_hz(samples) == pytest.approx(TONE_HZ, abs=2)
    assert np.sqrt(np.mean(samples[800:-800] ** 2)) == pytest.approx(0.3 / math.sqrt(2), rel=0.02)
    assert abs(samples[800:-800].mean()) < 0.01


def test_files_that_are_not_audio_are_refused_briefly(tmp_path: Path) -> None:
    assert refused(b"") == "is empty (0 bytes)"
    assert refused(b"\0\0\0\x20ftypM4A " + bytes(99)) == ("is MP4, M4A or a similar format; convert it to FLAC or WAV")
    assert refused(b"spoken words") == "is text; fetch the file itself"
    assert refused(bytes(range(128, 228))) == "cannot be decoded (Format not recognised); convert it to FLAC or WAV"
    assert refused(written("WAV", samples=np.zeros(0, np.float32))) == "has no sound (0 samples)"
    for bad in (np.nan, np.inf):
        samples = tone()
        samples[99] = bad
        assert refused(written("WAV", "FLOAT", samples)) == "has samples that are NaN or infinite"
    with pytest.raises(AsrmeterError, match=r"^cannot be read \(No such file or directory\)$"):
        decode(tmp_path / "missing.wav")
    with pytest.raises(AsrmeterError, match=r"^is a folder, not a file$"):
        decode(tmp_path)


def test_encoded_samples_are_decoded_again(tmp_path: Path) -> None:
    encode(tmp_path / "clip", tone())
    assert np.abs(decode(tmp_path / "clip").samples - tone()).max() <= 2**-15
