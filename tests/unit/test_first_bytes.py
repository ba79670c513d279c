"""The first bytes tell what a file is, whatever its name says."""

import bz2
import gzip
import io
import lzma
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import soundfile

from asrmeter.common.first_bytes import kind_of

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 12345\n"


def zipped(name: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, b"content")
    return stream.getvalue()


def tarred() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.wav"), io.BytesIO())
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (POINTER, "a git-lfs pointer, not the file"),
        (b"<!DOCTYPE html><title>404</title>", "a web page"),
        (b"\xef\xbb\xbf\r\n <HTML lang='en'>", "a web page"),
        (b"<?xml version='1.0'?><!DOCTYPE html><html>", "a web page"),
        (gzip.compress(b"RIFF", mtime=0), "compressed by gzip"),
        (bz2.compress(b"RIFF"), "compressed by bzip2"),
        (lzma.compress(b"RIFF"), "compressed by xz"),
        (tarred(), "a tar archive"),
        (zipped("a.wav"), "a ZIP archive"),
        (zipped("[Content_Types].xml"), "a spreadsheet or another document of an office program"),
        (b"\0\0\0\x20ftypM4A ", "MP4, M4A or a similar format"),
        (pickle.dumps({}, protocol=2), "a pickle of Python"),
        (pickle.dumps({}), "a pickle of Python"),
        ("file_name,text\n".encode("utf-16"), "text in UTF-16"),
        ("file_name,text\n".encode("utf-16-le"), "text in UTF-16"),
        ("file_name,text\n".encode("utf-16-be"), "text in UTF-16"),
        (b"Not found", "text"),
        (b"x" * 1023 + "é".encode(), "text"),
    ],
)
def test_what_is_not_the_expected_file_is_named(content: bytes, name: str) -> None:
    kind = kind_of(content)
    assert kind is not None
    assert kind.name == name
    assert str(kind).startswith(f"is {name}; ")


# Without a header, and with half of it in a second file.
@pytest.mark.parametrize("container", sorted(soundfile.available_formats().keys() - {"RAW", "SD2"}))
def test_no_audio_is_taken_for_something_else(container: str) -> None:
    rng = np.random.default_rng(0)
    for encoding in soundfile.available_subtypes(container):
        stream = io.BytesIO()
        try:
            soundfile.write(stream, rng.normal(0, 0.1, 16_000), 16_000, format=container, subtype=encoding)
        except (soundfile.LibsndfileError, ValueError):
            continue  # libsndfile reads it only, or at other rates
        assert kind_of(stream.getvalue()) is None, (container, encoding)


def test_nothing_is_told_of_nothing() -> None:
    assert kind_of(b"") is None
    assert kind_of(bytes(2000)) is None
    assert kind_of(bytes(range(200, 256))) is None
