"""Files that are whole or not there: atomic writing, hashing."""

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from asrmeter.errors import AsrmeterError


def sha256_of(path: Path) -> str:
    """Return the hexadecimal sha256 of a file."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextlib.contextmanager
def atomic(target: Path) -> Iterator[Path]:
    """Yield a path beside `target` to write a file or folder to; it takes the target's place if no error is raised.

    A folder that already stands at `target` is replaced as a whole.

    Raises:
        AsrmeterError: the disk is full or the place is not writable.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise _explain(error, target) from error
    try:
        part = scratch / target.name
        yield part
        if part.is_dir() and target.exists():
            os.replace(target, scratch / "old")
        os.replace(part, target)
    except OSError as error:
        raise _explain(error, target) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


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
        return AsrmeterError(f"{target}: may not be written ({error.strerror}); check the folder's owner and mode")
    return error
