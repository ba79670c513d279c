"""Write files atomically, hash them, and read JSON that an earlier step wrote."""

import contextlib
import errno
import functools
import glob
import hashlib
import json
import math
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from asrmeter.common.errors import AsrmeterError, one_line
from asrmeter.common.printable import printable
from asrmeter.common.regular_files import open_regular, read_regular

# More than the record of a cell, and little compared with the output of a run.
ROOM_BYTES = 2**20
# Limit for the JSON of a step. A corpus of a million segments needs less.
MOST_JSON_BYTES = 500_000_000
# Longer than the writing of any of our files.
_ABANDONED_S = 24 * 3600
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Error numbers of the operating system -> the message for a file to be written, with a remedy.
_REASONS = {
    (errno.ENOSPC, errno.EDQUOT): "no space left on the disk; free some space and run again; no partial file was left",
    (errno.EFBIG,): "exceeds the limit for file sizes; raise it (ulimit -f unlimited) and run again; no partial file "
    "was left",
    (errno.EACCES, errno.EPERM, errno.EROFS): "cannot be written ({reason}); check the folder's owner, mode and mount",
    (errno.ENOTDIR, errno.EEXIST, errno.EISDIR): "cannot be made ({reason}); remove the other file in its place",
    (errno.ELOOP,): "cannot be made ({reason}); delete the link in its path that leads back to itself",
    (errno.ENAMETOOLONG,): "cannot be made ({reason}); shorten its name or the name of a folder in its path",
    (errno.EMFILE, errno.ENFILE): "cannot be made ({reason}); raise the limit of open files (ulimit -n)",
}


