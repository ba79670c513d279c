"""Energy of windows of passes: by codecarbon, with the source of each value, and by the hardware's own counters.

codecarbon's output does not say whether a value was measured or modelled; its hardware objects do. It models a CPU
without a readable counter as TDP x the process' share of all cores, and RAM as a constant for the number of modules.
Both are kept apart from the values of counters.
"""

import logging
import os
import time
import types
from collections.abc import Callable
from typing import TypeVar

from asrmeter.common.vocabulary import MEASURED_METHODS
from asrmeter.machine.facts import cpu_name
from asrmeter.measure import energy_counters
from asrmeter.records.events import Energy, Window

Result = TypeVar("Result")

J_PER_KWH = 3.6e6
# Windows of a cell: the spread of a counter is informative, that of a model is not.
N_WINDOWS_MEASURED, N_WINDOWS_MODELLED = 3, 1
# A window begins and ends anywhere between two updates of a counter, so it must be much longer than that.
MIN_TICKS = 50
_CPU_METHODS = {"intel_rapl": "rapl", "cpu_load": "cpu_load_model", "constant": "tdp_constant"}
_GPU_NOTES = {"nvml_counter": "NVML's energy counter", "nvml_power": "mean of NVML's power, read every second"}


class Meter:
    """codecarbon without side effects: no network, no files, and no thread during a window unless it needs one.

    `gpu` is the card that the cell runs on, None on the CPU. Nothing is raised: once codecarbon has failed, `failure`
    says how, and there are no more values.
    """

    def __init__(self, gpu: energy_counters.Nvml | None) -> None:
        self.method_cpu = self.method_gpu = "none"
        self.note = ""
        self.failure: str | None = None
        self._attempt(lambda: self._set_up(gpu))

    def begin(self) -> None:
        """Begin a window."""
        self._attempt(self._begin)

    def end(self) -> dict[str, float | None]:
        """End the window; return its `cpu_j`, `gpu_j` and `ram_j`, None if there is no value."""
        return self._attempt(self._end) or {"cpu_j": None, "gpu_j": None, "ram_j": None}

    def _attempt(self, step: Callable[[], Result]) -> Result | None:
        if self.failure is None:
            try:
                return step()
            except Exception as error:  # a cell without energy is still useful
                self.failure = f"codecarbon failed: {error!r}"
        return None

    def _set_up(self, gpu: energy_counters.Nvml | None) -> None:
        preload()
        import codecarbon
        from codecarbon.core import gpu as gpus

        # Not by UUID: codecarbon strips all characters of "MIG-" from its start, and does not find "PU-...".
        card_numbers = [] if gpu is None or gpu.index is None else [gpu.index]
        # Otherwise it runs nvidia-smi and rocm-smi, and meters every GPU even for a cell on the CPU.
        gpus.is_nvidia_system = lambda: bool(card_numbers)
        gpus.is_rocm_system = lambda: False
        self._tracker = codecarbon.OfflineEmissionsTracker(
            force_carbon_intensity_g_co2e_kwh=0,  # CO2 is computed elsewhere: no country, and no tables to read
            output_methods=[],
            log_level="critical",
            measure_power_secs=3600,
            api_call_interval=-1,
            tracking_mode="process",
            allow_multiple_runs=True,
            gpu_ids=card_numbers,
        )
        self._tracker.start_task("set-up")
        self._tracker.stop_task("set-up")
        parts = {type(part).__name__: part for part in self._tracker._hardware}
        self._cpu, watched = parts["CPU"], parts.get("GPU")
        self.method_cpu = _CPU_METHODS[self._cpu._mode]
        self._rapl = self._cpu._intel_interface if self.method_cpu == "rapl" else None
        self._cards = []
        if watched:
            self._cards = [card for card in watched.devices.devices if card.gpu_index in card_numbers]
            counted = all(card._has_counter and not card._use_power_fallback for card in self._cards)
            self.method_gpu = "nvml_counter" if counted else "nvml_power"
            self._tracker._scheduler_monitor_power.function = watched.monitor_power  # not the CPU's: see `_begin`
        self.note = self._note(gpu)

    def _note(self, gpu: energy_counters.Nvml | None) -> str:
        """Describe the values."""
        note = "CPU: whole socket by RAPL" if self.method_cpu == "rapl" else f"CPU: {self._model()}"
        return f"GPU: {_GPU_NOTES.get(self.method_gpu, 'not found by NVML')}; {note}" if gpu else note

    def _model(self) -> str:
        """Describe the model of a CPU without a counter."""
        from codecarbon.core import cpu, hardware_cache

        by_thread_w = cpu.DEFAULT_POWER_PER_CORE
        source = {
            None: "codecarbon's default",
            by_thread_w * cpu.count_cpus(): f"guessed as {by_thread_w} W a thread",
        }.get(hardware_cache.get_cached_tdp(cpu).tdp, "of the processor's model")
        return f"modelled by codecarbon from a TDP of {self._cpu._tdp:g} W ({source}) and the process' CPU time"

    def _begin(self) -> None:
        self._tracker.start_task()
        if self.method_gpu != "nvml_power":
            # codecarbon's thread wakes every second; only power sampling needs it. It may wait for the interpreter's
            # lock between its readings of clock and CPU time, and makes the load model wrong by up to a factor of two.
            self._tracker._scheduler_monitor_power.stop()

    def _end(self) -> dict[str, float | None]:
        spent = self._tracker.stop_task()
        # If codecarbon cannot read a counter, it silently skips it, or reads the power instead.
        skipped = self._rapl is not None and any(file.sample_skipped for file in self._rapl._rapl_files)
        replaced = self.method_gpu == "nvml_counter" and any(card._use_power_fallback for card in self._cards)
        for method, energy, lost in (
            (self.method_cpu, spent.cpu_energy, skipped),
            (self.method_gpu, spent.gpu_energy, replaced),
        ):
            if method in MEASURED_METHODS and (lost or energy <= 0):
                raise RuntimeError(f"{method} lost during a window")
        return {
            "cpu_j": spent.cpu_energy * J_PER_KWH,
            "gpu_j": spent.gpu_energy * J_PER_KWH if self.method_gpu != "none" else None,
            "ram_j": spent.ram_energy * J_PER_KWH,
        }


