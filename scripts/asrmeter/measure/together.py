"""Run the processes of a layout: they begin together, and none is left. Standard library only.

Each is started directly, as servers beside each other are: what they share of their memory is what those share. They
say by a byte in a pipe that they have come to a gate, and sleep until the pipe of the gate ends, for all of them at
once. The job sleeps too, until the last one has come or one has ended.
"""

import contextlib
import dataclasses
import os
import select
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from asrmeter.machine import probes
from asrmeter.measure.launcher import DirectWorker
from asrmeter.measure.memory import pss_bytes
from asrmeter.measure.spec import LayoutSpec
from asrmeter.measure.supervisor import Outcome, classify_exit

if TYPE_CHECKING:
    from asrmeter.records.events import Event

# Where processes wait for each other: before their passes, and after them while the memory of all is read.
N_GATES = 2


def run_together(specs: Sequence[LayoutSpec], timeout_s: float, lock: int, root: Path) -> Outcome:
    """Run processes at once, sleep until all have ended, kill them after `timeout_s` or once one of them fails.

    The outcome is that of the first that fails; its events are those of all, in the order of the processes, and
    `together`. `lock` is the descriptor of the machine's lock, which all of them hold, and `root` the checkout.
    """
    oom_kills, begin_cpu_s = probes.oom_kills(), time.process_time()
    ends_s = time.monotonic() + timeout_s
    with contextlib.ExitStack() as stack:
        members = _start(specs, lock, root, stack)
        failed = members.pass_gates(ends_s)
        codes = members.end()
        told = [_events(stream) for stream in members.streams]
    from asrmeter.records.events import Together

    everything: list[Event] = [event for events in told for event in events]
    if members.pss_bytes:
        everything.append(Together(pss_bytes=members.pss_bytes))
    first = failed if failed is not None else 0
    status, reason = classify_exit(
        codes[first],
        timeout_s if members.timed_out else None,
        told[first],
        probes.oom_kills() > oom_kills,
        specs[first].own_file,
    )
    if reason is not None and len(specs) > 1 and not members.timed_out:
        reason = f"process {first + 1} of {len(specs)}: {reason}"
    return Outcome(status, reason, everything, time.process_time() - begin_cpu_s)


@dataclasses.dataclass
class _Members:
    """The processes, with descriptors that can be read once each has ended, and what tells that one has come."""

    workers: Sequence[DirectWorker]
    streams: Sequence[IO[bytes]]
    ended: Sequence[int]
    arrivals: int
    gates: list[int]
    pss_bytes: list[int | None] = dataclasses.field(default_factory=list)
    timed_out: bool = False

    def pass_gates(self, ends_s: float) -> int | None:
        """Open each gate once all have come to it, and wait for their ends; return the first that failed, or None.

        `ends_s` is when the time is over, by `time.monotonic`: then the first that has not ended has failed.
        """
        while self.gates:
            if (failed := self._wait_for_all(ends_s)) is not None:
                return failed
            if len(self.gates) == 1:
                self.pss_bytes = [pss_bytes(worker.pid) for worker in self.workers]
            os.close(self.gates.pop(0))
        for process, worker in enumerate(self.workers):
            code = worker.wait(max(0.0, ends_s - time.monotonic()))
            if code != 0:
                self.timed_out = code is None
                return process
        return None

    def _wait_for_all(self, ends_s: float) -> int | None:
        """Sleep until all have come to a gate; return which has ended, or is late, before that."""
        poll = select.poll()
        for descriptor in (self.arrivals, *self.ended):
            poll.register(descriptor, select.POLLIN)
        n_missing = len(self.workers)
        while n_missing:
            ready = [descriptor for descriptor, _ in poll.poll(max(0.0, 1000 * (ends_s - time.monotonic())))]
            if not ready:
                self.timed_out = True
                return 0
            if gone := [process for process, descriptor in enumerate(self.ended) if descriptor in ready]:
                return gone[0]
            n_missing -= len(os.read(self.arrivals, n_missing))
        return None

    def end(self) -> list[int]:
        """Kill those that still run; return the exit codes of all."""
        codes = [worker.kill() for worker in self.workers]
        for gate in self.gates:  # not before: those that wait would go on
            os.close(gate)
        return codes


def _start(specs: Sequence[LayoutSpec], lock: int, root: Path, stack: contextlib.ExitStack) -> _Members:
    """Start the processes; `stack` closes the descriptors that are this process's own, and kills them if it must."""
    arrivals, arrived = os.pipe()
    waiting, gates = zip(*(os.pipe() for _ in range(N_GATES)), strict=True)
    stack.callback(os.close, arrivals)
    workers: list[DirectWorker] = []
    streams: list[IO[bytes]] = []
    ended: list[int] = []
    try:
        for spec in specs:
            streams.append(stack.enter_context(os.fdopen(os.memfd_create("asrmeter-events"), "w+b")))
            own = dataclasses.replace(spec, arrived=arrived, gates=waiting)
            others = (arrived, *waiting)
            workers.append(
                DirectWorker(own.to_message(), streams[-1].fileno(), lock, root / "scripts", others, spec.cpus)
            )
            stack.callback(workers[-1].kill)
            ended.append(os.pidfd_open(workers[-1].pid))
            stack.callback(os.close, ended[-1])
    finally:
        for descriptor in (arrived, *waiting):
            os.close(descriptor)
    return _Members(workers, streams, ended, arrivals, list(gates))


def _events(stream: IO[bytes]) -> "list[Event]":
    """Return the reports of a process."""
    from asrmeter.records.events import parse

    stream.seek(0)
    # Whatever follows the last line break was cut off.
    *lines, _ = stream.read().decode(errors="replace").split("\n")
    return [parse(line) for line in lines]
