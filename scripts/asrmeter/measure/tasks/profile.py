"""Profiling a cell: whole passes under torch.profiler, after plain ones that show how much profiling adds."""

import contextlib
import dataclasses
import os
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch.autograd.profiler import record_function

from asrmeter.common.vocabulary import OUTPUT
from asrmeter.machine.interference import Watch, why_disturbed
from asrmeter.measure.operator_attribution import PREFIX, Event, Row, attribute, range_of, read, write_trace
from asrmeter.measure.spec import ProfileSpec
from asrmeter.measure.tasks import Task
from asrmeter.measure.tasks.batch_runner import BatchRunner
from asrmeter.measure.tasks.device import gpu_of, load_runtime
from asrmeter.records.events import Profile, Ready
from asrmeter.runtimes import families
from asrmeter.runtimes.base import Hypothesis, Runtime, Timeline
from asrmeter.runtimes.transformers.torch_runtime import TorchRuntime

N_WARMUP, N_PLAIN, N_PROFILED = 2, 3, 2
# A pass that takes longer than this runs plainly only once.
_LONG_S = 5


class CellProfile(Task):
    """Profiles the first timed batch of a cell. The last profiled pass is written to the spec's `trace_file`."""

    _spec: ProfileSpec

    def run(self) -> None:
        """Run plain and profiled passes; emit what each profiled pass consists of."""
        spec, emit = self._spec, self._emit
        runtime = load_runtime(spec)
        assert isinstance(runtime, TorchRuntime), "profile_operators.py refuses all others"
        gpu = gpu_of(runtime, spec.device)
        emit(Ready(attention=runtime.attention, decoding=runtime.decoding()))
        ids = spec.batches[(spec.timed_batches or (0,))[0]]
        own_segments = [row for row in spec.segments if row["segment_id"] in ids]
        own = dataclasses.replace(spec, batches=[ids], segments=own_segments)
        plain = BatchRunner(own, runtime, emit)
        warm_s = [plain.run("warmup", 0) for _ in range(N_WARMUP)]
        n_plain = 1 if warm_s[-1] > _LONG_S else N_PLAIN
        with _profiler(spec.device):
            _open("").__exit__(None, None, None)  # the first profile and the first range set up things
        in_ranges = BatchRunner(own, _InRanges(runtime, spec.family), emit)
        # As in a cell: passes that were disturbed run once more, and are marked if they are disturbed again.
        for _attempt in range(2):
            watch = Watch(spec.device, gpu.uuid if gpu else None)
            plain_s: list[float] = []
            for _ in range(n_plain):
                plain_s.append(plain.run("plain", 0))
                watch.sample()
            profiles: list[Row] = []
            for repeat in range(1, N_PROFILED + 1):
                with _ranges_of_modules(runtime), _profiler(spec.device) as events:
                    pass_s, _, _ = in_ranges.transcribe(0)
                watch.sample()
                profiles.append({"repeat": repeat, "pass_s": pass_s} | _shares(*attribute(events), pass_s))
            disturbance = why_disturbed(watch.report(), spec.threads)
            if disturbance is None:
                break
        write_trace(events, Path(spec.trace_file))
        plain_pass_s = statistics.median(plain_s)
        overhead = statistics.median(entry["pass_s"] for entry in profiles) / plain_pass_s - 1
        for entry in profiles:
            emit(Profile(**entry, plain_pass_s=plain_pass_s, overhead=overhead, disturbance=disturbance))


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

    def transcribe(self, waveforms: list[np.ndarray], references: list[str], timeline: Timeline) -> list[Hypothesis]:
        """See `Runtime`."""
        in_ranges = _RangedTimeline(timeline, self._names)
        hypotheses = self._runtime.transcribe(waveforms, references, in_ranges)
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
def _profiler(device: str) -> Iterator[list[Event]]:
    """Profile what runs in the block; the list holds the events after it."""
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
    session = profile(activities=activities, record_shapes=True)
    events: list[Event] = []
    with _without_notices():
        session.start()
    try:
        yield events
    finally:
        with _without_notices():
            session.stop()
    assert session.profiler is not None
    events += read(session.profiler.kineto_results)


@contextlib.contextmanager
def _without_notices() -> Iterator[None]:
    """Suppress what torch 2.13 writes to the descriptor of standard error whenever a profiler starts or stops."""
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
