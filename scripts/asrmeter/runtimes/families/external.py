"""Models that are elsewhere: an engine of the user's has their weights, and nothing is known of them here."""

from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn

from asrmeter.common.errors import AsrmeterError
from asrmeter.common.vocabulary import DECODER_OTHER
from asrmeter.runtimes.base import Setup, UnsupportedError
from asrmeter.runtimes.families.base import EncoderOperations, Family


class External(Family):
    """A model of which there is only a name."""

    name = "external"
    title = None
    classes: ClassVar[Mapping[str, str]] = {"external": ""}
    usual_type = "external"
    ending, output_part = "", ""
    has_decoder = None
    decoder_range = DECODER_OTHER
    transformers_runtime = "asrmeter.runtimes.families.external:refuse"
    tokenizer_settings: ClassVar[Mapping[str, Any]] = {}

    def network_class(self, model_type: str) -> NoReturn:
        """Raise AsrmeterError: there is no network."""
        raise AsrmeterError("the model is elsewhere, with its architecture")

    def preload(self) -> None:
        """Import nothing."""

    def encoder_operations(self, model: Any) -> EncoderOperations:
        """Raise AsrmeterError: there is nothing to count."""
        self.network_class(self.usual_type)


FAMILY = External()


def refuse(_setup: Setup) -> NoReturn:
    """Raise UnsupportedError: transformers has nothing to run."""
    raise UnsupportedError("the model is external; only your own engine can run it (docs/own-runtime.md)")
