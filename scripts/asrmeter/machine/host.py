"""Properties of this machine that decide whether a variant can run: processor instructions and GPU.

They are read without any library, before anything is loaded.
"""

import ctypes
import re
from dataclasses import dataclass

from asrmeter.machine import cuda
from asrmeter.machine.probes import read

# CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR of CUDA's driver.
_CAPABILITY = (75, 76)


@dataclass(frozen=True)
class Host:
    """A machine from the view of a variant.

    Attributes:
        cpu_flags: the processor's instructions, as Linux names them (`avx2`, `avx512_bf16`, `amx_bf16`).
        cpu_vendor: the processor's maker (`GenuineIntel`, `AuthenticAMD`); "" if unknown.
        cuda_missing: why there is no CUDA device, None if there is one.
        compute_capability: that of the first GPU (8, 0); None without one.
    """

    cpu_flags: frozenset[str] = frozenset()
    cpu_vendor: str = ""
    cuda_missing: str | None = None
    compute_capability: tuple[int, int] | None = None

    def lacks(self, *flags: str) -> bool:
        """Return whether the processor lacks all of these instructions."""
        return self.cpu_flags.isdisjoint(flags)


def this_host() -> Host:
    """Return this machine."""
    vendor = re.search(r"^vendor_id\s*:\s*(.+)$", read("/proc/cpuinfo") or "", re.MULTILINE)
    missing = cuda.missing()
    return Host(
        cpu_flags=cpu_flags(),
        cpu_vendor=vendor[1].strip() if vendor else "",
        cuda_missing=missing,
        compute_capability=None if missing else _compute_capability(),
    )


def cpu_flags() -> frozenset[str]:
    """Return the processor's instructions, as Linux names them."""
    # Arm's processors say `Features`.
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", read("/proc/cpuinfo") or "", re.MULTILINE)
    return frozenset(flags[1].split()) if flags else frozenset()


def _compute_capability() -> tuple[int, int] | None:
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    failed = (
        driver.cuInit(0)
        or driver.cuDeviceGet(ctypes.byref(device), 0)
        or driver.cuDeviceGetAttribute(ctypes.byref(major), _CAPABILITY[0], device)
        or driver.cuDeviceGetAttribute(ctypes.byref(minor), _CAPABILITY[1], device)
    )
    return None if failed else (major.value, minor.value)
