"""What a runtime can do whose model is a torch network: CUDA's own clock and memory, a check of its scores."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import torch

from asrmeter.machine import cuda
from asrmeter.machine.host import Host, cpu_flags
from asrmeter.runtimes.base import Effective, Runtime, Setup, Timeline, UnsupportedError

# Instructions of processors, as Linux names them, that multiply in a number format. torch computes without them too, in
# float32 and with a conversion before and after.
_NATIVE = {
    "float16": ("avx512_fp16", "amx_fp16", "asimdhp"),
    "bfloat16": ("avx512_bf16", "amx_bf16", "bf16"),
}


def open_device(device: str, threads: int) -> None:
    """Give torch its threads, and see that the device is there.

    Raises:
        UnsupportedError: it is not.
    """
    torch.set_num_threads(threads)
    if device == "cuda" and not torch.cuda.is_available():
        raise UnsupportedError("no CUDA device on this machine")


def own_gpu() -> cuda.Gpu:
    """Return the GPU that torch runs on."""
    uuid = str(torch.cuda.get_device_properties(0).uuid).removeprefix("GPU-")
    return cuda.Gpu(f"GPU-{uuid}", torch.cuda.get_device_name())


class CudaTimeline(Timeline):
    """A timeline whose marks are events in the stream, read after the pass: a mark waits for nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._mark = self._recorded

    @staticmethod
    def _recorded() -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def _elapsed_s(self, begin: Any, end: Any) -> float:
        return float(begin.elapsed_time(end)) / 1000


class CudaMemory:
    """Memory of tensors on the GPU, by torch's allocator."""

    def reset_peak(self) -> None:
        """See `DeviceMemory`."""
        torch.cuda.reset_peak_memory_stats()

    def now_bytes(self) -> int:
        """See `DeviceMemory`."""
        return torch.cuda.memory_allocated()

    def peak_bytes(self) -> int:
        """See `DeviceMemory`."""
        return torch.cuda.max_memory_allocated()


class TorchRuntime(Runtime):
    """A runtime whose model is a torch network.

    Attributes:
        model: the network.
        head: the module of it whose outputs are the tokens' scores.
        attention: implementation of attention, `sdpa` or `eager`; it may differ from the variant's.
    """

    model: Any
    head: torch.nn.Module
    attention: str

    def __init__(self, setup: Setup) -> None:
        open_device(setup.device, setup.threads)
        self._on_cuda = setup.device == "cuda"

    def effective(self) -> Effective:
        """See `Runtime`."""
        backends = ("CUDA",) if self._on_cuda else _cpu_backends()
        library = f"torch {torch.__version__}, {', '.join(backends)}"
        dtype = str(next(self.model.parameters()).dtype).removeprefix("torch.")
        return Effective(
            dtype,
            torch.get_num_threads(),
            library,
            self.attention,
            instructions=None if self._on_cuda else torch.backends.cpu.get_cpu_capability(),
            emulated=self.is_emulated([dtype]),
        )

    def host(self) -> Host:
        """Return what of this machine decides whether the model can run: the processor, and the GPU if it is used."""
        if not self._on_cuda:
            return Host(cpu_flags=cpu_flags())
        return Host(cpu_flags=cpu_flags(), compute_capability=torch.cuda.get_device_capability())

    def is_emulated(self, dtypes: Iterable[str]) -> bool:
        """Return whether the device has no instructions for one of these number formats, so that torch imitates it."""
        host = self.host()
        if host.compute_capability is not None:
            return "bfloat16" in dtypes and host.compute_capability < (8, 0)
        return any(host.lacks(*_NATIVE[dtype]) for dtype in dtypes if dtype in _NATIVE)

    def timeline(self) -> Timeline:
        """See `Runtime`."""
        return CudaTimeline() if self._on_cuda else Timeline()

    def synchronize(self) -> None:
        """See `Runtime`."""
        if self._on_cuda:
            torch.cuda.synchronize()

    @contextlib.contextmanager
    def check_scores(self) -> Iterator[None]:
        """See `Runtime`."""

        def check(_module: Any, _inputs: Any, scores: torch.Tensor) -> None:
            # The extremes take no memory of their own, and are not finite if any score is not.
            if not all(torch.isfinite(extreme) for extreme in torch.aminmax(scores)):
                raise FloatingPointError(
                    f"the model's output in {scores.dtype} is infinite or not a number; "
                    "measure it in float32 or bfloat16"
                )

        hook = self.head.register_forward_hook(check)
        try:
            yield
        finally:
            hook.remove()

    def gpu(self) -> cuda.Gpu | None:
        """See `Runtime`."""
        return own_gpu()

    def device_memory(self) -> CudaMemory | None:
        """See `Runtime`."""
        return CudaMemory() if self._on_cuda else None


def _cpu_backends() -> list[str]:
    """Return the libraries that torch can hand matrix products to on this CPU."""
    found = {"MKL": torch.backends.mkl.is_available(), "oneDNN": torch.backends.mkldnn.is_available()}
    return [name for name, is_there in found.items() if is_there] or ["no library for matrices"]
