"""A load test: requests at random times, at one rate after the other, until the capacity is known."""

import dataclasses
import time
from collections.abc import Sequence
from typing import cast

from asrmeter.common.early_stopping import least_judged
from asrmeter.corpora.batches import by_length
from asrmeter.machine import cuda
from asrmeter.machine.interference import Watch, why_disturbed
from asrmeter.measure import energy_counters, load_generator
from asrmeter.measure.capacity_search import Search, Verdict
from asrmeter.measure.energy import EnergyMeasurement
from asrmeter.measure.load_generator import Answered, Load
from asrmeter.measure.spec import LoadSpec
from asrmeter.measure.tasks import Task
from asrmeter.measure.tasks.batch_runner import BatchRunner
from asrmeter.measure.tasks.device import gpu_of, load_runtime
from asrmeter.measure.tasks.warm_up import warm_up
from asrmeter.records.events import Energy, Probe, Ready, Searched, Watched
from asrmeter.runtimes.base import Runtime

# A probe may last so much longer than the study asks for, until enough requests came to be judged.
_MOST_LONGER = 1.5
# Where loading took all the time, the first rate is tried for so long.
_LEAST_S = 1.0
_DIGITS_OF_US = 6


class LoadTest(Task):
    """Finds the highest rate of requests at which a percentile of the latency stays within its limit."""

    _spec: LoadSpec
    _runtime: Runtime
    _runner: BatchRunner
    _gpu: cuda.Gpu | None
    _energy: EnergyMeasurement
    _watch: Watch
    _ends_at_s: float
    _n_probes = 0

    def run(self) -> None:
        """Load the model, warm up, search; emit every probe when it is over."""
        self._ends_at_s = time.monotonic() + self._spec.search_s
        self._load()
        self._warm_up()
        self._energy = EnergyMeasurement(energy_counters.of_device(self._gpu.uuid if self._gpu else None))
        self._watch = Watch(self._spec.device, self._gpu.uuid if self._gpu else None)
        search = Search(self._probe, self._probe_s, self._ends_at_s)
        search.run(self._spec.predicted_per_s)
        report = self._watch.report()
        self._emit(
            Searched(
                low_per_s=search.low_per_s,
                high_per_s=search.high_per_s,
                is_narrow=search.is_narrow,
                watch=cast(Watched, report),
                disturbance=why_disturbed(report, self._spec.threads),
            )
        )
        self._runtime.close()

    def _load(self) -> None:
        begin_s = time.perf_counter()
        self._runtime = load_runtime(self._spec)
        load_s = time.perf_counter() - begin_s
        self._gpu = gpu_of(self._runtime, self._spec.device)
        self._runner = BatchRunner(self._spec, self._runtime, self._emit)
        self._emit(
            Ready(
                load_s=load_s,
                gpu_name=self._gpu.name if self._gpu else None,
                gpu_uuid=self._gpu.uuid if self._gpu else None,
                decoding=self._runtime.decoding(),
                **vars(self._runtime.effective()),
                versions=self._runtime.versions(),
            )
        )

    def _warm_up(self) -> None:
        """Warm up as a cell does, then run batches of one and of the most requests; of all sizes where it compiles."""
        audio_s = {row["segment_id"]: row["audio_s"] for row in self._spec.segments}
        warm = warm_up(self._runtime, self._runner, by_length(self._spec.batches, audio_s))
        ids = self._spec.batches[0]
        compiles = self._runtime.compile_s() is not None
        for size in range(1, len(ids) + 1) if compiles else (1, len(ids)):
            self._runner.transcribe_segments(ids[:size])
        compile_s, n_hits = self._runtime.compile_s(), self._runtime.n_compile_cache_hits()
        self._emit(dataclasses.replace(warm, compile_s=compile_s, n_compile_cache_hits=n_hits))

    def _probe_s(self, rate_per_s: float) -> float:
        """Return how long a probe takes: until enough requests came to be judged."""
        return max(self._spec.probe_s, least_judged(self._spec.percentile) / rate_per_s)

    def _probe(self, rate_per_s: float) -> Verdict:
        """Put a load on the model; emit the result, and return LoadGen's verdict."""
        spec, self._n_probes = self._spec, self._n_probes + 1
        left_s = max(self._ends_at_s - time.monotonic(), _LEAST_S)
        load = Load(
            rate_per_s=rate_per_s,
            duration_s=spec.probe_s,
            most_s=min(_MOST_LONGER * self._probe_s(rate_per_s), left_s),
            least_requests=least_judged(spec.percentile),
            target_latency_s=spec.target_latency_s,
            percentile=spec.percentile,
            max_batch=spec.batch_size,
            max_wait_s=spec.max_wait_s,
            # Of all rates the same: requests come in the same pattern, only faster, so that verdicts can be compared.
            seed=spec.seed,
        )
        found: list[Answered] = []
        energy = self._energy.over(lambda: found.append(load_generator.run(load, len(spec.segments), self._transcribe)))
        event = _event(self._n_probes, load, found[0], energy)
        self._emit(event)
        self._watch.sample()
        if event.gave_up:
            return Verdict(rate_per_s, False, event.completed_per_s)
        is_judged = event.n_requests >= load.least_requests
        return Verdict(rate_per_s, event.is_valid if is_judged else None)

    def _transcribe(self, segments: Sequence[int]) -> None:
        self._runner.transcribe_segments([self._spec.segments[i]["segment_id"] for i in segments])


def _event(number: int, load: Load, answered: Answered, energy: Energy) -> Probe:
    requests = answered.requests
    latencies_s = [round(one.latency_s, _DIGITS_OF_US) for one in requests if one.latency_s is not None]
    # Between n requests there are n - 1 times.
    came_s = requests[-1].arrived_s - requests[0].arrived_s if len(requests) > 1 else 0.0
    return Probe(
        number=number,
        target_per_s=load.rate_per_s,
        offered_per_s=(len(requests) - 1) / came_s if came_s else load.rate_per_s,
        completed_per_s=len(latencies_s) / answered.took_s,
        n_requests=len(requests),
        is_valid=answered.is_valid,
        gave_up=answered.gave_up,
        took_s=answered.took_s,
        busy_s=sum(batch.ended_s - batch.began_s for batch in answered.batches),
        generator_cpu_s=answered.generator_cpu_s,
        latencies_s=latencies_s,
        batch_sizes=[len(batch.requests) for batch in answered.batches],
        summary=answered.summary,
        window=next(iter(energy.windows), None),
        method_cpu=energy.method_cpu,
        method_gpu=energy.method_gpu,
        energy_note=energy.counter_note,
    )
