"""Linear layers in 8 bits, by torchao: what takes over from torch.ao."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from asrmeter.runtimes.base import UnsupportedError

# torchao's kernels for some GPUs do not load with torch for CPUs, and of torch's registers some are of older use.
_TALKATIVE = ("torchao", "torch.utils._pytree")


def quantise(model: Any, how: str) -> None:
    """Put the weights of linear layers into 8 bits: `int8-weights`, or `int8-dynamic` with their inputs.

    The output layer of Whisper is one; its embedding, of the same numbers, stays as it is.

    Raises:
        UnsupportedError: torchao is not installed.
    """
    if how == "none":
        return
    try:
        from torchao import quantization
    except ImportError as error:
        raise UnsupportedError(f"quantisation: {how} needs the package torchao ({error})") from error
    kinds = {
        "int8-weights": quantization.Int8WeightOnlyConfig,
        "int8-dynamic": quantization.Int8DynamicActivationInt8WeightConfig,
    }
    quantization.quantize_(model, kinds[how]())


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress what importing torchao writes to standard error."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
