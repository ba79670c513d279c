"""What runs a model: waveforms in, text out, a mark at the beginning of each stage.

A runtime is a module of this package with `OPTIONS`, `load` and `preload`; its name is what a study says. Imports
`machine` and `common`; torch and its like only where a model is loaded.
"""

import functools
import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

from asrmeter.common.errors import AsrmeterError, did_you_mean
from asrmeter.runtimes.base import Runtime, RuntimeOptions, Setup

# The runtime of variants that name none, and of those that name a Python file.
DEFAULT_RUNTIME, OWN_FILE = "transformers", "own_file"


@functools.cache
def options() -> dict[str, type[RuntimeOptions]]:
    """Return the runtimes by name: the options of the modules of this package that have any."""
    names = sorted(found.name for found in pkgutil.iter_modules(__path__))
    modules = {name: importlib.import_module(f"{__name__}.{name}") for name in names}
    return {name: module.OPTIONS for name, module in modules.items() if hasattr(module, "OPTIONS")}


def runtime_of(variant: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the name of a variant's runtime, and the options for it; a file of one's own is the runtime `own_file`."""
    own = dict(variant)
    runtime = own.pop("runtime")
    return (runtime, own) if isinstance(runtime, str) else (OWN_FILE, dict(runtime))


def options_of(name: str) -> type[RuntimeOptions]:
    """Return the class of a runtime's options.

    Raises:
        AsrmeterError: there is no such runtime.
    """
    known = options()
    if name not in known:
        raise AsrmeterError(f"there is no runtime {name}{did_you_mean(name, known)}; there are {', '.join(known)}")
    return known[name]


def preload(name: str) -> None:
    """Import what a runtime needs, for all processes that will be forked off."""
    importlib.import_module(f"{__name__}.{name}").preload()


def load(name: str, setup: Setup) -> Runtime:
    """Load a model folder with a runtime.

    Raises:
        AsrmeterError: there is no such runtime, or the model in the folder cannot be run.
        UnsupportedError: the machine or the library cannot do what is asked for.
    """
    options_of(name)
    runtime: Runtime = importlib.import_module(f"{__name__}.{name}").load(setup)
    return runtime
