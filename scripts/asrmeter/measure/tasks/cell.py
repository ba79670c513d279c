"""Measuring a cell in one lap: the phases of the table in docs/method.md, a method each, in this order."""

import time
from typing import cast

from asrmeter.common.errors import AsrmeterError
from asrmeter.corpora.batches import by_length
from asrmeter.machine import cuda
from asrmeter.machine.interference import Watch, why_disturbed
from asrmeter.measure import energy_counters, stop_rule
from asrmeter.measure.control import ControlKernel
from asrmeter.measure.memory import PeakMemory
from asrmeter.measure.spec import CellSpec, Start
from asrmeter.measure.tasks import EventSink, Task
from asrmeter.measure.tasks.batch_runner import BatchRunner
from asrmeter.measure.tasks.device import gpu_of, load_runtime
from asrmeter.measure.tasks.warm_up import warm_up
from asrmeter.measure.used_time import UsedTime
from asrmeter.records.events import Latency, Memory, Ready, Spent, Watched
from asrmeter.runtimes.base import Runtime, mark_cost_s

# What the job takes once the worker has ended: it imports pyarrow, and writes the record.
WRITING_S = 0.5
# What it takes until power has settled before it is measured without a pass.
IDLE_SETTLES_S = 2.0
# Passes are judged by their CPU time if they took so many seconds; what else the process does is a small part of it.
LEAST_JUDGED_S = 0.5
MOST_BUSY, ROUNDING = 1.1, 0.1


