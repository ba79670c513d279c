"""Speech inside pinned packages, as listed in `resources/corpora/`."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrmeter.common.errors import AsrmeterError, did_you_mean
from asrmeter.common.paths import RESOURCES
from asrmeter.common.toml_files import read_list
from asrmeter.corpora.kinds.base import CorpusKind, Speech
from asrmeter.sources import packages as pinned

if TYPE_CHECKING:
    import numpy as np

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


class PackagesCorpus(CorpusKind):
    """Speech inside pinned packages."""

    def default_name(self, options: dict[str, Any]) -> str:
        """Return the name of the listing."""
        return str(options["name"])

    def check(self, options: dict[str, Any]) -> None:
        """Raise AsrmeterError if there is no such listing."""
        known = sorted(path.stem for path in LISTINGS.glob("*.toml"))
        if options["name"] not in known:
            hint = did_you_mean(options["name"], known)
            raise AsrmeterError(f"corpus.name: unknown corpus {options['name']}{hint}; known are {', '.join(known)}")

    def archives(self, options: dict[str, Any]) -> list[str]:
        """Return the names of the packages that the listing names."""
        return sorted({recording.package for recording in _listing(options)})

    def fingerprint_inputs(self, options: dict[str, Any]) -> Any:
        """Return the listing, and the hashes of its packages."""
        known = pinned.catalogue()
        return [_path(options).read_text(), [known[name].sha256 for name in self.archives(options)]]

    def load(self, options: dict[str, Any], downloads: Path) -> Speech:
        """Return the speech of the listing, utterances in its order.

        Raises:
            AsrmeterError: an archive is missing or altered, or a recording cannot be decoded.
        """
        from asrmeter.common.constants import SAMPLE_RATE_HZ
        from asrmeter.corpora.audio import decode
        from asrmeter.corpora.segments import JoinPolicy, Utterance

        archives = pinned.Archives(downloads)
        path = _path(options)
        samples_of: dict[str, np.ndarray] = {}
        utterances: list[Utterance] = []
        for recording in _listing(options):
            name = recording.id
            try:
                samples = decode(io.BytesIO(archives.read(recording.package, recording.member)))
            except AsrmeterError as error:
                raise AsrmeterError(f"{path}: recording {name}: {recording.member}: {error}") from error
            samples_of[name] = samples
            for spoken in recording.utterances:
                begin = round(spoken.get("begin_s", 0) * SAMPLE_RATE_HZ)
                end = round(spoken["end_s"] * SAMPLE_RATE_HZ) if "end_s" in spoken else len(samples)
                if not 0 <= begin < end <= len(samples):
                    raise AsrmeterError(
                        f"{path}: recording {name}: an utterance is outside its {len(samples) / SAMPLE_RATE_HZ:.2f} s"
                    )
                utterances.append(
                    Utterance(
                        f"{name}:{begin}-{end}", name, begin, end, spoken["text"], recording.source, recording.licence
                    )
                )

        def clip(utterance: Utterance) -> "np.ndarray":
            return samples_of[utterance.recording][utterance.begin : utterance.end]

        origin = {"packages": self.archives(options)}
        return Speech(utterances, lambda _: (clip, {}), JoinPolicy.ANY, origin=origin)


def _path(options: dict[str, Any]) -> Path:
    return LISTINGS / f"{options['name']}.toml"


def _listing(options: dict[str, Any]) -> list[Recording]:
    return read_list(_path(options), "recording", Recording)
