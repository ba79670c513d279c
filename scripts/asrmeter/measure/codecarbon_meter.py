"""codecarbon as a meter: measured windows, and modelled energy for a past interval.

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

Result = TypeVar("Result")

J_PER_KWH = 3.6e6
_CPU_METHODS = {"intel_rapl": "rapl", "cpu_load": "cpu_load_model", "constant": "tdp_constant"}
_GPU_NOTES = {"nvml_counter": "NVML's energy counter", "nvml_power": "mean of NVML's power, read every second"}
_NO_VALUES = {"cpu_j": None, "gpu_j": None, "ram_j": None}


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
        return self._attempt(self._end) or dict(_NO_VALUES)

    def modelled(self, seconds: float, cpu_s: float) -> dict[str, float | None]:
        """Return the modelled energy of a past interval with its CPU time in seconds, for a device without counters.

        codecarbon's models know no more than these two, so that it need not be there meanwhile.
        """
        return self._attempt(lambda: self._modelled(seconds, cpu_s)) or dict(_NO_VALUES)

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
        self._cpu, self._ram, watched = parts["CPU"], parts["RAM"], parts.get("GPU")
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

    def _modelled(self, seconds: float, cpu_s: float) -> dict[str, float | None]:
        from codecarbon.external.hardware import CONSUMPTION_PERCENTAGE_CONSTANT

        load = {
            "cpu_load_model": cpu_s / seconds / self._cpu._cpu_count,
            "tdp_constant": CONSUMPTION_PERCENTAGE_CONSTANT,
        }
        cpu_w = self._cpu._tdp * load[self.method_cpu]
        return _NO_VALUES | {"cpu_j": cpu_w * seconds, "ram_j": self._ram.total_power().W * seconds}


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
