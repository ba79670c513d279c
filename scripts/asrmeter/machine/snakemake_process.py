"""The Snakemake process that a job belongs to: how to find it, and how to end with it. Standard library only."""

import contextlib
import os
import select
import threading
from pathlib import Path


def process() -> int | None:
    """Return the process id of the Snakemake that runs this job, None without one."""
    pid = os.getppid()
    with contextlib.suppress(OSError):  # some machines hide the processes of other users
        while pid > 1:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
            if any(Path(part).name == "snakemake" for part in command[:3]):
                return pid
            pid = int(_status(pid)[1])
    return None


def started(pid: int) -> str:
    """Return when a process was started; with the process id this identifies it."""
    return _status(pid)[19]


def name() -> str | None:
    """Return a unique name of the Snakemake run that this job belongs to; None without one."""
    with contextlib.suppress(OSError):  # it ended meanwhile
        owner = process()
        return None if owner is None else f"{owner} {started(owner)}"
    return None


def end_with_it() -> None:
    """Make this process end when its Snakemake does, however that ends.

    The kernel does this only for a parent, and there is a shell between the two. So a thread sleeps in the kernel until
    then; nothing else wakes it up.
    """
    owner = process()
    if owner is None:
        return
    try:
        ends = os.pidfd_open(owner)
    except ProcessLookupError:
        os._exit(1)
    except OSError:  # some containers refuse
        return

    def wait() -> None:
        poll = select.poll()
        poll.register(ends, select.POLLIN)
        poll.poll()
        os._exit(1)

    threading.Thread(target=wait, name="asrmeter-owner", daemon=True).start()


def _status(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the command's name: state, parent, ..., start time at index 19."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
