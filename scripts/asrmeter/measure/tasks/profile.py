"""Profiling a cell: whole passes under torch.profiler, after plain ones, so that what profiling adds is known."""

import contextlib
import gc
import os
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrmeter.common.vocabulary import DECODER_OTHER, OUTPUT
from asrmeter.measure.operator_attribution import PREFIX, Event, Row, attribute, range_of, read, write_trace
from asrmeter.runtimes.base import Hypothesis, Timeline

if TYPE_CHECKING:
    import numpy as np
    from torch.autograd.profiler import record_function

    from asrmeter.runtimes.base import Runtime

Emit = Callable[..., None]

N_WARMUP, N_PLAIN, N_PROFILED = 2, 3, 2
# Of passes beyond this a single plain one has to do.
_LONG_S = 5


def measure(spec: dict[str, Any], emit: Emit) -> None:
    """Profile the first timed batch of the cell `spec` and tell `emit(event, **fields)` what its passes consist of.

    The last profiled pass is written to `spec["trace_file"]`.

    Raises:
        RuntimeError: the rows do not add up to the pass.
    """
    import torch

    from asrmeter import runtimes
    from asrmeter.machine.interference import Watch, why_disturbed
    from asrmeter.measure import energy
    from asrmeter.measure.worker import Passes

    device = spec["device"]
    torch.set_num_threads(spec["threads"])
    if device == "cuda" and not torch.cuda.is_available():
        emit("unsupported", reason="no CUDA device on this machine")
        return
    runtime = runtimes.load(
        spec["family"], Path(spec["model_folder"]), spec["options"], device, random_weights=spec["weights"] == "random"
    )
    gc.freeze()
    gc.enable()
    emit("ready", attention=runtime.attention, decoding=runtime.decoding())
    ids = spec["batches"][spec["timed_batches"][0]]
    own = spec | {"batches": [ids], "segments": [row for row in spec["segments"] if row["segment_id"] in ids]}

    passes = Passes(own, runtime, emit)
    warm_s = [passes.run("warmup", 0) for _ in range(N_WARMUP)]
    n_plain = 1 if warm_s[-1] > _LONG_S else N_PLAIN
    with _profiler(device):
        _open("").__exit__(None, None, None)  # what the first profile and range set up takes time
    in_ranges = Passes(own, _InRanges(runtime, spec["family"], device), emit)
    gpu = energy.own_gpu() if device == "cuda" else None
    # As with the timed passes of a cell: what was disturbed is done once again, and marked if that is disturbed too.
    for _attempt in range(2):
        watch = Watch(device, gpu)
        plain_s: list[float] = []
        for _ in range(n_plain):
            plain_s.append(passes.run("plain", 0))
            watch.sample()
        found: list[Row] = []
        for repeat in range(1, N_PROFILED + 1):
            with _ranges_of_modules(runtime), _profiler(device) as events:
                pass_s, _, _ = in_ranges.transcribe(0)
            watch.sample()
            found.append({"repeat": repeat, "pass_s": pass_s} | _told(*attribute(events), pass_s))
        disturbance = why_disturbed(watch.report(), spec["threads"])
        if disturbance is None:
            break
    write_trace(events, Path(spec["trace_file"]))
    plain_pass_s = statistics.median(plain_s)
    overhead = statistics.median(entry["pass_s"] for entry in found) / plain_pass_s - 1
    for entry in found:
        emit("profile", **entry, plain_pass_s=plain_pass_s, overhead=overhead, disturbance=disturbance)
    emit("done")


def _told(rows: list[Row], busy_s: float | None, pass_s: float) -> Row:
    """Return what is told of a pass of `pass_s` seconds: its rows, and how much of it they are.

    They lack a few calls at both ends, and there may lie what the machine did meanwhile: how much, `covered` tells.
    """
    covered = sum(row["cpu_self_s"] for row in rows) / pass_s
    return {"rows": rows, "covered": covered, "device_idle_share": None if busy_s is None else 1 - busy_s / pass_s}


class _RangedTimeline(Timeline):
    """A timeline whose stages are ranges in the profile too. `names` maps its stages to other names of them."""

    def __init__(self, device: str, names: dict[str, str]) -> None:
        super().__init__(device)
        self._names = names
        self._range: record_function | None = None

    def begin(self, stage: str) -> None:
        """See `Timeline`."""
        if self._range:
            self._range.__exit__(None, None, None)
        super().begin(stage)
        self._range = _open(self._names.get(stage, stage)) if stage else None


class _InRanges:
    """A runtime whose stages are ranges in the profile: all that `asrmeter.measure.worker.Passes` asks of one."""

    def __init__(self, runtime: "Runtime", family: str, device: str) -> None:
        self._runtime, self._device = runtime, device
        self._names = {"decoder": OUTPUT if family == "ctc" else DECODER_OTHER}

    def transcribe(self, waveforms: "list[np.ndarray]", references: list[str], _timeline: Timeline) -> list[Hypothesis]:
        """See `asrmeter.runtimes.base.Runtime`."""
        timeline = _RangedTimeline(self._device, self._names)
        hypotheses = self._runtime.transcribe(waveforms, references, timeline)
        timeline.end()
        return hypotheses


@contextlib.contextmanager
def _ranges_of_modules(runtime: "Runtime") -> Iterator[None]:
    """Have the calls of the modules that `range_of` names be ranges in the profile."""
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


def _open(name: str) -> "record_function":
    from torch.autograd.profiler import record_function

    opened = record_function(PREFIX + name)
    opened.__enter__()
    return opened


@contextlib.contextmanager
def _profiler(device: str) -> "Iterator[list[Event]]":
    """Profile what runs within; the events are there afterwards."""
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
    """Keep back what torch 2.13 writes to the descriptor of standard error whenever a profiler starts or stops."""
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
