"""The start of every task: set up the device, and load the model."""

import gc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from asrmeter import runtimes
from asrmeter.measure import energy
from asrmeter.measure.tasks import UnsupportedError

if TYPE_CHECKING:
    from asrmeter.runtimes.base import Runtime


def open_device(spec: dict[str, Any]) -> str | None:
    """Give torch the threads of `spec`; return the UUID of the GPU that the task runs on, None on the CPU.

    Raises:
        UnsupportedError: there is no such device.
    """
    torch.set_num_threads(spec["threads"])
    if spec["device"] != "cuda":
        return None
    if not torch.cuda.is_available():
        raise UnsupportedError("no CUDA device on this machine")
    return energy.own_gpu()


def load_runtime(spec: dict[str, Any]) -> "Runtime":
    """Load the model of a cell, then enable garbage collection again (see `child.disable_collections`)."""
    runtime = runtimes.load(
        spec["family"],
        Path(spec["model_folder"]),
        spec["options"],
        spec["device"],
        random_weights=spec["weights"] == "random",
    )
    gc.freeze()
    gc.enable()
    return runtime
