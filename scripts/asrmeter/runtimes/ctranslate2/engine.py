"""Load a folder into CTranslate2, and tell what it computes with."""

import os
from typing import Any, ClassVar

import ctranslate2

from asrmeter.machine.host import Host, this_host
from asrmeter.runtimes.base import Effective, Setup, UnsupportedError
from asrmeter.runtimes.families.shared.scores import CheckedScores


class CTranslate2Runtime(CheckedScores):
    """A runtime whose model CTranslate2 runs.

    Attributes:
        engine: the model.
    """

    packages: ClassVar[tuple[str, ...]] = ("ctranslate2", "tokenizers", "numpy")
    engine: Any

    def __init__(self, kind: Any, setup: Setup) -> None:
        if setup.device == "cuda" and not ctranslate2.get_cuda_device_count():
            raise UnsupportedError("no CUDA device on this machine")
        assert setup.converted is not None, "every variant has a conversion"
        self._device, self._threads, self._format = setup.device, setup.threads, setup.options["format"]
        try:
            self.engine = kind(
                str(setup.converted),
                device=setup.device,
                compute_type=self._format,
                inter_threads=1,
                intra_threads=setup.threads,
            )
        except ValueError as error:
            # The only way to know it, apart from `why_not`: nothing is silently another format.
            raise UnsupportedError(str(error)) from error

    def effective(self) -> Effective:
        """See `Runtime`. CTranslate2 tells its number format; it was told the threads."""
        host = this_host()
        library = f"ctranslate2 {ctranslate2.__version__}, {backend(self._device, host)}"
        return Effective(
            dtype=self.engine.compute_type,
            threads=self._threads,
            library=library,
            instructions=None if self._device == "cuda" else instructions(host),
            emulated=False,
        )

    def differences(self) -> tuple[str, ...]:
        """See `Runtime`."""
        return ("features", "activations") if self._format.startswith("int8") else ("features",)


def backend(device: str, host: Host) -> str:
    """Return the library of matrix products: MKL on processors that say GenuineIntel (src/cpu/backend.cc)."""
    if device == "cuda":
        return "CUDA"
    if host.cpu_vendor == "":  # Arm
        return "OpenBLAS, Ruy"
    told = os.environ.get("CT2_USE_MKL")
    uses_mkl = told.lower() in ("1", "true") if told else host.cpu_vendor == "GenuineIntel"
    return "MKL" if uses_mkl else "oneDNN"


def instructions(host: Host) -> str:
    """Return the instructions of CTranslate2's own kernels (src/cpu/cpu_isa.cc): AVX512 only where it is told so.

    The library of matrix products chooses its own.
    """
    told = os.environ.get("CT2_FORCE_CPU_ISA")
    if told:
        return told
    names = {"avx2": "AVX2", "avx": "AVX", "asimd": "NEON"}
    return next((name for flag, name in names.items() if not host.lacks(flag)), "GENERIC")
