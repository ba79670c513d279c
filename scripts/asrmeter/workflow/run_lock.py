"""One run at a time in a results folder. Snakemake looks for its own lock and writes it in two steps."""

import errno
import fcntl
import os
import platform
from pathlib import Path

from asrmeter.common.errors import AsrmeterError
from asrmeter.common.files import explained
from asrmeter.common.printable import printable
from asrmeter.machine.lock_holders import holders

FILE = ".running"
# What is said by file systems that know no such locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


def hold(results: Path) -> None:
    """Hold a results folder for as long as this process lives, however it ends.

    Raises:
        AsrmeterError: another run holds it, or nothing can be written there.
    """
    path = results / FILE
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            said = _occupied(results, descriptor)
            os.close(descriptor)
            raise AsrmeterError(said) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {platform.node()}\n".encode())


def check_free(results: Path) -> None:
    """Raise AsrmeterError if a run works in a results folder. Nothing is written there."""
    try:
        descriptor = os.open(results / FILE, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return  # no run was ever here, or it cannot be told
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        raise AsrmeterError(_occupied(results, descriptor)) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    finally:
        os.close(descriptor)


def _occupied(results: Path, descriptor: int) -> str:
    return f"{results}/: another run works here, {_holder(descriptor)}; wait for it, or end it"


def _holder(descriptor: int) -> str:
    """Return who holds the file: what that process has written, where it is on another machine."""
    written = printable(os.pread(descriptor, 200, 0).decode(errors="replace").strip())
    return holders(descriptor) if written.endswith(f" on {platform.node()}") or not written else written
