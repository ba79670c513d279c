"""The watch over the machine: what it reads, what it makes of it, and what it calls a disturbance."""

import contextlib
import ctypes
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pynvml
import pytest

from asrmeter.machine import cuda, interference, probes
from asrmeter.machine.interference import GPU_POWER_LIMIT, Watch, disturbances, why_disturbed
from helpers import fake_nvml
from helpers.files import write

pytestmark = pytest.mark.alone

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
LONG_ENOUGH_S = 1.1 * interference.MIN_INTERVAL_S


def write_stat(folder: Path, seconds: dict[int, tuple[float, float, float]]) -> None:
    """Write /proc/stat from (busy, idle, steal) seconds by core."""
    lines = [
        f"cpu{cpu} {busy * TICKS_PER_S:.0f} 0 0 {idle * TICKS_PER_S:.0f} 0 0 0 {steal * TICKS_PER_S:.0f} 0 0"
        for cpu, (busy, idle, steal) in seconds.items()
    ]
    write(folder, "proc/stat", "\n".join(["cpu  0 0 0 0 0 0 0 0 0 0", *lines, "intr 12 0 3"]))


def report(n_cpus: int = 2, **seen: Any) -> dict[str, Any]:
    """Return the report of a quiet machine, with other values for some keys of `mean` or `worst`."""
    mean = {"foreign_cpu_cores": 0.02, "own_cpu_cores": 2.0, "waiting_threads": 0.02, "steal_share": 0.001}
    worst = {"foreign_cpu_cores": 0.05, "waiting_threads": 0.05, "steal_share": 0.002}
    worst |= {"cpu_mhz_min": 2900.0, "cpu_mhz_max": 3000.0, "temperature_c_max": 70.0, "n_throttle_events": 0}
    worst |= {"clock_jump_s": 0.0}
    mean["cpu_mhz"] = 2980.0
    return {
        "mean": {key: seen.get(key, value) for key, value in mean.items()},
        "worst": worst | {key: value for key, value in seen.items() if key not in mean},
        "n_cpus": n_cpus,
        "n_cores": n_cpus,
    }


@contextlib.contextmanager
def busy_neighbours(number: int, limit_s: float = 20) -> Iterator[None]:
    """Have other processes use all they get, for a while at most."""
    code = f"import time\nend = time.monotonic() + {limit_s}\nprint(flush=True)\nwhile time.monotonic() < end: pass"
    neighbours = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(number)]
    try:
        for neighbour in neighbours:
            assert neighbour.stdout is not None and neighbour.stdout.readline() == b"\n"
        yield
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.communicate()


def work(watch: Watch, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(10_000))
        watch.sample()


def test_busy_neighbours_are_a_disturbance() -> None:
    n_cpus = len(os.sched_getaffinity(0))
    with busy_neighbours(2 * n_cpus):
        watch = Watch("cpu")
        work(watch, 2.5)
        seen = watch.report()
    mean, worst = seen["mean"], seen["worst"]
    assert seen["n_cpus"] == n_cpus
    assert seen["seconds"] == pytest.approx(2.5, abs=1)
    # This thread and those neighbours share the cores.
    assert 0.3 * n_cpus < mean["foreign_cpu_cores"] <= worst["foreign_cpu_cores"] < 1.1 * n_cpus
    assert mean["own_cpu_cores"] + mean["foreign_cpu_cores"] == pytest.approx(n_cpus, rel=0.15)
    assert 0.2 < mean["waiting_threads"] <= worst["waiting_threads"] < 1
    reason = why_disturbed(seen, threads=1)
    assert reason is not None and f"other processes used {mean['foreign_cpu_cores']:.2f}" in reason
    assert json.loads(json.dumps(seen)) == seen


def test_own_work_is_not_foreign() -> None:
    def seconds_of_others() -> float:
        used = probes.cpu_time(os.sched_getaffinity(0))
        assert used is not None
        return used.busy_s - time.process_time()

    before = seconds_of_others()
    watch = Watch("cpu")
    work(watch, 1.5)
    seen = watch.report()
    # Whoever else uses this machine while it is tested was seen by a reading of our own, too.
    others = (seconds_of_others() - before) / seen["seconds"]
    assert seen["mean"]["own_cpu_cores"] > 0.05
    assert seen["mean"]["foreign_cpu_cores"] == pytest.approx(max(0, others), abs=0.1)


