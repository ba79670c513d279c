"""A folder of one's own: audio files, and metadata.csv or metadata.jsonl that says what is spoken in each."""

import csv
import io
import json
import os
import posixpath
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from asrmeter.common.errors import AsrmeterError
from asrmeter.common.files import fingerprint, sha256_of
from asrmeter.corpora.kinds import Speech, fit_name

if TYPE_CHECKING:
    import numpy as np

METADATA = ("metadata.csv", "metadata.jsonl")
FILE = "file_name"
# What is told about when it has no line in the metadata: what libsndfile reads, and what people take for it.
AUDIO = re.compile(
    r".+\.(aac|aif[cf]?|amr|au|caf|flac|m4a|mp[34]|nist|og[ag]|opus|rf64|snd|sph|voc|w64|wav|webm|wma)", re.I
)


class Line(NamedTuple):
    """An entry of the metadata: its line, the audio file relative to the folder, and its text; "" if there is none."""

    number: int
    file: str
    text: str


def name_of(options: dict[str, Any]) -> str:
    """Return the folder's own name, made fit to name a corpus."""
    return fit_name(os.path.basename(os.path.abspath(_folder(options))))


def check(options: dict[str, Any]) -> None:
    """Raise AsrmeterError if there is no such folder, its metadata cannot be read, or none of its files is there."""
    if options["text"] == FILE:
        raise AsrmeterError(f"corpus.text: {FILE} names the files; give the column of what is said")
    path, lines = _metadata(options)
    if not any(os.path.isfile(path.parent / line.file) for line in lines):
        raise AsrmeterError(
            f"corpus.path: none of the {len(lines)} files that {path} lists is there; the first is {lines[0].file}: "
            f"{FILE} must be relative to the folder"
        )


def archives(options: dict[str, Any]) -> list[str]:
    """Return no package: everything is in the folder."""
    return []


def made_of(options: dict[str, Any]) -> Any:
    """Return the hash of the metadata, and name, size and mtime_ns of every audio file that it lists."""
    path, lines = _metadata(options)
    files = _audio_files(path.parent, lines)
    return [sha256_of(path), [list(files[file]) for file in sorted({line.file for line in lines} & files.keys())]]


def load(options: dict[str, Any], downloads: Path) -> Speech:
    """Return the speech of the folder, utterances in the order of the metadata.

    Every file is decoded twice, for nothing else tells its length and that it is whole: once here, and again when it
    becomes part of a segment. So the memory needed is that of one segment, however large the folder is.

    Raises:
        AsrmeterError: there is no such folder, or its metadata cannot be read.
    """
    from asrmeter.common.log_progress import told
    from asrmeter.corpora.audio import decode
    from asrmeter.corpora.segments import Joining, Utterance

    path, lines = _metadata(options)
    files = _audio_files(path.parent, lines)
    utterances: list[Utterance] = []
    skipped: dict[str, str] = {}
    listed: set[str] = set()
    for line in told(lines, "files decoded", len(lines)):
        if line.file in listed:
            skipped[f"{line.file} (line {line.number})"] = "is listed before; this line is ignored"
            continue
        listed.add(line.file)
        if line.file not in files:
            outside = line.file.startswith(("../", "/"))
            skipped[line.file] = "does not lie in the folder" if outside else "is missing"
            continue
        if not any(character.isalnum() for character in line.text):
            skipped[line.file] = f"has no text in {path.name}"
            continue
        try:
            n = len(decode(path.parent / files[line.file][0]))
        except AsrmeterError as error:
            skipped[line.file] = str(error)
            continue
        source = posixpath.dirname(line.file) or options["name"]
        utterances.append(Utterance(line.file, line.file, 0, n, line.text, source, options["licence"]))
    skipped |= {name: f"has no line in {path.name}" for name in files if name not in listed}

    def clip(utterance: Utterance) -> "np.ndarray":
        audio = path.parent / files[utterance.recording][0]
        try:
            samples = decode(audio)
        except AsrmeterError as error:
            raise AsrmeterError(f"{audio}: {error}") from error
        if len(samples) != utterance.end:
            raise AsrmeterError(f"{audio}: was changed while the corpus was made; run again")
        return samples

    return Speech(
        utterances,
        lambda _: (clip, {}),
        Joining.NONE if options["durations"] == "natural" else Joining.ACROSS,
        keep_all=True,
        skipped=skipped,
        origin={"metadata": path.name, "metadata_sha256": sha256_of(path)},
    )


