"""Load the parts of a model folder into transformers' classes."""

from pathlib import Path
from typing import Any

import torch

from asrmeter.common.errors import AsrmeterError
from asrmeter.runtimes.base import Setup
from asrmeter.runtimes.families.preprocessor import check_sampling_rate

# Weights that only training uses; many folders leave them out.
_TRAINING_ONLY = ("masked_spec_embed",)


def network(kind: Any, setup: Setup) -> Any:
    """Load the weights of a model folder into transformers' class `kind`, for inference.

    Attention `sdpa` becomes `eager` in the few classes that have no other; the config of the network says which it is.

    Raises:
        AsrmeterError: weights are missing, which transformers would fill with random numbers.
    """
    folder, options = setup.folder, setup.options
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
    if setup.device == "cuda":
        allow_tf32(options.get("tf32", False))
    return model.to(setup.device).eval()


def allow_tf32(is_allowed: bool) -> None:
    """Say whether a GPU may round the factors of float32 products to TF32.

    torch does it in convolutions unless it is told otherwise, and then fp32 would not be fp32.
    """
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = is_allowed


def feature_extractor(kind: Any, folder: Path, **settings: Any) -> Any:
    """Load the feature extractor of `folder` into transformers' class `kind`; `settings` override the folder's.

    Raises:
        AsrmeterError: its sampling rate is not that of the segments.
    """
    features = kind.from_pretrained(folder, local_files_only=True, **settings)
    check_sampling_rate(folder, features.sampling_rate)
    return features
