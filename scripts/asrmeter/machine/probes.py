"""Probes of the machine's state in Linux: load, clock and temperature."""

import functools
import glob
import math
import os
import re
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The clocks of this many cores can be read in one or two tenths of a millisecond.
_MAX_CLOCKS = 8
# The first sensor of these chips is that of the whole package. Other chips are in disks, boards and network cards.
_CPU_CHIPS = ("coretemp", "k10temp", "zenpower", "cpu_thermal")


def clock_ahead_s() -> float:
    """Return how far the wall clock is ahead of the monotonic clock.

    This changes only if the wall clock is set or the machine is suspended.
    """
    return time.time() - time.monotonic()


def physical_cores(cpus: Collection[int], prefix: str = "") -> int:
    """Return the number of physical cores: two hyper-threads are one. Every CPU counts if this is unknown."""
    cores = [siblings(cpu, prefix) for cpu in cpus]
    return len(cores) if None in cores else len(set(cores))


def siblings(cpu: int, prefix: str = "") -> str | None:
    """Return the hyper-threads on the core of a CPU, as the kernel lists them; None if unknown."""
    return read(f"{prefix}/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")


def governor() -> str | None:
    """Return the first core's clock governor (`performance`, `powersave`, ...); None if unknown."""
    return read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


@dataclass(frozen=True)
class CpuTime:
    """Seconds of CPU time since boot, summed over cores: used by any process, stolen by a hypervisor, in total."""

    busy_s: float
    steal_s: float
    total_s: float


def cpu_time(cpus: Collection[int] | None = None, prefix: str = "") -> CpuTime | None:
    """Return the CPU time of all cores, or of the given ones; None if unknown.

    The source is /proc/stat, in steps of 10 ms. `prefix`, here and elsewhere, is put before every path.
    """
    names = {"cpu"} if cpus is None else {f"cpu{number}" for number in cpus}
    table: list[list[int]] = []
    for line in (read(f"{prefix}/proc/stat") or "").splitlines():
        name, *ticks = line.split()
        if not name.startswith("cpu"):
            break
        if name in names:
            # user, nice, system, idle, iowait, irq, softirq, steal; user and nice include the time of guests.
            table.append([int(tick) for tick in ticks[:8]])
    if not table or len(table[0]) < 8 or not any(map(any, table)):
        return None
    user, nice, system, idle, waiting, irq, softirq, steal = (
        sum(column) / os.sysconf("SC_CLK_TCK") for column in zip(*table, strict=True)
    )
    busy_s = user + nice + system + irq + softirq
    return CpuTime(busy_s, steal, busy_s + idle + waiting + steal)


def own_cpu_s() -> float:
    """Return the CPU time (s) of this process and of all its running descendants.

    The time of the descendants is in steps of 10 ms.
    """
    ticks: dict[int, int] = {}
    children: dict[int, list[int]] = {}
    for folder in os.listdir("/proc"):
        if folder.isdigit() and (stat := read(f"/proc/{folder}/stat")):
            # The name of a process is in parentheses and may contain parentheses.
            values = stat.rpartition(")")[2].split()
            children.setdefault(int(values[1]), []).append(int(folder))
            ticks[int(folder)] = int(values[11]) + int(values[12])
    total, found = 0, [os.getpid()]
    while found:
        started = children.get(found.pop(), [])
        total += sum(ticks[child] for child in started)
        found += started
    return time.process_time() + total / os.sysconf("SC_CLK_TCK")


def cpu_mhz(prefix: str = "", quick: bool = False) -> float | None:
    """Return the highest clock (MHz) of a few cores spread over the machine; None if unknown.

    Without cpufreq it is read from /proc/cpuinfo, unless `quick`: that takes milliseconds on large machines.
    """
    clocks = [float(text) / 1000 for file in _clock_files(prefix) if (text := read(file))]
    if not clocks and not quick:
        found = re.findall(r"^cpu MHz\s*:\s*([\d.]+)", read(f"{prefix}/proc/cpuinfo") or "", re.MULTILINE)
        clocks = [float(text) for text in found]
    return max(clocks, default=None)


def cpu_temperature_c(prefix: str = "") -> float | None:
    """Return the temperature of the hottest processor package (°C); None if unknown."""
    # A sensor may fail for a moment.
    return max((int(text) / 1000 for file in _thermometers(prefix) if (text := read(file))), default=None)


def throttle_events(prefix: str = "") -> int | None:
    """Return the number of thermal throttling events of cores and packages since boot; None if Linux does not count.

    An event of a package counts once for each of its cores. Only Intel's processors have such counters.
    """
    files = _matching(prefix, "/sys/devices/system/cpu/cpu[0-9]*/thermal_throttle", "*_throttle_count")
    counts = [int(text) for file in files if (text := read(file))]
    return sum(counts) if counts else None


@functools.cache
def _clock_files(prefix: str) -> list[str]:
    files = _matching(prefix, "/sys/devices/system/cpu/cpu[0-9]*/cpufreq", "scaling_cur_freq")
    return files[:: math.ceil(len(files) / _MAX_CLOCKS)] if files else []


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

    That is its load average, the CPU time stolen by a hypervisor (s since boot), its clock (MHz) and temperature (°C),
    and how often heat throttled the processor (since boot). A value is None if the machine does not say.
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
    """Return the number of processes that the kernel killed for lack of memory since boot; 0 if unknown."""
    found = re.search(r"^oom_kill (\d+)$", read("/proc/vmstat") or "", re.MULTILINE)
    return int(found.group(1)) if found else 0


def read(path: str) -> str | None:
    """Return the content of a system file, stripped; None if it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return None
