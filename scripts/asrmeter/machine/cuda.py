"""The NVIDIA GPUs of this machine, read with the driver's library and without torch."""

import ctypes
import os
from dataclasses import dataclass

_NAME_BYTES, _UUID_BYTES = 256, 16


@dataclass(frozen=True)
class Gpu:
    """A GPU, identified by its UUID: NVML numbers cards in another order than CUDA and includes hidden ones."""

    uuid: str
    name: str


def missing() -> str | None:
    """Return why there is no CUDA device to measure on, or None if there is one."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1"):
        return "CUDA_VISIBLE_DEVICES hides every GPU"
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "no NVIDIA driver is installed"
    count = ctypes.c_int(0)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return "the NVIDIA driver finds no GPU"
    if "+cpu" in _torch_version():
        return "the installed torch is a CPU build"
    return None


def first_gpu() -> Gpu | None:
    """Return CUDA's GPU 0 in this process, None without one. No context is made on it."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    device = ctypes.c_int()
    name, uuid = ctypes.create_string_buffer(_NAME_BYTES), ctypes.create_string_buffer(_UUID_BYTES)
    # Drivers before CUDA 11.4 have the function without a version; for a part of a GPU (MIG) it gives the whole one.
    get_uuid = getattr(driver, "cuDeviceGetUuid_v2", None) or driver.cuDeviceGetUuid
    failed = (
        driver.cuInit(0)
        or driver.cuDeviceGet(ctypes.byref(device), 0)
        or driver.cuDeviceGetName(name, _NAME_BYTES, device)
        or get_uuid(uuid, device)
    )
    if failed:
        return None
    digits = uuid.raw.hex()
    parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
    return Gpu(f"GPU-{'-'.join(parts)}", name.value.decode(errors="replace"))


def _torch_version() -> str:
    import importlib.metadata  # half a megabyte, of which every process that measures would have its part

    try:
        return importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
