"""The control kernel: the same small work in every sitting, which shows the speed of the machine at that time.

A product of matrices that stay in cache follows the clock and whoever shares the cores. A copy of more than caches hold
follows whoever shares the memory. Neighbours on the same host show in nothing else that can be seen from inside.

torch does the work on its own device if the runtime has it loaded, numpy does elsewhere: no library is imported for it.
"""

import mmap
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from asrmeter.common.errors import line
from asrmeter.records.events import Control, Speed

# A call that does the work of a kernel, and waits until it is done.
Kernel = Callable[[], object]

# Each kernel runs for this long, and this often at least. Of all calls the lower quartile counts: a process that holds
# a core now and then does not make the machine slow, and the watch over the passes sees it better.
KERNEL_S, MIN_CALLS = 0.05, 5
# Three matrices of this side take 1.8 MB: a core's own caches. A GPU fills up only with larger ones.
SIDES = {"cpu": 384, "cuda": 2048}
# Source and target of the copy, together more than the caches of most machines.
COPY_BYTES = {"cpu": 2**26, "cuda": 2**28}
_FLOAT32_BYTES = 4


class ControlKernel:
    """Runs the control kernel before and after the passes. It never raises; failures are noted.

    On the CPU its memory comes from the system and goes back to it: the allocator, which a model's buffers come from,
    does not change, and neither do later readings of the memory.
    """

    def __init__(self, device: str, threads: int) -> None:
        self._torch: Any = sys.modules.get("torch")
        if self._torch:
            # Another library may compute on the GPU: a context of torch would take memory from it.
            self._device = "cuda" if device == "cuda" and self._torch.cuda.is_initialized() else "cpu"
            library, n_threads = _torch_named(self._torch), self._torch.get_num_threads()
        else:
            self._device, library, n_threads = "cpu", f"numpy {np.__version__}", threads
        self.found = Control(library=library, device=self._device, n_threads=n_threads)

    def before(self) -> Control:
        """Run the kernel before the passes; return the results so far."""
        return self._run("before")

    def after(self) -> Control:
        """Run the kernel after the passes; return all that was found."""
        return self._run("after")

    def _run(self, when: str) -> Control:
        begin_s = time.perf_counter()
        try:
            found: dict[str, Any] = {when: self._speed()}
        except Exception as error:  # too little memory, for one: the passes may do with less
            found = {"note": line(f"{when} the passes: {type(error).__name__}: {error}")}
        seconds = (self.found.seconds or 0.0) + time.perf_counter() - begin_s
        self.found = replace(self.found, **found, seconds=seconds)
        return self.found

    def _speed(self) -> Speed:
        side, copied = SIDES[self._device], COPY_BYTES[self._device]
        matmul, copy = self._by_torch(side, copied) if self._torch else _by_numpy(side, copied)
        speed = Speed(
            matmul_flop_per_s=2 * side**3 / _typical_s(matmul), copy_bytes_per_s=2 * copied / _typical_s(copy)
        )
        if self._device == "cuda":
            del matmul, copy
            self._torch.cuda.empty_cache()
        return speed

    def _by_torch(self, side: int, copied: int) -> tuple[Kernel, Kernel]:
        """Return the two kernels by torch."""
        torch = self._torch

        def numbers(count: int) -> Any:
            if self._device == "cuda":
                return torch.ones(count, device="cuda")
            return torch.frombuffer(_memory(count), dtype=torch.float32).fill_(1)

        left, right, product = (numbers(side**2).view(side, side) for _ in range(3))
        source, target = (numbers(copied // _FLOAT32_BYTES) for _ in range(2))
        wait = torch.cuda.synchronize if self._device == "cuda" else lambda: None

        def matmul() -> None:
            torch.mm(left, right, out=product)
            wait()

        def copy() -> None:
            target.copy_(source)
            wait()

        return matmul, copy


def _by_numpy(side: int, copied: int) -> tuple[Kernel, Kernel]:
    """Return the two kernels by numpy."""

    def numbers(count: int) -> np.ndarray:
        values = np.frombuffer(_memory(count), dtype=np.float32)
        values[:] = 1
        return values

    left, right, product = (numbers(side**2).reshape(side, side) for _ in range(3))
    source, target = (numbers(copied // _FLOAT32_BYTES) for _ in range(2))
    return lambda: np.matmul(left, right, out=product), lambda: np.copyto(target, source)


def _memory(count: int) -> mmap.mmap:
    """Return memory for so many numbers, which goes back to the system with the last that uses it."""
    memory = mmap.mmap(-1, count * _FLOAT32_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    # As the model's large buffers are: fewer faults, and a speed that does not depend on which pages there are.
    memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


def _typical_s(kernel: Kernel) -> float:
    """Return the seconds of a call: the lower quartile of many."""
    kernel()  # brings its numbers into the caches, and sets up what the first call needs
    times_s: list[float] = []
    ends_s = time.perf_counter() + KERNEL_S
    while len(times_s) < MIN_CALLS or time.perf_counter() < ends_s:
        begin_s = time.perf_counter()
        kernel()
        times_s.append(time.perf_counter() - begin_s)
    return sorted(times_s)[len(times_s) // 4]


def _torch_named(torch: Any) -> str:
    """Return torch's version, and with which precision it multiplies unless that is float32's own."""
    precision = torch.get_float32_matmul_precision()
    return f"torch {torch.__version__}" + ("" if precision == "highest" else f", matmul precision {precision}")
