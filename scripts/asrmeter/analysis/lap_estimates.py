"""The latency of each cell from its sittings of all laps, by the variance components of its group.

A group is what has much the same relative scatter: the cells of one device, hardware and runtime. Only sittings on the
same hardware make a cell's latency: that which most sittings of its device met, or most of the cell's own.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from asrmeter.analysis.hardware import Hardware
from asrmeter.analysis.measured_sitting import MeasuredSitting
from asrmeter.analysis.variance_components import Fitted, Sitting, fit
from asrmeter.study.grid import Cell


@dataclass(frozen=True)
class Estimated:
    """The estimate of a cell's latency.

    `counted` are the sittings that it is made of: all, if every lap was disturbed. `related` are those with which they
    are on the same hardware, disturbed ones too: what batches hold is told by all of them.
    """

    fitted: Fitted
    counted: Sequence[MeasuredSitting]
    related: Sequence[MeasuredSitting]


def estimates(sittings: Iterable[MeasuredSitting]) -> dict[Cell, Estimated]:
    """Return the estimate of each cell that has a measured sitting."""
    of_cell: defaultdict[Cell, list[MeasuredSitting]] = defaultdict(list)
    for one in sittings:
        if one.is_measured:
            of_cell[one.cell].append(one)
    met = Counter((cell.device, one.hardware) for cell, own in of_cell.items() for one in own)
    groups: defaultdict[tuple[str, Hardware, str], dict[Cell, list[MeasuredSitting]]] = defaultdict(dict)
    for cell, own in of_cell.items():
        commonest = _commonest(own, met)
        groups[cell.device, commonest, own[0].runtime][cell] = [one for one in own if one.hardware == commonest]
    found: dict[Cell, Estimated] = {}
    for members in groups.values():
        fitted = fit([_input(one) for own in members.values() for one in own])
        for cell, own in members.items():
            laps = fitted[cell].laps
            found[cell] = Estimated(fitted[cell], [one for one in own if one.lap in laps or not laps], own)
    return found


def _commonest(own: Sequence[MeasuredSitting], met: Counter[tuple[str, Hardware]]) -> Hardware:
    """Return the hardware of most sittings of the device, of that on which the cell was measured."""
    here = Counter(one.hardware for one in own)
    device = own[0].cell.device
    return max(here, key=lambda hardware: (met[device, hardware], here[hardware], str(hardware)))


def _input(one: MeasuredSitting) -> Sitting:
    return Sitting(
        cell=one.cell,
        lap=one.lap,
        batches=one.by_batch,
        disturbed=one.disturbance is not None,
        speed=one.machine_speed,
        content=(one.cell.duration_s, one.cell.batch_size),
    )
