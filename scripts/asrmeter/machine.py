"""The machine: who may measure on it now, what it is, and how busy it is. Standard library only."""

import contextlib
import ctypes
import fcntl
import hashlib
import importlib.metadata
import logging
import math
import os
import platform
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Another place for the lock: for tests, and for machines whose users do not share a temporary folder.
LOCK_VARIABLE = "ASRMETER_LOCK"
# Not the temporary folder of the environment: that may be another for every job.
LOCK = "/tmp/asrmeter.lock"
_VERSIONED = ("torch", "transformers", "codecarbon", "numpy")


@contextlib.contextmanager
def alone() -> Iterator[int]:
    """Hold the machine for a measurement; yield the lock's file descriptor, so that a child process may hold it too.

    Waits for measurements and other work of any pipeline on the machine, of this checkout or another.
    """
    with _locked(fcntl.LOCK_EX, "waiting for another pipeline on this machine to let this one measure") as descriptor:
        yield descriptor


@contextlib.contextmanager
def beside_no_measurement() -> Iterator[None]:
    """Hold the machine together with other work that is no measurement."""
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
    """Open the lock file, making it for every user of the machine if it is not there."""
    # Not in one call: Linux refuses O_CREAT on another user's file in a sticky folder (fs.protected_regular).
    with contextlib.suppress(FileNotFoundError):
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        os.fchmod(descriptor, 0o666)
        return descriptor
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def cuda_missing() -> str | None:
    """Return why there is no CUDA device to measure on, or None if there is one."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1"):
        return "CUDA_VISIBLE_DEVICES hides every GPU"
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "no NVIDIA driver is installed"
    count = ctypes.c_int(0)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return "the NVIDIA driver finds no GPU"
    if "+cpu" in _version("torch"):
        return "the installed torch is a CPU build"
    return None


def available_cpus() -> int:
    """Return how many cores this process may use: those that it is bound to, or a container's share if that is less."""
    bound = len(os.sched_getaffinity(0))
    quota, _, period = (_read("/sys/fs/cgroup/cpu.max") or "max 1").partition(" ")
    return bound if quota == "max" else max(1, min(bound, math.ceil(int(quota) / int(period))))


def facts(root: Path) -> dict[str, Any]:
    """Return what a record must say of the machine and the software that it was measured with.

    `root` is the checkout, for its git commit.
    """
    cpu = cpu_name()
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    identity = [_read("/etc/machine-id") or platform.node(), cpu, str(os.cpu_count()), str(memory_bytes)]
    return {
        "machine_id": hashlib.sha256("\n".join(["asrmeter", *identity]).encode()).hexdigest()[:12],
        "cpu_name": cpu,
        "n_cpus": available_cpus(),
        "memory_bytes": memory_bytes,
        "os": f"{_distribution()}, Linux {platform.release()}",
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "python_version": platform.python_version(),
        "commit": _commit(root),
        **{f"{name}_version": _version(name) for name in _VERSIONED},
    }


def activity() -> dict[str, Any]:
    """Return how busy the machine is: load average, CPU time stolen by a hypervisor (s since boot), clock (MHz)."""
    fields = (_read("/proc/stat") or "").splitlines()[0].split()
    clocks = re.findall(r"^cpu MHz\s*:\s*([\d.]+)", _read("/proc/cpuinfo") or "", re.MULTILINE)
    return {
        "load_1min": os.getloadavg()[0],
        "steal_s": int(fields[8]) / os.sysconf("SC_CLK_TCK") if len(fields) > 8 else None,
        "cpu_mhz": max(map(float, clocks)) if clocks else None,
    }


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return "unknown distribution"


def cpu_name() -> str:
    """Return the processor's name as Linux gives it."""
    found = re.search(r"^model name\s*:\s*(.+)$", _read("/proc/cpuinfo") or "", re.MULTILINE)
    return found.group(1) if found else platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _commit(root: Path) -> str | None:
    """Return the checkout's commit, with "-dirty" when files differ from it; None outside of git."""
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None
