"""The user's own audio: a folder of files, and metadata.csv or metadata.jsonl with the text of each."""

import os
import posixpath
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from asrmeter.common.errors import AsrmeterError
from asrmeter.common.files import sha256_of
from asrmeter.common.options import TEXT
from asrmeter.corpora import folder_metadata
from asrmeter.corpora.folder_files import FolderFiles
from asrmeter.corpora.folder_metadata import FILE_COLUMN, Entry
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
        path, entries = _read(self)
        files = FolderFiles(path.parent)
        if not any(files.find(entry.file) for entry in entries):
            raise AsrmeterError(
                f"corpus.path: none of the {len(entries)} files that {path} lists exists; the first, "
                f"{files.name(entries[0].file)}, {files.why_not(entries[0].file)}: {FILE_COLUMN} must be relative to "
                "the folder"
            )

    def fingerprint_inputs(self) -> Any:
        """Return the hash of the metadata, and name, size and mtime_ns of every audio file that it lists."""
        path, entries = _read(self)
        files = FolderFiles(path.parent)
        found = {name for entry in entries if (name := files.find(entry.file))}
        return [sha256_of(path), [list(files.status(name)) for name in sorted(found, key=files.name)]]


def _read(corpus: FolderCorpus) -> tuple[Path, list[Entry]]:
    path = folder_metadata.find(Path(os.path.expanduser(corpus.path)), corpus.text)
    return path, folder_metadata.read(path, corpus.text)


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

    path, entries = _read(corpus)
    files = FolderFiles(path.parent)
    utterances: list[Utterance] = []
    skipped: dict[str, str] = {}
    listed: set[str] = set()
    for entry in log_progress(entries, "files decoded", len(entries)):
        found = files.find(entry.file)
        name = files.name(found or entry.file)
        if (found or name) in listed:
            skipped[f"{name} (line {entry.line})"] = "is listed before; this line is ignored"
            continue
        listed.add(found or name)
        if not found:
            skipped[name] = files.why_not(entry.file)
            continue
        if entry.why_unusable:
            skipped[name] = entry.why_unusable
            continue
        try:
            n = len(decode(path.parent / found).samples)
        except AsrmeterError as error:
            skipped[name] = str(error)
            continue
        source = posixpath.dirname(name) or corpus.name
        utterances.append(Utterance(name, found, 0, n, entry.text, source, corpus.licence))
    skipped |= {name: f"has no line in {path.name}" for name in files.audio_names() if name not in listed}

    def clip(utterance: Utterance) -> Sound:
        audio = path.parent / utterance.recording
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
