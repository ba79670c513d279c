"""Whisper and CTC models by OpenVINO, in graphs that are converted once. Nothing heavy is imported before `load`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from asrmeter.runtimes import transformers
from asrmeter.runtimes.base import RUNTIME, Conversion, RuntimeOptions, options_config

if TYPE_CHECKING:
    from asrmeter.machine.host import Host

# Sends what is converted to a service for statistics, unless it is not there.
TELEMETRY = "openvino_telemetry"


@dataclass(frozen=True, kw_only=True)
class OpenVinoOptions(RuntimeOptions):
    """How OpenVINO runs a model."""

    __pydantic_config__: ClassVar = options_config("openvino", "Run by OpenVINO, on the CPU.")
    title: ClassVar[str] = "OpenVINO"
    classes: ClassVar[Mapping[str, str]] = {"whisper": "whisper:OpenVinoWhisper", "ctc": "ctc:OpenVinoCtc"}
    packages: ClassVar[tuple[str, ...]] = ("openvino", "tokenizers", "numpy")
    unused_packages: ClassVar[tuple[str, ...]] = (
        *transformers.OPTIONS.unused_packages,
        *("torch", "transformers", TELEMETRY),
    )
    has_nodes: ClassVar[bool] = True
    environments: ClassVar[Mapping[str, tuple[str, ...]]] = {"openvino": ("nncf", "openvino")}

    runtime: Literal["openvino"] = field(default="openvino", metadata=RUNTIME)
    format: Literal["float32", "int8"] = field(
        default="float32",
        metadata={
            "description": "Number format of weights. int8: weights of products are rounded to 8 bits; on processors "
            "with the instructions OpenVINO also rounds what they are multiplied with. The rest is float32."
        },
    )

    @property
    def wanted_dtype(self) -> str | None:
        """See `RuntimeOptions`: None where it is no number format of torch."""
        return self.format if self.format == "float32" else None

    def why_not(self, family: str | None, device: str, host: "Host") -> str | None:
        """See `RuntimeOptions`."""
        if why := super().why_not(family, device, host):
            return why
        return "OpenVINO does not run on CUDA devices" if device == "cuda" else None

    def conversion(self) -> Conversion:
        """See `RuntimeOptions`."""
        nncf = ("nncf",) if self.format == "int8" else ()
        return Conversion(
            f"openvino-{self.format}", {"format": self.format}, ("openvino", *nncf, "torch", "transformers")
        )


OPTIONS = OpenVinoOptions
