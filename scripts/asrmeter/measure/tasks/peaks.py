"""How fast the machine multiplies matrices and moves memory: what `machine_peaks` is made of.

A rate is the best of many runs: others on the machine only ever take time. They come in bursts, so each figure gets a
slice of every round, and a burst spoils a round, not a figure.
"""

import itertools
import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from asrmeter.machine import probes
from asrmeter.machine.facts import cpu_name, memory_bytes
from asrmeter.measure.worker import Emit, classify

Way = Callable[[], Any]
# Seconds of a call.
Clock = Callable[[Way], float]

# Sides of a square matrix of weights, which ROWS times as many rows are multiplied by: the shape of linear layers. With
# as many rows as columns rates may stay far below: each call rearranges the weights, and bfloat16 on two cores of a
# Xeon with AMX reached 2.9 TFLOP/s instead of 3.7. A CPU's best lies anywhere here, by format: small ones fit its
# caches, and are over before a neighbour wakes up. A GPU fills up only with larger ones.
MATRIX_SIZES = {"cpu": (256, 384, 512, 768, 1024, 1536, 2048), "cuda": (1024, 2048, 4096, 8192)}
ROWS = 4
# Every power of two, as a rate falls at once where a set outgrows a cache; smaller ones measure an operator's start.
WORKING_SETS_BYTES = tuple(2**power for power in range(20, 31))
# Of the memory that is free now, for the largest working set, and for the matrices of one product.
MEMORY_SHARE = 1 / 8
# A run that would take longer makes rounds too few.
LONGEST_RUN_S = 0.05
SLICE_S = 0.005
# A step of a GPU's clock is a microsecond: time as many calls as take this long.
CUDA_RUN_S = 0.001
_FLOAT32_BYTES = 4
_COLUMNS = 4096


@dataclass
class Figure:
    """One rate: `work` (FLOP or bytes) that each of the `ways` does in a call, and the best time of a call so far."""

    kind: str
    work: float
    ways: Sequence[Way]
    timed: Clock
    dtype: str | None = None
    matrix_size: int | None = None
    working_set_bytes: int | None = None
    best_s: float = field(default=math.inf, init=False)
    n_runs: int = field(default=0, init=False)

    def run(self) -> None:
        """Run each way for a slice, and at least twice: the first run brings its working set back into the caches."""
        for way in self.ways:
            ends_s = time.perf_counter() + SLICE_S
            for i in itertools.count(1):
                self.best_s = min(self.best_s, self.timed(way))
                self.n_runs += 1
                if i >= 2 and time.perf_counter() >= ends_s:
                    break

    def told(self) -> dict[str, Any]:
        """Return the columns of the table that are this figure's own."""
        rate = self.work / self.best_s
        return {
            "kind": self.kind,
            "dtype": self.dtype,
            "matrix_size": self.matrix_size,
            "working_set_bytes": self.working_set_bytes,
            "flop_per_s": rate if self.kind == "matmul" else None,
            "bytes_per_s": None if self.kind == "matmul" else rate,
            "n_runs": self.n_runs,
        }


def measure(spec: dict[str, Any], emit: Emit) -> None:
    """Measure the rates of a device and tell each as an event `rate`.

    `spec` has `device`, `threads`, `dtypes` and `budget_s`: seconds for each dtype and each way to move memory, and as
    many again if the machine was disturbed. A dtype that the device cannot multiply is a rate with a reason instead.
    """
    import torch

    from asrmeter.machine.interference import Watch, why_disturbed

    device = spec["device"]
    torch.set_num_threads(spec["threads"])
    if device == "cuda" and not torch.cuda.is_available():
        emit("unsupported", reason="no CUDA device on this machine")
        return
    gpu = None
    if device == "cuda":
        from asrmeter.measure import energy

        gpu = energy.own_gpu()
    # As the study's models run: torch's default is the full precision of float32 (`highest`), no TF32.
    emit(
        "device",
        device_name=torch.cuda.get_device_name() if device == "cuda" else cpu_name(),
        float32_matmul_precision=torch.get_float32_matmul_precision(),
    )
    with torch.inference_mode():
        figures = list(memory_figures(device))
        budget_s = spec["budget_s"] * (len({figure.kind for figure in figures}) + len(spec["dtypes"]))
        for dtype in spec["dtypes"]:
            try:
                figures += matmul_figures(device, dtype)
            except RuntimeError as error:
                status, reason = classify(error)
                emit("rate", kind="matmul", dtype=dtype, status=status, reason=reason)
        disturbance = None
        for _attempt in range(2):
            watch = Watch(device, gpu)
            ends_s = time.perf_counter() + budget_s
            for figure in itertools.cycle(figures):
                figure.run()
                watch.sample()
                if time.perf_counter() >= ends_s and figure is figures[-1]:
                    break
            disturbance = why_disturbed(watch.report(), spec["threads"])
            if disturbance is None:
                break
    for figure in figures:
        emit("rate", **figure.told(), status="ok", reason=disturbance and f"may be too low: {disturbance}")
    emit("done")


