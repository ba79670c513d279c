"""Speech inside pinned packages, as a listing in `resources/corpora/` tells. The planner reads `of_listing` too."""

import io
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrmeter.errors import AsrmeterError
from asrmeter.packages import Archives

if TYPE_CHECKING:
    import numpy as np

    from asrmeter.segments import Utterance


def listing(path: Path) -> list[dict[str, Any]]:
    """Return the recordings of a listing."""
    with open(path, "rb") as stream:
        return tomllib.load(stream)["recording"]


def of_listing(path: Path) -> list[str]:
    """Return the names of the packages that a listing draws from."""
    return sorted({recording["package"] for recording in listing(path)})


def load(path: Path, archives: Archives) -> "tuple[dict[str, np.ndarray], list[Utterance]]":
    """Return (samples by recording: float32, 16 kHz, mono; utterances in the listing's order).

    Raises:
        AsrmeterError: an archive is missing or altered, or a recording cannot be decoded.
    """
    import librosa
    import soundfile

    from asrmeter.segments import SAMPLE_RATE_HZ, Utterance

    recordings: dict[str, np.ndarray] = {}
    utterances: list[Utterance] = []
    for entry in listing(path):
        name = entry["id"]
        try:
            samples, rate_hz = soundfile.read(
                io.BytesIO(archives.read(entry["package"], entry["member"])), dtype="float32", always_2d=True
            )
        except soundfile.LibsndfileError as error:
            raise AsrmeterError(f"{path}: recording {name}: {entry['member']} cannot be decoded ({error})") from error
        mono = samples.mean(axis=1)
        if rate_hz != SAMPLE_RATE_HZ:
            mono = librosa.resample(mono, orig_sr=rate_hz, target_sr=SAMPLE_RATE_HZ)
        recordings[name] = mono
        for spoken in entry["utterances"]:
            begin = round(spoken.get("begin_s", 0) * SAMPLE_RATE_HZ)
            end = round(spoken["end_s"] * SAMPLE_RATE_HZ) if "end_s" in spoken else len(mono)
            if not 0 <= begin < end <= len(mono):
                raise AsrmeterError(
                    f"{path}: recording {name}: an utterance lies outside of its {len(mono) / SAMPLE_RATE_HZ:.2f} s"
                )
            utterances.append(Utterance(name, begin, end, spoken["text"], entry["source"], entry["licence"]))
    return recordings, utterances
