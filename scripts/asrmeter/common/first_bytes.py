"""Recognise a file by its first bytes, regardless of its name. Standard library only."""

from typing import NamedTuple

# More than the longest mark below, and enough to recognise a text.
N_BYTES = 1024


class Kind(NamedTuple):
    """The kind of a file (`a git-lfs pointer`), and what to do if another kind was expected."""

    name: str
    way_out: str

    def __str__(self) -> str:
        """Return both as the end of a message that begins with the file."""
        return f"is {self.name}; {self.way_out}"


_UNPACK = "unpack it"
_CONVERT = "convert it to FLAC or WAV"
_SAVE_AS_CSV = 'save it as "CSV UTF-8"'
_DOWNLOAD = "download the file itself: the address may need a login, or lead to a page about the file"
_UTF_16 = Kind("text in UTF-16", "save it as UTF-8")
_PICKLE = Kind("a pickle of Python", "asrmeter does not open pickles, because they can run any code")
_WEB_PAGE = Kind("a web page", _DOWNLOAD)
# The mark, its position, and its meaning.
_MARKS = (
    (
        b"version https://git-lfs.github.com/spec/",
        0,
        Kind("a git-lfs pointer, not the file", "fetch the file with git lfs pull"),
    ),
    (b"\x1f\x8b", 0, Kind("compressed by gzip", _UNPACK)),
    (b"BZh", 0, Kind("compressed by bzip2", _UNPACK)),
    (b"\xfd7zXZ\0", 0, Kind("compressed by xz", _UNPACK)),
    (b"\x28\xb5\x2f\xfd", 0, Kind("compressed by zstd", _UNPACK)),
    (b"7z\xbc\xaf\x27\x1c", 0, Kind("a 7z archive", _UNPACK)),
    (b"Rar!\x1a\x07", 0, Kind("a RAR archive", _UNPACK)),
    (b"ustar", 257, Kind("a tar archive", _UNPACK)),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0, Kind("a document of Microsoft Office (a spreadsheet?)", _SAVE_AS_CSV)),
    (b"%PDF-", 0, Kind("a PDF document", _DOWNLOAD)),
    (b"\x89PNG\r\n", 0, Kind("a picture (PNG)", _DOWNLOAD)),
    (b"\xff\xd8\xff", 0, Kind("a picture (JPEG)", _DOWNLOAD)),
    (b"PAR1", 0, Kind("a Parquet file", _UNPACK)),
    (b"ftyp", 4, Kind("MP4, M4A or a similar format", _CONVERT)),
    (b"\x1a\x45\xdf\xa3", 0, Kind("Matroska or WebM", _CONVERT)),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", 0, Kind("WMA or WMV", _CONVERT)),
    (b"#!AMR", 0, Kind("AMR", _CONVERT)),
    (b"FLV\x01", 0, Kind("a Flash video", _CONVERT)),
    *((bytes((0x80, version)), 0, _PICKLE) for version in range(2, 6)),
    (b"\xff\xfe", 0, _UTF_16),
    (b"\xfe\xff", 0, _UTF_16),
)


def kind_of(head: bytes) -> Kind | None:
    """Return the kind of a file by its beginning; None if it is unknown."""
    head = head[:N_BYTES]
    for mark, at, kind in _MARKS:
        if head[at : at + len(mark)] == mark:
            return kind
    if head[:4] == b"PK\x03\x04":
        inside = head[30 : 30 + int.from_bytes(head[26:28], "little")]
        if inside.startswith((b"[Content_Types].xml", b"xl/", b"_rels/", b"mimetype")):
            return Kind("a spreadsheet or another document of an office program", _SAVE_AS_CSV)
        return Kind("a ZIP archive", _UNPACK)
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:64].lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return _WEB_PAGE
    if start.startswith(b"<?xml") and b"<html" in head.lower():
        return _WEB_PAGE
    return _text(head)


def _text(head: bytes) -> Kind | None:
    if not head:
        return None
    # In UTF-16 every second byte of Latin letters is 0, with or without a byte order mark.
    if len(head) >= 8 and (not any(head[1:64:2]) or not any(head[:64:2])) and any(head):
        return _UTF_16
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        # The last character may be incomplete.
        if len(head) < N_BYTES or error.start < len(head) - 3:
            return None
        text = head[: error.start].decode("utf-8")
    if any(character < " " and character not in "\t\r\n\f" for character in text):
        return None
    return Kind("text", "fetch the file itself")
