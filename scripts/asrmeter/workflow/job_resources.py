"""What a job has to ask a cluster for: memory and time. Standard library only.

Bounds, not estimates of what is measured: too little ends a measurement, too much only waits longer in the queue.
"""

import math
from pathlib import Path
from typing import Any

from asrmeter.models import catalogue

# Python, torch and transformers take 0.4 GB resident, and codecarbon and the first pass as much again. On CUDA the
# driver's context and its libraries come on top.
_BASE_MB = {"cpu": 2000, "cuda": 6000}
# While a model is loaded its weights are there as a file and as tensors.
_COPIES = 2.5
# The convolutions of wav2vec2-base keep 16 MB for a second of audio, Whisper's encoder at most 7.
_MB_PER_AUDIO_S = 20
# Whatever is shorter is padded to Whisper's window.
_LEAST_AUDIO_S = 30
# A model of which nothing is known yet: as large as whisper-large, in float32.
_UNKNOWN_WEIGHTS_BYTES = 6_200_000_000
# What a measuring job takes besides its worker: two starts of Snakemake, checks, waiting for the machine.
_AROUND_S = 300


def memory_mb(results: Path, model: str, settings: dict[str, Any], device: str, audio_s: float) -> int:
    """Return the host memory (MB) of a job that gives `audio_s` seconds of audio to a model at once.

    `settings` are the study's for the model, complete; its weights count as they are once their folder is there.
    """
    weights_mb = _weights_bytes(results / "models" / model, model, settings) / 1e6
    return math.ceil(_BASE_MB[device] + _COPIES * weights_mb + _MB_PER_AUDIO_S * audio_s)


def batch_audio_s(duration_s: int, batch_size: int) -> int:
    """Return the seconds of audio of a batch as a model may pad them."""
    return max(duration_s, _LEAST_AUDIO_S) * batch_size


def minutes(timeout_s: float) -> int:
    """Return the time (min) of a job whose worker is ended after `timeout_s`: its parent has to live longer."""
    return math.ceil((timeout_s + _AROUND_S) / 60)


def _weights_bytes(folder: Path, model: str, settings: dict[str, Any]) -> int:
    made = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    if made:
        return made
    origin = catalogue.origin(model, settings)
    if origin.entry is not None:
        return 4 * origin.entry.parameters
    if origin.path is not None:
        return sum(path.stat().st_size for path in origin.path.glob("*.safetensors")) or _UNKNOWN_WEIGHTS_BYTES
    return _UNKNOWN_WEIGHTS_BYTES
