"""The batch that a profile is of, and its passes without a profiler, which show how much profiling adds."""

import dataclasses
from typing import TypeVar

from asrmeter.corpora.batches import by_length, representative
from asrmeter.machine.interference import Watch
from asrmeter.measure.spec import ProfileSpec
from asrmeter.measure.tasks.batch_runner import BatchRunner

# Plain passes are run until they have taken so many seconds, and no more of them than this.
N_PLAIN, PLAIN_S = 3, 1
_Spec = TypeVar("_Spec", bound=ProfileSpec)


def of_median_length(spec: _Spec) -> _Spec:
    """Return the spec with the batch of median length alone."""
    audio_s = {row["segment_id"]: row["audio_s"] for row in spec.segments}
    ids = spec.batches[representative(by_length(spec.batches, audio_s))]
    own = [row for row in spec.segments if row["segment_id"] in ids]
    return dataclasses.replace(spec, batches=[ids], segments=own)


def plain_passes(runner: BatchRunner, watch: Watch) -> list[float]:
    """Run the batch; return the seconds of each pass."""
    passes_s: list[float] = []
    while len(passes_s) < N_PLAIN and sum(passes_s) < PLAIN_S:
        passes_s.append(runner.run("plain", 0))
        watch.sample()
    return passes_s
