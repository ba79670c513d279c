"""Whisper, and some CTC models, by CTranslate2: an engine in C++ with number formats of its own, without torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from asrmeter.runtimes import transformers
from asrmeter.runtimes.base import RUNTIME, Conversion, RuntimeOptions, options_config

if TYPE_CHECKING:
    from asrmeter.machine.host import Host

Format = Literal["float32", "int8", "int8_float32", "bfloat16", "float16", "int8_float16"]
FORMAT: Mapping[str, Any] = {
    "description": "Number format of weights and products. int8: weights, and what they are multiplied with, are "
    "rounded to 8 bits; the rest is computed in float32 (on CUDA: in the format of the file). int8_float32, "
    "int8_float16: the same, with the rest in that format. On a CPU there are only float32, int8 and int8_float32."
}
# Those that CTranslate2 computes in on a CPU, whatever its instructions: `mayiuse_float16` and `mayiuse_bfloat16` of
# src/types.cc know CUDA alone, and 4.8.5 refuses both on a processor with AMX and AVX512-FP16.
_ON_CPU = ("float32", "int8", "int8_float32")
# The compute capabilities from which CTranslate2 has a format on CUDA (docs/quantization.md).
_ON_CUDA = {"bfloat16": (8, 0), "float16": (7, 0), "int8_float16": (7, 0), "int8": (7, 0), "int8_float32": (7, 0)}


def why_no_format(name: str, device: str, host: "Host") -> str | None:
    """Return why CTranslate2 has no number format on a device, None if it has."""
    if device == "cpu":
        return None if name in _ON_CPU else f"CTranslate2 computes in {name} on CUDA devices only"
    least, own = _ON_CUDA.get(name, (0, 0)), host.compute_capability
    if own is None or own >= least or (name in ("int8", "int8_float32") and own == (6, 1)):
        return None
    shown = [".".join(map(str, capability)) for capability in (least, own)]
    return f"CTranslate2 computes in {name} from compute capability {shown[0]} on; the GPU has {shown[1]}"


def conversion_to(name: str) -> Conversion:
    """Return what makes a folder of CTranslate2 whose weights have a number format."""
    return Conversion(f"ctranslate2-{name}", {"format": name}, ("ctranslate2", "torch", "transformers"))


@dataclass(frozen=True, kw_only=True)
class CTranslate2Options(RuntimeOptions):
    """How CTranslate2 runs a model."""

    __pydantic_config__: ClassVar = options_config("ctranslate2", "Run by CTranslate2, the engine of faster-whisper.")
    title: ClassVar[str] = "CTranslate2"
    classes: ClassVar[Mapping[str, str]] = {"whisper": "whisper:CTranslate2Whisper", "ctc": "ctc:CTranslate2Ctc"}
    packages: ClassVar[tuple[str, ...]] = ("ctranslate2", "tokenizers", "numpy")
    # Its converters would import the last two, which make a process several times as large.
    unused_packages: ClassVar[tuple[str, ...]] = (*transformers.OPTIONS.unused_packages, "torch", "transformers")

    runtime: Literal["ctranslate2"] = field(default="ctranslate2", metadata=RUNTIME)
    format: Format = field(default="float32", metadata=FORMAT)

    @property
    def wanted_dtype(self) -> str | None:
        """See `RuntimeOptions`: None where it is no number format of torch."""
        return None if self.format.startswith("int8") else self.format

    def why_not(self, family: str | None, device: str, host: "Host") -> str | None:
        """See `RuntimeOptions`."""
        if why := super().why_not(family, device, host):
            return why
        return why_no_format(self.format, device, host)

    def conversion(self) -> Conversion:
        """See `RuntimeOptions`."""
        return conversion_to(self.format)


OPTIONS = CTranslate2Options
