"""Energy of a window of passes by codecarbon, and where each figure comes from.

codecarbon's own output does not say whether a figure was measured or modelled; its hardware objects do. It estimates a
CPU without a readable counter as TDP x the process' share of all cores, and RAM as a constant for the number of
modules: both are models, and kept apart from what a counter says.
"""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from asrmeter import machine

J_PER_KWH = 3.6e6
MEASURED = frozenset({"rapl", "nvml_counter", "nvml_power"})
# Windows of a cell: a counter's spread is worth knowing, a model's is not.
N_WINDOWS_MEASURED, N_WINDOWS_MODELLED = 3, 1
_CPU_METHODS = {"intel_rapl": "rapl", "cpu_load": "cpu_load_model", "constant": "tdp_constant"}
_GUESSED_W_PER_THREAD = 4


@dataclass(frozen=True)
class Window:
    """Joules of one window; None where there is no figure."""

    n_passes: int
    seconds: float
    cpu_j: float | None
    gpu_j: float | None
    ram_j: float | None


class Meter:
    """codecarbon, set up to be quiet: no network, no files, no thread beside the window where none is needed."""

    def __init__(self, device: str) -> None:
        # Inside a SLURM job codecarbon asks scontrol for the allocation and would scale a whole socket's TDP by it.
        os.environ.pop("SLURM_JOB_ID", None)
        import cpuinfo

        # py-cpuinfo runs for a second to find the name that Linux gives away.
        cpuinfo.get_cpu_info = lambda: {"brand_raw": machine.cpu_name()}
        import codecarbon

        logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
        self._device = device
        self._tracker = codecarbon.OfflineEmissionsTracker(
            country_iso_code="FRA",  # only CO2 depends on it, which is not taken from here
            output_methods=[],
            log_level="critical",
            measure_power_secs=3600,
            api_call_interval=-1,
            tracking_mode="process",
            allow_multiple_runs=True,
            gpu_ids=_own_gpu() if device == "cuda" else [],
        )
        self._tracker.start_task("set-up")
        self._tracker.stop_task("set-up")
        parts = {type(part).__name__: part for part in self._tracker._hardware}
        self._cpu, gpu = parts.get("CPU"), parts.get("GPU") if device == "cuda" else None
        self.method_cpu = _CPU_METHODS.get(self._cpu._mode, "none") if self._cpu else "none"
        self.method_gpu = "none"
        if gpu is not None:
            cards = [card for card in gpu.devices.devices if card.gpu_index in gpu._get_gpu_ids()]
            counted = all(card._has_counter and not card._use_power_fallback for card in cards)
            self.method_gpu = "nvml_counter" if counted else "nvml_power"

    @property
    def measures(self) -> bool:
        """Whether the energy of the device itself comes from a counter."""
        return (self.method_gpu if self._device == "cuda" else self.method_cpu) in MEASURED

    def note(self) -> str:
        """Say what the figures are."""
        if self._cpu is None or self.method_cpu in MEASURED:
            return "CPU: whole socket by RAPL" if self._cpu else "no meter for the CPU"
        guessed = self._cpu._tdp == _GUESSED_W_PER_THREAD * (os.cpu_count() or 0)
        source = f"guessed as {_GUESSED_W_PER_THREAD} W a thread" if guessed else "of the processor's model"
        return f"CPU: modelled by codecarbon from a TDP of {self._cpu._tdp:g} W ({source}) and the process' CPU time"

    def window(self, run: Callable[[], object], least_s: float) -> Window:
        """Call `run` (which must synchronise) until `least_s` seconds have passed; return the joules of it all."""
        self._tracker.start_task()
        if self.method_gpu != "nvml_power":
            # codecarbon's thread wakes every second; only power sampling needs it. Waiting for the interpreter's lock
            # between its readings of clock and CPU time, it makes the load model err by up to a factor of two.
            self._tracker._scheduler_monitor_power.stop()
        begin, n_passes = time.perf_counter(), 0
        while n_passes == 0 or time.perf_counter() - begin < least_s:
            run()
            n_passes += 1
        seconds = time.perf_counter() - begin
        spent = self._tracker.stop_task()
        return Window(
            n_passes=n_passes,
            seconds=seconds,
            cpu_j=spent.cpu_energy * J_PER_KWH if self.method_cpu != "none" else None,
            gpu_j=spent.gpu_energy * J_PER_KWH if self.method_gpu != "none" else None,
            ram_j=spent.ram_energy * J_PER_KWH,
        )


def _own_gpu() -> list[str]:
    """Return the UUID of the GPU that torch runs on: NVML counts cards in another order, and the hidden ones too."""
    import torch

    return [f"GPU-{str(torch.cuda.get_device_properties(0).uuid).removeprefix('GPU-')}"]


def measure(device: str, run: Callable[[], object], least_s: float) -> dict[str, Any]:
    """Return the energy part of a record: methods, note, windows, idle windows (model loaded, only with a counter).

    Raises:
        Exception: whatever codecarbon raises; the caller decides what a cell without energy is worth.
    """
    meter = Meter(device)
    idle = [meter.window(lambda: time.sleep(least_s), least_s)] if meter.measures else []
    n_windows = N_WINDOWS_MEASURED if meter.measures else N_WINDOWS_MODELLED
    windows = [meter.window(run, least_s) for _ in range(n_windows)]
    return {
        "method_cpu": meter.method_cpu,
        "method_gpu": meter.method_gpu,
        "note": meter.note(),
        "windows": [asdict(window) for window in windows],
        "idle": [asdict(window) for window in idle],
    }
