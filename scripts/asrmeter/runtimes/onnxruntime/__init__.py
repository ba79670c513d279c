"""Whisper and CTC models by ONNX Runtime, in graphs that are exported once. Nothing heavy is imported before `load`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from asrmeter.runtimes import transformers
from asrmeter.runtimes.base import RUNTIME, Conversion, RuntimeOptions, options_config

if TYPE_CHECKING:
    from asrmeter.machine.host import Host

# What makes the graphs.
_CONVERTERS = ("onnxruntime", "onnxruntime-genai", "onnx", "onnx-ir", "torch", "transformers")


@dataclass(frozen=True, kw_only=True)
class OnnxRuntimeOptions(RuntimeOptions):
    """How ONNX Runtime runs a model."""

    __pydantic_config__: ClassVar = options_config("onnxruntime", "Run by ONNX Runtime.")
    title: ClassVar[str] = "ONNX Runtime"
    classes: ClassVar[Mapping[str, str]] = {"whisper": "whisper:OrtWhisper", "ctc": "ctc:OrtCtc"}
    packages: ClassVar[tuple[str, ...]] = ("onnxruntime", "tokenizers", "numpy")
    unused_packages: ClassVar[tuple[str, ...]] = (*transformers.OPTIONS.unused_packages, "torch", "transformers")
    has_nodes: ClassVar[bool] = True
    environments: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "onnxruntime": ("onnx", "onnx_ir", "onnxruntime", "onnxruntime_genai")
    }

    runtime: Literal["onnxruntime"] = field(default="onnxruntime", metadata=RUNTIME)
    format: Literal["float32", "int8", "int8_dynamic", "float16"] = field(
        default="float32",
        metadata={
            "description": "Number format of weights and products. int8: weights in blocks of 32 numbers with a scale "
            "each, and what they are multiplied with, are rounded to 8 bits. int8_dynamic: weights with a scale for "
            "each output, rounded to 7 bits, and what they are multiplied with, with one scale for all, to 8. float16: "
            "Whisper on CUDA."
        },
    )

    @property
    def wanted_dtype(self) -> str | None:
        """See `RuntimeOptions`: None where it is no number format of torch."""
        return None if self.format.startswith("int8") else self.format

    def why_not(self, family: str | None, device: str, host: "Host") -> str | None:
        """See `RuntimeOptions`."""
        if why := super().why_not(family, device, host):
            return why
        if self.format == "float16" and device == "cpu":
            return "ONNX Runtime computes in float16 on CUDA devices only"
        if self.format == "float16" and family == "ctc":
            return "CTC models are not exported in float16"
        if self.format == "int8_dynamic" and device == "cuda":
            return "ONNX Runtime has no dynamic int8 products on CUDA; they would run on the CPU"
        return None

    def conversion(self) -> Conversion:
        """See `RuntimeOptions`."""
        return Conversion(f"onnxruntime-{self.format}", {"format": self.format}, _CONVERTERS)


OPTIONS = OnnxRuntimeOptions