def preload() -> None:
    """Import codecarbon, and look up the processor's TDP if it will be needed: once for all processes forked later.

    NVML is not opened: a fork must not share its state.
    """
    # In a SLURM job codecarbon asks scontrol for the allocation, and would scale the TDP of a whole socket by it.
    for variable in ("SLURM_JOB_ID", "SLURM_JOBID"):
        os.environ.pop(variable, None)
    import cpuinfo
    import pynvml

    # py-cpuinfo takes a second to find the name, which Linux knows.
    cpuinfo.get_cpu_info = lambda: {"brand_raw": cpu_name()}
    open_nvml = pynvml.nvmlInit
    pynvml.nvmlInit = lambda: None  # codecarbon opens it again when it looks for GPUs
    try:
        from codecarbon import emissions_tracker
        from codecarbon.core import cpu, emissions, hardware_cache, resource_tracker  # noqa: F401
        from codecarbon.external import hardware
    finally:
        pynvml.nvmlInit = open_nvml
    logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
    # Its model of the CPU divides by a difference of wall-clock times, and that clock may be set in between.
    hardware.time = types.SimpleNamespace(time=time.perf_counter, perf_counter=time.perf_counter, sleep=time.sleep)
    # A user's configuration of codecarbon (a factor for cooling, a TDP, a server) must not change the joules.
    emissions_tracker.get_hierarchical_config = dict
    if not cpu.is_rapl_available():
        hardware_cache.get_cached_tdp(cpu)


def meter_windows(gpu_uuid: str | None, run: Callable[[], object], least_s: float, n_passes_per_run: int = 1) -> Energy:
    """Meter windows of passes, and an idle window with the model loaded if the device's power is measured.

    No error is raised, not even one of `run`: the windows before it are returned, with the reason in `note`.

    Args:
        gpu_uuid: the GPU that the cell runs on; None on the CPU.
        run: does `n_passes_per_run` passes, and synchronises.
        least_s: the shortest length of a window in seconds; it is longer if a counter updates rarely.

    Returns:
        `method_cpu` and `method_gpu`, the sources of codecarbon's values, and a `note` about them; `windows` and `idle`
        (see `records.events.Window`); for the device's own counter `counter_tick_s`, the seconds between its updates,
        and `counter_note`, why it gives no value; `idle_settled_s`, the seconds until the power had settled before the
        idle window, None if it had not or could not be watched.
    """
    gpu = energy_counters.Nvml(gpu_uuid) if gpu_uuid else None
    part = "gpu" if gpu else "cpu"
    direct: dict[str, energy_counters.Counter] = {"cpu": energy_counters.Rapl()}
    if gpu:
        direct["gpu"] = gpu
    own = direct[part]
    meter = Meter(gpu)
    methods = {"cpu": meter.method_cpu, "gpu": meter.method_gpu}
    measured = own.missing is None or methods[part] in MEASURED_METHODS
    window_s = max([least_s, *(MIN_TICKS * counter.tick_s for counter in direct.values() if counter.tick_s)])

    windows: list[Window] = []
    idle: list[Window] = []
    settled_s, failure = None, None
    try:
        for _ in range(N_WINDOWS_MEASURED if measured else N_WINDOWS_MODELLED):
            window = _window(meter, direct, run, window_s)
            windows.append({**window, "n_passes": n_passes_per_run * window["n_passes"]})
        if measured:
            settled_s = own.settle()
            idle.append(_window(meter, direct, lambda: time.sleep(window_s), window_s))
    except Exception as error:  # a cell without energy is still useful
        failure = f"a pass failed: {error!r}"
    joules = {"cpu": [window["cpu_j"] for window in windows], "gpu": [window["gpu_j"] for window in windows]}
    found = {name for name, values in joules.items() if any(value is not None for value in values)}
    return Energy(
        **{f"method_{name}": method if name in found else "none" for name, method in methods.items()},
        note="; ".join(filter(None, (meter.note, meter.failure, failure))),
        windows=windows,
        idle=idle,
        idle_settled_s=settled_s,
        counter_tick_s=own.tick_s,
        counter_note=own.missing,
    )


def _window(
    meter: Meter, direct: dict[str, energy_counters.Counter], run: Callable[[], object], least_s: float
) -> Window:
    """Call `run` until `least_s` seconds have passed; return the joules of all calls."""
    meter.begin()
    try:
        before = {name: counter.read() for name, counter in direct.items()}
        begin, n_passes = time.perf_counter(), 0
        while n_passes == 0 or time.perf_counter() - begin < least_s:
            run()
            n_passes += 1
        seconds = time.perf_counter() - begin
        after = {name: counter.read() for name, counter in direct.items()}
    finally:
        joules = meter.end()
    counted = {name: counter.joules_between(before[name], after[name]) for name, counter in direct.items()}
    return {
        "n_passes": n_passes,
        "seconds": seconds,
        "cpu_j": joules["cpu_j"],
        "gpu_j": joules["gpu_j"],
        "ram_j": joules["ram_j"],
        "counter_cpu_j": counted.get("cpu"),
        "counter_gpu_j": counted.get("gpu"),
    }
