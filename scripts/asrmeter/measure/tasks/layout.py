"""One of several processes that run the same cell at once: it waits until all are warm, and runs passes beside them."""

import itertools
import os
import random
import time
from typing import Any

from asrmeter.common.errors import AsrmeterError
from asrmeter.corpora.batches import by_length
from asrmeter.machine.interference import Watch, usable_cpus, why_disturbed
from asrmeter.measure.memory import PeakMemory
from asrmeter.measure.spec import LayoutSpec
from asrmeter.measure.tasks import Task
from asrmeter.measure.tasks.batch_runner import BatchRunner
from asrmeter.measure.tasks.cell import check_compiled, check_threads
from asrmeter.measure.tasks.device import gpu_of, load_runtime
from asrmeter.measure.tasks.warm_up import warm_up
from asrmeter.measure.used_time import UsedTime
from asrmeter.records.events import ProcessPasses, Ready

# Of long passes each process makes so many, however long that takes.
LEAST_PASSES = 3


class LayoutProcess(Task):
    """Runs passes together with the other processes of the layout, each in its own order."""

    _spec: LayoutSpec

    def run(self) -> None:
        """Load the model, warm up, and run passes from the moment when all are warm."""
        spec = self._spec
        begin_s = time.perf_counter()
        runtime = load_runtime(spec)
        gpu = gpu_of(runtime, spec.device)
        self._emit(
            Ready(
                load_s=time.perf_counter() - begin_s,
                gpu_name=gpu.name if gpu else None,
                gpu_uuid=gpu.uuid if gpu else None,
                decoding=runtime.decoding(),
                versions=runtime.versions(),
            )
        )
        runner = BatchRunner(spec, runtime, self._emit)
        audio_s = {row["segment_id"]: row["audio_s"] for row in spec.segments}
        warm = warm_up(runtime, runner, by_length(spec.batches, audio_s))
        self._emit(warm)
        check_cpus(spec)
        order = list(range(len(spec.batches)))
        random.Random(f"{spec.seed}/{spec.lap}/{spec.process}").shuffle(order)
        memory = PeakMemory(runtime.device_memory())
        memory.reset()
        self._wait_at(0)

        watch, used = Watch(spec.device, gpu.uuid if gpu else None), UsedTime()
        batches: list[int] = []
        latency_s, began_s, ended_s = [], [], []
        ends_s = time.perf_counter() + spec.window_s
        for batch in itertools.cycle(order):
            began_s.append(time.perf_counter())
            latency_s.append(runner.transcribe(batch)[0])
            ended_s.append(time.perf_counter())
            batches.append(batch)
            if len(batches) >= LEAST_PASSES and ended_s[-1] >= ends_s:
                break
            watch.sample()
        used.end()
        check_threads(used, spec.threads)
        check_compiled(warm.compile_s, runtime.compile_s())
        self._emit(
            ProcessPasses(
                process=spec.process,
                cpus=spec.cpus,
                batches=batches,
                began_s=began_s,
                ended_s=ended_s,
                latency_s=latency_s,
                rss_bytes=memory.rss_bytes,
                peak_rss_bytes=memory.peak_rss_bytes,
                peak_device_bytes=memory.peak_device_bytes,
                disturbance=why_disturbed(beside_others(watch.report(), spec), spec.threads),
            )
        )
        self._wait_at(1)
        runtime.close()

    def _wait_at(self, place: int) -> None:
        """Report that this process is ready, and sleep until the job opens the gate for all."""
        os.write(self._spec.arrived, b".")
        os.read(self._spec.gates[place], 1)


def check_cpus(spec: LayoutSpec) -> None:
    """Raise AsrmeterError if threads of this process may compute on CPUs that are not its own."""
    if spec.cpus is not None and (others := usable_cpus() - set(spec.cpus)):
        raise AsrmeterError(
            f"the model's threads were bound to the CPUs {sorted(others)}, which do not belong to their process "
            f"({sorted(spec.cpus)}); set the binding as its runtime requires"
        )


def beside_others(report: dict[str, Any], spec: LayoutSpec) -> dict[str, Any]:
    """Return the readings of the machine (`Watch.report`), with the layout's processes counted as own ones."""
    mean, worst = dict(report["mean"]), dict(report["worst"])
    if spec.cpus is None:
        mean["foreign_cpu_cores"] = worst["foreign_cpu_cores"] = None
    if on_gpu := worst.get("n_foreign_gpu_processes"):
        worst["n_foreign_gpu_processes"] = max(0, on_gpu - (spec.processes - 1))
    return report | {"mean": mean, "worst": worst}