class CellMeasurement(Task):
    """Measures the cell `spec` (see `asrmeter.measure.spec`). Nothing runs inside of a timed pass but the model."""

    _spec: CellSpec
    _gpu: cuda.Gpu | None
    _memory: PeakMemory
    _runtime: Runtime
    _runner: BatchRunner
    _counters: dict[str, energy_counters.Counter]
    _control: ControlKernel
    _used: UsedTime
    _compile_s: float | None

    def __init__(self, spec: CellSpec, start: Start, emit: EventSink) -> None:
        super().__init__(spec, start, emit)
        ranked = by_length(spec.batches, {row["segment_id"]: row["audio_s"] for row in spec.segments})
        to_measure = ranked if spec.to_measure is None else spec.to_measure
        self._ranked = [position for position in ranked if position in to_measure]
        # Of the others the passes are known: they had their part of the time.
        self._part = len(self._ranked) / len(ranked)
        self._rounds: list[list[float]] = []
        self._batches: list[int] = []

    def run(self) -> None:
        """Go through the phases."""
        phases = (
            ("load", self.load),
            ("control", self.measure_speed_before),
            ("warmup", self.warm_up),
            ("rounds", self.time_rounds),
            ("energy", self.measure_energy),
            ("control", self.measure_speed_after),
        )
        seconds: dict[str, float] = {}
        for name, phase in phases:
            begin_s = time.perf_counter()
            phase()
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - begin_s
        self._emit(Spent(seconds=seconds))
        self._runtime.close()

    def load(self) -> None:
        """Load model and audio; emit the start-up costs and the properties of the model."""
        begin_s = time.perf_counter()
        self._runtime = load_runtime(self._spec)
        load_s = time.perf_counter() - begin_s
        self._gpu = gpu_of(self._runtime, self._spec.device)
        self._counters = energy_counters.of_device(self._gpu.uuid if self._gpu else None)
        self._memory = PeakMemory(self._runtime.device_memory())
        self._runner = BatchRunner(self._spec, self._runtime, self._emit)
        self._emit(
            Ready(
                startup_cpu_s=time.process_time() + self._start.parent_cpu_s,
                preload_cpu_s=self._start.preload_cpu_s,
                load_s=load_s,
                model_rss_bytes=self._memory.rss_bytes,
                model_device_bytes=self._memory.device_bytes,
                gpu_name=self._gpu.name if self._gpu else None,
                gpu_uuid=self._gpu.uuid if self._gpu else None,
                driver_version=_driver_version() if self._gpu else None,
                decoding=self._runtime.decoding(),
                **vars(self._runtime.effective()),
                differences=self._runtime.differences(),
                versions=self._runtime.versions(),
            )
        )

    def measure_speed_before(self) -> None:
        """Run the control kernel."""
        self._control = ControlKernel(self._spec.device, self._spec.threads)
        self._emit(self._control.before())

    def warm_up(self) -> None:
        """Run passes until the one-off costs of first ones are over."""
        warm = warm_up(self._runtime, self._runner, self._ranked)
        self._compile_s = warm.compile_s
        self._emit(warm)

    def time_rounds(self) -> None:
        """Time rounds over the batches of this sitting as long as they fit.

        The first pass shows the peaks of memory, as it is over the longest batch, and what fits.
        """
        spec, budget_s, runner = self._spec, self._budget_s(), self._runner
        assert spec.max_passes is not None
        watch = Watch(spec.device, self._gpu.uuid if self._gpu else None)
        self._memory.reset()
        self._used = UsedTime()
        first_s = runner.run("latency", self._ranked[0], round=0)
        peaks = Memory(peak_rss_bytes=self._memory.peak_rss_bytes, peak_device_bytes=self._memory.peak_device_bytes)
        self._emit(peaks)
        watch.sample()
        self._batches = stop_rule.batches_of_sitting(
            self._ranked, spec.lap, spec.n_laps, first_s, budget_s, spec.max_passes
        )
        passes = [first_s]
        why: str | None = None
        while why is None:
            for batch in self._batches[len(passes) :]:
                passes.append(runner.run("latency", batch, round=len(self._rounds)))
                watch.sample()
            self._rounds.append(passes)
            passes = []
            why = stop_rule.why_no_more(self._rounds, budget_s, spec.max_passes)
        self._used.end()
        check_threads(self._used, spec.threads)
        check_compiled(self._compile_s, self._runtime.compile_s())
        report = watch.report()
        self._emit(
            Latency(
                reason=why,
                n_rounds=len(self._rounds),
                n_unsteady=stop_rule.n_unsteady(self._rounds),
                timed_s=sum(map(sum, self._rounds)),
                budget_s=budget_s,
                own_cpu_s=self._used.cpu_s,
                wall_s=self._used.seconds,
                watch=cast(Watched, report),
                disturbance=why_disturbed(report, spec.threads),
                stage_marks_s=runner.n_marks * mark_cost_s(self._runtime.timeline),
            )
        )

    def measure_energy(self) -> None:
        """Meter a window of full rounds if power is measured, and in the first lap an idle window; else model it."""
        # Imported here: before, its libraries would be part of the memory of a model whose runtime is light.
        from asrmeter.measure.energy import EnergyMeasurement

        energy = EnergyMeasurement(self._counters)
        if not energy.is_measured:
            self._emit(energy.model(self._used, n_passes=sum(map(len, self._rounds))))
            return

        def run_round() -> None:
            for batch in self._batches:
                self._runner.transcribe(batch)

        self._emit(energy.meter(run_round, self._spec.energy_window_s or 0, n_passes_per_run=len(self._batches)))
        if self._spec.lap == 1:
            self._emit(energy.idle())

    def measure_speed_after(self) -> None:
        """Run the control kernel once more."""
        self._emit(self._control.after())

    def _budget_s(self) -> float:
        """Return the seconds for timed passes: from the protocol, or the rest of the sitting's time."""
        if self._spec.ends_at_s is None:
            assert self._spec.budget_s is not None
            return self._part * self._spec.budget_s
        after_s = (self._control.found.seconds or 0.0) + WRITING_S
        if energy_counters.can_be_read(self._counters):
            window_s = self._spec.energy_window_s or 0
            after_s += window_s + (IDLE_SETTLES_S + window_s if self._spec.lap == 1 else 0)
        return self._part * max(0.0, self._spec.ends_at_s - time.monotonic() - after_s)


def check_threads(used: UsedTime, threads: int) -> None:
    """Raise AsrmeterError if passes took more CPU time than so many threads can: their figures would mislead.

    Libraries have settings of their own for threads, and some look at other variables. Short times are not judged.
    """
    if used.seconds < LEAST_JUDGED_S:
        return
    busy = used.cpu_s / used.seconds
    if busy > MOST_BUSY * threads + ROUNDING:
        raise AsrmeterError(
            f"the model computed on {busy:.1f} threads but the study gives it {threads}; its runtime has to be told "
            "in its own way"
        )


def check_compiled(before_s: float | None, after_s: float | None) -> None:
    """Raise AsrmeterError if a runtime compiled between two moments, given the seconds that it had compiled until each.

    It takes longer than passes do, and would be part of their latency.
    """
    if before_s is not None and after_s is not None and after_s > before_s:
        raise AsrmeterError(
            f"the model was compiled again in the timed passes, for {after_s - before_s:.1f} s of them: these met a "
            "shape that the warm-up did not"
        )


def _driver_version() -> str:
    """Return the version of NVIDIA's driver."""
    import pynvml

    pynvml.nvmlInit()
    return str(pynvml.nvmlSystemGetDriverVersion())
