"""The lock of the machine: one measurement at a time holds it alone, other work shares it."""

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator

# Another path of the lock: for tests, and for machines whose users do not share a temporary folder.
LOCK_VARIABLE = "ASRMETER_LOCK"
# Not in the temporary folder of the environment, which may differ between jobs.
LOCK = "/tmp/asrmeter.lock"


@contextlib.contextmanager
def exclusive_lock() -> Iterator[int]:
    """Hold the machine for a measurement; yield the lock's file descriptor, so that a child process can hold it too.

    Waits for measurements and other work of every pipeline on the machine, in this checkout or another.
    """
    with _locked(fcntl.LOCK_EX, "waiting for another pipeline on this machine to let this one measure") as descriptor:
        yield descriptor


@contextlib.contextmanager
def shared_lock() -> Iterator[None]:
    """Hold the machine together with other work that does not measure."""
    with _locked(fcntl.LOCK_SH, "waiting for a measurement of another pipeline on this machine to end"):
        yield


@contextlib.contextmanager
def _locked(kind: int, waiting: str) -> Iterator[int]:
    path = os.environ.get(LOCK_VARIABLE) or LOCK
    descriptor = _open_for_all(path)
    try:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            logging.info(waiting)
            fcntl.flock(descriptor, kind)
        yield descriptor
    finally:
        os.close(descriptor)


def _open_for_all(path: str) -> int:
    """Open the lock file; if it is missing, create it for all users of the machine."""
    # Not in one call: Linux refuses O_CREAT on another user's file in a sticky folder (fs.protected_regular).
    with contextlib.suppress(FileNotFoundError):
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        os.fchmod(descriptor, 0o666)
        return descriptor
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
