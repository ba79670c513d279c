"""Speech inside pinned packages, as a listing in `resources/corpora/` tells."""

import io
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrmeter.common.errors import AsrmeterError, did_you_mean
from asrmeter.common.paths import RESOURCES
from asrmeter.corpora.kinds import Speech
from asrmeter.sources import packages as pinned

if TYPE_CHECKING:
    import numpy as np


LISTINGS = RESOURCES / "corpora"


def name_of(options: dict[str, Any]) -> str:
    """Return the name of the corpus, which is that of its listing."""
    return str(options["name"])


def check(options: dict[str, Any]) -> None:
    """Raise AsrmeterError if there is no such listing."""
    known = sorted(path.stem for path in LISTINGS.glob("*.toml"))
    if options["name"] not in known:
        hint = did_you_mean(options["name"], known)
        raise AsrmeterError(f"corpus.name: unknown corpus {options['name']}{hint}; known are {', '.join(known)}")


def archives(options: dict[str, Any]) -> list[str]:
    """Return the names of the packages that the listing draws from."""
    return sorted({recording["package"] for recording in _listing(options)})


def made_of(options: dict[str, Any]) -> Any:
    """Return the listing, and the hashes of its packages."""
    known = pinned.catalogue()
    return [_path(options).read_text(), [known[name].sha256 for name in archives(options)]]


def load(options: dict[str, Any], downloads: Path) -> Speech:
    """Return the speech of the listing, utterances in its order.

    Raises:
        AsrmeterError: an archive is missing or altered, or a recording cannot be decoded.
    """
    from asrmeter.common.constants import SAMPLE_RATE_HZ
    from asrmeter.corpora.audio import decode
    from asrmeter.corpora.segments import Joining, Utterance

    opened = pinned.Archives(downloads)
    path = _path(options)
    recordings: dict[str, np.ndarray] = {}
    utterances: list[Utterance] = []
    for entry in _listing(options):
        name = entry["id"]
        try:
            samples = decode(io.BytesIO(opened.read(entry["package"], entry["member"])))
        except AsrmeterError as error:
            raise AsrmeterError(f"{path}: recording {name}: {entry['member']}: {error}") from error
        recordings[name] = samples
        for spoken in entry["utterances"]:
            begin = round(spoken.get("begin_s", 0) * SAMPLE_RATE_HZ)
            end = round(spoken["end_s"] * SAMPLE_RATE_HZ) if "end_s" in spoken else len(samples)
            if not 0 <= begin < end <= len(samples):
                raise AsrmeterError(
                    f"{path}: recording {name}: an utterance lies outside of its {len(samples) / SAMPLE_RATE_HZ:.2f} s"
                )
            utterances.append(
                Utterance(f"{name}:{begin}-{end}", name, begin, end, spoken["text"], entry["source"], entry["licence"])
            )

    def clip(utterance: Utterance) -> "np.ndarray":
        return recordings[utterance.recording][utterance.begin : utterance.end]

    return Speech(utterances, lambda _: (clip, {}), Joining.ACROSS, origin={"packages": archives(options)})


def _path(options: dict[str, Any]) -> Path:
    return LISTINGS / f"{options['name']}.toml"


def _listing(options: dict[str, Any]) -> list[dict[str, Any]]:
    with open(_path(options), "rb") as stream:
        recordings: list[dict[str, Any]] = tomllib.load(stream)["recording"]
    return recordings
