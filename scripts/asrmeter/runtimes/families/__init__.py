"""The families of models. To add one, write a module here whose `FAMILY` is an instance of a `base.Family`.

Nothing else names a family: code asks a model's for what it states. Importing this package imports no library.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from asrmeter.common.errors import AsrmeterError

if TYPE_CHECKING:
    from asrmeter.runtimes.families.base import Family


def known() -> dict[str, "Family"]:
    """Return every family by name: those of the modules of this package, in the order of the alphabet."""
    modules = (importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    return {module.FAMILY.name: module.FAMILY for module in modules if hasattr(module, "FAMILY")}


def named(name: str) -> "Family":
    """Return the family of this name, as records and models.toml have it.

    Raises:
        AsrmeterError: there is none.
    """
    families = known()
    if name not in families:
        raise AsrmeterError(f"asrmeter has no family of models {name}; known are {', '.join(families)}")
    return families[name]


def family_of(config: Mapping[str, Any]) -> "Family":
    """Return the family of the model whose config.json is `config`.

    Raises:
        AsrmeterError: no runtime runs such a model, or it has no part that outputs text.
    """
    model_type = config.get("model_type")
    families = known().values()
    found = next((each for each in families if model_type in each.classes), None)
    if found is None:
        shown = [each for each in families if each.title]
        titles = "- nor a ".join(str(each.title) for each in shown)
        supported = ", ".join(kind for each in shown for kind in each.classes)
        raise AsrmeterError(
            f"the model is neither a {titles}-type model (model_type {model_type}); supported are {supported}"
        )
    # If a config names no class, its type decides; loading the model shows whether the weights are complete.
    architectures = config.get("architectures") or []
    if architectures and not any(name.endswith(found.ending) for name in architectures):
        raise AsrmeterError(
            f"the model has no {found.output_part}: config.json says that it is a {', '.join(architectures)}"
        )
    return found
