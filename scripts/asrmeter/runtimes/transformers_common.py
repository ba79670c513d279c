"""What loading a model folder by transformers takes, whatever the model's family."""

from pathlib import Path
from typing import Any

import torch

from asrmeter.common.constants import SAMPLE_RATE_HZ
from asrmeter.common.errors import AsrmeterError

# Weights that only training uses: many folders leave them out.
_TRAINING_ONLY = ("masked_spec_embed",)


def network(kind: Any, folder: Path, options: dict[str, Any], device: str) -> Any:
    """Load the weights of `folder` into transformers' class `kind`, for inference on `device`.

    Attention `sdpa` becomes `eager` in the few classes that are only written out; the config of the network says which.

    Raises:
        AsrmeterError: weights are missing, which transformers would make up at random.
    """
    model, found = kind.from_pretrained(
        folder,
        dtype=getattr(torch, options["dtype"]),
        # To transformers, None is sdpa where the class supports it and eager elsewhere; "sdpa" is an error elsewhere.
        attn_implementation=None if options["attention"] == "sdpa" else options["attention"],
        local_files_only=True,
        use_safetensors=True,
        output_loading_info=True,
    )
    missing = sorted(name for name in found["missing_keys"] if not name.endswith(_TRAINING_ONLY))
    if missing:
        raise AsrmeterError(f"{folder}: {kind.__name__} needs weights that are missing: {', '.join(missing[:5])}")
    if device == "cuda":
        # torch's default rounds the factors of float32 convolutions to TF32: a variant is what it says.
        torch.backends.cudnn.allow_tf32 = False
    return model.to(device).eval()


def feature_extractor(kind: Any, folder: Path, **settings: Any) -> Any:
    """Load the feature extractor of `folder` into transformers' class `kind`; `settings` override the folder's.

    Raises:
        AsrmeterError: it wants another sampling rate than that of the segments.
    """
    features = kind.from_pretrained(folder, local_files_only=True, **settings)
    if features.sampling_rate != SAMPLE_RATE_HZ:
        raise AsrmeterError(
            f"{folder}: the model is for audio of {features.sampling_rate} Hz; asrmeter's is of {SAMPLE_RATE_HZ} Hz"
        )
    return features
