"""Find the processes that hold a lock, from /proc/locks. Standard library only."""

import contextlib
import datetime
import os
import pwd
import time
from pathlib import Path

from asrmeter.common.printable import printable

_MAX_NAMED = 3
_MAX_COMMAND = 120


def holders(descriptor: int, prefix: str = "") -> str:
    """Return the holders of a flock on an open file: process, user, start time and command.

    `prefix` is put before /proc.
    """
    pids = _pids(os.fstat(descriptor), prefix)
    if not pids:
        return "a process that cannot be seen from here (in a container, or on another machine?)"
    named = [_process(pid, prefix) for pid in pids[:_MAX_NAMED]]
    return ", ".join(named) + (f" and {len(pids) - _MAX_NAMED} more" if len(pids) > _MAX_NAMED else "")


def _pids(status: os.stat_result, prefix: str) -> list[int]:
    """Return the ids of the processes that hold a flock on a file."""
    own_device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    same_device, any_device = [], []
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path(f"{prefix}/proc/locks").read_text(encoding="utf-8", errors="replace").splitlines():
            # 1: FLOCK  ADVISORY  WRITE 4711 08:01:131 0 EOF; an arrow behind the number marks one who waits.
            _, kind, _, _, pid, place, *_ = line.split()
            device, _, inode = place.rpartition(":")
            if kind == "FLOCK" and int(inode) == status.st_ino and int(pid) > 0:
                any_device.append(int(pid))
                same_device += [int(pid)] if device == own_device else []
    # On some file systems the device number in this table differs from that of the file.
    return list(dict.fromkeys(same_device or any_device))


def _process(pid: int, prefix: str) -> str:
    folder = Path(f"{prefix}/proc/{pid}")
    try:
        user = folder.stat().st_uid
    except OSError:
        return f"a process started by process {pid}, which has ended"
    with contextlib.suppress(KeyError):
        user = pwd.getpwuid(user).pw_name  # type: ignore[assignment]
    said = f"process {pid} of {user}"
    with contextlib.suppress(OSError, ValueError, IndexError):
        started_s = _started_s(folder, prefix)
        said += f" since {datetime.datetime.fromtimestamp(started_s).astimezone():%Y-%m-%d %H:%M:%S}"
    with contextlib.suppress(OSError):
        command = (folder / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ")
        said += f" ({printable(os.fsdecode(command), _MAX_COMMAND)})" if command else ""
    return said


def _started_s(folder: Path, prefix: str) -> float:
    """Return when a process was started, in seconds since the epoch."""
    ticks = int((folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19])
    uptime_s = float(Path(f"{prefix}/proc/uptime").read_text(encoding="utf-8").split()[0])
    return time.time() - uptime_s + ticks / os.sysconf("SC_CLK_TCK")
