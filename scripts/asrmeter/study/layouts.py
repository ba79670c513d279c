"""Layouts: one model in several simultaneous processes, and the runs that measure them."""

import dataclasses
from typing import TYPE_CHECKING

from asrmeter.study import grid
from asrmeter.study.grid import Cell

if TYPE_CHECKING:
    from asrmeter.study.model import Study

# From this number of cores on, one process per two cores is a layout of its own.
_LEAST_FOR_PAIRS = 4


@dataclasses.dataclass(frozen=True, order=True)
class LayoutRun:
    """A layout in one lap: `processes` processes that run the cell at once, each with `threads` CPU threads."""

    cell: Cell
    processes: int
    threads: int
    lap: int

    @property
    def layout(self) -> str:
        """The path of the layout's laps below `layouts/`."""
        return f"{self.cell.model}/{self.cell.variant}/{self.cell.device}/{self.processes}x{self.threads}"

    @property
    def id(self) -> str:
        """The record's path below `layouts/`, without its ending."""
        return f"{self.layout}/lap{self.lap}"


def usual(n_cpus: int) -> list[tuple[int, int]]:
    """Return the layouts (processes, threads) of `auto`: one process, one per core, and with many cores one per two."""
    found = [(1, n_cpus), (n_cpus, 1)]
    if n_cpus >= _LEAST_FOR_PAIRS:
        found.insert(1, (n_cpus // 2, 2))
    return list(dict.fromkeys(found))


def layout_runs(study: "Study") -> list[LayoutRun]:
    """Return the runs of a complete study, lap by lap, for the reference duration at the smallest batch size."""
    smallest: dict[tuple[str, str, str], Cell] = {}
    grid_cells = grid.cells(study)
    duration_s = grid.reference_duration({cell.duration_s for cell in grid_cells})
    for cell in grid_cells:
        way = (cell.model, cell.variant, cell.device)
        if cell.duration_s == duration_s:
            smallest[way] = min(cell, smallest.get(way, cell))
    runs = [
        LayoutRun(cell, layout.processes, layout.threads, lap)
        for lap in grid.laps(study)
        for cell in smallest.values()
        for layout in study.layouts
        if layout.devices is None or cell.device in layout.devices
    ]
    return list(dict.fromkeys(runs))
