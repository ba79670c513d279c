"""Run a worker to its end and classify how it ended: a status with a reason. Standard library only."""

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from asrmeter.machine import probes
from asrmeter.measure import launcher
from asrmeter.measure.spec import Spec

# The events are imported when the worker has ended: until it starts, every import is part of its start-up.
if TYPE_CHECKING:
    from asrmeter.records.events import Event

E = TypeVar("E", bound="Event")


@dataclass(frozen=True)
class Outcome:
    """How a worker ended, and its events in their order.

    `supervisor_cpu_s` is the CPU time that waiting for it took, None if no worker was started.
    """

    status: str
    reason: str | None
    events: "Sequence[Event]" = ()
    supervisor_cpu_s: float | None = None

    @cached_property
    def by_name(self) -> "dict[str, Event]":
        """The last event of each kind, by its name."""
        return {event.name: event for event in self.events}

    def of_kind(self, kind: type[E]) -> list[E]:
        """Return the events of a kind, in their order."""
        return [event for event in self.events if isinstance(event, kind)]


def run_supervised(spec: Spec, timeout_s: float, lock: int, root: Path) -> Outcome:
    """Start a worker for `spec` (see `asrmeter.measure.child.run`), sleep until it ends, kill it after `timeout_s`.

    `lock` is the descriptor of the machine's lock. The worker holds it too, so the machine stays locked for as long as
    the worker lives, even if this process dies. `root` is the checkout.
    """
    oom_kills = probes.oom_kills()
    # In memory: no event may be lost because a disk is full.
    with open(os.memfd_create("asrmeter-events"), "w+b") as stream:
        os.set_inheritable(stream.fileno(), True)
        worker = launcher.start(spec.to_message(), stream.fileno(), lock, root / "scripts")
        begin_cpu_s = time.process_time()
        code = worker.wait(timeout_s)
        supervisor_cpu_s = time.process_time() - begin_cpu_s
        timed_out = code is None
        if code is None:
            code = worker.kill()
        from asrmeter.records.events import parse

        stream.seek(0)
        # Whatever follows the last line break was cut off.
        *lines, _ = stream.read().decode(errors="replace").split("\n")
        events = [parse(line) for line in lines]
    out_of_memory = probes.oom_kills() > oom_kills
    status, reason = classify_exit(code, timeout_s if timed_out else None, events, out_of_memory, spec.own_file)
    return Outcome(status, reason, events, supervisor_cpu_s)


def classify_exit(
    code: int,
    timeout_s: float | None,
    events: "Sequence[Event]",
    out_of_memory: bool = False,
    own_file: str | None = None,
) -> tuple[str, str | None]:
    """Return (status, reason) of a worker from its exit code and its events; `timeout_s` if it was killed after that.

    `out_of_memory` says that the kernel killed some process meanwhile because memory ran out. `own_file` is the user's
    file that ran the model, if any: what it was doing is named where it says nothing itself.
    """
    from asrmeter.records.events import Done, Failed, Heard, Pass, Ready, Unsupported

    n_passes = sum(isinstance(event, Pass | Heard) for event in events)
    where = ""
    if own_file:
        where = (
            f", in {'transcribe' if any(isinstance(event, Ready) for event in events) else '__init__'} of {own_file}"
        )
    if timeout_s is not None:
        return "timeout", f"ended after timeout_s = {timeout_s:g} and {n_passes} passes{where}"
    for event in events:
        if isinstance(event, Failed):
            return event.status, event.reason
        if isinstance(event, Unsupported):
            return "unsupported", event.reason
    if code < 0:
        if code == -signal.SIGKILL and out_of_memory:
            return "oom", f"the kernel ended the worker after {n_passes} passes: {_whose_memory()} ran out"
        return "killed", f"the worker was ended by {signal.Signals(-code).name} after {n_passes} passes{where}"
    if code or not any(isinstance(event, Done) for event in events):
        return "error", f"the worker ended with exit code {code} after {n_passes} passes{where}"
    return "ok", None


def _whose_memory() -> str:
    """Return which memory ran out: a SLURM job may be limited to its request."""
    return "the memory of the job or its node" if "SLURM_JOB_ID" in os.environ else "the machine's memory"
