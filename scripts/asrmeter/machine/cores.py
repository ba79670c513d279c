"""Cores for processes that run at once: each has its own. Standard library only."""

import itertools
from collections.abc import Collection

from asrmeter.machine.probes import siblings


def disjoint_sets(processes: int, threads: int, cpus: Collection[int], prefix: str = "") -> list[list[int]] | None:
    """Return `threads` CPUs for each of so many processes, none in two of them; None where there are too few.

    Each thread has a physical core as long as there are enough. Beyond that the two hyper-threads of a core are of one
    process, wherever that can be. `prefix` is put before the paths of system files.
    """
    if processes * threads > len(cpus):
        return None
    of_core: dict[str, list[int]] = {}
    for cpu in sorted(cpus):
        of_core.setdefault(siblings(cpu, prefix) or str(cpu), []).append(cpu)
    if processes * threads <= len(of_core):
        order = [own[0] for own in of_core.values()]
    else:
        order = [*itertools.chain.from_iterable(of_core.values())]
    return [order[begin : begin + threads] for begin in range(0, processes * threads, threads)]
