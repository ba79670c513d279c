"""Detect interference during a measurement: CPU contention, steal, throttling, clock jumps, a shared GPU.

Standard library only; pynvml for CUDA. Unknown readings are None: a container may hide the rest of the machine,
and a virtual machine has no thermometer.
"""

import contextlib
import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from asrmeter.machine import probes

# Minimum interval between readings. It grows if they would cost more than this share of the time.
INTERVAL_S, COST_SHARE = 1.0, 1e-3
# The kernel counts CPU time in steps of 10 ms: in a shorter interval one step would be several percent of a core.
MIN_INTERVAL_S = 0.5

# Measured with two threads on two cores, on matrix products and decoder steps of whisper-tiny's size. Alone: up to
# 0.03 foreign cores and 0.02 waiting threads. With a neighbour that used 0.05 to 0.07 cores, passes took -3 to 4 %
# longer, which is the scatter; 0.1 cores: 1 to 14 %; 0.3: 11 to 66 %; 0.5: 38 to 95 %; one core: 2.2 to 2.8 times as
# long, and a whole Whisper up to 8 times. Threads wait for each other at the end of every matrix product, so one that
# is held up holds up all, on any number of cores. One thread with a neighbour of 0.2 to 1 core on the other core took
# -18 to 12 % longer, 0 in the median of 21 pairs: what matters is whether each has a core. A desktop
# or a small server has 0.1 cores of other work at any time: a whole run would be disturbed, while how laps scatter
# tells what that adds. What is slower by more than laps scatter begins between 0.1 and 0.3.
WAITING_THREADS = 0.2
FOREIGN_CPU_CORES = 0.2
# Alone, a virtual machine of two cores lost 0.0 to 0.3 % over seconds. Each stolen moment holds up all threads.
STEAL_SHARE = 0.02
# Part of the highest clock seen between passes. If the mean is below it, passes were slower by as much.
CLOCK_SHARE = 0.9
# Times are taken by a clock that nobody sets. But whatever suspends the machine shows in the wall clock.
CLOCK_JUMP_S = 0.1
# NVML's names. A card under load normally works at its power limit: that is noted, but is not a disturbance.
GPU_SLOWDOWNS = ("HwSlowdown", "HwThermalSlowdown", "HwPowerBrakeSlowdown", "SwThermalSlowdown")
GPU_POWER_LIMIT = "SwPowerCap"

_HARMFUL_RATES = ("foreign_cpu_cores", "waiting_threads", "steal_share")


@dataclass(frozen=True)
class _Reading:
    at_s: float
    clock_ahead_s: float
    cpu: probes.CpuTime | None
    own_s: float
    waited_s: float | None
    cpu_mhz: float | None
    temperature_c: float | None
    gpu: dict[str, Any]


