"""Profiling a cell: a whole pass under torch.profiler, after plain ones that show how much profiling adds."""

import contextlib
import gc
import os
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch.autograd.profiler import record_function

from asrmeter.common.vocabulary import OUTPUT
from asrmeter.machine.interference import Watch, why_disturbed
from asrmeter.measure.operator_attribution import PREFIX, Row, attribute, range_of, read, write_trace
from asrmeter.measure.spec import ProfileSpec
from asrmeter.measure.tasks import Task
from asrmeter.measure.tasks.batch_runner import BatchRunner
from asrmeter.measure.tasks.device import gpu_of, load_runtime
from asrmeter.measure.tasks.profiled_batch import of_median_length, plain_passes
from asrmeter.records.events import Profile, Ready
from asrmeter.runtimes import families
from asrmeter.runtimes.base import Hypothesis, Runtime, SpeechBatch, Timeline
from asrmeter.runtimes.transformers.torch_runtime import TorchRuntime

if TYPE_CHECKING:
    from torch.profiler import profile


class CellProfile(Task):
    """Profiles the batch of median length of a cell. The profiled pass is written to the spec's `trace_file`."""

    _spec: ProfileSpec

    def run(self) -> None:
        """Run plain passes and a profiled one; emit the operators of the latter."""
        spec, emit = self._spec, self._emit
        runtime = load_runtime(spec)
        assert isinstance(runtime, TorchRuntime), "profile_operators.py refuses all others"
        gpu = gpu_of(runtime, spec.device)
        emit(Ready(attention=runtime.attention, decoding=runtime.decoding()))
        own = of_median_length(spec)
        plain = BatchRunner(own, runtime, emit)
        plain.warm_up(0)
        with _profiler(spec.device):
            _open("").__exit__(None, None, None)  # the first profile and the first range set up things
        in_ranges = BatchRunner(own, _InRanges(runtime, spec.family), emit)
        watch = Watch(spec.device, gpu.uuid if gpu else None)
        plain_pass_s = statistics.median(plain_passes(plain, watch))
        with _ranges_of_modules(runtime), _profiler(spec.device) as session:
            pass_s, _, _ = in_ranges.transcribe(0)
        disturbance = why_disturbed(watch.report(), spec.threads)
        assert session.profiler is not None
        with _without_collections():
            events = read(session.profiler.kineto_results)
            shares = _shares(*attribute(events), pass_s)
            write_trace(events, Path(spec.trace_file))
        emit(
            Profile(
                repeat=1,
                pass_s=pass_s,
                plain_pass_s=plain_pass_s,
                overhead=pass_s / plain_pass_s - 1,
                disturbance=disturbance,
                **shares,
            )
        )


def _shares(rows: list[Row], busy_s: float | None, pass_s: float) -> Row:
    """Return the rows of a pass of `pass_s` seconds, and how much of it they cover.

    They lack a few calls at both ends of the pass, and whatever the machine did meanwhile.
    """
    covered = sum(row["cpu_self_s"] for row in rows) / pass_s
    return {"rows": rows, "covered": covered, "device_idle_share": None if busy_s is None else 1 - busy_s / pass_s}


class _RangedTimeline(Timeline):
    """A timeline whose stages are ranges in the profile. `names` maps stages to other names for their ranges."""

    def __init__(self, marked: Timeline, names: dict[str, str]) -> None:
        super().__init__()
        self._marked, self._names = marked, names
        self._range: record_function | None = None

    def begin(self, stage: str) -> None:
        """See `Timeline`."""
        if self._range:
            self._range.__exit__(None, None, None)
        self._marked.begin(stage)
        self._range = _open(self._names.get(stage, stage)) if stage else None


class _InRanges(Runtime):
    """A runtime whose stages are ranges in the profile."""

    def __init__(self, runtime: Runtime, family: str) -> None:
        self._runtime = runtime
        self._names = {"decoder": families.named(family).decoder_range}

    def transcribe(self, speech: SpeechBatch, timeline: Timeline) -> list[Hypothesis]:
        """See `Runtime`."""
        in_ranges = _RangedTimeline(timeline, self._names)
        hypotheses = self._runtime.transcribe(speech, in_ranges)
        in_ranges.begin("")  # closes the last range
        return hypotheses

    def timeline(self) -> Timeline:
        """See `Runtime`."""
        return self._runtime.timeline()

    def synchronize(self) -> None:
        """See `Runtime`."""
        self._runtime.synchronize()


@contextlib.contextmanager
def _ranges_of_modules(runtime: TorchRuntime) -> Iterator[None]:
    """Make calls of the modules that `range_of` names ranges in the profile."""
    opened: list[record_function] = []

    def leave(*_: Any) -> None:
        opened.pop().__exit__(None, None, None)

    with contextlib.ExitStack() as hooks:
        for path, module in runtime.model.named_modules():
            name = OUTPUT if module is runtime.head else range_of(path, type(module).__name__)
            if name:
                enter = module.register_forward_pre_hook(lambda *_, name=name: opened.append(_open(name)))
                hooks.callback(enter.remove)
                hooks.callback(module.register_forward_hook(leave, always_call=True).remove)
        yield


def _open(name: str) -> record_function:
    opened = record_function(PREFIX + name)
    opened.__enter__()
    return opened


@contextlib.contextmanager
def _profiler(device: str) -> Iterator["profile"]:
    """Profile what runs in the block; the session has the results after it."""
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
    session = profile(activities=activities, record_shapes=True)
    with _without_notices():
        session.start()
    try:
        yield session
    finally:
        with _without_notices():
            session.stop()


@contextlib.contextmanager
def _without_collections() -> Iterator[None]:
    """Collect no garbage meanwhile: hundreds of thousands of events, none of it, take a fifth longer with it."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextlib.contextmanager
def _without_notices() -> Iterator[None]:
    """Suppress the output of torch 2.13 to standard error when a profiler starts or stops."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with open(os.memfd_create("asrmeter-notices"), "w+b") as caught:
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            caught.seek(0)
            for line in caught:
                if not line.startswith(b"USDT:"):
                    os.write(2, line)