def _folder(options: dict[str, Any]) -> Path:
    return Path(os.path.expanduser(options["path"]))


def _audio_files(folder: Path, lines: list[Line]) -> dict[str, tuple[str, int, int]]:
    """Return name on the disk, size and mtime_ns of every file that is listed or looks like audio, by its `Line.file`.

    Both may write the same accent in different ways.
    """
    listed = {line.file for line in lines}
    found = {_composed(status[0]): status for status in fingerprint(folder)}
    return {name: status for name, status in found.items() if name in listed or AUDIO.fullmatch(name)}


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _metadata(options: dict[str, Any]) -> tuple[Path, list[Line]]:
    """Return the metadata file and its lines, at least one.

    Raises:
        AsrmeterError: there is none, there are two, or it cannot be read.
    """
    folder = _folder(options)
    if not os.path.isdir(folder):
        raise AsrmeterError(f"corpus.path: {folder} is no folder")
    present = [folder / name for name in METADATA if (folder / name).is_file()]
    if not present:
        raise AsrmeterError(
            f"corpus.path: {folder} has neither {' nor '.join(METADATA)}; write one with the columns {FILE} (relative "
            f"to the folder) and {options['text']} (what is said)"
        )
    if len(present) > 1:
        raise AsrmeterError(f"corpus.path: {folder} has both {' and '.join(METADATA)}; keep one")
    path = present[0]
    try:
        # Excel puts a mark before UTF-8.
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise AsrmeterError(f"corpus.path: {path} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise AsrmeterError(f'corpus.path: {path}, line {number} is not UTF-8; save it as "CSV UTF-8"') from error
    read = _csv_lines if path.suffix == ".csv" else _json_lines
    lines = [
        Line(number, _composed(posixpath.normpath(name.strip().replace("\\", "/"))), " ".join(spoken.split()))
        for number, name, spoken in read(path, text, options["text"])
    ]
    if not lines:
        raise AsrmeterError(f"corpus.path: {path} lists no file; each needs a line with {FILE} and {options['text']}")
    return path, lines


def _csv_lines(path: Path, content: str, text: str) -> Iterator[tuple[int, str, str]]:
    # Excel writes semicolons where the comma is the decimal sign; the header tells.
    header = next(filter(str.strip, content.splitlines()), "")
    delimiter = next((sign for sign in ",;\t" if FILE in _fields(header, sign)), ",")
    columns = _fields(header, delimiter)
    _check_columns(path, columns, text)
    rows = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
    # A spreadsheet may end with rows of nothing.
    filled = (row for row in rows if any(field.strip() for field in row))
    try:
        next(filled)
        for row in filled:
            if len(row) > len(columns):
                raise AsrmeterError(
                    f"corpus.path: {path}, line {rows.line_num} has {len(row)} fields, not {len(columns)}; a text with "
                    f'a "{delimiter}" in it must stand in double quotes'
                )
            entry = dict(zip(columns, row, strict=False))
            yield rows.line_num, _named(entry.get(FILE), path, rows.line_num), entry.get(text, "")
    except csv.Error as error:
        raise AsrmeterError(
            f"corpus.path: {path}, line {rows.line_num} is not CSV ({error}); a double quote inside of quotes is "
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
    # Not splitlines: JSON may hold other ends of lines.
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise AsrmeterError(f"corpus.path: {path}, line {number} is not JSON ({error})") from error
        if not isinstance(entry, dict):
            raise AsrmeterError(f"corpus.path: {path}, line {number} is not an object with {FILE} and {text}")
        columns |= dict.fromkeys(entry)
        entries.append((number, entry))
    if entries:
        _check_columns(path, list(columns), text)
    for number, entry in entries:
        spoken = entry.get(text)
        yield number, _named(entry.get(FILE), path, number), spoken if isinstance(spoken, str) else ""


def _named(file: Any, path: Path, number: int) -> str:
    if isinstance(file, str) and file.strip():
        return file
    raise AsrmeterError(f"corpus.path: {path}, line {number} has no {FILE}")


def _check_columns(path: Path, columns: list[str], text: str) -> None:
    there = ", ".join(columns) or "nothing"
    if FILE not in columns:
        raise AsrmeterError(
            f"corpus.path: {path} has no column {FILE}, of the audio files relative to the folder; it has {there}"
        )
    if text not in columns:
        raise AsrmeterError(
            f"corpus.text: {path} has no column {text}; it has {there}: set corpus.text to that of what is said"
        )
