"""Peak memory of the process and of the device."""

import contextlib
import re
from pathlib import Path

_STATUS = Path("/proc/self/status")
# Writing 5 resets the peak resident size of the process (Linux, proc(5)).
_RESET = Path("/proc/self/clear_refs")


class PeakMemory:
    """Peaks since `reset`, in bytes. Resident memory includes mapped pages of the weights file."""

    def __init__(self, device: str) -> None:
        self._on_cuda = device == "cuda"

    def reset(self) -> None:
        """Reset the peaks. Where a container forbids it, the peak is that since the start of the process."""
        with contextlib.suppress(OSError):
            _RESET.write_text("5")
        if self._on_cuda:
            import torch

            torch.cuda.reset_peak_memory_stats()

    @property
    def rss_bytes(self) -> int:
        """Resident memory now."""
        return _kilobytes("VmRSS") * 1024

    @property
    def device_bytes(self) -> int | None:
        """Memory of tensors on the GPU now; None on the CPU."""
        if not self._on_cuda:
            return None
        import torch

        return torch.cuda.memory_allocated()

    @property
    def peak_rss_bytes(self) -> int:
        """Peak resident memory."""
        return _kilobytes("VmHWM") * 1024

    @property
    def peak_device_bytes(self) -> int | None:
        """Peak memory of tensors on the GPU; None on the CPU."""
        if not self._on_cuda:
            return None
        import torch

        return torch.cuda.max_memory_allocated()


def _kilobytes(field: str) -> int:
    found = re.search(rf"^{field}:\s*(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    if found is None:
        raise OSError(f"{_STATUS} has no {field}")
    return int(found.group(1))
