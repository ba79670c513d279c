"""How fast the machine multiplies matrices and moves memory: microbenchmarks for `asrmeter.records.machine_peaks`.

A rate is the best of many runs, since other processes can only slow a run down. They come in bursts, so every round
gives a slice of time to each microbenchmark: a burst then spoils a round, not a microbenchmark.
"""

import itertools
import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from asrmeter.machine import probes
from asrmeter.machine.facts import cpu_name, memory_bytes
from asrmeter.machine.interference import Watch, why_disturbed
from asrmeter.measure.spec import PeaksSpec
from asrmeter.measure.tasks import Task, classify_error
from asrmeter.records.events import Device, Rate
from asrmeter.runtimes.transformers.torch_runtime import open_device, own_gpu

# A call that does the work of a microbenchmark.
Kernel = Callable[[], Any]
# Returns the seconds of a call.
Timer = Callable[[Kernel], float]

# Sides of a square matrix of weights, which ROWS times as many rows are multiplied by: the shape of linear layers. With
# as many rows as columns rates may stay far below: each call rearranges the weights, and bfloat16 on two cores of a
# Xeon with AMX reached 2.9 TFLOP/s instead of 3.7. A CPU's best size depends on the format: small matrices fit its
# caches, and are over before a neighbour wakes up. A GPU fills up only with larger ones.
MATRIX_SIZES = {"cpu": (256, 384, 512, 768, 1024, 1536, 2048), "cuda": (1024, 2048, 4096, 8192)}
ROWS = 4
# Every power of two, as the rate drops abruptly where a set outgrows a cache. Smaller sets measure how long an operator
# takes to start.
WORKING_SETS_BYTES = tuple(2**power for power in range(20, 31))
# Part of the free memory that the largest working set may take, and the matrices of one product.
MEMORY_SHARE = 1 / 8
# Products that take longer are left out: there would be too few rounds.
LONGEST_RUN_S = 0.05
SLICE_S = 0.005
# The resolution of a GPU's clock is a microsecond, so as many calls are timed together as take this long.
CUDA_RUN_S = 0.001
_FLOAT32_BYTES = 4
_COLUMNS = 4096


@dataclass
class Microbenchmark:
    """One rate: the `work` (FLOP or bytes) that a call of each of the `kernels` does, and the best time so far."""

    kind: str
    work: float
    kernels: Sequence[Kernel]
    timer: Timer
    dtype: str | None = None
    matrix_size: int | None = None
    working_set_bytes: int | None = None
    best_s: float = field(default=math.inf, init=False)
    n_runs: int = field(default=0, init=False)

    def run(self) -> None:
        """Run each kernel for a slice, at least twice: the first run brings its working set back into the caches."""
        for kernel in self.kernels:
            ends_s = time.perf_counter() + SLICE_S
            for i in itertools.count(1):
                self.best_s = min(self.best_s, self.timer(kernel))
                self.n_runs += 1
                if i >= 2 and time.perf_counter() >= ends_s:
                    break

    def columns(self) -> dict[str, Any]:
        """Return the columns of the table that this microbenchmark fills."""
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


class PeakMeasurement(Task):
    """Measures the rates of a device, once more if the machine was disturbed.

    A dtype that the device cannot multiply is a rate with a reason instead.
    """

    _spec: PeaksSpec

    def run(self) -> None:
        """Emit the device, and an event `rate` for each microbenchmark."""
        device = self._spec.device
        open_device(device, self._spec.threads)
        gpu = own_gpu() if device == "cuda" else None
        # As the study's models run: torch's default is the full precision of float32 (`highest`), no TF32.
        precision = torch.get_float32_matmul_precision()
        self._emit(Device(device_name=gpu.name if gpu else cpu_name(), float32_matmul_precision=precision))
        with torch.inference_mode():
            benchmarks = self._benchmarks(device)
            disturbance = self._run_rounds(benchmarks, gpu.uuid if gpu else None)
        for benchmark in benchmarks:
            reason = disturbance and f"may be too low: {disturbance}"
            self._emit(Rate(**benchmark.columns(), reason=reason))

    def _benchmarks(self, device: str) -> list[Microbenchmark]:
        """Return the microbenchmarks of the device; emit the dtypes that it cannot multiply."""
        benchmarks = list(memory_benchmarks(device))
        for dtype in self._spec.dtypes:
            try:
                benchmarks += matmul_benchmarks(device, dtype)
            except RuntimeError as error:
                status, reason = classify_error(error)
                self._emit(Rate(kind="matmul", dtype=dtype, status=status, reason=reason))
        return benchmarks

    def _run_rounds(self, benchmarks: Sequence[Microbenchmark], gpu: str | None) -> str | None:
        """Run rounds until the budget is spent, and again after a disturbance; return the last disturbance."""
        n_ways_to_move = len({benchmark.kind for benchmark in benchmarks if benchmark.kind != "matmul"})
        budget_s = self._spec.budget_s * (n_ways_to_move + len(self._spec.dtypes))
        disturbance = None
        for _attempt in range(2):
            watch = Watch(self._spec.device, gpu)
            ends_s = time.perf_counter() + budget_s
            for benchmark in itertools.cycle(benchmarks):
                benchmark.run()
                watch.sample()
                if time.perf_counter() >= ends_s and benchmark is benchmarks[-1]:
                    break
            disturbance = why_disturbed(watch.report(), self._spec.threads)
            if disturbance is None:
                break
        return disturbance


