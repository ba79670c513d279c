"""The start of every task that runs a model: load it with its runtime."""

import gc
from pathlib import Path

from asrmeter import runtimes
from asrmeter.machine import cuda
from asrmeter.measure.spec import CellSpec
from asrmeter.runtimes.base import Runtime, Setup


def load_runtime(spec: CellSpec, profiled: bool = False) -> Runtime:
    """Load the model of a cell, then enable garbage collection again (see `child.disable_collections`).

    Raises:
        UnsupportedError: this machine cannot run it.
    """
    name, options = runtimes.runtime_of(spec.options)
    runtime = runtimes.load(
        name,
        Setup(
            Path(spec.model_folder),
            spec.family,
            options,
            spec.device,
            spec.threads,
            random_weights=spec.weights == "random",
            converted=Path(spec.converted_folder) if spec.converted_folder else None,
            profiled=profiled,
        ),
    )
    gc.freeze()
    gc.enable()
    return runtime


def gpu_of(runtime: Runtime, device: str) -> cuda.Gpu | None:
    """Return the GPU that a cell runs on, None on the CPU."""
    return runtime.gpu() if device == "cuda" else None
