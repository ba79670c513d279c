"""Whisper and CTC models by transformers, which torch runs: the baseline. Nothing heavy is imported before `load`."""

import importlib

from asrmeter.runtimes import families
from asrmeter.runtimes.base import Runtime, RuntimeKind, Setup


class Transformers(RuntimeKind):
    """The library transformers; see `RuntimeKind`."""

    packages = ("torch", "transformers")
    # transformers imports most of these where they are installed, for training losses and images, and pandas imports
    # pyarrow: half a second for nothing, and a thread.
    unused_packages = ("scipy", "sklearn", "PIL", "torchvision", "torchaudio", "pyarrow")
    has_operators = True

    def load(self, setup: Setup) -> Runtime:
        """See `RuntimeKind`."""
        module, name = families.named(setup.family).transformers_runtime.split(":")
        return getattr(importlib.import_module(module), name)(setup)

    def preload(self) -> None:
        """See `RuntimeKind`."""
        for family in families.known().values():
            family.preload()


KIND = Transformers()
