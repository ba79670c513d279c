"""Encoders with a CTC head that hear log-mel features: Parakeet, w2v-BERT 2.0, LASR. One run hears a whole segment."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from asrmeter.common.errors import AsrmeterError
from asrmeter.runtimes.families.base import EncoderOperations, Parts
from asrmeter.runtimes.families.ctc import Ctc

if TYPE_CHECKING:
    import torch

    from asrmeter.runtimes.families.base import Run

_W2V_BERT = "wav2vec2-bert"


@dataclass(frozen=True)
class Features:
    """The features that models of a type hear.

    Attributes:
        extractor: transformers' class that makes them.
        window: samples that the first frame takes, 0 if frames stand around their middles.
        stacked: frames that are joined to one.
    """

    extractor: str
    window: int = 400
    stacked: int = 1

    hop: ClassVar[int] = 160

    def n_frames(self, n_samples: int) -> int:
        """Return how many frames the network gets of so many samples."""
        return -(-(1 + (n_samples - self.window) // self.hop) // self.stacked)

    def n_samples(self, n_frames: int) -> int:
        """Return the fewest samples that are so many frames before any are joined."""
        return self.window + (n_frames - bool(self.window)) * self.hop


FEATURES: Mapping[str, Features] = {
    "lasr_ctc": Features("LasrFeatureExtractor"),
    "parakeet_ctc": Features("ParakeetFeatureExtractor", window=0),
    _W2V_BERT: Features("SeamlessM4TFeatureExtractor", stacked=2),
}


def n_outputs(model: Any, n_frames: Any) -> Any:
    """Return how many frames a network of transformers makes of so many, a tensor of numbers or one."""
    if model.config.model_type == _W2V_BERT:
        return model._get_feat_extract_output_lengths(n_frames)
    return model._get_subsampling_output_length(n_frames)


class MelCtcOperations(EncoderOperations):
    """The whole model: its head counts as encoder. There is no closed formula."""

    layers = "encoder_config.num_hidden_layers"
    edlm2025_unit = None

    def run(self, length: int) -> "Run":
        """See `Operations`."""
        import torch

        return self.model, (torch.zeros((1, *self._shape(length)), device="meta"),)

    def weights(self) -> Iterator["torch.nn.Parameter"]:
        """See `Operations`."""
        return self.model.parameters()

    def elements(self, n_samples: int) -> int:
        """See `EncoderOperations`."""
        import torch

        n_frames, width = self._shape(n_samples)
        n_made = int(n_outputs(self.model, torch.tensor(n_frames)))
        return n_frames * width + n_made * int(self.config.vocab_size)

    def _shape(self, n_samples: int) -> tuple[int, int]:
        return FEATURES[self.config.model_type].n_frames(n_samples), self.width

    @property
    def width(self) -> int:
        """Numbers of a frame."""
        return int(self.config.encoder_config.num_mel_bins)


class W2vBertOperations(MelCtcOperations):
    """The whole model of w2v-BERT 2.0, whose configuration has no parts."""

    layers = "num_hidden_layers"

    @property
    def width(self) -> int:
        """See `MelCtcOperations`."""
        return int(self.config.feature_projection_input_dim)


class MelCtc(Ctc):
    """Encoders with a CTC head whose features are made before."""

    name = "ctc-mel"
    title = "log-mel CTC"
    classes: ClassVar[Mapping[str, str]] = {
        "lasr_ctc": "LasrForCTC",
        "parakeet_ctc": "ParakeetForCTC",
        _W2V_BERT: "Wav2Vec2BertForCTC",
    }
    usual_type = "parakeet_ctc"
    transformers_runtime = "asrmeter.runtimes.transformers.ctc_mel:TransformersMelCtc"
    parts: ClassVar[tuple[tuple[tuple[str, ...], ...], ...]] = (
        (("tokenizer.json",), ("vocab.json",)),
        (("preprocessor_config.json",), ("processor_config.json",)),
    )
    repeated: ClassVar[tuple[str, ...]] = ("num_hidden_layers", "num_adapter_layers")
    sizes: ClassVar[tuple[str, ...]] = (
        *("hidden_size", "intermediate_size", "output_hidden_size", "vocab_size", "num_mel_bins"),
        *("max_position_embeddings", "subsampling_conv_channels", "feature_projection_input_dim"),
    )

    def preload(self) -> None:
        """Import nothing: other models' cells would have it in their memory."""

    def write_preprocessing(self, parts: Parts, folder: Path) -> NoReturn:
        """Raise AsrmeterError: no model of models.toml is such a one."""
        raise AsrmeterError(f"{parts.name}: log-mel CTC models are made of a folder or of the Hub")

    def encoder_operations(self, model: Any) -> EncoderOperations:
        """See `Family`."""
        is_w2v_bert = model.config.model_type == _W2V_BERT
        return W2vBertOperations(model) if is_w2v_bert else MelCtcOperations(model)


FAMILY = MelCtc()
