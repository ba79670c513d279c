"""Cache of downloaded clips as FLAC, so that an interrupted download continues where it stopped."""

import hashlib
from pathlib import Path

import soundfile

from asrmeter.common.files import atomic, sha256_of
from asrmeter.corpora.audio import encode
from asrmeter.corpora.segments import Sound

# Hexadecimal digits of a sha256 in file names: enough that no two are equal by chance.
_DIGITS = 32


class ClipCache:
    """A folder of clips by id. A file is named by the hashes of id and content, so that damage is detected."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names = {path.name.partition("-")[0]: path.name for path in folder.glob("*.flac")}

    def __contains__(self, clip_id: str) -> bool:
        """Return True if a clip is cached and whole; a damaged one is deleted."""
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

    def add(self, clip_id: str, sound: Sound) -> None:
        """Add a clip.

        Raises:
            AsrmeterError: the disk is full or the folder is not writable.
        """
        key = _key(clip_id)
        with atomic(self._folder / key) as part:
            encode(part, sound.samples, sound.mended)
            name = f"{key}-{sha256_of(part)[:_DIGITS]}.flac"
        (self._folder / key).replace(self._folder / name)
        for other in self._folder.glob(f"{key}-*.flac"):
            if other.name != name:
                other.unlink()
        self._names[key] = name

    def sound(self, clip_id: str) -> Sound:
        """Return a cached clip.

        Raises:
            KeyError: it is not cached.
        """
        path = self._folder / self._names[_key(clip_id)]
        with soundfile.SoundFile(path) as file:
            return Sound(file.read(dtype="float32"), file.comment)


def _key(clip_id: str) -> str:
    return hashlib.sha256(clip_id.encode()).hexdigest()[:_DIGITS]
