"""Export a Whisper by Microsoft's model builder: encoder.onnx and decoder.onnx."""

import contextlib
import copy
import importlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from onnxruntime_genai.models import builder

from asrmeter.runtimes.base import UnsupportedError
from asrmeter.runtimes.families.whisper.decoding import config_of

_whisper: Any = importlib.import_module(builder.WhisperModel.__module__)
_PRECISIONS = {"float32": "fp32", "int8": "int8", "float16": "fp16"}
# What the builder takes for granted.
_BUILT_IN = {"activation_function": "gelu", "max_source_positions": 1500}


def export(source: Path, form: str, target: Path) -> None:
    """Write the graphs of a model folder into the empty folder `target`; `form` is their number format.

    Raises:
        UnsupportedError: the builder would make another network of it.
    """
    config = config_of(source)
    wrong = {key: config[key] for key, value in _BUILT_IN.items() if config.get(key, value) != value}
    if config["encoder_attention_heads"] != config["decoder_attention_heads"]:
        wrong["decoder_attention_heads"] = config["decoder_attention_heads"]
    if wrong:
        key, value = next(iter(wrong.items()))
        raise UnsupportedError(f"onnxruntime-genai exports no Whisper whose config.json has {key} {value}")
    provider = "cuda" if form == "float16" else "cpu"
    with tempfile.TemporaryDirectory() as cache, _with_own_model():
        arguments = None, str(source), str(target), _PRECISIONS[form], provider, cache
        builder.create_model(*arguments, **builder.parse_extra_options(*arguments, []))


def _with_biases(model: Any) -> Any:
    """Return a network whose biases are there for the builder, which leaves out those that are zero.

    Random weights have such. Their graphs would do other work than those of trained weights, and attention of packed
    products without a bias ends the process. The least positive number changes no sum.
    """
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(".bias") and not weight.any():
                weight.fill_(torch.finfo(weight.dtype).tiny)
    return model


class _Encoder(_whisper.WhisperEncoder):  # type: ignore[misc]
    """The builder's encoder, with keys and values of as many layers as the decoder has; there, as the encoder has."""

    num_layers: int
    decoder_layers: int

    def load_weights(self, input_path: str) -> Any:
        return _with_biases(super().load_weights(input_path))

    def make_inputs_and_outputs(self) -> None:
        with self._layers_of_decoder():
            super().make_inputs_and_outputs()

    def make_postprocessing_nodes(self) -> None:
        with self._layers_of_decoder():
            super().make_postprocessing_nodes()

    @contextlib.contextmanager
    def _layers_of_decoder(self) -> Iterator[None]:
        own = self.num_layers
        self.num_layers = self.decoder_layers
        try:
            yield
        finally:
            self.num_layers = own


class _Decoder(_whisper.WhisperDecoder):  # type: ignore[misc]
    def load_weights(self, input_path: str) -> Any:
        return _with_biases(super().load_weights(input_path))


class _Model(_whisper.WhisperModel):  # type: ignore[misc]
    """The builder's Whisper, without the files of onnxruntime-genai's own loop."""

    def __init__(self, config: Any, *settings: Any) -> None:
        super().__init__(config, *settings)
        *others, extra_options = settings
        self.encoder, self.decoder = (
            part(copy.deepcopy(config), *others, copy.deepcopy(extra_options)) for part in (_Encoder, _Decoder)
        )
        self.encoder.decoder_layers = config.decoder_layers

    def make_genai_config(self, *_: Any) -> None:
        pass

    def save_processing(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def _with_own_model() -> Iterator[None]:
    """Have the builder make `_Model` of a Whisper."""
    builder.WhisperModel = _Model
    try:
        yield
    finally:
        builder.WhisperModel = _whisper.WhisperModel
