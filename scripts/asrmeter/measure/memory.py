"""Peak memory of the process and of the device. Standard library only."""

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asrmeter.runtimes.base import DeviceMemory

_STATUS = Path("/proc/self/status")
# Writing 5 resets the peak resident size of the process (Linux, proc(5)).
_RESET = Path("/proc/self/clear_refs")


class PeakMemory:
    """Peaks since `reset`, in bytes. Resident memory includes mapped pages of the weights file.

    `device` is what the runtime knows of the GPU's memory, None on the CPU.
    """

    def __init__(self, device: "DeviceMemory | None") -> None:
        self._device = device

    def reset(self) -> None:
        """Reset the peaks. If a container forbids this, the peak is that since the start of the process."""
        with contextlib.suppress(OSError):
            _RESET.write_text("5", encoding="utf-8")
        if self._device:
            self._device.reset_peak()

    @property
    def rss_bytes(self) -> int:
        """Resident memory now."""
        return _kilobytes("VmRSS") * 1024

    @property
    def device_bytes(self) -> int | None:
        """Memory on the GPU now; None without a GPU, or if the runtime does not report it."""
        return self._device.now_bytes() if self._device else None

    @property
    def peak_rss_bytes(self) -> int:
        """Peak resident memory."""
        return _kilobytes("VmHWM") * 1024

    @property
    def peak_device_bytes(self) -> int | None:
        """Peak memory on the GPU; None without a GPU, or if the runtime does not report it."""
        return self._device.peak_bytes() if self._device else None


def pss_bytes(pid: int) -> int | None:
    """Return the proportional memory (PSS) of a process; None if it cannot be read."""
    try:
        return _kilobytes("Pss", Path(f"/proc/{pid}/smaps_rollup")) * 1024
    except OSError:
        return None


def _kilobytes(field: str, path: Path = _STATUS) -> int:
    found = re.search(rf"^{field}:\s*(\d+) kB", path.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise OSError(f"{path} has no {field}")
    return int(found.group(1))
