"""What runs a model: waveforms in, text out, a mark at the beginning of each stage.

A runtime is a module of this package with a `KIND`; its name is what a study says. Imports `machine` and `common`;
torch and its like only inside of a runtime's own modules.
"""

import functools
import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

from asrmeter.common.errors import AsrmeterError, did_you_mean
from asrmeter.runtimes.base import Runtime, RuntimeKind, Setup

# The runtime of variants that name a Python file.
OWN_FILE = "own_file"


@functools.cache
def kinds() -> dict[str, RuntimeKind]:
    """Return the runtimes by name: the modules of this package that have a `KIND`."""
    modules = {
        found.name: importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)
    }
    return {name: module.KIND for name, module in sorted(modules.items()) if hasattr(module, "KIND")}


def kind(name: str) -> RuntimeKind:
    """Return the runtime of a name.

    Raises:
        AsrmeterError: there is none.
    """
    if name not in kinds():
        raise AsrmeterError(f"there is no runtime {name}{did_you_mean(name, kinds())}; there are {', '.join(kinds())}")
    return kinds()[name]


def runtime_of(variant: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the name of a variant's runtime, and the options for it; a file of one's own is the runtime `own_file`."""
    options = dict(variant)
    runtime = options.pop("runtime")
    return (runtime, options) if isinstance(runtime, str) else (OWN_FILE, dict(runtime))


def load(name: str, setup: Setup) -> Runtime:
    """Load a model folder with a runtime.

    Raises:
        AsrmeterError: the model in the folder cannot be run.
        UnsupportedError: the machine or the library cannot do what is asked for.
    """
    return kind(name).load(setup)
