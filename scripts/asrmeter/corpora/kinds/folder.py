"""The user's own audio: a folder of files, and metadata.csv or metadata.jsonl with the text of each."""

import csv
import io
import json
import os
import posixpath
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from asrmeter.common.errors import AsrmeterError
from asrmeter.common.files import list_files, sha256_of
from asrmeter.common.options import TEXT
from asrmeter.corpora.kinds.base import (
    DURATIONS,
    KIND,
    LICENCE,
    SEGMENTS_PER_CLASS,
    SELECTION_SHA256,
    CorpusKind,
    Speech,
    corpus_name,
    kind_config,
)

if TYPE_CHECKING:
    pass

METADATA = ("metadata.csv", "metadata.jsonl")
FILE_COLUMN = "file_name"
# Files that are reported if the metadata does not list them: what libsndfile reads, and what people expect it to read.
AUDIO_NAME = re.compile(
    r".+\.(aac|aif[cf]?|amr|au|caf|flac|m4a|mp[34]|nist|og[ag]|opus|rf64|snd|sph|voc|w64|wav|webm|wma)", re.I
)


class Entry(NamedTuple):
    """An entry of the metadata: its line, the audio file relative to the folder, and its text, which may be empty."""

    line: int
    file: str
    text: str


@dataclass(frozen=True, kw_only=True)
class FolderCorpus(CorpusKind):
    """A folder of audio files with their metadata."""

    __pydantic_config__: ClassVar = kind_config(
        "folder", "Your own audio: a folder with metadata.csv or metadata.jsonl (file_name, text)."
    )

    kind: Literal["folder"] = field(metadata=KIND)
    path: str = field(
        metadata=TEXT | {"description": "The folder; ~ is your home, and a relative path starts where Snakemake runs."}
    )
    text: str = field(default="text", metadata=TEXT | {"description": "Column of the reference text in the metadata."})
    durations: Literal["joined", "natural"] = field(default="joined", metadata=DURATIONS)
    licence: str = field(default="not stated", metadata=LICENCE)
    segments_per_class: int | None = field(default=None, metadata=SEGMENTS_PER_CLASS)
    selection_sha256: str | None = field(default=None, metadata=SELECTION_SHA256)

    def default_name(self) -> str:
        """Return the folder's own name as a valid name of a corpus."""
        return corpus_name(os.path.basename(os.path.abspath(os.path.expanduser(self.path))))

    def check(self) -> None:
        """Raise AsrmeterError if there is no such folder, its metadata cannot be read, or none of its files exists."""
        if self.text == FILE_COLUMN:
            raise AsrmeterError(f"corpus.text: {FILE_COLUMN} names the files; give the column of the texts")
        path, entries = _read_metadata(self.path, self.text)
        if not any(os.path.isfile(path.parent / entry.file) for entry in entries):
            raise AsrmeterError(
                f"corpus.path: none of the {len(entries)} files that {path} lists exists; the first is "
                f"{entries[0].file}: {FILE_COLUMN} must be relative to the folder"
            )

    def fingerprint_inputs(self) -> Any:
        """Return the hash of the metadata, and name, size and mtime_ns of every audio file that it lists."""
        path, entries = _read_metadata(self.path, self.text)
        files = _audio_files(path.parent, entries)
        listed = sorted({entry.file for entry in entries} & files.keys())
        return [sha256_of(path), [list(files[file]) for file in listed]]


def load(corpus: FolderCorpus, downloads: Path) -> Speech:
    """Return the speech of the folder, utterances in the order of the metadata.

    Every file is decoded twice: once here, since only decoding shows its length and that it is whole, and again
    when it becomes part of a segment. So the memory needed is that of one segment, however large the folder is.

    Raises:
        AsrmeterError: there is no such folder, or its metadata cannot be read.
    """
    from asrmeter.common.log_progress import log_progress
    from asrmeter.corpora.audio import decode
    from asrmeter.corpora.segments import JoinPolicy, Sound, Utterance

    path, entries = _read_metadata(corpus.path, corpus.text)
    files = _audio_files(path.parent, entries)
    utterances: list[Utterance] = []
    skipped: dict[str, str] = {}
    listed: set[str] = set()
    for entry in log_progress(entries, "files decoded", len(entries)):
        if entry.file in listed:
            skipped[f"{entry.file} (line {entry.line})"] = "is listed before; this line is ignored"
            continue
        listed.add(entry.file)
        if entry.file not in files:
            outside = entry.file.startswith(("../", "/"))
            skipped[entry.file] = "is not in the folder" if outside else "is missing"
            continue
        if not any(character.isalnum() for character in entry.text):
            skipped[entry.file] = f"has no text in {path.name}"
            continue
        try:
            n = len(decode(path.parent / files[entry.file][0]).samples)
        except AsrmeterError as error:
            skipped[entry.file] = str(error)
            continue
        source = posixpath.dirname(entry.file) or corpus.name
        utterances.append(Utterance(entry.file, entry.file, 0, n, entry.text, source, corpus.licence))
    skipped |= {name: f"has no line in {path.name}" for name in files if name not in listed}

    def clip(utterance: Utterance) -> Sound:
        audio = path.parent / files[utterance.recording][0]
        try:
            sound = decode(audio)
        except AsrmeterError as error:
            raise AsrmeterError(f"{audio}: {error}") from error
        if len(sound.samples) != utterance.end:
            raise AsrmeterError(f"{audio}: was changed while the corpus was made; run again")
        return sound

    return Speech(
        utterances,
        lambda _: (clip, {}),
        JoinPolicy.NONE if corpus.durations == "natural" else JoinPolicy.ANY,
        keep_all=True,
        skipped=skipped,
        origin={"metadata": path.name, "metadata_sha256": sha256_of(path)},
    )