class Watch:
    """Watches the machine from now until `report`, between passes and never within one.

    Args:
        device: what the cell runs on, `cpu` or `cuda`.
        gpu: the UUID of the GPU, or NVML's handle of it; None for none. This process has a context on it.
        prefix: put before the paths of system files, but not before those of this process.
    """

    def __init__(self, device: str, gpu: Any = None, prefix: str = "") -> None:
        self._prefix = prefix
        self._cpus = usable_cpus()
        self._card = gpu_handle(gpu) if device == "cuda" and gpu is not None else None
        self._before = self._activity()
        self._readings: list[_Reading] = []
        self._read()

    def sample(self) -> None:
        """Take a reading if the last one is at least a second old; call this after each pass."""
        if time.perf_counter() >= self._due_s:
            self._read()

    def report(self) -> dict[str, Any]:
        """Take the last reading and return a summary of all readings.

        Returns:
            `before` and `after`: `probes.activity` and `gpu_activity` at both ends. `mean`: over the whole time.
            `worst`: in the worst interval between two readings, or the extreme of all readings except the first, which
            saw an idle machine. `seconds`. `n_cpus`: the CPUs that this process may use. `n_cores`: the same, where two
            hyper-threads are one.

            `foreign_cpu_cores`: CPU seconds of all other processes, per second, on those CPUs. `own_cpu_cores`: those
            of this process. `waiting_threads`: how many threads of this process could have run but had no core, on
            average, without stolen time. `steal_share`: part of those CPUs' time that a hypervisor gave to others. All
            of these are None for less than `MIN_INTERVAL_S`. `n_throttle_events`: how often the processor slowed down
            for heat, from `before` to `after`. `clock_jump_s`: by how much the wall clock was set.
        """
        self._read()
        after = self._activity()
        readings = self._readings
        # The last interval may be very short, so it is merged with the one before.
        too_short = len(readings) > 2 and readings[-1].at_s - readings[-2].at_s < MIN_INTERVAL_S
        ends = [*readings[:-2], readings[-1]] if too_short else readings
        intervals = [_rates(first, last) for first, last in itertools.pairwise(ends)]
        clocks = _known(reading.cpu_mhz for reading in readings[1:])
        jumps_s = [last.clock_ahead_s - first.clock_ahead_s for first, last in itertools.pairwise(readings)]
        throttled = (self._before["throttle_events"], after["throttle_events"])
        worst = {rate: max(_known(interval[rate] for interval in intervals), default=None) for rate in _HARMFUL_RATES}
        worst |= {
            "cpu_mhz_min": min(clocks, default=None),
            "cpu_mhz_max": max(clocks, default=None),
            "temperature_c_max": max(_known(reading.temperature_c for reading in readings[1:]), default=None),
            "n_throttle_events": None if None in throttled else throttled[1] - throttled[0],
            "clock_jump_s": max(jumps_s, key=abs),
        }
        if self._card:
            worst |= _worst_of_gpu([reading.gpu for reading in readings[1:]])
        return {
            "before": self._before,
            "after": after,
            "mean": _rates(readings[0], readings[-1]) | {"cpu_mhz": statistics.mean(clocks) if clocks else None},
            "worst": worst,
            "seconds": readings[-1].at_s - readings[0].at_s,
            "n_cpus": len(self._cpus),
            "n_cores": probes.physical_cores(self._cpus, self._prefix),
        }

    def _activity(self) -> dict[str, Any]:
        return probes.activity(self._prefix) | (gpu_activity(self._card, own_context=True) if self._card else {})

    def _read(self) -> None:
        # CPU time: with a busy neighbour the wall time of a reading can have any length.
        begin_s = time.thread_time()
        reading = _Reading(
            at_s=time.perf_counter(),
            clock_ahead_s=probes.clock_ahead_s(),
            own_s=time.process_time(),
            cpu=probes.cpu_time(self._cpus, self._prefix),
            waited_s=_waited_s(),
            cpu_mhz=probes.cpu_mhz(self._prefix, quick=True),
            temperature_c=probes.cpu_temperature_c(self._prefix),
            gpu=gpu_activity(self._card, own_context=True) if self._card else {},
        )
        self._readings.append(reading)
        cost_s = time.thread_time() - begin_s
        self._due_s = reading.at_s + max(INTERVAL_S, cost_s / COST_SHARE)


def disturbances(report: dict[str, Any], threads: int) -> dict[str, str]:
    """Return the disturbances of a measurement with `threads` CPU threads: one clause for each cause.

    Causes: `cores` (others used them), `steal`, `clock`, `heat`, `wall_clock`, `gpu_slowdown`, `gpu_shared`.
    """
    mean, worst, n_cpus = report["mean"], report["worst"], report["n_cpus"]
    foreign, waiting, steal = mean["foreign_cpu_cores"], mean["waiting_threads"], mean["steal_share"]
    # Most threads of a cell on a GPU sleep. Its use of cores is known, unless the kernel does not count waiting.
    spare = max(0.0, report["n_cores"] - (threads if waiting is None else mean["own_cpu_cores"]))
    found = {}
    if waiting is not None and waiting > WAITING_THREADS:
        found["cores"] = f"on average {waiting:.2f} of its threads waited for one of the {n_cpus} cores"
        if foreign is not None:
            found["cores"] += f", while other processes used {_mean_and_worst(report, 'foreign_cpu_cores')}"
    elif foreign is not None and foreign > FOREIGN_CPU_CORES + spare:
        found["cores"] = f"other processes used {_mean_and_worst(report, 'foreign_cpu_cores')} of the {n_cpus} cores"
    if steal is not None and steal > STEAL_SHARE:
        found["steal"] = f"the hypervisor gave {100 * steal:.1f} % of the cores' time to others"
    if mean["cpu_mhz"] and mean["cpu_mhz"] < CLOCK_SHARE * worst["cpu_mhz_max"]:
        found["clock"] = f"the clock was {mean['cpu_mhz']:.0f} MHz on average and {worst['cpu_mhz_max']:.0f} at best"
    if worst["n_throttle_events"]:
        found["heat"] = f"the processor slowed down for heat ({worst['n_throttle_events']} events)"
    if abs(worst["clock_jump_s"]) > CLOCK_JUMP_S:
        found["wall_clock"] = f"the wall clock was set by {worst['clock_jump_s']:+.1f} s, or the machine was suspended"
    return found | gpu_disturbances(worst)


def gpu_disturbances(seen: dict[str, Any]) -> dict[str, str]:
    """Return the disturbances of a measurement on a GPU, from its readings: one clause for each cause."""
    found = {}
    if slowdowns := [name for name in seen.get("gpu_slowdowns") or () if name in GPU_SLOWDOWNS]:
        found["gpu_slowdown"] = f"the GPU slowed down ({', '.join(slowdowns)})"
    if others := seen.get("n_foreign_gpu_processes"):
        found["gpu_shared"] = f"{others} other process{'es' if others > 1 else ''} had the GPU open for computing"
    return found


