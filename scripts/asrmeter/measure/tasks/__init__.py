"""The tasks of the measuring process, and what they share with it: events, and errors that become statuses.

A task's own module is imported only when the task is done: it imports torch.
"""

import importlib
from collections.abc import Callable
from typing import Any, Protocol

# Takes the name of an event and its fields.
EventSink = Callable[..., None]

# task of a spec -> module:class
TASKS = {
    "cell": "asrmeter.measure.tasks.cell:CellMeasurement",
    "profile": "asrmeter.measure.tasks.profile:CellProfile",
    "peaks": "asrmeter.measure.tasks.peaks:PeakMeasurement",
}


class Task(Protocol):
    """Something that the measuring process can do."""

    def __init__(self, spec: dict[str, Any], emit: EventSink) -> None: ...

    def run(self) -> None:
        """Do it, and emit what was measured.

        Raises:
            UnsupportedError: this machine cannot do it.
        """


def load(name: str) -> type[Task]:
    """Import and return the class of a task."""
    module, class_name = TASKS[name].split(":")
    return getattr(importlib.import_module(module), class_name)


def classify_error(error: BaseException) -> tuple[str, str]:
    """Return (status, reason) of a measurement that raised `error`."""
    text = f"{type(error).__name__}: {error}".splitlines()[0]
    # The rest says what else is in the GPU's memory, and how to set torch's allocator.
    text = text.partition(" Including non-PyTorch memory")[0]
    out_of_memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    # torch's CPU allocator raises a plain RuntimeError.
    out_of_memory = out_of_memory or "DefaultCPUAllocator: can't allocate memory" in str(error)
    return ("oom" if out_of_memory else "error"), text
