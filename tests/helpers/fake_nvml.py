"""NVML as a library of C functions: what pynvml loads and calls, with cards that a test makes up.

The functions are C function pointers, called through ctypes with handles and addresses as the real library's are, so
that pynvml, and what is built on it, runs as it does on a machine with a GPU.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pynvml
import pytest

_HANDLE, _OUT, _NUMBER = ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint


@dataclass
class Card:
    """A GPU: what it shows is asked at each call. A card without an energy counter has None to show."""

    uuid: str
    power_mw: Callable[[], int] = lambda: 70_000
    energy_mj: Callable[[], int | None] = lambda: None
    name: str = "NVIDIA H100 80GB HBM3"


class FakeNvml:
    """The library. `n_opened` counts the calls that open it; `opens_with` is what they return."""

    def __init__(self, cards: list[Card]) -> None:
        self.n_opened = 0
        self.opens_with = pynvml.NVML_SUCCESS

        def function(*arguments: Any) -> Callable[[Callable[..., int]], Any]:
            return ctypes.CFUNCTYPE(ctypes.c_int, *arguments)

        @function(_NUMBER)
        def nvmlInitWithFlags(flags: int) -> int:
            self.n_opened += 1
            return self.opens_with

        @function(_OUT)
        def nvmlDeviceGetCount_v2(count: int) -> int:
            return _write(count, ctypes.c_uint, len(cards))

        @function(_NUMBER, _OUT)
        def nvmlDeviceGetHandleByIndex_v2(index: int, handle: int) -> int:
            return _write(handle, _HANDLE, index + 1)

        @function(ctypes.c_char_p, _OUT)
        def nvmlDeviceGetHandleByUUID(uuid: bytes, handle: int) -> int:
            for index, card in enumerate(cards):
                if card.uuid.encode() == uuid:
                    return _write(handle, _HANDLE, index + 1)
            return pynvml.NVML_ERROR_NOT_FOUND

        @function(_HANDLE, _OUT)
        def nvmlDeviceGetIndex(handle: int, index: int) -> int:
            return _write(index, ctypes.c_uint, handle - 1)

        @function(_HANDLE, _OUT, _NUMBER)
        def nvmlDeviceGetUUID(handle: int, text: int, length: int) -> int:
            return _write_text(text, cards[handle - 1].uuid, length)

        @function(_HANDLE, _OUT, _NUMBER)
        def nvmlDeviceGetName(handle: int, text: int, length: int) -> int:
            return _write_text(text, cards[handle - 1].name, length)

        @function(_HANDLE, _OUT)
        def nvmlDeviceGetTotalEnergyConsumption(handle: int, millijoules: int) -> int:
            shown = cards[handle - 1].energy_mj()
            return pynvml.NVML_ERROR_NOT_SUPPORTED if shown is None else _write(millijoules, ctypes.c_ulonglong, shown)

        @function(_HANDLE, _OUT)
        def nvmlDeviceGetPowerUsage(handle: int, milliwatts: int) -> int:
            return _write(milliwatts, ctypes.c_uint, cards[handle - 1].power_mw())

        @function(_HANDLE, _OUT)
        def nvmlDeviceGetEnforcedPowerLimit(handle: int, milliwatts: int) -> int:
            return _write(milliwatts, ctypes.c_uint, 700_000)

        @function(_HANDLE, _OUT)
        def nvmlDeviceGetMemoryInfo(handle: int, memory: int) -> int:
            total, free, used = 85_520_809_984, 85_017_493_504, 503_316_480
            ctypes.cast(memory, ctypes.POINTER(pynvml.c_nvmlMemory_t))[0] = pynvml.c_nvmlMemory_t(total, free, used)
            return pynvml.NVML_SUCCESS

        @function(_HANDLE, _OUT)
        def nvmlDeviceGetUtilizationRates(handle: int, rates: int) -> int:
            ctypes.cast(rates, ctypes.POINTER(pynvml.c_nvmlUtilization_t))[0] = pynvml.c_nvmlUtilization_t(90, 40)
            return pynvml.NVML_SUCCESS

        @function(_HANDLE, _NUMBER, _OUT)
        def nvmlDeviceGetTemperature(handle: int, sensor: int, celsius: int) -> int:
            return _write(celsius, ctypes.c_uint, 45)

        @function(_HANDLE, _OUT)
        def nvmlDeviceGetComputeMode(handle: int, mode: int) -> int:
            return _write(mode, ctypes.c_uint, pynvml.NVML_COMPUTEMODE_DEFAULT)

        @function(_HANDLE, _OUT, _OUT)
        def nvmlDeviceGetComputeRunningProcesses_v3(handle: int, count: int, processes: int) -> int:
            return _write(count, ctypes.c_uint, 0)

        @function(_HANDLE, _OUT, _OUT)
        def nvmlDeviceGetGraphicsRunningProcesses_v3(handle: int, count: int, processes: int) -> int:
            return _write(count, ctypes.c_uint, 0)

        vars(self).update({name: value for name, value in locals().items() if name.startswith("nvml")})


def install(monkeypatch: pytest.MonkeyPatch, *cards: Card) -> FakeNvml:
    """Put a library with `cards` in the place of the one that pynvml would load."""
    library = FakeNvml(list(cards))
    monkeypatch.setattr(pynvml, "nvmlLib", library)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    return library


def _write(address: int, kind: Any, value: int) -> int:
    kind.from_address(address).value = value
    return pynvml.NVML_SUCCESS


def _write_text(address: int, text: str, length: int) -> int:
    ctypes.memmove(address, text.encode().ljust(length, b"\0"), length)
    return pynvml.NVML_SUCCESS
