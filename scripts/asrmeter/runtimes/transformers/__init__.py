"""Whisper and CTC models by transformers, which torch runs: the baseline. Nothing heavy is imported before `load`."""

import importlib
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from asrmeter.runtimes import families
from asrmeter.runtimes.base import RUNTIME, Runtime, RuntimeOptions, Setup, options_config


@dataclass(frozen=True, kw_only=True)
class TransformersOptions(RuntimeOptions):
    """How transformers runs a model."""

    __pydantic_config__: ClassVar = options_config("transformers", "Run by transformers, in torch.")
    packages: ClassVar[tuple[str, ...]] = ("torch", "transformers")
    # transformers imports most of these where they are installed, for training losses and images, and pandas imports
    # pyarrow: half a second for nothing, and a thread.
    unused_packages: ClassVar[tuple[str, ...]] = ("scipy", "sklearn", "PIL", "torchvision", "torchaudio", "pyarrow")
    has_operators: ClassVar[bool] = True

    runtime: Literal["transformers"] = field(default="transformers", metadata=RUNTIME)
    dtype: Literal["float32", "float16", "bfloat16"] = field(
        default="float32", metadata={"description": "Number format of weights and activations."}
    )
    attention: Literal["sdpa", "eager"] = field(
        default="sdpa",
        metadata={
            "description": "Implementation of attention. sdpa: torch's scaled_dot_product_attention. eager: as "
            "separate operations."
        },
    )


OPTIONS = TransformersOptions


def load(setup: Setup) -> Runtime:
    """Load a model; see `Runtime.__init__`."""
    module, name = families.named(setup.family).transformers_runtime.split(":")
    return getattr(importlib.import_module(module), name)(setup)


def preload() -> None:
    """Import what most cells need, for all processes that will be forked off: no thread and no CUDA context remains."""
    for each in families.known().values():
        each.preload()
