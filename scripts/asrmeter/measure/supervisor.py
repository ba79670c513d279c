"""Running a worker to its end, whatever that is: it becomes a status with a reason. Standard library only."""

import json
import os
import signal
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from asrmeter.machine import probes
from asrmeter.measure import launcher


@dataclass(frozen=True)
class Outcome:
    """How a worker ended and what it told: `events` in their order, `awake_s` the CPU time that waiting took (s)."""

    status: str
    reason: str | None
    events: list[dict[str, Any]]
    awake_s: float

    @cached_property
    def by_name(self) -> dict[str, dict[str, Any]]:
        """The last event of each name."""
        return {event["event"]: event for event in self.events}

    def named(self, name: str) -> list[dict[str, Any]]:
        """Return the events of a name, in their order."""
        return [event for event in self.events if event["event"] == name]


def attend(spec: dict[str, Any], timeout_s: float, lock: int, root: Path) -> Outcome:
    """Start a worker for `spec` (see `asrmeter.measure.worker.run`), sleep until it ends, end it after `timeout_s`.

    `lock` is the descriptor of the machine's lock. The worker holds it too, so that the machine counts as taken for as
    long as the worker lives, whatever becomes of this process. `root` is the checkout.
    """
    oom_kills = probes.oom_kills()
    # In memory: what is told must not be lost because a disk is full.
    with open(os.memfd_create("asrmeter-events"), "w+b") as stream:
        os.set_inheritable(stream.fileno(), True)
        worker = launcher.start(spec, stream.fileno(), lock, root / "scripts")
        awake_s = time.process_time()
        code = worker.wait(timeout_s)
        awake_s = time.process_time() - awake_s
        timed_out = code is None
        if code is None:
            code = worker.kill()
        stream.seek(0)
        # What follows the last line break was cut off.
        *lines, _ = stream.read().decode(errors="replace").split("\n")
        events = [json.loads(line) for line in lines]
    out_of_memory = probes.oom_kills() > oom_kills
    status, reason = conclude(code, timeout_s if timed_out else None, events, out_of_memory)
    return Outcome(status, reason, events, awake_s)


def conclude(
    code: int, timeout_s: float | None, events: list[dict[str, Any]], out_of_memory: bool = False
) -> tuple[str, str | None]:
    """Return (status, reason) from how the worker ended and what it told before.

    `out_of_memory` says that the kernel ended some process meanwhile because memory ran out.
    """
    told = {event["event"]: event for event in events}
    n_passes = sum(event["event"] == "pass" for event in events)
    if timeout_s is not None:
        return "timeout", f"ended after timeout_s = {timeout_s:g} and {n_passes} passes"
    if "failed" in told:
        return told["failed"]["status"], told["failed"]["reason"]
    if "unsupported" in told:
        return "unsupported", told["unsupported"]["reason"]
    if code < 0:
        if code == -signal.SIGKILL and out_of_memory:
            return "oom", f"the kernel ended the worker after {n_passes} passes: {_whose_memory()} ran out"
        return "killed", f"the worker was ended by {signal.Signals(-code).name} after {n_passes} passes"
    if code or "done" not in told:
        return "error", f"the worker ended with exit code {code} after {n_passes} passes"
    return "ok", None


def _whose_memory() -> str:
    """Return what has an end: a SLURM job may be held to what it asked for."""
    return "the memory of the job or its node" if "SLURM_JOB_ID" in os.environ else "the machine's memory"
