"""Separate cores for simultaneous processes. Standard library only."""

import itertools
from collections.abc import Collection

from asrmeter.machine.probes import siblings


def disjoint_sets(processes: int, threads: int, cpus: Collection[int], prefix: str = "") -> list[list[int]] | None:
    """Return `threads` separate CPUs for each process; None if there are too few.

    Each thread gets a physical core if there are enough. Otherwise the two hyper-threads of a core belong to one
    process where possible. `prefix` is put before the paths of system files.
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
