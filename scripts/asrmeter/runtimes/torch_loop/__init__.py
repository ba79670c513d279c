"""Whisper by transformers' network in torch, and a greedy loop of our own in place of `generate`.

It lies between `transformers` and the engines: what an engine gains beyond this runtime is not the cost of `generate`.
"""

import importlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from asrmeter.runtimes import transformers
from asrmeter.runtimes.base import RUNTIME, Runtime, RuntimeOptions, Setup, UnsupportedError, options_config

if TYPE_CHECKING:
    from asrmeter.machine.host import Host

_NO_LOOP = "a {} model has no loop over tokens; the runtime transformers runs it"


@dataclass(frozen=True, kw_only=True)
class TorchLoopOptions(RuntimeOptions):
    """How the loop runs a model."""

    __pydantic_config__: ClassVar = options_config(
        "torch_loop", "Whisper by transformers' network in torch, with a greedy loop of asrmeter's own."
    )
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

    def why_not(self, family: str | None, device: str, host: "Host") -> str | None:
        """See `RuntimeOptions`."""
        return None if family in (None, "whisper") else _NO_LOOP.format(family)


OPTIONS = TorchLoopOptions


def load(setup: Setup) -> Runtime:
    """Load a model; see `Runtime.__init__`."""
    if setup.family != "whisper":
        raise UnsupportedError(_NO_LOOP.format(setup.family))
    own = importlib.import_module(f"{__name__}.whisper")
    runtime: Runtime = own.TorchLoopWhisper(setup)
    return runtime


def preload() -> None:
    """Import what every cell needs: no thread and no CUDA context remains."""
    importlib.import_module(f"{__name__}.whisper")
