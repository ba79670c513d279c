"""How fast the machine was in each of two runs, by its control kernel, and whether that explains what all cells share.

A machine is slower as a whole on some days, with nothing to be seen from inside. The control kernel is the same work in
every sitting, so it shows that. Its ratio is taken out of the ratios of latencies where it explains them: the median
shift of the cells goes the same way, and at least a third of it is gone afterwards. A kernel that shows a slow-down in
which the cells do not share is only reported. So is one of other software, or of another machine.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from asrmeter.analysis.comparison.rules import CellPair
from asrmeter.common.table_types import Row
from asrmeter.records.disturbance import RATES

# Cells that show together what all of them share.
LEAST_CELLS = 3
# What is left of a shift that is explained, as a share of it.
MOST_LEFT = 2 / 3
# The kernel is the same only with these.
_SAME_KERNEL = (
    "machine_id", "device_name", "driver_version", "threads", "runtime", "torch_version", "library_versions",
)  # fmt: skip


@dataclass(frozen=True)
class MachineSpeeds:
    """The speed of the machine in two runs on a device, by `n_cells` cells.

    `ratio` is the second over the first. `best_shares` are the shares of the best of its own sittings at which each run
    was measured; None where a run has no control kernel. `shift` is the median ratio of latencies, second over first,
    before anything is taken out. `explains`: the ratio is taken out of the latencies.
    """

    device: str
    n_cells: int
    ratio: float | None
    best_shares: tuple[float | None, float | None]
    shift: float | None
    explains: bool

    @property
    def factor(self) -> float:
        """What the second run's machine speed is to be taken as, relative to the first."""
        return self.ratio if self.explains and self.ratio else 1.0


def machine_speeds(pairs: Iterable[CellPair]) -> list[MachineSpeeds]:
    """Return the speeds on each device, from the cells that both runs measured."""
    of_device: defaultdict[str, list[CellPair]] = defaultdict(list)
    for pair in pairs:
        if all(side.is_measured and not side.elsewhere for side in pair):
            of_device[pair[0].row["device"]].append(pair)
    return [_of(device, own) for device, own in sorted(of_device.items())]


def _of(device: str, pairs: Sequence[CellPair]) -> MachineSpeeds:
    rows = [(first.row, second.row) for first, second in pairs]
    told = [both for both in rows if _same_kernel(*both)]
    speeds = [math.log(_speed(second) / _speed(first)) for first, second in told]
    shifts = [
        math.log(second["latency_s_median"] / first["latency_s_median"])
        for first, second in told
        if not first["disturbed"] and not second["disturbed"]
    ]
    speed, shift = (statistics.median(values) if values else None for values in (speeds, shifts))
    # A machine that is slower has latencies that are longer.
    explains = (
        speed is not None
        and shift is not None
        and len(shifts) >= LEAST_CELLS
        and abs(shift + speed) <= MOST_LEFT * abs(shift)
    )
    return MachineSpeeds(
        device,
        len(told),
        None if speed is None else math.exp(speed),
        (_best_share(first for first, _ in rows), _best_share(second for _, second in rows)),
        None if shift is None else math.exp(shift),
        explains,
    )


def _same_kernel(first: Row, second: Row) -> bool:
    known = all(row[f"control_{rate}"] for row in (first, second) for rate in RATES)
    return known and all(first[name] == second[name] for name in _SAME_KERNEL)


def _speed(row: Row) -> float:
    return statistics.geometric_mean(row[f"control_{rate}"] for rate in RATES)


def _best_share(rows: Iterable[Row]) -> float | None:
    shares = [row["machine_speed"] for row in rows if row["machine_speed"] is not None]
    return statistics.median(shares) if shares else None
