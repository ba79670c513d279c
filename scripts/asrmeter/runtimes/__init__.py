"""The libraries that run models. Adding one is a class in a file here, named below and in the study's schema."""

import importlib
from pathlib import Path
from typing import Any

from asrmeter.runtimes.base import Runtime

# (runtime of the variant, family of the model) -> module: class. Loaded when used: importing them costs seconds.
_CLASSES = {
    ("transformers", "whisper"): "asrmeter.runtimes.transformers_whisper:TransformersWhisper",
    ("transformers", "ctc"): "asrmeter.runtimes.transformers_ctc:TransformersCtc",
}


def load(family: str, folder: Path, options: dict[str, Any], device: str, random_weights: bool) -> Runtime:
    """Load a model folder.

    `options` are the variant's (runtime, dtype, attention). With `random_weights` the amount of work is fixed
    beforehand, since such a model does not know when to stop.
    """
    module, name = _CLASSES[options["runtime"], family].split(":")
    return getattr(importlib.import_module(module), name)(folder, options, device, random_weights)