def sha256_of(path: Path) -> str:
    """Return the hexadecimal sha256 of a file; see `open_regular`."""
    with open_regular(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_json(path: Path, alone: bool = False, shape: Any = object) -> Any:
    """Return the content of a JSON file that an earlier step wrote, `alone` or together with its folder.

    `shape` describes valid content: a type or several, a set of values, a list with the shape of its items, or a
    mapping of required keys to their shapes, with the shape of all other values under `*`.

    Raises:
        AsrmeterError: the file cannot be read or has another shape; the message says to make it, or its folder, again.
    """
    way_out = f"delete {path if alone else path.parent} and run again"
    try:
        content = json.loads(read_regular(path, MOST_JSON_BYTES).decode("utf-8"))
    except AsrmeterError as error:
        raise AsrmeterError(f"{error}; {way_out}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise AsrmeterError(f"{path}: cannot be read ({one_line(error)}); {way_out}") from error
    if wrong := _misfit(content, shape):
        raise AsrmeterError(f"{path}: {wrong}; {way_out}")
    return content


def _misfit(value: Any, shape: Any, place: str = "") -> str:
    """Return where and how a value differs from a shape; "" if it does not."""
    name = place.rstrip(".") or "the content"
    if isinstance(shape, Mapping):
        if not isinstance(value, dict):
            return f"{name} is not a mapping"
        if lacking := [key for key in shape if key not in value and key != "*"]:
            return f"lacks {', '.join(f'{place}{key}' for key in lacking)}"
        others = shape.get("*", object)
        inner = ((key, one, shape.get(key, others)) for key, one in value.items())
    elif isinstance(shape, list):
        if not isinstance(value, list):
            return f"{name} is not a list"
        inner = ((str(number), one, shape[0]) for number, one in enumerate(value))
    elif isinstance(shape, frozenset):
        return "" if isinstance(value, str | None) and value in shape else f"{name} has a value that is not allowed"
    else:
        fits = isinstance(value, shape) and not (isinstance(value, float) and not math.isfinite(value))
        return "" if fits else f"{name} has a value of the wrong type"
    return next((wrong for key, one, own in inner if (wrong := _misfit(one, own, f"{place}{key}."))), "")


def list_files(folder: Path) -> list[tuple[str, int, int]]:
    """Return relative name, size in bytes and mtime_ns of every file below a folder, sorted, without hidden files.

    Links are followed, but not into a folder that contains them. Dangling links and unreadable files are left out.
    """
    return sorted(_files_below(str(folder), "", frozenset()))


def _files_below(folder: str, place: str, within: frozenset[str]) -> Iterator[tuple[str, int, int]]:
    real = os.path.realpath(os.path.join(folder, place))
    if real in within:
        return
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(real)):
            with contextlib.suppress(OSError):
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    yield from _files_below(folder, f"{place}{entry.name}/", within | {real})
                elif entry.is_file():
                    status = entry.stat()
                    yield f"{place}{entry.name}", status.st_size, status.st_mtime_ns


@contextlib.contextmanager
def atomic(target: Path) -> Iterator[Path]:
    """Yield a path beside `target` for a new file or folder, which replaces `target` if no error is raised.

    An existing folder at `target` is replaced completely.

    Raises:
        AsrmeterError: the file cannot be written, or another cannot be read for it.
    """
    with _scratch_beside(target) as scratch:
        part = scratch / target.name
        yield part
        if part.is_dir() and target.exists():
            os.replace(target, scratch / "old")
        os.replace(part, target)


def check_room(*targets: Path) -> None:
    """Check that files can be written, before the long work that produces them.

    Raises:
        AsrmeterError: a disk has less than `ROOM_BYTES` free, or a folder is not writable.
    """
    for target in targets:
        with _scratch_beside(target) as scratch, open(scratch / target.name, "wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, ROOM_BYTES)


@contextlib.contextmanager
def _scratch_beside(target: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `target`; errors of the disk become one line that names the target."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for abandoned in target.parent.glob(f".{glob.escape(target.name)}.*-*.*"):
            if _is_abandoned(abandoned):
                shutil.rmtree(abandoned, ignore_errors=True)
        prefix = f".{target.name}.{_boot_id()}-{os.getpid()}."
        scratch = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
    except FileNotFoundError as error:
        raise AsrmeterError(f"{target}: cannot be made ({error.strerror}): its folder cannot be made") from error
    except OSError as error:
        raise _explain(error, target) from error
    try:
        with explained(target):
            yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextlib.contextmanager
def explained(target: Path) -> Iterator[None]:
    """Raise errors of the operating system as an AsrmeterError, one line that begins with the file to be written."""
    try:
        yield
    except OSError as error:
        raise _explain(error, target) from error


def _is_abandoned(scratch: Path) -> bool:
    """Return True if the writing process has ended, or, on another machine, if the folder is old."""
    boot, _, pid = scratch.name.split(".")[-2].partition("-")
    if boot == _boot_id():
        return not os.path.exists(f"/proc/{pid}")
    with contextlib.suppress(FileNotFoundError):
        return time.time() - scratch.stat().st_mtime > _ABANDONED_S
    return False


@functools.cache
def _boot_id() -> str:
    """Return an identifier of this machine and boot."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").replace("-", "")[:8]
    return "unknown"


def write_atomically(target: Path, content: bytes | str) -> None:
    """Write a file completely or not at all."""
    data = content.encode() if isinstance(content, str) else content
    with atomic(target) as part:
        part.write_bytes(data)


def _other_file(error: OSError, target: Path) -> str | None:
    """Return the file of an error; None if it is `target`, a file beside it, or a folder above it."""
    # A copy that does not fit raises an error that names the source.
    if error.errno in _NO_ROOM or not isinstance(error.filename, str | bytes | os.PathLike):
        return None
    name = os.fsdecode(error.filename)
    path, own = Path(os.path.abspath(name)), Path(os.path.abspath(target))
    return None if path.is_relative_to(own.parent) or own.is_relative_to(path) else name


def _explain(error: OSError, target: Path) -> AsrmeterError:
    """Return an error of the operating system, or a similar error of a library, as one line."""
    reason = error.strerror or one_line(error) or type(error).__name__
    if (other := _other_file(error, target)) is not None:
        return AsrmeterError(f"{target}: cannot be made from {printable(other)} ({reason})")
    said = next((text for numbers, text in _REASONS.items() if error.errno in numbers), None)
    said = said or "cannot be written ({reason}); check the disk, and run again"
    return AsrmeterError(f"{target}: {said.format(reason=reason)}")
