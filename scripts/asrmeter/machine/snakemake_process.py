"""Find the Snakemake process of a job, and end the job with it. Standard library only."""

import contextlib
import os
import select
import threading
from pathlib import Path


def process() -> int | None:
    """Return the process id of the Snakemake that runs this job, None without Snakemake."""
    pid = os.getppid()
    with contextlib.suppress(OSError):  # some machines hide the processes of other users
        while pid > 1:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
            if any(Path(part).name == "snakemake" for part in command[:3]):
                return pid
            pid = int(_status(pid)[1])
    return None


def started(pid: int) -> str:
    """Return the start time of a process, which identifies it together with the process id."""
    return _status(pid)[19]


def name() -> str | None:
    """Return a unique name of the Snakemake run that this job belongs to; None without one."""
    with contextlib.suppress(OSError):  # it ended meanwhile
        owner = process()
        return None if owner is None else f"{owner} {started(owner)}"
    return None


def end_with_it() -> None:
    """Make this process end when its Snakemake ends in any way.

    The kernel does this only for a parent process, and there is a shell in between. So a thread sleeps in the kernel
    until Snakemake ends; nothing else wakes it up.
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
