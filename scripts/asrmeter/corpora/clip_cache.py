"""Clips that have been fetched, kept as FLAC: what was cut off goes on where it stopped, and what is whole stays."""

import hashlib
from pathlib import Path

import numpy as np
import soundfile

from asrmeter.common.files import atomic, sha256_of
from asrmeter.corpora.audio import encode

# Of a sha256 in hexadecimal: enough that no two are alike by chance.
_DIGITS = 32


class Clips:
    """A folder of clips by id; each file is named by its id and by its content, so that a damaged one is found."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names = {path.name.partition("-")[0]: path.name for path in folder.glob("*.flac")}

    def __contains__(self, clip_id: str) -> bool:
        """Tell whether a clip is kept and whole; one that is damaged is deleted."""
        key = _key(clip_id)
        name = self._names.get(key)
        if name is None:
            return False
        path = self._folder / name
        if path.is_file() and path.stem.endswith(f"-{sha256_of(path)[:_DIGITS]}"):
            return True
        path.unlink(missing_ok=True)
        del self._names[key]
        return False

    def keep(self, clip_id: str, samples: np.ndarray) -> None:
        """Keep a clip: samples of shape (n,), float32, 16 kHz.

        Raises:
            AsrmeterError: the disk is full or the folder is not writable.
        """
        key = _key(clip_id)
        with atomic(self._folder / key) as part:
            encode(part, samples)
            name = f"{key}-{sha256_of(part)[:_DIGITS]}.flac"
        (self._folder / key).replace(self._folder / name)
        for other in self._folder.glob(f"{key}-*.flac"):
            if other.name != name:
                other.unlink()
        self._names[key] = name

    def samples(self, clip_id: str) -> np.ndarray:
        """Return the samples of a clip that is kept, shape (n,), float32, 16 kHz.

        Raises:
            KeyError: it is not kept.
        """
        path = self._folder / self._names[_key(clip_id)]
        samples: np.ndarray = soundfile.read(path, dtype="float32")[0]
        return samples


def _key(clip_id: str) -> str:
    return hashlib.sha256(clip_id.encode()).hexdigest()[:_DIGITS]
