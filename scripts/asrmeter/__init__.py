"""The library that the command lines in `scripts/` share.

For notebooks: `asrmeter.read_run("results")` returns a finished run as pandas tables, and `docs/tables.md` says what to
do with them. Importing the package imports nothing else, as each process that measures has it.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asrmeter.analysis.finished_run import FinishedRun, NoTableError, read_run
    from asrmeter.common.errors import AsrmeterError

__all__ = ["AsrmeterError", "FinishedRun", "NoTableError", "__version__", "read_run"]
# The version of asrmeter, here alone: pyproject.toml reads it.
__version__ = "0.1.0"
_MODULES = {
    "AsrmeterError": "common.errors",
    "FinishedRun": "analysis.finished_run",
    "NoTableError": "analysis.finished_run",
    "read_run": "analysis.finished_run",
}


def __getattr__(name: str) -> Any:
    """Import what is public when it is first asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
