"""The passes of a model before those that are timed."""

import time
from collections.abc import Sequence

from asrmeter.measure import stop_rule
from asrmeter.measure.tasks.batch_runner import BatchRunner
from asrmeter.records.events import Warm
from asrmeter.runtimes.base import Runtime

# Where a runtime compiles, whole passes of the warm-up: CUDA graphs are recorded in the second one.
LEAST_WHOLE, MOST_WHOLE = 2, 5


def warm_up(runtime: Runtime, runner: BatchRunner, ranked: Sequence[int]) -> Warm:
    """Run the shortest batch, cut off, until the one-off costs of first passes are over.

    The model's scores must be finite. What compiles hears the longest batch whole too, as later windows may have other
    shapes. `ranked` are the batches by length, the longest first.
    """
    begin_s = time.perf_counter()
    with runtime.check_scores():
        first_pass_s = runner.warm_up(ranked[-1])
    while time.perf_counter() - begin_s < stop_rule.WARM_AFTER_S:
        runner.warm_up(ranked[-1])
    compile_s = runtime.compile_s()
    for n_whole in range(0 if compile_s is None else MOST_WHOLE):
        before_s = compile_s
        runner.warm_up(ranked[0], whole=True)
        compile_s = runtime.compile_s()
        if n_whole + 1 >= LEAST_WHOLE and compile_s == before_s:
            break
    return Warm(first_pass_s=first_pass_s, compile_s=compile_s, n_compile_cache_hits=runtime.n_compile_cache_hits())
