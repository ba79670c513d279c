"""The user's own audio: a folder of files, and metadata.csv or metadata.jsonl with their texts, if there are any."""

import dataclasses
import functools
import os
import posixpath
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, NoReturn

from asrmeter.common.constants import SAMPLE_RATE_HZ
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.files import sha256_of
from asrmeter.common.first_bytes import kind_of
from asrmeter.common.options import TEXT
from asrmeter.common.regular_files import read_regular
from asrmeter.corpora import containers, folder_metadata, spoken_language
from asrmeter.corpora.folder_files import FolderFiles
from asrmeter.corpora.folder_metadata import FILE_COLUMN, Entry
from asrmeter.corpora.kinds.base import (
    DURATIONS,
    KIND,
    LICENCE,
    MOST_SILENT,
    SEGMENTS_PER_CLASS,
    SELECTION_SHA256,
    CorpusKind,
    Speech,
    corpus_name,
    kind_config,
)

if TYPE_CHECKING:
    import numpy as np

_LANGUAGE_TOLD_BY = "the column language of the metadata"
# What is looked at before a run begins: hours of speech, in the time of a breath.
_MOST_FORESEEN_BYTES, _MOST_FORESEEN_S = 500_000_000, 5.0


@dataclass(frozen=True, kw_only=True)
class FolderCorpus(CorpusKind):
    """A folder of audio files with their metadata."""

    __pydantic_config__: ClassVar = kind_config(
        "folder",
        "Your own audio: a folder with metadata.csv or metadata.jsonl (file_name, text, and language if it differs "
        "between files). Without texts everything except the WER is measured. Without such a file, every audio file "
        "of the folder is used.",
    )

    kind: Literal["folder"] = field(metadata=KIND)
    path: str = field(
        metadata=TEXT | {"description": "The folder; ~ is your home, and a relative path starts in Snakemake's folder."}
    )
    text: str | None = field(
        default=folder_metadata.TEXT_COLUMN,
        metadata=TEXT | {"description": "Column of the reference text in the metadata; null: there are no texts."},
    )
    durations: Literal["joined", "natural"] = field(default="joined", metadata=DURATIONS)
    licence: str = field(default="not stated", metadata=LICENCE)
    segments_per_class: int | None = field(default=None, metadata=SEGMENTS_PER_CLASS)
    selection_sha256: str | None = field(default=None, metadata=SELECTION_SHA256)

    def default_name(self) -> str:
        """Return the folder's own name as a valid name of a corpus."""
        return corpus_name(os.path.basename(os.path.abspath(os.path.expanduser(self.path))))

    @property
    def place(self) -> str:
        """The folder."""
        return self.path

    def check(self) -> None:
        """Raise AsrmeterError if there is no such folder, its metadata cannot be read, or none of its files exists.

        So it does where letters show that the texts are in another language than the study says, or than English where
        it says none.
        """
        super().check()
        if self.text == FILE_COLUMN:
            raise AsrmeterError(f"corpus.text: {FILE_COLUMN} names the files; give the column of the texts")
        metadata, entries, files = _read(self)
        if metadata and not any(files.find(entry.file) for entry in entries):
            raise AsrmeterError(
                f"corpus.path: none of the {len(entries)} files that {metadata} lists exists; the first, "
                f"{files.name(entries[0].file)}, {files.why_not(entries[0].file)}: {FILE_COLUMN} must be relative to "
                "the folder"
            )
        texts = [spoken_language.Text(files.name(one.file), one.text, one.language or None) for one in entries]
        spoken_language.check_letters(self, texts, _LANGUAGE_TOLD_BY)

    def foreseen(self) -> Speech | None:
        """Return the speech by what headers say; None where that takes too long, or decoding alone shows a length."""
        read = _read(self)
        found = {name for entry in read.entries if (name := read.files.find(entry.file))}
        if sum(read.files.status(name)[1] for name in found) > _MOST_FORESEEN_BYTES:
            return None
        until_s = time.monotonic() + _MOST_FORESEEN_S
        try:
            n_samples_of = functools.partial(_n_samples_told, _folder(self), until_s)
            return _speech(self, read, read.entries, n_samples_of, lambda name: None)
        except _NotForeseenError:
            return None

    def fingerprint_inputs(self) -> Any:
        """Return the hash of the metadata, if there is any, and name, size and mtime_ns of every file that is used."""
        metadata, entries, files = _read(self)
        found = {name for entry in entries if (name := files.find(entry.file))}
        return [metadata and sha256_of(metadata), [list(files.status(name)) for name in sorted(found, key=files.name)]]


class _Read(NamedTuple):
    """A folder: its metadata, if there is any, its entries, without metadata one for each audio file, and its files."""

    metadata: Path | None
    entries: Sequence[Entry]
    files: FolderFiles


def _read(corpus: FolderCorpus) -> _Read:
    """Return what is in the folder.

    Raises:
        AsrmeterError: there is no such folder, its metadata cannot be read, or it has neither metadata nor audio.
    """
    folder = _folder(corpus)
    metadata = folder_metadata.find(folder, corpus.text)
    if metadata:
        return _Read(metadata, folder_metadata.read(metadata, corpus.text), FolderFiles(folder))
    files = FolderFiles(folder)
    entries = [Entry(0, name, "") for name in sorted(files.audio_names(), key=files.name)]
    if not entries:
        raise AsrmeterError(
            f"corpus.path: {folder} has no audio file, and neither {' nor '.join(folder_metadata.METADATA)}"
        )
    return _Read(None, entries, files)


