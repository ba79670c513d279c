"""Profiling a cell whose engine times its nodes itself: a pass of a model that is loaded so, after plain ones."""

import gc
import statistics

from asrmeter.machine.interference import Watch, why_disturbed
from asrmeter.measure.node_attribution import attribute
from asrmeter.measure.spec import NodeProfileSpec
from asrmeter.measure.tasks import Task
from asrmeter.measure.tasks.batch_runner import BatchRunner
from asrmeter.measure.tasks.device import load_runtime
from asrmeter.measure.tasks.profiled_batch import of_median_length, plain_passes
from asrmeter.records.events import Profile, Ready
from asrmeter.runtimes import families


class NodeProfile(Task):
    """Profiles the batch of median length of a cell. There is no trace: engines tell how long nodes took, not when."""

    _spec: NodeProfileSpec

    def run(self) -> None:
        """Run plain passes and a profiled one; emit the operators of the latter."""
        spec = of_median_length(self._spec)
        runtime = load_runtime(spec)
        self._emit(Ready(decoding=runtime.decoding()))
        plain = BatchRunner(spec, runtime, self._emit)
        plain.warm_up(0)
        watch = Watch(spec.device, None)
        plain_pass_s = statistics.median(plain_passes(plain, watch))
        runtime.close()
        del plain, runtime
        gc.collect()
        profiled = load_runtime(spec, profiled=True)
        runner = BatchRunner(spec, profiled, self._emit)
        runner.warm_up(0)
        profiled.begin_profile()
        pass_s, timeline, _ = runner.transcribe(0)
        rows = attribute(profiled.nodes(), timeline.seconds(), families.named(spec.family).decoder_range)
        self._emit(
            Profile(
                repeat=1,
                pass_s=pass_s,
                rows=rows,
                covered=sum(row["cpu_self_s"] for row in rows) / pass_s,
                plain_pass_s=plain_pass_s,
                overhead=pass_s / plain_pass_s - 1,
                disturbance=why_disturbed(watch.report(), spec.threads),
            )
        )
        profiled.close()
