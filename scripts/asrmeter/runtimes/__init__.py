"""The libraries that run models. To add one, write a class in a file here and name it below and in the schema."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrmeter.common.errors import AsrmeterError

if TYPE_CHECKING:
    from asrmeter.runtimes.base import Runtime

# (runtime of the variant, family of the model) -> module:class. Loaded when used, as importing one costs seconds.
_CLASSES = {
    ("transformers", "whisper"): "asrmeter.runtimes.transformers.whisper:TransformersWhisper",
    ("transformers", "ctc"): "asrmeter.runtimes.transformers.ctc:TransformersCtc",
}

# model_type of config.json -> transformers' class: the encoders with a CTC head that take waveforms.
CTC_CLASSES = {
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


def family_of(config: Mapping[str, Any]) -> str:
    """Return the family ("whisper" or "ctc") of the model whose config.json is `config`.

    Raises:
        AsrmeterError: no runtime runs such a model, or it has no part that outputs text.
    """
    model_type = config.get("model_type")
    if model_type == "whisper":
        family, ending, part = "whisper", "ForConditionalGeneration", "decoder"
    elif model_type in CTC_CLASSES:
        family, ending, part = "ctc", "ForCTC", "CTC head"
    else:
        raise AsrmeterError(
            f"the model is neither a Whisper- nor a CTC-type model (model_type {model_type}); "
            f"supported are whisper, {', '.join(CTC_CLASSES)}"
        )
    # If a config names no class, its type decides; loading the model shows whether the weights are complete.
    architectures = config.get("architectures") or []
    if architectures and not any(name.endswith(ending) for name in architectures):
        raise AsrmeterError(f"the model has no {part}: config.json says that it is a {', '.join(architectures)}")
    return family


def load(family: str, folder: Path, options: dict[str, Any], device: str, random_weights: bool) -> "Runtime":
    """Load a model folder.

    `options` are the variant's (runtime, dtype, attention). With `random_weights` the amount of work is fixed
    beforehand, since such a model never emits an end token reliably.

    Raises:
        AsrmeterError: the model in the folder cannot be run.
    """
    module, name = _CLASSES[options["runtime"], family].split(":")
    return getattr(importlib.import_module(module), name)(folder, options, device, random_weights)
