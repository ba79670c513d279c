"""Whisper and CTC models by OpenVINO, in graphs that are converted once. Nothing heavy is imported before `load`."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from asrmeter.runtimes import transformers
from asrmeter.runtimes.base import (
    RUNTIME,
    Conversion,
    Runtime,
    RuntimeOptions,
    Setup,
    UnsupportedError,
    options_config,
)

if TYPE_CHECKING:
    from asrmeter.machine.host import Host

_FAMILIES = {"whisper": "whisper:OpenVinoWhisper", "ctc": "ctc:OpenVinoCtc"}
# Sends what is converted to a service for statistics, unless it is not there.
TELEMETRY = "openvino_telemetry"


@dataclass(frozen=True, kw_only=True)
class OpenVinoOptions(RuntimeOptions):
    """How OpenVINO runs a model."""

    __pydantic_config__: ClassVar = options_config("openvino", "Run by OpenVINO, on the CPU.")
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
        if family is not None and family not in _FAMILIES:
            return _no_model(family)
        return "OpenVINO does not run on CUDA devices" if device == "cuda" else None

    def conversion(self) -> Conversion:
        """See `RuntimeOptions`."""
        nncf = ("nncf",) if self.format == "int8" else ()
        return Conversion(
            f"openvino-{self.format}", {"format": self.format}, ("openvino", *nncf, "torch", "transformers")
        )


OPTIONS = OpenVinoOptions


def _no_model(family: str) -> str:
    return f"OpenVINO runs no {family} model here"


def load(setup: Setup) -> Runtime:
    """Load a model; see `Runtime.__init__`."""
    if setup.family not in _FAMILIES:
        raise UnsupportedError(_no_model(setup.family))
    module, name = _FAMILIES[setup.family].split(":")
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)(setup)


def preload() -> None:
    """Import what every cell needs: no thread remains."""
    for place in _FAMILIES.values():
        importlib.import_module(f"{__name__}.{place.partition(':')[0]}")


def convert(source: Path, family: str, settings: Mapping[str, Any], target: Path) -> None:
    """Convert a model folder; see `conversion`."""
    if family not in _FAMILIES:
        raise UnsupportedError(_no_model(family))
    importlib.import_module(f"{__name__}.conversion").convert(source, family, settings["format"], target)