def _audio_files(folder: Path, entries: list[Entry]) -> dict[str, tuple[str, int, int]]:
    """Return name on the disk, size and mtime_ns of every file that is listed or looks like audio, by `Entry.file`.

    Metadata and disk may encode the same accented letter in different ways.
    """
    listed = {entry.file for entry in entries}
    found = {_composed(status[0]): status for status in list_files(folder)}
    return {name: status for name, status in found.items() if name in listed or AUDIO_NAME.fullmatch(name)}


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _read_metadata(place: str, column: str) -> tuple[Path, list[Entry]]:
    """Return the metadata file of a folder and its entries, at least one; `column` has the texts.

    Raises:
        AsrmeterError: there is no such file, there are two, or it cannot be read.
    """
    folder = Path(os.path.expanduser(place))
    if not os.path.isdir(folder):
        raise AsrmeterError(f"corpus.path: {folder} is not a folder")
    present = [folder / name for name in METADATA if (folder / name).is_file()]
    if not present:
        raise AsrmeterError(
            f"corpus.path: {folder} has neither {' nor '.join(METADATA)}; write one with the columns {FILE_COLUMN} "
            f"(relative to the folder) and {column} (the text)"
        )
    if len(present) > 1:
        raise AsrmeterError(f"corpus.path: {folder} has both {' and '.join(METADATA)}; keep one")
    path = present[0]
    try:
        # Excel writes a byte order mark before UTF-8.
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise AsrmeterError(f"corpus.path: {path} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise AsrmeterError(f'corpus.path: {path}, line {number} is not UTF-8; save it as "CSV UTF-8"') from error
    read = _csv_lines if path.suffix == ".csv" else _json_lines
    entries = [
        Entry(number, _composed(posixpath.normpath(name.strip().replace("\\", "/"))), " ".join(spoken.split()))
        for number, name, spoken in read(path, text, column)
    ]
    if not entries:
        raise AsrmeterError(f"corpus.path: {path} lists no file; each needs a line with {FILE_COLUMN} and {column}")
    return path, entries


def _csv_lines(path: Path, content: str, text: str) -> Iterator[tuple[int, str, str]]:
    # Excel separates by semicolons where the comma is the decimal separator; the header shows which it is.
    header = next(filter(str.strip, content.splitlines()), "")
    delimiter = next((mark for mark in ",;\t" if FILE_COLUMN in _fields(header, mark)), ",")
    columns = _fields(header, delimiter)
    _check_columns(path, columns, text)
    rows = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
    # A spreadsheet may end with empty rows.
    filled = (row for row in rows if any(field.strip() for field in row))
    try:
        next(filled)
        for row in filled:
            if len(row) > len(columns):
                raise AsrmeterError(
                    f"corpus.path: {path}, line {rows.line_num} has {len(row)} fields, not {len(columns)}; a text with "
                    f'a "{delimiter}" in it must be in double quotes'
                )
            entry = dict(zip(columns, row, strict=False))
            yield rows.line_num, _file_name(entry.get(FILE_COLUMN), path, rows.line_num), entry.get(text, "")
    except csv.Error as error:
        raise AsrmeterError(
            f"corpus.path: {path}, line {rows.line_num} is not CSV ({error}); a double quote inside quotes is "
            "written twice"
        ) from error


def _fields(header: str, delimiter: str) -> list[str]:
    try:
        return [field.strip() for field in next(csv.reader([header.strip()], delimiter=delimiter), [])]
    except csv.Error:
        return []


def _json_lines(path: Path, content: str, text: str) -> Iterator[tuple[int, str, str]]:
    columns: dict[str, None] = {}
    entries: list[tuple[int, dict[str, Any]]] = []
    # Not splitlines: JSON text may hold other line separators.
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise AsrmeterError(f"corpus.path: {path}, line {number} is not JSON ({error})") from error
        if not isinstance(entry, dict):
            raise AsrmeterError(f"corpus.path: {path}, line {number} is not an object with {FILE_COLUMN} and {text}")
        columns |= dict.fromkeys(entry)
        entries.append((number, entry))
    if entries:
        _check_columns(path, list(columns), text)
    for number, entry in entries:
        spoken = entry.get(text)
        yield number, _file_name(entry.get(FILE_COLUMN), path, number), spoken if isinstance(spoken, str) else ""


def _file_name(file: Any, path: Path, number: int) -> str:
    if isinstance(file, str) and file.strip():
        return file
    raise AsrmeterError(f"corpus.path: {path}, line {number} has no {FILE_COLUMN}")


def _check_columns(path: Path, columns: list[str], text: str) -> None:
    present = ", ".join(columns) or "none"
    if FILE_COLUMN not in columns:
        raise AsrmeterError(
            f"corpus.path: {path} has no column {FILE_COLUMN} with the audio files relative to the folder; "
            f"it has {present}"
        )
    if text not in columns:
        raise AsrmeterError(
            f"corpus.text: {path} has no column {text}; it has {present}: set corpus.text to the column of the texts"
        )
