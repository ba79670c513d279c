"""Find the files of a folder by the names in its metadata. Standard library only."""

import os
import posixpath
import stat
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from asrmeter.common.files import list_files
from asrmeter.common.regular_files import kind_of_place
from asrmeter.corpora.folder_metadata import AUDIO_NAME

# Name on the disk relative to the folder, size in bytes, mtime_ns.
Status = tuple[str, int, int]


class FolderFiles:
    """Files of a folder by their names on the disk.

    A name is looked for as it is written before it is changed. Metadata and disk may encode the same accented letter in
    different ways, and Windows parts folders by backslashes. Links may lead anywhere: the folder is its owner's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._roots = tuple(dict.fromkeys((os.path.abspath(folder), os.path.realpath(folder))))
        self._status: dict[str, Status] = {}
        self._by_composed: dict[str, list[str]] = {}
        for status in list_files(folder):
            self._add(status)

    def find(self, written: str) -> str | None:
        """Return the name on the disk of a file in the metadata; None if there is no such file."""
        spellings = list(self._spellings(written))
        for name in spellings:
            # Hidden files are found by their names alone.
            if name in self._status or self._is_file(name):
                return name
        return next((alike[0] for name in spellings if (alike := self._by_composed.get(_composed(name)))), None)

    def name(self, written: str) -> str:
        """Return a file's name in the corpus, with one encoding of accents, unless two files differ only in this."""
        if written in self._status:
            composed = _composed(written)
            return composed if len(self._by_composed[composed]) == 1 else written
        *_, last = [posixpath.normpath(written.strip().replace("\\", "/")), *self._spellings(written)]
        return _composed(last)

    def why_not(self, written: str) -> str:
        """Return the reason why there is no such file."""
        spellings = list(self._spellings(written))
        if not spellings:
            return "is not in the folder"
        kinds = (kind_of_place(self._folder / name) for name in spellings)
        return next((f"is {kind}, not a file" for kind in kinds if kind), "is missing")

    def status(self, name: str) -> Status:
        """Return name on the disk, size in bytes and mtime_ns of a file that was found."""
        return self._status[name]

    def audio_names(self) -> list[str]:
        """Return the names of all files that look like audio, except hidden ones."""
        return [name for name in self._status if AUDIO_NAME.fullmatch(name)]

    def _is_file(self, name: str) -> bool:
        """Look for a file that is not in the list, and remember it."""
        try:
            status = os.stat(self._folder / name)
        except (OSError, ValueError):
            return False
        if not stat.S_ISREG(status.st_mode):
            return False
        self._add((name, status.st_size, status.st_mtime_ns))
        return True

    def _add(self, status: Status) -> None:
        self._status[status[0]] = status
        self._by_composed.setdefault(_composed(status[0]), []).append(status[0])

    def _spellings(self, written: str) -> Iterator[str]:
        """Yield the possible paths of a name, relative to the folder and only below it."""
        spellings = [written, written.strip(), written.strip().replace("\\", "/")]
        if os.path.isabs(written) and "\0" not in written:
            # By another way into the folder.
            spellings.append(os.path.join(os.path.realpath(os.path.dirname(written)), os.path.basename(written)))
        for spelling in dict.fromkeys(spellings):
            for root in self._roots:
                path = os.path.normpath(os.path.join(root, spelling))
                if path.startswith(root.rstrip("/") + "/"):
                    yield path[len(root.rstrip("/")) + 1 :]
                    break


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)
