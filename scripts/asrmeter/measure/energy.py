"""Energy of passes: measured in separate windows if there is a counter, else modelled over the timed passes.

Each value has its source. The hardware's own counters are read beside codecarbon, in the same window.
"""

import time
from collections.abc import Callable
from dataclasses import replace

from asrmeter.common.vocabulary import MEASURED_METHODS
from asrmeter.measure.codecarbon_meter import Meter
from asrmeter.measure.energy_counters import Counter, Nvml, can_be_read
from asrmeter.measure.used_time import UsedTime
from asrmeter.records.events import Energy, Window

# A window begins and ends anywhere between two updates of a counter, so it must be much longer than that.
MIN_TICKS = 50


class EnergyMeasurement:
    """The energy of a cell, given the counters of its device (see `energy_counters.of_device`).

    No error is raised, not even one of a pass: what was found until then stays, with the reason in `note`.

    Attributes:
        found: what is known by now; see `records.events.Energy`. Its `counter_note` says why the device's own counter
            gives no value, and `idle_settled_s` how long it took until the power had settled before the idle window:
            None if it had not, or could not be watched.
        is_measured: whether any power is measured. If it is, call `meter` and `idle`, else `model`.
    """

    def __init__(self, counters: dict[str, Counter]) -> None:
        gpu = counters.get("gpu")
        self._counters, self._own = counters, gpu or counters["cpu"]
        self._meter = Meter(gpu if isinstance(gpu, Nvml) else None)
        self._failure: str | None = None
        methods = {self._meter.method_cpu, self._meter.method_gpu}
        self.is_measured = can_be_read(counters) or not methods.isdisjoint(MEASURED_METHODS)
        self.found = Energy()

    def model(self, used: UsedTime, n_passes: int) -> Energy:
        """Take the timed passes for the window; nothing is measured."""
        joules = self._meter.modelled(used.seconds, used.cpu_s)
        return self._with_windows([_as_window(n_passes, used.seconds, joules, {})])

    def meter(self, run: Callable[[], object], least_s: float, n_passes_per_run: int) -> Energy:
        """Meter a window of passes.

        Args:
            run: does `n_passes_per_run` passes, and synchronises.
            least_s: the shortest length of a window in seconds; it is longer if a counter updates rarely.
        """
        ticks_s = [counter.tick_s for counter in self._counters.values()]
        self._window_s = max([least_s, *(MIN_TICKS * tick_s for tick_s in ticks_s if tick_s)])
        try:
            window = self._window(run)
        except Exception as error:  # a cell without energy is still useful
            self._failure = f"a pass failed: {error!r}"
            return self._with_windows([])
        return self._with_windows([{**window, "n_passes": n_passes_per_run * window["n_passes"]}])

    def over(self, run: Callable[[], object]) -> Energy:
        """Meter one run of any length, or model it without a counter. Errors of the run are raised."""
        self._window_s = 0.0
        if self.is_measured:
            return self._with_windows([self._window(run)])
        used = UsedTime()
        run()
        used.end()
        return self.model(used, n_passes=1)

    def idle(self) -> Energy:
        """Meter a window without passes, as long as the one before, once power has settled."""
        try:
            settled_s = self._own.settle()
            window = self._window(lambda: time.sleep(self._window_s))
            self.found = replace(self.found, idle=[window], idle_settled_s=settled_s)
        except Exception as error:
            self.found = replace(self.found, note=f"{self.found.note}; idling failed: {error!r}")
        return self.found

    def _with_windows(self, windows: list[Window]) -> Energy:
        """Return the results, with the methods of the parts that have a value."""
        meter = self._meter
        has_cpu, has_gpu = (any(window[part] is not None for window in windows) for part in ("cpu_j", "gpu_j"))
        self.found = Energy(
            method_cpu=meter.method_cpu if has_cpu else "none",
            method_gpu=meter.method_gpu if has_gpu else "none",
            note="; ".join(filter(None, (meter.note, meter.failure, self._failure))),
            windows=windows,
            counter_tick_s=self._own.tick_s,
            counter_note=self._own.missing,
        )
        return self.found

    def _window(self, run: Callable[[], object]) -> Window:
        """Call `run` until the window is long enough; return the joules of all calls."""
        self._meter.begin()
        try:
            before = {name: counter.read() for name, counter in self._counters.items()}
            begin, n_runs = time.perf_counter(), 0
            while n_runs == 0 or time.perf_counter() - begin < self._window_s:
                run()
                n_runs += 1
            seconds = time.perf_counter() - begin
            after = {name: counter.read() for name, counter in self._counters.items()}
        finally:
            joules = self._meter.end()
        counters = self._counters.items()
        counted = {name: counter.joules_between(before[name], after[name]) for name, counter in counters}
        return _as_window(n_runs, seconds, joules, counted)


def _as_window(
    n_passes: int, seconds: float, joules: dict[str, float | None], counted: dict[str, float | None]
) -> Window:
    return {
        "n_passes": n_passes,
        "seconds": seconds,
        "cpu_j": joules["cpu_j"],
        "gpu_j": joules["gpu_j"],
        "ram_j": joules["ram_j"],
        "counter_cpu_j": counted.get("cpu"),
        "counter_gpu_j": counted.get("gpu"),
    }