def memory_figures(device: str) -> Iterator[Figure]:
    """Yield what there is to do with working sets, which are all bytes that are touched (float32).

    `read`: a product of a matrix and a vector, as a step of a decoder is, and a dot product: each byte once. `copy`:
    half of the set into the other half; each byte once, though most CPUs read what they are about to overwrite, which
    is not counted.
    """
    import torch

    limit = MEMORY_SHARE * free_bytes(device)
    sets = [size for size in WORKING_SETS_BYTES if size <= limit] or WORKING_SETS_BYTES[:1]
    numbers = torch.ones(sets[-1] // _FLOAT32_BYTES, device=device)
    vector = torch.ones(_COLUMNS, device=device)
    for size in sets:
        flat = numbers[: size // _FLOAT32_BYTES]
        source, target = flat.chunk(2)
        matrix = flat.view(-1, _COLUMNS)
        products = torch.empty(len(matrix), device=device)
        read = [partial(torch.mv, matrix, vector, out=products), partial(torch.dot, flat, flat)]
        set_of = partial(Figure, timed=_clock(device), working_set_bytes=size)
        yield set_of("read", size, read)
        yield set_of("copy", size, [partial(target.copy_, source)])


def matmul_figures(device: str, dtype: str) -> Iterator[Figure]:
    """Yield matrix products, 2 FLOP a multiply-add, up to the largest that is quick and fits in memory."""
    import torch

    format_: torch.dtype = getattr(torch, dtype)
    limit = MEMORY_SHARE * free_bytes(device)
    rate = math.inf
    for size in MATRIX_SIZES[device]:
        work, n_bytes = 2 * ROWS * size**3, (2 * ROWS + 1) * size**2 * format_.itemsize
        if math.isfinite(rate) and (n_bytes > limit or work / rate > LONGEST_RUN_S):
            return
        # Random numbers of size 1: no denormal ones, nothing that overflows, and as much work for the wires as real
        # ones: a GPU is faster on constants, as they take less power.
        left, weights = (torch.randn(n, size, dtype=format_, device=device) for n in (ROWS * size, size))
        product = torch.empty_like(left)
        # The second layout is that of a model's linear layers.
        ways = [partial(torch.mm, left, right, out=product) for right in (weights, weights.t())]
        figure = Figure("matmul", work, ways, _clock(device), dtype=dtype, matrix_size=size)
        figure.run()
        rate = work / figure.best_s
        yield figure


def free_bytes(device: str) -> float:
    """Return how much memory could be had now: of the GPU, or of the machine or container."""
    if device == "cuda":
        import torch

        return torch.cuda.mem_get_info()[0]
    found = re.search(r"^MemAvailable:\s*(\d+) kB", probes.read("/proc/meminfo") or "", re.MULTILINE)
    free = int(found.group(1)) * 1024 if found else memory_bytes()
    limit, used = (probes.read(f"/sys/fs/cgroup/memory.{name}") for name in ("max", "current"))
    return free if limit in (None, "max") or used is None else min(free, int(limit) - int(used))


def _clock(device: str) -> Clock:
    return _CudaClock() if device == "cuda" else _timed


def _timed(way: Way) -> float:
    begin_s = time.perf_counter()
    way()
    return time.perf_counter() - begin_s


class _CudaClock:
    """Times the calls of a figure's ways by the GPU's own clock, many of them recorded as one graph.

    To start a kernel takes the host longer than a GPU needs for some megabytes: call by call, a small working set would
    look slow, and the caches of the GPU would never show.
    """

    def __init__(self) -> None:
        self._graphs: dict[Way, tuple[Any, int]] = {}

    def __call__(self, way: Way) -> float:
        """Return the seconds of a call; the first one of a way is timed alone, to know how many fit a graph."""
        import torch

        if way not in self._graphs:
            way()  # what the first call sets up cannot be recorded
            single_s = self._elapsed_s(way)
            n_calls = math.ceil(CUDA_RUN_S / single_s)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                for _ in range(n_calls):
                    way()
            self._graphs[way] = graph, n_calls
            return single_s
        graph, n_calls = self._graphs[way]
        graph.replay()  # meanwhile the next one is submitted: between the two events the GPU waits for nothing
        return self._elapsed_s(graph.replay) / n_calls

    @staticmethod
    def _elapsed_s(work: Callable[[], Any]) -> float:
        import torch

        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        work()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1000
