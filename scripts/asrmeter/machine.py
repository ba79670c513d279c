"""The machine: who may measure on it now, what it is, and how busy it is. Standard library only."""

import contextlib
import ctypes
import fcntl
import functools
import glob
import hashlib
import importlib.metadata
import logging
import math
import os
import platform
import re
import subprocess
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Another place for the lock: for tests, and for machines whose users do not share a temporary folder.
LOCK_VARIABLE = "ASRMETER_LOCK"
# Not the temporary folder of the environment: that may be another for every job.
LOCK = "/tmp/asrmeter.lock"
# As many cores tell of the clock as can be asked in a tenth of a millisecond or two.
_MOST_CLOCKS = 8
# Their first sensor is the whole package. Others are of disks, boards and network cards.
_CPU_CHIPS = ("coretemp", "k10temp", "zenpower", "cpu_thermal")
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


def clock_ahead_s() -> float:
    """Return how far the wall clock is ahead of one that nobody sets: this changes only when it jumps.

    It does when it is set, and when the machine was suspended.
    """
    return time.time() - time.monotonic()


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
    quota, _, period = (read("/sys/fs/cgroup/cpu.max") or "max 1").partition(" ")
    return bound if quota == "max" else max(1, min(bound, math.ceil(int(quota) / int(period))))


def facts(root: Path) -> dict[str, Any]:
    """Return what a record must say of the machine and the software that it was measured with.

    `root` is the checkout, for its git commit.
    """
    return {
        "machine_id": machine_id(),
        "node": node(),
        "slurm_job_id": os.environ.get("SLURM_JOB_ID"),
        "visible_gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "cpu_name": cpu_name(),
        "n_cpus": available_cpus(),
        "memory_bytes": memory_bytes(),
        "os": f"{_distribution()}, Linux {platform.release()}",
        "governor": governor(),
        "python_version": platform.python_version(),
        "commit": _commit(root),
        **{f"{name}_version": _version(name) for name in _VERSIONED},
    }


def machine_id() -> str:
    """Return twelve hexadecimal digits that stand for this kind of machine: processor, number of cores and memory.

    The nodes of a cluster that are alike are one kind; `node` tells them apart.
    """
    # A part of the memory is reserved, a little more or less of it from one start to the next.
    identity = [cpu_name(), str(os.cpu_count()), f"{memory_bytes() / 2**30:.0f} GiB"]
    return hashlib.sha256("\n".join(["asrmeter", *identity]).encode()).hexdigest()[:12]


def node() -> str | None:
    """Return the name of this node of a SLURM cluster; None elsewhere, where a machine's name concerns nobody."""
    return os.environ.get("SLURMD_NODENAME")


def memory_bytes() -> int:
    """Return the machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def physical_cores(cpus: Collection[int], prefix: str = "") -> int:
    """Return how many cores these are: two hyper-threads are one; each counts where the machine does not say."""
    siblings = [read(f"{prefix}/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list") for cpu in cpus]
    return len(siblings) if None in siblings else len(set(siblings))


def governor() -> str | None:
    """Return who sets the first core's clock: `performance`, `powersave`, ...; None where the machine does not say."""
    return read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


@dataclass(frozen=True)
class CpuTime:
    """Seconds of CPU time since boot, summed over cores: used by anybody, stolen by a hypervisor, of all kinds."""

    busy_s: float
    steal_s: float
    total_s: float


def cpu_time(cpus: Collection[int] | None = None, prefix: str = "") -> CpuTime | None:
    """Return the CPU time of all cores, or of those numbered; None where the machine does not say.

    The source is /proc/stat, in steps of 10 ms. `prefix`, here and elsewhere, is put before every path.
    """
    names = {"cpu"} if cpus is None else {f"cpu{number}" for number in cpus}
    table: list[list[int]] = []
    for line in (read(f"{prefix}/proc/stat") or "").splitlines():
        name, *ticks = line.split()
        if not name.startswith("cpu"):
            break
        if name in names:
            # user, nice, system, idle, iowait, irq, softirq, steal; a guest's time is in user and nice already.
            table.append([int(tick) for tick in ticks[:8]])
    if not table or len(table[0]) < 8 or not any(map(any, table)):
        return None
    user, nice, system, idle, waiting, irq, softirq, steal = (
        sum(column) / os.sysconf("SC_CLK_TCK") for column in zip(*table, strict=True)
    )
    busy_s = user + nice + system + irq + softirq
    return CpuTime(busy_s, steal, busy_s + idle + waiting + steal)