def memory_benchmarks(device: str) -> Iterator[Microbenchmark]:
    """Yield the microbenchmarks of memory; a working set is all bytes that are touched (float32).

    `read`: a product of a matrix and a vector, as in a step of a decoder, and a dot product; both read each byte once.
    `copy`: one half of the set to the other half. Most CPUs read what they are about to overwrite; that is not counted.
    """
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
        benchmark = partial(Microbenchmark, timer=_timer(device), working_set_bytes=size)
        yield benchmark("read", size, read)
        yield benchmark("copy", size, [partial(target.copy_, source)])


def matmul_benchmarks(device: str, dtype: str) -> Iterator[Microbenchmark]:
    """Yield matrix products, 2 FLOP a multiply-add, up to the largest that is quick and fits in memory."""
    format_: torch.dtype = getattr(torch, dtype)
    limit = MEMORY_SHARE * free_bytes(device)
    rate = math.inf
    for size in MATRIX_SIZES[device]:
        work, n_bytes = 2 * ROWS * size**3, (2 * ROWS + 1) * size**2 * format_.itemsize
        if math.isfinite(rate) and (n_bytes > limit or work / rate > LONGEST_RUN_S):
            return
        # Random numbers around 1: none is denormal, nothing overflows, and they take as much power as real ones. On
        # constants, which take less, a GPU is faster.
        left, weights = (torch.randn(n, size, dtype=format_, device=device) for n in (ROWS * size, size))
        product = torch.empty_like(left)
        # The second layout is that of a model's linear layers.
        kernels = [partial(torch.mm, left, right, out=product) for right in (weights, weights.t())]
        benchmark = Microbenchmark("matmul", work, kernels, _timer(device), dtype=dtype, matrix_size=size)
        benchmark.run()
        rate = work / benchmark.best_s
        yield benchmark


def free_bytes(device: str) -> float:
    """Return how much memory is free now: on the GPU, or on the machine or in its container."""
    if device == "cuda":
        return torch.cuda.mem_get_info()[0]
    found = re.search(r"^MemAvailable:\s*(\d+) kB", probes.read("/proc/meminfo") or "", re.MULTILINE)
    free = int(found.group(1)) * 1024 if found else memory_bytes()
    limit, used = (probes.read(f"/sys/fs/cgroup/memory.{name}") for name in ("max", "current"))
    return free if limit in (None, "max") or used is None else min(free, int(limit) - int(used))


def _timer(device: str) -> Timer:
    return _CudaTimer() if device == "cuda" else _time_call


def _time_call(kernel: Kernel) -> float:
    begin_s = time.perf_counter()
    kernel()
    return time.perf_counter() - begin_s


class _CudaTimer:
    """Times kernels by the GPU's own clock, with many calls recorded as one graph.

    The host needs longer to start a kernel than a GPU needs for some megabytes. Timed call by call, a small working set
    would look slow, and the caches of the GPU would never show.
    """

    def __init__(self) -> None:
        self._graphs: dict[Kernel, tuple[Any, int]] = {}

    def __call__(self, kernel: Kernel) -> float:
        """Return the seconds of a call. A kernel's first call is timed alone, to know how many fit into a graph."""
        if kernel not in self._graphs:
            kernel()  # the set-up of the first call cannot be recorded
            single_s = self._elapsed_s(kernel)
            n_calls = math.ceil(CUDA_RUN_S / single_s)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                for _ in range(n_calls):
                    kernel()
            self._graphs[kernel] = graph, n_calls
            return single_s
        graph, n_calls = self._graphs[kernel]
        graph.replay()  # while this runs, the next one is submitted: between the two events the GPU never waits
        return self._elapsed_s(graph.replay) / n_calls

    @staticmethod
    def _elapsed_s(work: Callable[[], Any]) -> float:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        work()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1000
