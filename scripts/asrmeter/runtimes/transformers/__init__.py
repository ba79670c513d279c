"""Whisper and CTC models by transformers, which torch runs: the baseline. Nothing heavy is imported before `load`."""

import importlib

from asrmeter.runtimes.base import Runtime, RuntimeKind, Setup

# family of the model -> module:class
_CLASSES = {
    "whisper": "asrmeter.runtimes.transformers.whisper:TransformersWhisper",
    "ctc": "asrmeter.runtimes.transformers.ctc:TransformersCtc",
}


class Transformers(RuntimeKind):
    """The library transformers; see `RuntimeKind`."""

    packages = ("torch", "transformers")
    # transformers imports most of these where they are installed, for training losses and images, and pandas imports
    # pyarrow: half a second for nothing, and a thread.
    unused_packages = ("scipy", "sklearn", "PIL", "torchvision", "torchaudio", "pyarrow")
    has_operators = True

    def load(self, setup: Setup) -> Runtime:
        """See `RuntimeKind`."""
        module, name = _CLASSES[setup.family].split(":")
        return getattr(importlib.import_module(module), name)(setup)

    def preload(self) -> None:
        """See `RuntimeKind`."""
        from asrmeter.runtimes.transformers import ctc, whisper  # noqa: F401

        ctc.network_class("wav2vec2")  # the others are imported by the cells that need them


KIND = Transformers()
