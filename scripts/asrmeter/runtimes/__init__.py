"""The libraries that run models. Adding one is a class in a file here, named below and in the study's schema."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrmeter.common.errors import AsrmeterError

if TYPE_CHECKING:
    from asrmeter.runtimes.base import Runtime

# (runtime of the variant, family of the model) -> module: class. Loaded when used: importing them costs seconds.
_CLASSES = {
    ("transformers", "whisper"): "asrmeter.runtimes.transformers_whisper:TransformersWhisper",
    ("transformers", "ctc"): "asrmeter.runtimes.transformers_ctc:TransformersCtc",
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
        AsrmeterError: no runtime runs such a model, or it lacks the part that writes text.
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
    # A config that names no class is taken at its type; loading it shows whether the weights are all there.
    architectures = config.get("architectures") or []
    if architectures and not any(name.endswith(ending) for name in architectures):
        raise AsrmeterError(f"the model has no {part}: config.json says that it is a {', '.join(architectures)}")
    return family


def load(family: str, folder: Path, options: dict[str, Any], device: str, random_weights: bool) -> "Runtime":
    """Load a model folder.

    `options` are the variant's (runtime, dtype, attention). With `random_weights` the amount of work is fixed
    beforehand, since such a model does not know when to stop.

    Raises:
        AsrmeterError: the folder is not one of a model that can be run.
    """
    module, name = _CLASSES[options["runtime"], family].split(":")
    return getattr(importlib.import_module(module), name)(folder, options, device, random_weights)