def _folder(corpus: FolderCorpus) -> Path:
    return Path(os.path.expanduser(corpus.path))


def load(corpus: FolderCorpus, downloads: Path) -> Speech:
    """Return the speech of the folder, utterances in the order of the metadata, without any in that of their names.

    Every file is decoded twice: once here, since only decoding shows its length and that it is whole, and again
    when it becomes part of a segment. So the memory needed is that of one segment, however large the folder is.

    Raises:
        AsrmeterError: there is no such folder, or its metadata cannot be read.
    """
    from asrmeter.common.log_progress import log_progress
    from asrmeter.corpora.audio import decode, silence_in
    from asrmeter.corpora.segments import Sound, Utterance

    folder, read = _folder(corpus), _read(corpus)

    def clip(utterance: Utterance) -> Sound:
        audio = folder / utterance.recording
        try:
            sound = decode(audio)
        except AsrmeterError as error:
            raise AsrmeterError(f"{audio}: {error}") from error
        if len(sound.samples) != utterance.end:
            raise _changed(audio)
        return sound

    def silence(audio: Path) -> "np.ndarray":
        samples = silence_in(audio)
        if samples is None:
            raise _changed(audio)
        return samples

    entries = log_progress(read.entries, "files decoded", len(read.entries))
    speech = _speech(
        corpus,
        read,
        entries,
        lambda name: len(decode(folder / name).samples),
        lambda name: None if silence_in(folder / name) is None else functools.partial(silence, folder / name),
    )
    return dataclasses.replace(speech, fetch=lambda _: (clip, {}))


def _speech(
    corpus: FolderCorpus,
    read: _Read,
    entries: Iterable[Entry],
    n_samples_of: Callable[[str], int],
    silence_of: Callable[[str], "Callable[[], np.ndarray] | None"],
) -> Speech:
    """Return the speech of the folder without its samples.

    `n_samples_of` raises AsrmeterError for a file that cannot be used. `silence_of` returns what gives the samples of a
    file in which nothing can be heard, None of any other file.
    """
    from asrmeter.corpora.segments import JoinPolicy, Utterance

    metadata, _, files = read
    utterances: list[Utterance] = []
    silent: dict[str, Callable[[], np.ndarray]] = {}
    skipped: dict[str, str] = {}
    listed: set[str] = set()
    for entry in entries:
        found = files.find(entry.file)
        name = files.name(found or entry.file)
        if (found or name) in listed:
            skipped[f"{name} (line {entry.line})"] = "is listed before; this line is ignored"
            continue
        listed.add(found or name)
        if not found:
            skipped[name] = files.why_not(entry.file)
            continue
        why, n = entry.why_unusable, 0
        if not why:
            try:
                n = n_samples_of(found)
            except AsrmeterError as error:
                why = str(error)
        nothing_said = entry.lacks_text or not (entry.text or entry.why_unusable)
        if why and nothing_said and len(silent) < MOST_SILENT and (samples := silence_of(found)):
            silent[name] = samples
            continue
        if why:
            skipped[name] = why
            continue
        source = posixpath.dirname(name) or corpus.name
        language = entry.language or corpus.told_language
        utterances.append(Utterance(name, found, 0, n, entry.text, source, corpus.licence, language))
    if metadata:
        skipped |= {name: f"has no line in {metadata.name}" for name in files.audio_names() if name not in listed}
    return Speech(
        utterances,
        _fetch_nothing,
        JoinPolicy.NONE if corpus.durations == "natural" else JoinPolicy.ANY,
        keep_all=True,
        skipped=skipped,
        origin={"metadata": metadata.name, "metadata_sha256": sha256_of(metadata)}
        if metadata
        else {"metadata": "none"},
        language_told_by=_LANGUAGE_TOLD_BY,
        silent=silent,
    )


def _fetch_nothing(_: object) -> NoReturn:
    # Nothing asks for them: a corpus is made of loaded speech alone.
    raise AssertionError("foreseen speech has no samples")


def _changed(audio: Path) -> AsrmeterError:
    return AsrmeterError(f"{audio}: was changed while the corpus was made; run again")


class _NotForeseenError(Exception):
    """Only decoding shows how long the files are, or looking at them takes too long."""


def _n_samples_told(folder: Path, until_s: float, name: str) -> int:
    """Return how many samples a file of a folder has by its own arithmetic.

    Raises:
        AsrmeterError: it is none that can be used.
    """
    if time.monotonic() > until_s:
        raise _NotForeseenError
    try:
        data = read_regular(folder / name, _MOST_FORESEEN_BYTES)
    except OSError as error:
        raise AsrmeterError(f"cannot be read ({error.strerror})") from error
    if not data:
        raise AsrmeterError("is empty (0 bytes)")
    length_s = containers.length_s(data)
    if length_s is None:
        if kind := kind_of(data):
            raise AsrmeterError(str(kind))
        raise _NotForeseenError
    return round(length_s * SAMPLE_RATE_HZ)
