"""Runtimes, which run a model: waveforms in, text out, with a mark at the beginning of each stage.

A runtime is a package in this one, whose name is what a study says. It has `OPTIONS`, a module for each of its
`classes`, and a module `conversion` if it does not load models as they are. Imports `machine` and `common`; torch and
its like only where a model is loaded.
"""

import functools
import importlib
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from asrmeter.common.errors import AsrmeterError, did_you_mean
from asrmeter.runtimes.base import Runtime, RuntimeOptions, Setup, UnsupportedError

# ONNX Runtime, which other libraries import too, would tell its maker of each model that it loads, by own threads.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

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


def variant_options(variant: Mapping[str, Any]) -> RuntimeOptions:
    """Return the options of a variant as `study.json` has it."""
    name, own = runtime_of(variant)
    if name == OWN_FILE:
        own_file = importlib.import_module(f"{__name__}.{OWN_FILE}")
        made: RuntimeOptions = own_file.OPTIONS(runtime=own_file.PythonFile(**own))
        return made
    return options_of(name)(**own | {"runtime": name})


def options_of(name: str) -> type[RuntimeOptions]:
    """Return the class of a runtime's options.

    Raises:
        AsrmeterError: there is no such runtime.
    """
    # That one alone: the others would be part of the memory of a process that measures.
    module = importlib.import_module(f"{__name__}.{name}") if _is_module(name) else None
    if found := getattr(module, "OPTIONS", None):
        return found
    known = options()
    raise AsrmeterError(f"unknown runtime {name}{did_you_mean(name, known)}; known runtimes are {', '.join(known)}")


def _is_module(name: str) -> bool:
    return any(found.name == name for found in pkgutil.iter_modules(__path__))


def preload(name: str) -> None:
    """Import a runtime's libraries for all processes that will be forked off, without threads or a CUDA context."""
    if not (classes := options_of(name).classes):
        importlib.import_module(f"{__name__}.{name}").preload()
    for place in classes.values():
        _imported(name, place)


def hide(packages: Iterable[str]) -> None:
    """Make packages look as if they were not installed.

    `None` in `sys.modules` is Python's documented way to do this: an import raises ModuleNotFoundError, and
    `importlib.util.find_spec`, which transformers asks, returns None. A finder in `sys.meta_path` cannot do both: if it
    raises, `find_spec` raises too, and if it returns None, the next finder is asked.
    """
    sys.modules.update(dict.fromkeys(packages))  # type: ignore[arg-type]


def missing_packages(variant: Mapping[str, Any]) -> list[str]:
    """Return the packages that a variant needs and that are not installed here."""
    return [name for name in variant_options(variant).needs if importlib.util.find_spec(name) is None]


def convert(name: str, source: Path, family: str, settings: Mapping[str, Any], target: Path) -> None:
    """Convert a model folder for a runtime into the empty folder `target`; `settings` are those of `Conversion`.

    Raises:
        UnsupportedError: the model cannot be converted.
    """
    _check_family(options_of(name), family)
    importlib.import_module(f"{__name__}.{name}.conversion").convert(source, family, settings["format"], target)


def load(name: str, setup: Setup) -> Runtime:
    """Load a model folder with a runtime.

    Raises:
        AsrmeterError: there is no such runtime, or the model in the folder cannot be run.
        UnsupportedError: the machine or the library cannot do what is asked for.
    """
    chosen = options_of(name)
    _check_family(chosen, setup.family)
    if chosen.classes:
        load_it = _imported(name, chosen.classes[setup.family])
    else:
        load_it = importlib.import_module(f"{__name__}.{name}").load
    runtime: Runtime = load_it(setup)
    return runtime


def _check_family(chosen: type[RuntimeOptions], family: str) -> None:
    if why := chosen.why_no_model(family):
        raise UnsupportedError(why)


def _imported(name: str, place: str) -> Any:
    """Return a runtime's class, of its module and name such as `whisper:OpenVinoWhisper`."""
    module, _, class_name = place.partition(":")
    return getattr(importlib.import_module(f"{__name__}.{name}.{module}"), class_name)
