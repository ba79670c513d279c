"""The libraries that run models. To add one, write a class in a module here; families and the schema name it."""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrmeter.runtimes import families

if TYPE_CHECKING:
    from asrmeter.runtimes.base import Runtime


def load(family: str, folder: Path, options: dict[str, Any], device: str, random_weights: bool) -> "Runtime":
    """Load a model folder.

    `options` are the variant's (runtime, dtype, attention). With `random_weights` the amount of work is fixed
    beforehand, since such a model never emits an end token reliably.

    Raises:
        AsrmeterError: the model in the folder cannot be run.
    """
    module, name = families.named(family).transformers_runtime.split(":")
    return getattr(importlib.import_module(module), name)(folder, options, device, random_weights)
