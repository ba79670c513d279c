"""Whisper and CTC models by transformers, which torch runs: the baseline. Nothing heavy is imported before `load`."""

import importlib

from asrmeter.runtimes import families
from asrmeter.runtimes.base import Runtime, Setup
from asrmeter.runtimes.transformers.options import TransformersOptions
from asrmeter.runtimes.transformers.quantisation import quiet

OPTIONS = TransformersOptions


def load(setup: Setup) -> Runtime:
    """Load a model; see `Runtime.__init__`."""
    module, name = families.named(setup.family).transformers_runtime.split(":")
    with quiet():  # transformers imports torchao wherever it finds it
        runtime: Runtime = getattr(importlib.import_module(module), name)(setup)
    return runtime


def preload() -> None:
    """Import what most cells need, for all processes that will be forked off: no thread and no CUDA context remains."""
    for each in families.known().values():
        each.preload()