def cpu_mhz(prefix: str = "", quick: bool = False) -> float | None:
    """Return the highest clock (MHz) of a few cores spread over the machine; None where the machine does not say.

    Where there is no cpufreq, /proc/cpuinfo knows; `quick` leaves that out, as it costs milliseconds on large machines.
    """
    clocks = [float(text) / 1000 for file in _clock_files(prefix) if (text := read(file))]
    if not clocks and not quick:
        found = re.findall(r"^cpu MHz\s*:\s*([\d.]+)", read(f"{prefix}/proc/cpuinfo") or "", re.MULTILINE)
        clocks = [float(text) for text in found]
    return max(clocks, default=None)


def cpu_temperature_c(prefix: str = "") -> float | None:
    """Return the temperature of the hottest processor package (°C); None where the machine does not say."""
    # A sensor may refuse for a moment.
    return max((int(text) / 1000 for file in _thermometers(prefix) if (text := read(file))), default=None)


def throttle_events(prefix: str = "") -> int | None:
    """Return how often cores and packages were slowed down for heat since boot; None where Linux does not count it.

    A package's event counts once for each of its cores. Only Intel's processors are counted.
    """
    files = _matching(prefix, "/sys/devices/system/cpu/cpu[0-9]*/thermal_throttle", "*_throttle_count")
    counts = [int(text) for file in files if (text := read(file))]
    return sum(counts) if counts else None


@functools.cache
def _clock_files(prefix: str) -> list[str]:
    files = _matching(prefix, "/sys/devices/system/cpu/cpu[0-9]*/cpufreq", "scaling_cur_freq")
    return files[:: math.ceil(len(files) / _MOST_CLOCKS)] if files else []


@functools.cache
def _thermometers(prefix: str) -> list[str]:
    """Return the files with the temperature of each processor package."""
    chips = [file for file in _matching(prefix, "/sys/class/hwmon/*", "name") if read(file) in _CPU_CHIPS]
    packages = [file.removesuffix("name") + "temp1_input" for file in chips]
    zones = _matching(prefix, "/sys/class/thermal/thermal_zone*", "type")
    return packages or [
        file.removesuffix("type") + "temp" for file in zones if re.match("x86_pkg|cpu", read(file) or "")
    ]


def _matching(prefix: str, folders: str, name: str) -> list[str]:
    return sorted(glob.glob(f"{prefix}{folders}/{name}"))


def activity(prefix: str = "") -> dict[str, Any]:
    """Return how busy the machine is.

    Load average, CPU time stolen by a hypervisor (s since boot), clock (MHz), temperature (°C) and how often it made
    the processor slow down (since boot). None for what the machine does not say.
    """
    time_ = cpu_time(prefix=prefix)
    return {
        "load_1min": float(load.split()[0]) if (load := read(f"{prefix}/proc/loadavg")) else None,
        "steal_s": time_.steal_s if time_ else None,
        "cpu_mhz": cpu_mhz(prefix),
        "temperature_c": cpu_temperature_c(prefix),
        "throttle_events": throttle_events(prefix),
    }


def oom_kills() -> int:
    """Return how many processes the kernel has ended for want of memory since boot; 0 where it does not say."""
    found = re.search(r"^oom_kill (\d+)$", read("/proc/vmstat") or "", re.MULTILINE)
    return int(found.group(1)) if found else 0


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return "unknown distribution"


def cpu_name() -> str:
    """Return the processor's name as Linux gives it."""
    found = re.search(r"^model name\s*:\s*(.+)$", read("/proc/cpuinfo") or "", re.MULTILINE)
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


def read(path: str) -> str | None:
    """Return what a file of the system says; None if it is not there or does not answer."""
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None
