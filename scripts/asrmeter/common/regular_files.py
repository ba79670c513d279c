"""Open files named by foreign data: only regular files of limited size below a given folder.

Standard library only: the measuring parent uses it.
"""

import os
import stat
from io import BufferedReader
from pathlib import Path

from asrmeter.common.errors import AsrmeterError
from asrmeter.common.printable import printable

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_regular(path: Path, most_bytes: int | None = None) -> BufferedReader:
    """Open a file for reading, without waiting for a pipe or a device.

    Raises:
        AsrmeterError: it is not a regular file, or larger than `most_bytes`.
        OSError: it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise AsrmeterError(f"{printable(str(path))}: is {kind_of_file(status.st_mode)}, not a file")
        if most_bytes is not None and status.st_size > most_bytes:
            raise AsrmeterError(
                f"{printable(str(path))}: has {status.st_size / 1e6:,.0f} MB, more than the {most_bytes / 1e6:,.0f} MB "
                "allowed for such a file"
            )
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def kind_of_file(mode: int) -> str:
    """Return the kind of a file by its mode: a folder, a pipe, ..."""
    return next((name for is_kind, name in _KINDS if is_kind(mode)), "something else")


def kind_of_place(path: Path) -> str:
    """Return what is in the place of a file: a pipe, a broken link, ...; "" for a file or nothing."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return "a broken link" if os.path.islink(path) else ""
    return "" if stat.S_ISREG(status.st_mode) else kind_of_file(status.st_mode)


def read_regular(path: Path, most_bytes: int | None = None) -> bytes:
    """Return the content of a file; see `open_regular`."""
    with open_regular(path, most_bytes) as stream:
        return stream.read()


def below(folder: Path, name: str) -> Path:
    """Return the path of a file by its name relative to a folder.

    Raises:
        AsrmeterError: the name is absolute or not normalised, or leads out of the folder, even by a link.
    """
    path = folder / name
    is_plain = name and not os.path.isabs(name) and "\0" not in name and os.path.normpath(name) == name
    if not is_plain or not path.resolve().is_relative_to(folder.resolve()):
        raise AsrmeterError(f"{printable(str(folder))}: {printable(name)} leads out of this folder")
    return path
