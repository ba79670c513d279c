"""Measuring a cell: the phases of the table in MEASURING.md, a method each, in this order."""

import itertools
import time
from typing import cast

from asrmeter.machine import cuda
from asrmeter.machine.interference import Watch, why_disturbed
from asrmeter.measure.memory import PeakMemory
from asrmeter.measure.spec import CellSpec, Start
from asrmeter.measure.stop_rule import StopRule
from asrmeter.measure.tasks import EventSink, Task
from asrmeter.measure.tasks.batch_runner import BatchRunner
from asrmeter.measure.tasks.device import gpu_of, load_runtime
from asrmeter.records.events import Disturbed, Latency, Memory, Ready, Rounds, Watched
from asrmeter.runtimes.base import Runtime, mark_cost_s


class CellMeasurement(Task):
    """Measures the cell `spec` (see `asrmeter.measure.spec`), each phase with its own passes.

    So no probe runs inside a timed pass.
    """

    _spec: CellSpec
    _gpu: cuda.Gpu | None
    _memory: PeakMemory
    _runtime: Runtime
    _runner: BatchRunner

    def __init__(self, spec: CellSpec, start: Start, emit: EventSink) -> None:
        super().__init__(spec, start, emit)
        self._device, self._timed_batches = spec.device, spec.timed_batches or ()
        self._rule = StopRule(**spec.stop_rule or {})
        # When the first pass began: a machine is warm after a certain time of work.
        self._begun_s = 0.0

    def run(self) -> None:
        """Go through the phases."""
        self.load()
        self.measure_memory()
        self.warm_up()
        self.measure_latency()
        self.measure_energy()
        self.transcribe_rest()
        self._runtime.close()

    def load(self) -> None:
        """Load model and audio; emit what the start-up cost, and what the model is."""
        self._runtime = load_runtime(self._spec)
        self._gpu = gpu_of(self._runtime, self._device)
        self._memory = PeakMemory(self._runtime.device_memory())
        self._runner = BatchRunner(self._spec, self._runtime, self._emit)
        self._emit(
            Ready(
                startup_cpu_s=time.process_time() + self._start.parent_cpu_s,
                preload_cpu_s=self._start.preload_cpu_s,
                model_rss_bytes=self._memory.rss_bytes,
                model_device_bytes=self._memory.device_bytes,
                gpu_name=self._gpu.name if self._gpu else None,
                gpu_uuid=self._gpu.uuid if self._gpu else None,
                driver_version=_driver_version() if self._gpu else None,
                decoding=self._runtime.decoding(),
                **vars(self._runtime.effective()),
                versions=self._runtime.versions(),
            )
        )

    def measure_memory(self) -> None:
        """Run the longest batch once; emit the peaks of memory. The model's scores must be finite."""
        self._memory.reset()
        self._begun_s = time.perf_counter()
        with self._runtime.check_scores():
            self._runner.run("memory", self._runner.longest)
        self._emit(Memory(peak_rss_bytes=self._memory.peak_rss_bytes, peak_device_bytes=self._memory.peak_device_bytes))

    def warm_up(self) -> None:
        """Run the timed batches until the one-off costs of the first passes are over."""
        for batch in itertools.cycle(self._timed_batches):
            if self._rule.warm(time.perf_counter() - self._begun_s):
                return
            self._runner.run("warmup", batch)

    def measure_latency(self) -> None:
        """Time rounds until the stop rule ends them; once more if the machine was disturbed meanwhile."""
        found = self._time_rounds(attempt=1)
        if found.disturbance:
            self._emit(Disturbed(**vars(found)))
            found = self._time_rounds(attempt=2)
        stage_marks_s = self._runner.n_marks * mark_cost_s(self._runtime.timeline)
        self._emit(Latency(**vars(found), stage_marks_s=stage_marks_s))

    def _time_rounds(self, attempt: int) -> Rounds:
        """Time rounds until the stop rule ends them."""
        rule, watch = self._rule, Watch(self._device, self._gpu.uuid if self._gpu else None)
        rounds: list[list[float]] = []
        while not rounds or not (rule.converged(rule.steady(rounds)) or rule.exhausted(rounds)):
            rounds.append([])
            for batch in self._timed_batches:
                rounds[-1].append(self._runner.run("latency", batch, round=len(rounds) - 1, attempt=attempt))
                watch.sample()
        report = watch.report()
        return Rounds(
            converged=rule.converged(rule.steady(rounds)),
            reason=rule.exhausted(rounds),
            n_unsteady=rule.n_unsteady(rounds),
            attempt=attempt,
            watch=cast(Watched, report),
            disturbance=why_disturbed(report, self._spec.threads),
        )

    def measure_energy(self) -> None:
        """Meter windows of whole rounds, so that the joules of all models are those of the same audio."""

        def run_round() -> None:
            for batch in self._timed_batches:
                self._runner.transcribe(batch)

        # Imported here: before, its libraries would be part of the memory of a model whose runtime is light.
        from asrmeter.measure import energy

        gpu_uuid = self._gpu.uuid if self._gpu else None
        least_s = self._spec.energy_window_s or 0
        self._emit(energy.meter_windows(gpu_uuid, run_round, least_s, n_passes_per_run=len(self._timed_batches)))

    def transcribe_rest(self) -> None:
        """Run the batches that no phase has transcribed, for the WER. Random weights have none."""
        if self._spec.weights == "pretrained":
            for batch in self._runner.untranscribed:
                self._runner.run("transcript", batch)


def _driver_version() -> str:
    """Return the version of NVIDIA's driver."""
    import pynvml

    pynvml.nvmlInit()
    return str(pynvml.nvmlSystemGetDriverVersion())
