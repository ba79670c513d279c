"""Whisper by whisper.cpp: small files, no Python inside. Nothing heavy is imported before `load`."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from asrmeter.machine.host import Host
from asrmeter.runtimes.base import RUNTIME, Conversion, Runtime, RuntimeOptions, Setup, options_config

_WHISPER = "whisper"


@dataclass(frozen=True, kw_only=True)
class WhisperCppOptions(RuntimeOptions):
    """How whisper.cpp runs a model."""

    __pydantic_config__: ClassVar = options_config("whispercpp", "Run by whisper.cpp, one segment after another.")
    packages: ClassVar[tuple[str, ...]] = ("pywhispercpp",)
    environments: ClassVar[Mapping[str, tuple[str, ...]]] = {"whispercpp": ("_pywhispercpp", "gguf")}

    runtime: Literal["whispercpp"] = field(default="whispercpp", metadata=RUNTIME)
    format: Literal["q8_0", "q5_0", "float16"] = field(
        default="q8_0",
        metadata={
            "description": "Number format of the matrices. q8_0: 8 bits and a factor for 32 numbers. q5_0: 5 bits and "
            "a factor for 32 numbers."
        },
    )

    @property
    def wanted_dtype(self) -> str | None:
        """See `RuntimeOptions`."""
        return self.format if self.format == "float16" else None

    def why_not(self, family: str | None, device: str, host: Host) -> str | None:
        """See `RuntimeOptions`."""
        if device != "cpu":
            return "whisper.cpp as PyPI has it computes on the CPU"
        if family not in (None, _WHISPER):
            return f"whisper.cpp runs Whisper models, and this one is of the family {family}"
        return None

    def conversion(self) -> Conversion:
        """See `RuntimeOptions`."""
        return Conversion(f"whispercpp-{self.format}", {"format": self.format}, ("gguf", "torch", "transformers"))


OPTIONS = WhisperCppOptions


def convert(source: Path, family: str, settings: Mapping[str, Any], target: Path) -> None:
    """Write a model folder as one file of ggml; see `runtimes.convert`."""
    importlib.import_module(f"{__name__}.ggml").convert(source, family, settings["format"], target)


def load(setup: Setup) -> Runtime:
    """Load a model; see `Runtime.__init__`."""
    return importlib.import_module(f"{__name__}.engine").WhisperCpp(setup)


def preload() -> None:
    """Import what cells need, for all processes that will be forked off."""
    importlib.import_module(f"{__name__}.engine")
