"""Files that are whole or not there: atomic writing, hashing."""

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

# More than the file of a cell, and little beside what a run writes.
ROOM_BYTES = 2**20
# So long no file of ours takes to be written.
_ABANDONED_S = 24 * 3600


def sha256_of(path: Path) -> str:
    """Return the hexadecimal sha256 of a file."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_json(path: Path, alone: bool = False, shape: Any = object) -> Any:
    """Return the content of a JSON file that an earlier step made, `alone` or as a part of the folder that it is in.

    `shape` is what it has to be: a type or several, a set of values, a list with the shape of all its items, or a
    mapping of the keys that it must have to their shapes, with that of all others under `*`.

    Raises:
        AsrmeterError: it cannot be read, or is something else; it, or the folder, has to be made again.
    """
    made = path if alone else path.parent
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise AsrmeterError(f"{path}: cannot be read ({one_line(error)}); delete {made} and run again") from error
    if wrong := _misfit(content, shape):
        raise AsrmeterError(f"{path}: {wrong}; delete {made} and run again")
    return content


def _misfit(value: Any, shape: Any, place: str = "") -> str:
    """Return where a value is not of a shape, and how, or ""."""
    name = place.rstrip(".") or "the whole"
    if isinstance(shape, Mapping):
        if not isinstance(value, dict):
            return f"{name} is no mapping"
        if lacking := [key for key in shape if key not in value and key != "*"]:
            return f"lacks {', '.join(f'{place}{key}' for key in lacking)}"
        others = shape.get("*", object)
        inner = ((key, one, shape.get(key, others)) for key, one in value.items())
    elif isinstance(shape, list):
        if not isinstance(value, list):
            return f"{name} is no list"
        inner = ((str(number), one, shape[0]) for number, one in enumerate(value))
    elif isinstance(shape, frozenset):
        return "" if isinstance(value, str | None) and value in shape else f"{name} is not what it may be"
    else:
        fits = isinstance(value, shape) and not (isinstance(value, float) and not math.isfinite(value))
        return "" if fits else f"{name} is not what it should be"
    return next((wrong for key, one, own in inner if (wrong := _misfit(one, own, f"{place}{key}."))), "")


def fingerprint(folder: Path) -> list[tuple[str, int, int]]:
    """Return relative name, size in bytes and mtime_ns of every file below a folder, sorted; nothing that is hidden.

    Links are followed, but not into a folder that they lie in. What leads nowhere or may not be read is no file.
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
    """Yield a path beside `target` to write a file or folder to; it takes the target's place if no error is raised.

    A folder that already stands at `target` is replaced as a whole.

    Raises:
        AsrmeterError: the disk is full or the place is not writable.
    """
    with _scratch_beside(target) as scratch:
        part = scratch / target.name
        yield part
        if part.is_dir() and target.exists():
            os.replace(target, scratch / "old")
        os.replace(part, target)


def check_room(*targets: Path) -> None:
    """Look whether files could be written, before long work is done for them.

    Raises:
        AsrmeterError: a disk has less than `ROOM_BYTES` left, or a place is not writable.
    """
    for target in targets:
        with _scratch_beside(target) as scratch, open(scratch / target.name, "wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, ROOM_BYTES)


@contextlib.contextmanager
def _scratch_beside(target: Path) -> Iterator[Path]:
    """Yield a folder for a while; errors of the disk become one line that names the target."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for left in target.parent.glob(f".{glob.escape(target.name)}.*-*.*"):
            if _is_abandoned(left):
                shutil.rmtree(left, ignore_errors=True)
        prefix = f".{target.name}.{_boot()}-{os.getpid()}."
        scratch = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
    except FileNotFoundError as error:
        raise AsrmeterError(f"{target}: cannot be made ({error.strerror}): no folder can be made there") from error
    except OSError as error:
        raise _explain(error, target) from error
    try:
        yield scratch
    except OSError as error:
        raise _explain(error, target) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _is_abandoned(scratch: Path) -> bool:
    """Return whether the process is gone that was writing there; of other machines' it is told by its age."""
    boot, _, pid = scratch.name.split(".")[-2].partition("-")
    if boot == _boot():
        return not os.path.exists(f"/proc/{pid}")
    with contextlib.suppress(FileNotFoundError):
        return time.time() - scratch.stat().st_mtime > _ABANDONED_S
    return False


@functools.cache
def _boot() -> str:
    """Return what tells this machine, since it was started, from all others."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().replace("-", "")[:8]
    return "unknown"


def write_atomically(target: Path, content: bytes | str) -> None:
    """Write a whole file, or nothing."""
    data = content.encode() if isinstance(content, str) else content
    with atomic(target) as part:
        part.write_bytes(data)


def _explain(error: OSError, target: Path) -> Exception:
    """Turn the errors of a disk into one line; everything else passes as it is."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return AsrmeterError(
            f"{target}: no space left on the disk; free some and run again, nothing was left half-written"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return AsrmeterError(
            f"{target}: may not be written ({error.strerror}); check the folder's owner, mode and mount"
        )
    if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG):
        return AsrmeterError(f"{target}: cannot be made ({error.strerror}); something else stands in its way")
    return error
