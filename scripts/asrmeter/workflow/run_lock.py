"""Allow one run at a time in a results folder. Snakemake checks and writes its own lock in two separate steps."""

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
# Error numbers of file systems without such locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


def hold(results: Path) -> None:
    """Hold a results folder until this process ends in any way.

    Raises:
        AsrmeterError: another run holds the folder, or it is not writable.
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
    """Raise AsrmeterError if a run is active in a results folder, without writing there."""
    try:
        descriptor = os.open(results / FILE, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return  # there was no run here, or the file cannot be read
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
    return f"{results}/: another run is active here, {_holder(descriptor)}; wait for it, or end it"


def _holder(descriptor: int) -> str:
    """Return the holder of the file; on another machine, as that process wrote it."""
    written = printable(os.pread(descriptor, 200, 0).decode(errors="replace").strip())
    return holders(descriptor) if written.endswith(f" on {platform.node()}") or not written else written