def test_rates_are_differences_of_the_cores_that_may_be_used(tmp_path: Path) -> None:
    used = sorted(os.sched_getaffinity(0))
    unused = max(used) + 1
    write_stat(tmp_path, dict.fromkeys(used, (100, 100, 10)) | {unused: (100, 100, 10)})
    watch = Watch("cpu", prefix=str(tmp_path))
    time.sleep(LONG_ENOUGH_S)
    write_stat(tmp_path, dict.fromkeys(used, (103, 106, 11)) | {unused: (900, 100, 900)})
    seen = watch.report()
    own_s = seen["mean"]["own_cpu_cores"] * seen["seconds"]
    foreign_s = seen["mean"]["foreign_cpu_cores"] * seen["seconds"]
    assert foreign_s == pytest.approx(3 * len(used) - own_s, abs=1e-3)
    assert seen["mean"]["steal_share"] == pytest.approx(0.1)
    assert seen["worst"]["steal_share"] == seen["mean"]["steal_share"]


def test_a_moment_is_too_short_for_a_rate() -> None:
    seen = Watch("cpu").report()
    assert seen["seconds"] < interference.MIN_INTERVAL_S
    rates = ("foreign_cpu_cores", "waiting_threads", "steal_share")
    assert [seen["mean"][rate] for rate in rates] == [seen["worst"][rate] for rate in rates] == [None] * 3
    assert why_disturbed(seen, threads=2) is None


def test_watch_without_readings_is_not_disturbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interference, "_waited_s", lambda: None)
    watch = Watch("cpu", prefix=str(tmp_path))
    time.sleep(LONG_ENOUGH_S)
    seen = watch.report()
    told = seen["before"] | seen["after"] | seen["worst"] | seen["mean"]
    assert {key for key, value in told.items() if value is not None} == {"own_cpu_cores", "clock_jump_s"}
    assert why_disturbed(seen, threads=2) is None


