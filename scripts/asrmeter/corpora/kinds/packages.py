"""Speech inside pinned packages, as listed in `resources/corpora/`."""

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from asrmeter.common.errors import AsrmeterError, did_you_mean
from asrmeter.common.paths import RESOURCES
from asrmeter.common.toml_files import read_list, read_value
from asrmeter.corpora.kinds.base import (
    KIND,
    NAMED,
    SEGMENTS_PER_CLASS,
    SELECTION_SHA256,
    CorpusKind,
    Speech,
    kind_config,
)
from asrmeter.sources import packages as pinned

LISTINGS = RESOURCES / "corpora"


@dataclass(frozen=True)
class Recording:
    """An audio file in a package, and its utterances in order: `text`, and `begin_s` and `end_s` of a part."""

    id: str
    package: str
    member: str
    source: str
    licence: str
    utterances: list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class PackagesCorpus(CorpusKind):
    """Speech inside pinned packages."""

    __pydantic_config__: ClassVar = kind_config(
        "packages", "Recordings inside pinned packages, listed in resources/corpora/<name>.toml."
    )

    kind: Literal["packages"] = field(metadata=KIND)
    name: str = field(metadata=NAMED)
    segments_per_class: int | None = field(default=8, metadata=SEGMENTS_PER_CLASS)
    selection_sha256: str | None = field(default=None, metadata=SELECTION_SHA256)

    def default_name(self) -> None:
        """Return None: the study has to name the listing."""

    def natural_language(self) -> str:
        """Return the language that the listing says."""
        return read_value(self.path, "language", str)

    def check(self) -> None:
        """Raise AsrmeterError if there is no such listing, or it is in another language than the study says."""
        known = sorted(path.stem for path in LISTINGS.glob("*.toml"))
        if self.name not in known:
            hint = did_you_mean(self.name, known)
            raise AsrmeterError(f"corpus.name: unknown corpus {self.name}{hint}; known are {', '.join(known)}")
        super().check()

    def archives(self) -> list[str]:
        """Return the names of the packages that the listing names."""
        return sorted({recording.package for recording in self.listing()})

    def fingerprint_inputs(self) -> Any:
        """Return the listing, and the hashes of its packages."""
        known = pinned.catalogue()
        return [self.path.read_text(encoding="utf-8"), [known[name].sha256 for name in self.archives()]]

    @property
    def path(self) -> Path:
        """The file of the listing."""
        return LISTINGS / f"{self.name}.toml"

    def listing(self) -> list[Recording]:
        """Return the recordings of the listing."""
        return read_list(self.path, "recording", Recording)


def load(corpus: PackagesCorpus, downloads: Path) -> Speech:
    """Return the speech of the listing, utterances in its order.

    Raises:
        AsrmeterError: an archive is missing or altered, or a recording cannot be decoded.
    """
    from asrmeter.common.constants import SAMPLE_RATE_HZ
    from asrmeter.corpora.audio import decode
    from asrmeter.corpora.segments import JoinPolicy, Sound, Utterance

    archives = pinned.Archives(downloads)
    path, language = corpus.path, corpus.natural_language()
    sound_of: dict[str, Sound] = {}
    utterances: list[Utterance] = []
    for recording in corpus.listing():
        name = recording.id
        try:
            sound = decode(io.BytesIO(archives.read(recording.package, recording.member)))
        except AsrmeterError as error:
            raise AsrmeterError(f"{path}: recording {name}: {recording.member}: {error}") from error
        sound_of[name], samples = sound, sound.samples
        for spoken in recording.utterances:
            begin = round(spoken.get("begin_s", 0) * SAMPLE_RATE_HZ)
            end = round(spoken["end_s"] * SAMPLE_RATE_HZ) if "end_s" in spoken else len(samples)
            if not 0 <= begin < end <= len(samples):
                raise AsrmeterError(
                    f"{path}: recording {name}: an utterance is outside its {len(samples) / SAMPLE_RATE_HZ:.2f} s"
                )
            utterances.append(
                Utterance(
                    f"{name}:{begin}-{end}",
                    name,
                    begin,
                    end,
                    spoken["text"],
                    recording.source,
                    recording.licence,
                    language,
                )
            )

    def clip(utterance: Utterance) -> Sound:
        samples, mended = sound_of[utterance.recording]
        return Sound(samples[utterance.begin : utterance.end], mended)

    origin = {"packages": corpus.archives()}
    return Speech(utterances, lambda _: (clip, {}), JoinPolicy.ANY, origin=origin)
