"""The clock and the CPU time at both ends of the timed passes: all that a model of energy needs to know of them."""

import time

from asrmeter.machine import probes


class UsedTime:
    """Reads both from now until `end`; nothing happens meanwhile.

    Attributes:
        seconds: how long it lasted.
        cpu_s: the CPU time of this process and of those that it has started.
    """

    def __init__(self) -> None:
        self._begin_cpu_s, self._begin_s = probes.own_cpu_s(), time.perf_counter()
        self.seconds = self.cpu_s = 0.0

    def end(self) -> None:
        """End the time."""
        self.seconds = time.perf_counter() - self._begin_s
        self.cpu_s = probes.own_cpu_s() - self._begin_cpu_s