def test_samples_between_passes_cost_next_to_nothing(tmp_path: Path) -> None:
    write(tmp_path, "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "3000000")
    watch = Watch("cpu", prefix=str(tmp_path))
    write(tmp_path, "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "100000")
    begin = time.thread_time()
    for _ in range(10_000):
        watch.sample()
    assert time.thread_time() - begin < 0.1
    write(tmp_path, "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "2000000")
    # Nothing was read in less than a second, or the lower clock had been seen.
    assert watch.report()["worst"]["cpu_mhz_min"] == 2000


def test_a_reading_that_costs_much_makes_readings_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = []

    def slow(*_: Any, **__: Any) -> None:
        readings.append(None)
        end = time.thread_time() + 0.005
        while time.thread_time() < end:
            pass

    monkeypatch.setattr(probes, "cpu_mhz", slow)
    watch = Watch("cpu")
    before = len(readings)
    # 5 ms are a thousandth of five seconds.
    work(watch, 1.3 * interference.INTERVAL_S)
    assert len(readings) == before


def test_clock_heat_and_temperature(tmp_path: Path) -> None:
    def set_to(khz: int, millidegrees: int, events: int) -> None:
        for cpu in (0, 1):
            write(tmp_path, f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_cur_freq", f"{khz - cpu}")
            write(tmp_path, f"sys/devices/system/cpu/cpu{cpu}/thermal_throttle/core_throttle_count", f"{events}")
        write(tmp_path, "sys/class/hwmon/hwmon3/temp1_input", f"{millidegrees}")

    write(tmp_path, "sys/class/hwmon/hwmon3/name", "coretemp")
    set_to(800_000, 40_000, 7)
    watch = Watch("cpu", prefix=str(tmp_path))
    set_to(4_000_000, 97_000, 8)
    work(watch, 1.1 * interference.INTERVAL_S)
    set_to(2_500_000, 90_000, 9)
    seen = watch.report()
    assert (seen["before"]["cpu_mhz"], seen["after"]["cpu_mhz"]) == (800, 2500)
    assert (seen["worst"]["cpu_mhz_min"], seen["worst"]["cpu_mhz_max"]) == (2500, 4000)
    assert (seen["mean"]["cpu_mhz"], seen["worst"]["temperature_c_max"]) == (3250, 97)
    assert (seen["before"]["throttle_events"], seen["worst"]["n_throttle_events"]) == (14, 4)
    found = disturbances(seen, threads=2)
    assert found["clock"] == "the clock was 3250 MHz on average and 4000 at best"
    assert found["heat"] == "the processor slowed down for heat (4 events)"


def test_a_quiet_machine_is_not_disturbed() -> None:
    assert why_disturbed(report(), threads=2) is None


@pytest.mark.parametrize(
    ("cause", "seen", "clause"),
    [
        (
            "cores",
            {"waiting_threads": 0.5, "foreign_cpu_cores": 0.51},
            "on average 0.50 of its threads waited for one of the 2 cores, while other processes used 0.51",
        ),
        ("cores", {"waiting_threads": None, "foreign_cpu_cores": 0.21}, "other processes used 0.21"),
        ("steal", {"steal_share": 0.05}, "the hypervisor gave 5.0 % of the cores' time to others"),
        ("clock", {"cpu_mhz": 2600.0}, "the clock was 2600 MHz on average and 3000 at best"),
        ("heat", {"n_throttle_events": 1}, "(1 events)"),
        ("wall_clock", {"clock_jump_s": -3600.0}, "the wall clock was set by -3600.0 s, or the machine was suspended"),
        ("gpu_slowdown", {"gpu_slowdowns": ["HwThermalSlowdown", "SwPowerCap"]}, "(HwThermalSlowdown)"),
        ("gpu_shared", {"n_foreign_gpu_processes": 2}, "2 other processes had the GPU open"),
    ],
)
def test_disturbance_has_its_clause(cause: str, seen: dict[str, Any], clause: str) -> None:
    found = disturbances(report(**seen), threads=2)
    assert list(found) == [cause]
    assert clause in found[cause]


def test_why_disturbed_names_all_causes() -> None:
    reason = why_disturbed(report(waiting_threads=1.0, steal_share=0.5), threads=2)
    assert reason is not None and "waited" in reason and "; the hypervisor" in reason


@pytest.mark.parametrize(
    ("threads", "own", "waiting", "foreign", "disturbed"),
    [
        # All cores are used: a fifth of a core is too much.
        (16, 16.0, 0.15, 0.15, False),
        (16, 15.9, 0.22, 0.22, True),
        # The cell leaves cores, and nobody waits: what it leaves may be used.
        (4, 4.0, 0.0, 11.9, False),
        (4, 4.0, 0.0, 12.5, True),
        # On a GPU the threads sleep.
        (16, 1.0, 0.0, 5.9, False),
        # Where the kernel does not say who waits, threads count as if they all worked.
        (16, 1.0, None, 5.9, True),
        (4, 4.0, None, 5.9, False),
    ],
)
def test_others_may_use_what_the_cell_leaves(
    threads: int, own: float, waiting: float | None, foreign: float, disturbed: bool
) -> None:
    seen = report(16, own_cpu_cores=own, waiting_threads=waiting, foreign_cpu_cores=foreign)
    assert (why_disturbed(seen, threads) is not None) is disturbed


def test_the_other_half_of_a_hyper_threaded_core_is_not_left() -> None:
    seen = report(16, own_cpu_cores=8.0, waiting_threads=0.0, foreign_cpu_cores=2.0)
    assert why_disturbed(seen, threads=8) is None
    assert why_disturbed(seen | {"n_cores": 8}, threads=8) is not None


def test_a_power_limit_alone_is_no_disturbance() -> None:
    assert why_disturbed(report(gpu_slowdowns=[GPU_POWER_LIMIT], n_foreign_gpu_processes=0), threads=2) is None


class Gpu:
    """What NVML tells of a card; a function that answers None is one that the card does not support."""

    uuid = "GPU-1"

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reasons: int | None = 0
        self.mhz: int | None = 1700
        self.temperature_c: int | None = 60
        self.pids: list[int] | None = [os.getpid()]
        self._library = fake_nvml.install(monkeypatch, fake_nvml.Card(self.uuid))
        number = ctypes.POINTER(ctypes.c_uint)
        self.add("nvmlDeviceGetCurrentClocksEventReasons", lambda: self.reasons, ctypes.POINTER(ctypes.c_ulonglong))
        self.add("nvmlDeviceGetClockInfo", lambda: self.mhz, ctypes.c_uint, number)
        self.add("nvmlDeviceGetTemperature", lambda: self.temperature_c, ctypes.c_uint, number)

        @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, number, ctypes.POINTER(pynvml.c_nvmlProcessInfo_v3_t))
        def processes(_card: int, count: Any, infos: Any) -> int:
            if self.pids is None:
                return pynvml.NVML_ERROR_NOT_SUPPORTED
            room, count[0] = count[0], len(self.pids)
            if room < len(self.pids):
                return pynvml.NVML_ERROR_INSUFFICIENT_SIZE
            for index, pid in enumerate(self.pids):
                infos[index].pid = pid
            return pynvml.NVML_SUCCESS

        vars(self._library)["nvmlDeviceGetComputeRunningProcesses_v3"] = processes

    def add(self, name: str, shown: Callable[[], int | None], *arguments: Any) -> None:
        """Have the library answer a question, with what is shown as its last argument."""

        @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, *arguments)
        def function(*given: Any) -> int:
            value = shown()
            if value is None:
                return pynvml.NVML_ERROR_NOT_SUPPORTED
            given[-1][0] = value
            return pynvml.NVML_SUCCESS

        vars(self._library)[name] = function

    def remove(self, name: str) -> None:
        """Have the library be one of an older driver, without this function."""
        del vars(self._library)[name]

    def now(self, own_context: bool = True) -> dict[str, Any]:
        """Return what is seen of the card."""
        return interference.gpu_activity(interference.gpu_handle(self.uuid), own_context)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    return Gpu(monkeypatch)


def test_the_gpu_is_watched(gpu: Gpu) -> None:
    watch = Watch("cuda", gpu.uuid)
    gpu.reasons = pynvml.nvmlClocksEventReasonSwPowerCap | pynvml.nvmlClocksEventReasonHwThermalSlowdown
    gpu.reasons |= pynvml.nvmlClocksEventReasonGpuIdle
    gpu.pids, gpu.mhz, gpu.temperature_c = [os.getpid(), 1], 900, 92
    work(watch, 1.1 * interference.INTERVAL_S)
    gpu.pids, gpu.reasons = [os.getpid()], 0
    seen = watch.report()
    assert seen["before"]["n_foreign_gpu_processes"] == seen["after"]["n_foreign_gpu_processes"] == 0
    assert (seen["before"]["gpu_mhz"], seen["before"]["gpu_temperature_c"]) == (1700, 60)
    assert (seen["worst"]["gpu_mhz_min"], seen["worst"]["gpu_temperature_c_max"]) == (900, 92)
    assert seen["worst"]["gpu_slowdowns"] == ["HwThermalSlowdown", "SwPowerCap"]
    assert seen["worst"]["n_foreign_gpu_processes"] == 1
    assert {"gpu_slowdown", "gpu_shared"} <= set(disturbances(seen, threads=2))
    assert json.loads(json.dumps(seen)) == seen


@pytest.mark.parametrize(
    ("pids", "own_context", "others"),
    [([4], False, 1), ([4], True, 0), ([4, 5], True, 1), ([], True, 0), ([], False, 0), (None, True, None)],
)
def test_gpu_processes_are_counted_not_recognised(
    pids: list[int] | None, own_context: bool, others: int | None, gpu: Gpu
) -> None:
    gpu.pids = pids
    assert gpu.now(own_context)["n_foreign_gpu_processes"] == others


def test_an_older_driver_is_asked_by_older_names(gpu: Gpu) -> None:
    gpu.remove("nvmlDeviceGetCurrentClocksEventReasons")
    gpu.remove("nvmlDeviceGetComputeRunningProcesses_v3")
    brake = pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown
    gpu.add("nvmlDeviceGetCurrentClocksThrottleReasons", lambda: brake, ctypes.POINTER(ctypes.c_ulonglong))
    seen = gpu.now()
    assert seen["gpu_slowdowns"] == ["HwPowerBrakeSlowdown"]
    assert seen["n_foreign_gpu_processes"] is None


def test_gpu_that_does_not_answer_is_no_disturbance(gpu: Gpu) -> None:
    gpu.reasons = gpu.mhz = gpu.temperature_c = gpu.pids = None
    seen = Watch("cuda", gpu.uuid).report()
    told = {key: value for key, value in seen["worst"].items() if "gpu" in key}
    assert set(told.values()) == {None}
    assert len(told) == 4
    assert why_disturbed(seen, threads=2) is None


def test_watch_with_unknown_gpu_watches_the_machine(gpu: Gpu) -> None:
    assert not any("gpu" in key for key in Watch("cuda", "GPU-2").report()["worst"])
    assert not any("gpu" in key for key in Watch("cuda").report()["worst"])
    assert not any("gpu" in key for key in Watch("cpu", gpu.uuid).report()["worst"])


def test_without_a_driver_only_the_machine_is_watched() -> None:
    if cuda.missing() is None:
        pytest.skip("there is a driver")
    assert not any("gpu" in key for key in Watch("cuda", "GPU-1").report()["worst"])
