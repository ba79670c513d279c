"""What a family of models states: how its models are recognised, made, run and counted. 1 MAC = 2 FLOP.

Importing a family imports no library; the methods that need one import it.
"""

import importlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from asrmeter.common.constants import SAMPLE_RATE_HZ
from asrmeter.common.errors import AsrmeterError

if TYPE_CHECKING:
    import numpy as np
    import tokenizers
    import torch

    # A module and the inputs that it is run on.
    Run = tuple[torch.nn.Module, tuple[torch.Tensor, ...]]


@dataclass(frozen=True)
class Parts:
    """What a model of resources/models.toml is made from.

    `architecture` are arguments of transformers' configuration class. What tokens spell is either in `tokenizer`, the
    content of a tokenizer.json, or in `vocabulary`, the tokens in order. `hints` are a packaged model's own settings of
    generation.
    """

    name: str
    architecture: Mapping[str, Any]
    tokenizer: bytes | None = None
    vocabulary: Sequence[str] = ()
    hints: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FixedWork:
    """The work of a batch with random weights: its windows, as slices of samples, and the tokens of each."""

    windows: Sequence[slice]
    n_tokens: int


class Operations(ABC):
    """What is counted of a part of a model that `flops` builds without weights, and what the count must come to.

    All layers are taken to be alike. `layers` is the name of their number in the model's configuration, with a dot
    where it is in a part of it.
    """

    layers: ClassVar[str]

    def __init__(self, model: Any) -> None:
        self.model, self.config = model, model.config

    @abstractmethod
    def run(self, length: int) -> "Run":
        """Return the module to run and its inputs, of one segment, on torch's device `meta` as the model is.

        `length` is how many samples an encoder hears, or how many tokens came before the one that a decoder reads.
        """

    @abstractmethod
    def weights(self) -> Iterator["torch.nn.Parameter"]:
        """Yield the weights that a run reads."""

    def closed_macs(self, length: int) -> int | None:
        """Return the MAC of a run by a closed formula, None if there is none.

        `length` is how many samples an encoder hears, or how many positions a decoder's self-attention sees.
        """
        return None

    @property
    def n_parameters(self) -> int:
        """How many numbers the weights are."""
        return sum(weight.numel() for weight in self.weights())


class EncoderOperations(Operations):
    """What is counted of an encoder; of a model without a decoder, that is all of it."""

    # Of `edlm2025`; None if the 2025 study printed nothing for such a model.
    edlm2025_unit: ClassVar[str | None] = None

    @abstractmethod
    def elements(self, n_samples: int) -> int:
        """Return how many numbers a run reads and writes besides weights."""

    def edlm2025(self, n_macs: int, n_normalised: int) -> int | None:
        """Return what the 2025 study printed for a run.

        `n_macs` are those of linear layers and convolutions, `n_normalised` are the elements that are normalised.
        """
        return None


class DecoderOperations(Operations):
    """What is counted of a decoder with caches of keys and values, output layer included."""

    @property
    @abstractmethod
    def kv_elements(self) -> int:
        """Numbers that the caches hold for each position, in all layers."""

    @property
    @abstractmethod
    def cross_positions(self) -> int:
        """Positions of the encoder's output, which cross-attention sees."""

    def closed_cross_kv_macs(self) -> int | None:
        """Return the MAC of the encoder's keys and values by a closed formula, None if there is none."""
        return None

    def edlm2025_step_flop(self) -> int | None:
        """Return what the 2025 study printed for one step."""
        return None


