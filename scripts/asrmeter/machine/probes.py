"""How busy, fast and hot the machine is now, as Linux says."""

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

# As many cores tell of the clock as can be asked in a tenth of a millisecond or two.
_MOST_CLOCKS = 8
# Their first sensor is the whole package. Others are of disks, boards and network cards.
_CPU_CHIPS = ("coretemp", "k10temp", "zenpower", "cpu_thermal")


def clock_ahead_s() -> float:
    """Return how far the wall clock is ahead of one that nobody sets: this changes only when it jumps.

    It does when it is set, and when the machine was suspended.
    """
    return time.time() - time.monotonic()


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


def read(path: str) -> str | None:
    """Return what a file of the system says; None if it is not there or does not answer."""
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None
