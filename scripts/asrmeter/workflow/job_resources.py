"""Memory and time that a job requests from a cluster. Standard library only.

These are upper bounds, not estimates. Too little ends a measurement; too much only prolongs the wait in the queue.
"""

import functools
import math
import os
from pathlib import Path

from asrmeter.models import catalogue
from asrmeter.models.catalogue import ModelSettings

# Python, torch and transformers take 0.4 GB resident memory, and codecarbon and the first pass another 0.4 GB. CUDA
# adds the driver's context and its libraries.
_BASE_MB = {"cpu": 2000, "cuda": 6000}
# During loading, the weights are in memory twice: as a file and as tensors.
_COPIES = 2.5
# The convolutions of wav2vec2-base keep 16 MB for a second of audio, Whisper's encoder at most 7.
_MB_PER_AUDIO_S = 20
# Shorter audio is padded to Whisper's window.
_LEAST_AUDIO_S = 30
# For a model of unknown size: whisper-large in float32.
_UNKNOWN_WEIGHTS_BYTES = 6_200_000_000
# Time of a measuring job besides its worker: two starts of Snakemake, checks, waiting for the machine.
_AROUND_S = 300


def memory_mb(results: Path, model: str, settings: ModelSettings, device: str, audio_s: float) -> int:
    """Return the host memory (MB) of a job with batches of `audio_s` seconds of audio.

    The size of its weights is exact once their folder exists.
    """
    weights_mb = (_made_bytes(str(results / "models" / model)) or _expected_bytes(model, settings)) / 1e6
    return math.ceil(_BASE_MB[device] + _COPIES * weights_mb + _MB_PER_AUDIO_S * audio_s)


def batch_audio_s(duration_s: int, batch_size: int) -> int:
    """Return the seconds of audio in a batch, including a model's padding."""
    return max(duration_s, _LEAST_AUDIO_S) * batch_size


def minutes(timeout_s: float) -> int:
    """Return the time (min) of a job, which must exceed the `timeout_s` of its worker."""
    return math.ceil((timeout_s + _AROUND_S) / 60)


def _made_bytes(folder: str) -> int:
    """Return the size of the weights in a model folder, 0 if there are none."""
    try:
        changed_ns = os.stat(folder).st_mtime_ns
    except OSError:
        return 0
    return _weights_bytes(folder, changed_ns)


@functools.cache
def _weights_bytes(folder: str, changed_ns: int) -> int:
    """Return the size of the weights in a folder. The mtime `changed_ns` makes the cache read each version once."""
    return sum(path.stat().st_size for path in Path(folder).glob("*.safetensors"))


def _expected_bytes(model: str, settings: ModelSettings) -> int:
    """Return the size of the weights of a model that has no folder yet."""
    origin = catalogue.origin(model, settings)
    if origin.is_external:
        return 0
    if origin.entry is not None:
        return 4 * origin.entry.parameters
    return (_made_bytes(str(origin.path)) if origin.path is not None else 0) or _UNKNOWN_WEIGHTS_BYTES
