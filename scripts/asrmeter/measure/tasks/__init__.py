"""The tasks of the measuring process, with shared events and errors that become statuses.

A task's own module is imported only when the task is done: it imports torch.
"""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from asrmeter.common import typed_json
from asrmeter.common.errors import AsrmeterError, line
from asrmeter.common.typed_json import JsonObject
from asrmeter.measure.spec import (
    CellSpec,
    LayoutSpec,
    LoadSpec,
    NodeProfileSpec,
    PeaksSpec,
    ProfileSpec,
    SilenceSpec,
    Spec,
    Start,
)
from asrmeter.records.events import Event

# Reports an event to the job.
EventSink = Callable[[Event], None]

# task of a spec -> the spec's class, module:class of the task
TASKS: dict[str, tuple[type[Spec], str]] = {
    CellSpec.task: (CellSpec, "asrmeter.measure.tasks.cell:CellMeasurement"),
    ProfileSpec.task: (ProfileSpec, "asrmeter.measure.tasks.profile:CellProfile"),
    NodeProfileSpec.task: (NodeProfileSpec, "asrmeter.measure.tasks.node_profile:NodeProfile"),
    SilenceSpec.task: (SilenceSpec, "asrmeter.measure.tasks.silence:HearSilence"),
    LoadSpec.task: (LoadSpec, "asrmeter.measure.tasks.load:LoadTest"),
    LayoutSpec.task: (LayoutSpec, "asrmeter.measure.tasks.layout:LayoutProcess"),
    PeaksSpec.task: (PeaksSpec, "asrmeter.measure.tasks.peaks:PeakMeasurement"),
}


class Task(ABC):
    """Something that the measuring process can do."""

    def __init__(self, spec: Any, start: Start, emit: EventSink) -> None:
        self._spec, self._start, self._emit = spec, start, emit

    @abstractmethod
    def run(self) -> None:
        """Run the task and emit its results.

        Raises:
            UnsupportedError: this machine cannot do it.
        """


def load(message: JsonObject, emit: EventSink) -> Task:
    """Return the task that a message asks for: the spec as `Spec.to_message` makes it, and how the worker started."""
    spec_type, place = TASKS[message["task"]]
    module, class_name = place.split(":")
    task: type[Task] = getattr(importlib.import_module(module), class_name)
    return task(typed_json.from_json(spec_type, message), typed_json.from_json(Start, message), emit)


def classify_error(error: BaseException) -> tuple[str, str]:
    """Return (status, reason) of a measurement that raised `error`."""
    text = str(error) if isinstance(error, AsrmeterError) else f"{type(error).__name__}: {error}"
    text = next(iter(text.splitlines()), "")
    # The rest says what else is in the GPU's memory, and how to set torch's allocator.
    text = text.partition(" Including non-PyTorch memory")[0]
    out_of_memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    # torch's CPU allocator raises a plain RuntimeError.
    out_of_memory = out_of_memory or "DefaultCPUAllocator: can't allocate memory" in str(error)
    return ("oom" if out_of_memory else "error"), line(text)
