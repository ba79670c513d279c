"""Make a folder of CTranslate2 of a model folder, by its own converter, which needs torch and transformers.

Of OpenAI's checkpoints the arrays of a float16 file are those that the packages of models.toml have, bit for bit.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asrmeter.runtimes.base import UnsupportedError
from asrmeter.runtimes.families.shared.ctc_greedy import CONFIG

# What CTranslate2's encoder of wav2vec 2.0 has built in (src/layers/wav2vec2.cc).
_BUILT_IN: Mapping[str, Any] = {
    **{"model_type": "wav2vec2", "feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True},
    **{"add_adapter": False, "num_conv_pos_embeddings": 128, "num_conv_pos_embedding_groups": 16},
    **{"feat_extract_activation": "gelu", "hidden_act": "gelu"},
}
_FIRST_STRIDE, _STRIDE = 5, 2
# What the runtime has to know of a CTC model's configuration.
_KEPT = ("vocab_size", "pad_token_id", "conv_kernel", "conv_stride")


def convert(source: Path, family: str, weights: str, target: Path) -> None:
    """Write model.bin, config.json and the vocabulary into the empty folder `target`.

    `weights` is their number format.

    Raises:
        UnsupportedError: CTranslate2 has no such architecture.
    """
    from ctranslate2.converters import TransformersConverter

    if family == "ctc":
        config = complete_config(json.loads((source / "config.json").read_text(encoding="utf-8")))
        check_ctc(config)
        told = {key: config[key] for key in _KEPT}
        (target / CONFIG).write_text(json.dumps(told) + "\n", encoding="utf-8")
    made = target / "made"  # the converter refuses a folder that is there
    TransformersConverter(str(source)).convert(str(made), quantization=weights)
    for path in made.iterdir():
        shutil.move(path, target / path.name)
    made.rmdir()


def complete_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a config.json with the defaults of wav2vec 2.0 for what it does not say."""
    from transformers import Wav2Vec2Config

    return {**Wav2Vec2Config().to_dict(), **config}


def check_ctc(own: Mapping[str, Any]) -> None:
    """Raise UnsupportedError unless CTranslate2 has the architecture of a whole config.json built in."""
    for key, value in _BUILT_IN.items():
        if own[key] != value:
            raise UnsupportedError(f"CTranslate2 runs CTC models with {key} {value}; the model's is {own[key]}")
    first, *others = own["conv_stride"]
    if first != _FIRST_STRIDE or {*others} != {_STRIDE}:
        raise UnsupportedError(
            f"CTranslate2 runs CTC models with strides of {_FIRST_STRIDE}, then {_STRIDE}; the model's "
            f"conv_stride is {own['conv_stride']}"
        )
