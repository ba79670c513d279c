"""Whisper by faster-whisper as people run it, with its own defaults: beams, fallback, the text of windows before."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from asrmeter.runtimes import ctranslate2
from asrmeter.runtimes.base import RUNTIME, Conversion, RuntimeOptions, options_config

if TYPE_CHECKING:
    from asrmeter.machine.host import Host


@dataclass(frozen=True, kw_only=True)
class FasterWhisperOptions(RuntimeOptions):
    """How faster-whisper runs a model."""

    __pydantic_config__: ClassVar = options_config(
        "faster_whisper",
        "Run by faster-whisper with its own defaults, one segment after another. Its settings differ from the others.",
    )
    title: ClassVar[str] = "faster-whisper"
    classes: ClassVar[Mapping[str, str]] = {"whisper": "engine:FasterWhisper"}
    packages: ClassVar[tuple[str, ...]] = ("faster-whisper", *ctranslate2.OPTIONS.packages)
    unused_packages: ClassVar[tuple[str, ...]] = ctranslate2.OPTIONS.unused_packages
    environments: ClassVar[Mapping[str, tuple[str, ...]]] = {"faster-whisper": ("faster_whisper",)}
    equal_settings: ClassVar[bool] = False

    runtime: Literal["faster_whisper"] = field(default="faster_whisper", metadata=RUNTIME)
    format: ctranslate2.Format = field(default="int8", metadata=ctranslate2.FORMAT)

    @property
    def wanted_dtype(self) -> str | None:
        """See `RuntimeOptions`: None where it is no number format of torch."""
        return None if self.format.startswith("int8") else self.format

    def why_not(self, family: str | None, device: str, host: "Host") -> str | None:
        """See `RuntimeOptions`."""
        if why := super().why_not(family, device, host):
            return why
        return ctranslate2.why_no_format(self.format, device, host)

    def conversion(self) -> Conversion:
        """See `RuntimeOptions`: the folder is that of the runtime `ctranslate2`."""
        return ctranslate2.conversion_to(self.format)


OPTIONS = FasterWhisperOptions