def why_disturbed(report: dict[str, Any], threads: int) -> str | None:
    """Return the disturbances of a measurement with `threads` CPU threads as text, None if there were none."""
    return "; ".join(disturbances(report, threads).values()) or None


def gpu_handle(gpu: Any) -> Any | None:
    """Return NVML's handle of a GPU, given its UUID or the handle itself; None if NVML does not know it."""
    import pynvml

    try:
        pynvml.nvmlInit()
        return pynvml.nvmlDeviceGetHandleByUUID(gpu) if isinstance(gpu, str) else gpu
    except pynvml.NVMLError:
        return None


def gpu_activity(card: Any, own_context: bool) -> dict[str, Any]:
    """Return clock (MHz), temperature (°C), slowdown reasons (NVML's names) and other computing processes of a GPU.

    A container may show this process under another number, or only this process. So processes are counted, not
    recognised: if this process has a context (`own_context`), one of them is its own.
    """
    import pynvml

    def ask(question: Callable[..., Any], *more: Any) -> Any | None:
        try:
            return question(card, *more)
        except pynvml.NVMLError:
            return None

    reasons = ask(pynvml.nvmlDeviceGetCurrentClocksEventReasons)
    if reasons is None:  # drivers before 535
        reasons = ask(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons)
    names = (*GPU_SLOWDOWNS, GPU_POWER_LIMIT)
    # With the version in its name: with an older driver the plain function raises an error that is not an NVMLError.
    processes = ask(pynvml.nvmlDeviceGetComputeRunningProcesses_v3)
    return {
        "gpu_mhz": ask(pynvml.nvmlDeviceGetClockInfo, pynvml.NVML_CLOCK_SM),
        "gpu_temperature_c": ask(pynvml.nvmlDeviceGetTemperature, pynvml.NVML_TEMPERATURE_GPU),
        "gpu_slowdowns": None
        if reasons is None
        else [name for name in names if reasons & getattr(pynvml, f"nvmlClocksEventReason{name}")],
        "n_foreign_gpu_processes": None if processes is None else max(0, len(processes) - own_context),
    }


def _rates(first: _Reading, last: _Reading) -> dict[str, float | None]:
    seconds = last.at_s - first.at_s
    rates: dict[str, float | None] = dict.fromkeys(("own_cpu_cores", *_HARMFUL_RATES))
    if seconds < MIN_INTERVAL_S:
        return rates
    own_s = last.own_s - first.own_s
    rates["own_cpu_cores"] = own_s / seconds
    if first.waited_s is not None and last.waited_s is not None:
        # The sum decreases only if threads have ended.
        rates["waiting_threads"] = max(0.0, last.waited_s - first.waited_s) / seconds
    if first.cpu and last.cpu:
        rates["foreign_cpu_cores"] = max(0.0, last.cpu.busy_s - first.cpu.busy_s - own_s) / seconds
        if (total_s := last.cpu.total_s - first.cpu.total_s) > 0:
            rates["steal_share"] = (last.cpu.steal_s - first.cpu.steal_s) / total_s
    return rates


def _worst_of_gpu(seen: list[dict[str, Any]]) -> dict[str, Any]:
    known = {key: _known(gpu[key] for gpu in seen) for key in seen[0]}
    return {
        "gpu_mhz_min": min(known["gpu_mhz"], default=None),
        "gpu_temperature_c_max": max(known["gpu_temperature_c"], default=None),
        "gpu_slowdowns": sorted(set(itertools.chain(*known["gpu_slowdowns"]))) if known["gpu_slowdowns"] else None,
        "n_foreign_gpu_processes": max(known["n_foreign_gpu_processes"], default=None),
    }


def _mean_and_worst(report: dict[str, Any], rate: str) -> str:
    mean, worst = report["mean"][rate], report["worst"][rate]
    # The worst value covers only long intervals. It is meaningless if the mean is above it.
    return f"{mean:.2f}" if worst is None or worst <= mean else f"{mean:.2f} (at worst {worst:.2f})"


def usable_cpus() -> set[int]:
    """Return the CPUs that any thread of this process may use: OpenMP may have bound each thread to one."""
    cpus = os.sched_getaffinity(0)
    for thread in _threads():
        with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
            cpus |= os.sched_getaffinity(thread)
    return cpus


def _waited_s() -> float | None:
    """Return the seconds in which threads of this process were runnable but had no core, summed over threads.

    None if the kernel does not count them. The source is /proc/self/task/*/schedstat, in nanoseconds.
    """
    stats = [probes.read(f"/proc/self/task/{thread}/schedstat") for thread in _threads()]
    times = [[int(number) for number in text.split()] for text in stats if text]
    return sum(waited for _, waited, _ in times) / 1e9 if any(ran for ran, _, _ in times) else None


def _threads() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc/self/task")]
    except FileNotFoundError:
        return []


def _known(values: Iterable[Any]) -> list[Any]:
    return [value for value in values if value is not None]
