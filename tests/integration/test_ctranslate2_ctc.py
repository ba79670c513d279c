"""CTranslate2 runs wav2vec 2.0 where its converter has the architecture, and refuses the others with the reason."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asrmeter import runtimes
from asrmeter.runtimes.base import Setup, Timeline, UnsupportedError
from helpers.model_folders import ctc_folder
from helpers.speech import english
from helpers.waveforms import noise

LIKE_LARGE: dict[str, Any] = {
    **{"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True, "num_feat_extract_layers": 4},
    **{"conv_dim": [16] * 4, "conv_kernel": [10, 3, 3, 2], "conv_stride": [5, 2, 2, 2]},
    **{"num_conv_pos_embeddings": 128, "num_conv_pos_embedding_groups": 16},
}


def made(tmp_path: Path, model_type: str = "wav2vec2", masked: bool = True, **settings: Any) -> tuple[Path, Path]:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    folder, target = ctc_folder(tmp_path / "model", model_type, masked, **settings), tmp_path / "converted"
    target.mkdir()
    runtimes.convert("ctranslate2", folder, "ctc", {"format": "float32"}, target)
    return folder, target


@pytest.mark.parametrize("masked", [True, False])
def test_texts_are_those_of_transformers(tmp_path: Path, masked: bool) -> None:
    folder, target = made(tmp_path, masked=masked, **LIKE_LARGE)
    options = runtimes.variant_options({"runtime": "transformers"}).as_json()
    baseline = runtimes.load("transformers", Setup(folder, "ctc", options))
    own = runtimes.load("ctranslate2", Setup(folder, "ctc", {"format": "float32"}, converted=target))
    lengths = (1, 1) if masked else (1, 0.7)
    heard, expected = (each.transcribe(english(noise(*lengths)), Timeline()) for each in (own, baseline))
    assert heard == expected and all(hypothesis.n_tokens > 3 for hypothesis in heard)
    # There is no mask: what a batch is padded with is heard.
    assert own.differences() == (("features", "padding") if masked else ("features",))
    with own.check_scores():
        own.transcribe(english(noise(0.01)), Timeline())
    with pytest.raises(FloatingPointError), own.check_scores():
        own.transcribe(english([np.full(16_000, np.nan, np.float32)]), Timeline())


@pytest.mark.parametrize(
    ("model_type", "settings", "why"),
    [
        ("wav2vec2", {"feat_extract_norm": "group"}, "CTC models with feat_extract_norm layer; the model's is group"),
        ("hubert", LIKE_LARGE, "CTC models with model_type wav2vec2; the model's is hubert"),
        ("wav2vec2", LIKE_LARGE | {"conv_stride": [5, 2, 2, 4]}, "strides of 5, then 2; the model's conv_stride is"),
        ("wav2vec2", LIKE_LARGE | {"num_conv_pos_embeddings": 16}, "num_conv_pos_embeddings 128; the model's is 16"),
    ],
)
def test_what_ctranslate2_has_not_built_in(tmp_path: Path, model_type: str, settings: dict[str, Any], why: str) -> None:
    with pytest.raises(UnsupportedError, match=why):
        made(tmp_path, model_type, **settings)