class Family(ABC):
    """A family of models. The only instance is `FAMILY` of its module."""

    # As records, provenance.json and models.toml have it; and as a person reads it, before "-type model" (None: no
    # config.json says that it is one).
    name: ClassVar[str]
    title: ClassVar[str | None]
    # model_type of config.json -> transformers' class.
    classes: ClassVar[Mapping[str, str]]
    # That of an entry of models.toml which names none. Its class is preloaded; cells of other types import theirs.
    usual_type: ClassVar[str]
    # What the classes' names end in, and the part that a model of another class lacks.
    ending: ClassVar[str]
    output_part: ClassVar[str]
    # Whether a decoder writes the text token by token; None if that is not known.
    has_decoder: ClassVar[bool | None]
    # The encoder hears windows of this length, whatever there is to hear; None if it hears each batch at its own.
    window_s: ClassVar[int | None] = None
    # What the stage `decoder` is called in a profile, where no module of its own has a name.
    decoder_range: ClassVar[str]
    # module:class of the runtime that loads a folder by transformers. Imported when used, as that costs seconds.
    transformers_runtime: ClassVar[str]
    # The content of tokenizer_config.json for models of models.toml.
    tokenizer_settings: ClassVar[Mapping[str, Any]]
    # What a folder needs besides config.json and weights. Each part is any of several sets of files.
    parts: ClassVar[tuple[tuple[tuple[str, ...], ...], ...]] = ()
    # Keys of config.json that say how many times something is built, and how large it is.
    repeated: ClassVar[tuple[str, ...]] = ()
    sizes: ClassVar[tuple[str, ...]] = ()

    @property
    def window_samples(self) -> int | None:
        """The length of a window in samples."""
        return None if self.window_s is None else self.window_s * SAMPLE_RATE_HZ

    def n_windows(self, n_samples: int) -> int:
        """Return how many windows a segment takes, if none overlap."""
        return 1 if self.window_samples is None else -(-n_samples // self.window_samples)

    def heard_samples(self, n_samples: int) -> int:
        """Return how many samples one run of the encoder hears of a segment, padding included."""
        return n_samples if self.window_samples is None else self.window_samples

    def fixed_work(self, n_samples: Sequence[int], n_tokens: Sequence[int], most_tokens: int) -> FixedWork:
        """Return the work of a batch with random weights, as these may never end: windows by the audio, tokens by text.

        `n_samples` and `n_tokens` are those of each segment and its reference. `most_tokens` fit into a window.
        """
        longest = max(n_samples)
        n_windows = self.n_windows(longest)
        step = self.heard_samples(longest)
        windows = [slice(i * step, (i + 1) * step) for i in range(n_windows)]
        return FixedWork(windows, min(-(-max(n_tokens) // n_windows), most_tokens))

    def prompt_length(self, generation: Mapping[str, Any]) -> int:
        """Return how many tokens the decoder reads first, by the content of generation_config.json."""
        return 0

    def tokenizer(self, folder: Path) -> "tokenizers.Tokenizer | None":
        """Return the tokenizer of the decoder's text; None without a decoder.

        Raises:
            AsrmeterError: the folder has none, or not one of this family.
        """
        return None

    def network_class(self, model_type: str) -> Any:
        """Import and return transformers' class for models of `model_type`."""
        import transformers

        return getattr(transformers, self.classes[model_type])

    def preload(self) -> None:
        """Import what most cells need, so that processes can be forked off afterwards."""
        importlib.import_module(self.transformers_runtime.partition(":")[0])
        self.network_class(self.usual_type)

    def config_of(self, architecture: Mapping[str, Any]) -> dict[str, Any]:
        """Return the content of config.json for an `architecture` of models.toml."""
        return {"model_type": self.usual_type, **architecture}

    def network(self, parts: Parts) -> Any:
        """Return a freshly initialised network of transformers.

        Raises:
            AsrmeterError: a part that it needs is missing.
        """
        config = self.config_of(parts.architecture)
        kind = self.network_class(config.pop("model_type"))
        return kind(kind.config_class(**config))

    def packaged_state(self, raw: bytes) -> tuple[Mapping[str, "np.ndarray"], Mapping[str, int]]:
        """Return (state dict of a network, architecture) of packaged weights.

        Raises:
            AsrmeterError: they are damaged, or of another model, or no package has weights of this family.
        """
        raise AsrmeterError(f"packaged weights of {self.title} models cannot be read")

    def write_preprocessing(self, parts: Parts, folder: Path) -> None:
        """Write the files for feature extraction and for decoding to text."""
        (folder / "tokenizer_config.json").write_text(
            json.dumps(self.tokenizer_settings, indent=2) + "\n", encoding="utf-8"
        )

    def complete(self, folder: Path) -> None:  # noqa: B027
        """Add what an old or fine-tuned model's folder may lack, and check what says what its tokens spell.

        Raises:
            AsrmeterError: a file or key is missing or wrong.
            AttributeError, KeyError, OSError, TypeError, ValueError: a file has another form.
        """

    def outputs(self, folder: Path) -> str | None:
        """Return what a model's tokens spell where that is not words; texts cannot be compared with it."""
        return None

    def languages(self, folder: Path) -> tuple[str, ...] | None:
        """Return the codes of the languages that a model can be told, or hears if it is told none; None: not known.

        Raises:
            AsrmeterError: the folder lacks what would tell.
        """
        return None

    def scripts(self, folder: Path) -> list[str] | None:
        """Return the scripts of the letters that a model can write (`common/languages`); None: not known, or any."""
        return None

    @abstractmethod
    def encoder_operations(self, model: Any) -> EncoderOperations:
        """Return what is counted of the encoder of a network."""

    def decoder_operations(self, model: Any) -> DecoderOperations | None:
        """Return what is counted of the decoder of a network; None without one."""
        return None
