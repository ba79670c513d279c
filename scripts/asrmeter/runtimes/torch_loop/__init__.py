"""Whisper by transformers' network in torch, and a greedy loop of our own in place of `generate`.

It lies between `transformers` and the engines: what an engine gains beyond this runtime is not the cost of `generate`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from asrmeter.runtimes import transformers
from asrmeter.runtimes.base import RUNTIME, RuntimeOptions, options_config


@dataclass(frozen=True, kw_only=True)
class TorchLoopOptions(RuntimeOptions):
    """How the loop runs a model."""

    __pydantic_config__: ClassVar = options_config(
        "torch_loop", "Whisper with transformers' network in torch and asrmeter's own greedy loop."
    )
    title: ClassVar[str] = "torch_loop"
    classes: ClassVar[Mapping[str, str]] = {"whisper": "whisper:TorchLoopWhisper"}
    packages: ClassVar[tuple[str, ...]] = transformers.OPTIONS.packages
    unused_packages: ClassVar[tuple[str, ...]] = transformers.OPTIONS.unused_packages
    has_operators: ClassVar[bool] = True

    runtime: Literal["torch_loop"] = field(default="torch_loop", metadata=RUNTIME)
    dtype: Literal["float32", "float16", "bfloat16"] = field(
        default="float32", metadata={"description": "Number format of weights and activations."}
    )
    end_check_every: int = field(
        default=1,
        metadata={
            "description": "After how many tokens the loop looks whether all texts are over. A GPU has to wait then. "
            "With timestamps or penalties it looks after each, as what may come next depends on the text.",
            "ge": 1,
            "le": 448,
        },
    )


OPTIONS = TorchLoopOptions
