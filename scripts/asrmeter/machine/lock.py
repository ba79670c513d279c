"""The lock of the machine: one measurement at a time holds it alone, other work shares it."""

import contextlib
import fcntl
import logging
import os
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from asrmeter.common.errors import AsrmeterError
from asrmeter.common.printable import printable
from asrmeter.common.regular_files import kind_of_file

# Sets another path of the lock, for tests and for machines whose users do not share a temporary folder.
LOCK_VARIABLE = "ASRMETER_LOCK"
# Not in the temporary folder of the environment, which may differ between jobs.
LOCK = "/tmp/asrmeter.lock"
_MAX_SHOWN = 200
_DELETE = "delete it"
# A waiting process wakes up during a measurement, but not more often than this.
_SAY_AGAIN_S = 300


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


def check_lock() -> None:
    """Raise AsrmeterError if there is no lock of the machine, and none can be made."""
    os.close(_open_for_all(_path()))


def _path() -> str:
    return os.environ.get(LOCK_VARIABLE) or LOCK


@contextlib.contextmanager
def _locked(kind: int, waiting: str) -> Iterator[int]:
    path = _path()
    descriptor = _open_for_all(path)
    try:
        try:
            _take(descriptor, kind, f"{waiting}: {printable(path)}")
        except OSError as error:
            raise _unusable(path, f"cannot be locked ({error.strerror})") from error
        yield descriptor
    finally:
        os.close(descriptor)


def _take(descriptor: int, kind: int, waiting: str) -> None:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        return
    began = time.monotonic()

    def say() -> None:
        from asrmeter.machine.lock_holders import holders  # needed only while waiting

        minutes = round((time.monotonic() - began) / 60)
        so_far = f" (for {minutes} min now)" if minutes else ""
        logging.info("%s is held by %s%s", waiting, holders(descriptor), so_far)

    say()
    with _every(_SAY_AGAIN_S, say):
        fcntl.flock(descriptor, kind)


@contextlib.contextmanager
def _every(seconds: float, function: Callable[[], None]) -> Iterator[None]:
    """Call a function at intervals while the main thread sleeps in the kernel; never in another thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def call(*_: Any) -> None:
        function()

    before = signal.signal(signal.SIGALRM, call)
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _open_for_all(path: str) -> int:
    """Open the lock file; if it is missing, create it for all users of the machine."""
    try:
        descriptor = _open_or_create(path)
    except (OSError, ValueError) as error:
        what, way_out = _unfit(path) or (f"cannot be opened ({getattr(error, 'strerror', None) or error})", _DELETE)
        raise _unusable(path, what, way_out) from error
    mode = os.fstat(descriptor).st_mode
    if not _can_be_locked(mode):
        os.close(descriptor)
        raise _unusable(path, f"is {kind_of_file(mode)}, not a file")
    return descriptor


def _open_or_create(path: str) -> int:
    # A pipe is opened without waiting for its other end.
    to_read = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    # Not in one call: Linux refuses O_CREAT on another user's file in a sticky folder (fs.protected_regular).
    with contextlib.suppress(FileNotFoundError):
        return os.open(path, to_read)
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        os.fchmod(descriptor, 0o666)
        return descriptor
    return os.open(path, to_read)


def _unfit(path: str) -> tuple[str, str] | None:
    """Return why a path cannot be opened and what to do, if there is a better explanation than the system's error."""
    with contextlib.suppress(OSError, ValueError):
        if os.path.islink(path) and not os.path.exists(path):
            return "is a broken link", _DELETE
        if not os.path.isdir(os.path.dirname(path) or "."):
            return "is in a folder that does not exist", "create the folder"
        if not _can_be_locked(mode := os.stat(path).st_mode):
            return f"is {kind_of_file(mode)}, not a file", _DELETE
        if not os.access(path, os.R_OK):
            return "is not readable for you", "ask its owner for permission (chmod 666)"
    return None


def _can_be_locked(mode: int) -> bool:
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def _unusable(path: str, what: str, way_out: str = _DELETE) -> AsrmeterError:
    return AsrmeterError(
        f"{printable(path, _MAX_SHOWN)}: the machine's lock {what}; {way_out}, or set {LOCK_VARIABLE} to "
        "another file, the same for all who measure on this machine"
    )
