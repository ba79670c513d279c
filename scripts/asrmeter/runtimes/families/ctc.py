"""Encoders with a CTC head that take waveforms: wav2vec 2.0 and its relatives. One run hears a whole segment."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from asrmeter.common.vocabulary import OUTPUT
from asrmeter.runtimes.families import ctc_spelling
from asrmeter.runtimes.families.base import EncoderOperations, Family, Parts

if TYPE_CHECKING:
    import torch

    from asrmeter.runtimes.families.base import Run

# model types of transformers with the architecture of wav2vec 2.0.
_LIKE_WAV2VEC2 = ("wav2vec2", "hubert", "unispeech", "unispeech-sat")


class CtcOperations(EncoderOperations):
    """The whole model: its head counts as encoder."""

    layers = "num_hidden_layers"
    edlm2025_unit = "GMAC"

    def run(self, length: int) -> "Run":
        """See `Operations`."""
        import torch

        return self.model, (torch.zeros((1, length), device="meta"),)

    def weights(self) -> Iterator["torch.nn.Parameter"]:
        """See `Operations`."""
        return self.model.parameters()

    def elements(self, n_samples: int) -> int:
        """See `EncoderOperations`."""
        import torch

        n_frames = int(self.model._get_feat_extract_output_lengths(torch.tensor(n_samples)))
        return n_samples + n_frames * int(self.config.vocab_size)

    def closed_macs(self, length: int) -> int | None:
        """Return the MAC of a model with its head over samples; None if its architecture is not wav2vec 2.0's."""
        config = self.config
        if config.model_type not in _LIKE_WAV2VEC2 or getattr(config, "add_adapter", False):
            return None
        d, f, n, channels, stem = config.hidden_size, config.intermediate_size, length, 1, 0
        for width, kernel, stride in zip(config.conv_dim, config.conv_kernel, config.conv_stride, strict=True):
            n = (n - kernel) // stride + 1
            stem += n * channels * width * kernel
            channels = width
        # The positional convolution is padded on both sides. An even kernel gives one frame more, which is cut off.
        kernel = config.num_conv_pos_embeddings
        positions = (n + 1 - kernel % 2) * d * (d // config.num_conv_pos_embedding_groups) * kernel
        layers = config.num_hidden_layers * (n * (4 * d * d + 2 * d * f) + 2 * n * n * d)
        return int(stem + n * channels * d + positions + layers + n * d * config.vocab_size)

    def edlm2025(self, n_macs: int, n_normalised: int) -> int:
        """Return what the 2025 study printed for wav2vec 2.0 as GFLOPS, although it is MAC.

        It is the MAC of linear layers and convolutions, and fvcore's five operations for every normalised element. The
        products of attention are missing.
        """
        return n_macs + 5 * n_normalised


class Ctc(Family):
    """Encoders with a CTC head."""

    name = "ctc"
    title = "CTC"
    classes: ClassVar[Mapping[str, str]] = {
        "data2vec-audio": "Data2VecAudioForCTC",
        "hubert": "HubertForCTC",
        "sew": "SEWForCTC",
        "sew-d": "SEWDForCTC",
        "unispeech": "UniSpeechForCTC",
        "unispeech-sat": "UniSpeechSatForCTC",
        "wav2vec2": "Wav2Vec2ForCTC",
        "wav2vec2-conformer": "Wav2Vec2ConformerForCTC",
        "wavlm": "WavLMForCTC",
    }
    usual_type = "wav2vec2"
    ending, output_part = "ForCTC", "CTC head"
    has_decoder = False
    decoder_range = OUTPUT
    transformers_runtime = "asrmeter.runtimes.transformers.ctc:TransformersCtc"
    tokenizer_settings: ClassVar[Mapping[str, Any]] = {
        "tokenizer_class": "Wav2Vec2CTCTokenizer",
        "pad_token": "<pad>",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "word_delimiter_token": "|",
    }

    parts: ClassVar[tuple[tuple[tuple[str, ...], ...], ...]] = (
        (("vocab.json",),),
        (("preprocessor_config.json",), ("processor_config.json",)),
    )
    # The last one is a number of layers in data2vec, and the width of one elsewhere.
    repeated: ClassVar[tuple[str, ...]] = (
        "num_hidden_layers",
        "num_feat_extract_layers",
        "num_adapter_layers",
        "num_conv_pos_embeddings",
    )
    sizes: ClassVar[tuple[str, ...]] = ("hidden_size", "intermediate_size", "output_hidden_size", "vocab_size")

    def write_preprocessing(self, parts: Parts, folder: Path) -> None:
        """See `Family`."""
        from transformers import Wav2Vec2FeatureExtractor

        super().write_preprocessing(parts, folder)
        Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=False).save_pretrained(folder)
        vocabulary = {token: number for number, token in enumerate(parts.vocabulary)}
        (folder / "vocab.json").write_text(json.dumps(vocabulary) + "\n", encoding="utf-8")

    def complete(self, folder: Path) -> None:
        """See `Family`."""
        ctc_spelling.read_spelling(folder)
        ctc_spelling.check_blank(folder)

    def outputs(self, folder: Path) -> str | None:
        """See `Family`."""
        return ctc_spelling.outputs(folder)

    def scripts(self, folder: Path) -> list[str] | None:
        """See `Family`."""
        return ctc_spelling.scripts(folder)

    def encoder_operations(self, model: Any) -> EncoderOperations:
        """See `Family`."""
        return CtcOperations(model)


FAMILY = Ctc()
