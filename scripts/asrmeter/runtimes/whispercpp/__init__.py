"""Whisper by whisper.cpp: small files, no Python inside. Nothing heavy is imported before `load`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from asrmeter.machine.host import Host
from asrmeter.runtimes.base import RUNTIME, Conversion, RuntimeOptions, options_config


@dataclass(frozen=True, kw_only=True)
class WhisperCppOptions(RuntimeOptions):
    """How whisper.cpp runs a model."""

    __pydantic_config__: ClassVar = options_config("whispercpp", "Run by whisper.cpp, one segment after another.")
    title: ClassVar[str] = "whisper.cpp"
    classes: ClassVar[Mapping[str, str]] = {"whisper": "engine:WhisperCpp"}
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
            return "the whisper.cpp package of PyPI runs on the CPU only"
        return super().why_not(family, device, host)

    def conversion(self) -> Conversion:
        """See `RuntimeOptions`."""
        return Conversion(f"whispercpp-{self.format}", {"format": self.format}, ("gguf", "torch", "transformers"))


OPTIONS = WhisperCppOptions
