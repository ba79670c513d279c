"""The grid of a study: its cells, and the order in which they are measured."""

import dataclasses
import itertools
import random
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asrmeter.study.model import Study

# Ends the name of a cell's second measurement.
REPEAT_SUFFIX = "-again"
# Whisper hears windows of 30 s. Longer segments take several of them, and show nothing that one does not.
WHISPER_WINDOW_S = 30


@dataclasses.dataclass(frozen=True, order=True)
class Cell:
    """One (model, variant, device, duration, batch): one job, one file. `again`: its second measurement."""

    model: str
    variant: str
    device: str
    duration_s: int
    batch_size: int
    again: bool = False

    @property
    def id(self) -> str:
        """The cell's path below `measurements/`, without its ending."""
        name = f"{self.duration_s}s-b{self.batch_size}{REPEAT_SUFFIX if self.again else ''}"
        return f"{self.model}/{self.variant}/{self.device}/{name}"


def execution_order(study: "Study") -> list[Cell]:
    """Return all cells of a complete study, repeats included, in the order in which they are measured.

    The study's seed shuffles them, so that a drift of the machine does not fall on one model. Of cells that differ in
    batch size alone, the smaller come first: what does not fit is found at the least cost. The pairs that show the
    noise floor come first and last, so that a drift shows in them.
    """
    grid = cells(study)
    random.Random(study.seed).shuffle(grid)
    of_group: dict[tuple[Any, ...], list[Cell]] = {}
    for cell in grid:
        of_group.setdefault(_group(cell), []).append(cell)
    by_batch_size = {group: iter(sorted(members)) for group, members in of_group.items()}
    shuffled = [next(by_batch_size[_group(cell)]) for cell in grid]
    pairs = aa_pairs(study)
    twice = {first for first, _ in pairs}
    return [
        *(first for first, _ in pairs),
        *(cell for cell in shuffled if cell not in twice),
        *(again for _, again in pairs),
    ]


def aa_pairs(study: "Study") -> list[tuple[Cell, Cell]]:
    """Return the cells that are measured twice (A/A), `protocol.aa_pairs` of each device, as (first, again).

    They are the shortest ones: noise weighs most there, and a second measurement costs least.
    """
    twice: list[Cell] = []
    for device in study.devices:
        own = [cell for cell in cells(study) if cell.device == device]
        twice += sorted(own, key=lambda cell: cell.duration_s * cell.batch_size)[: study.protocol.aa_pairs]
    return [(cell, dataclasses.replace(cell, again=True)) for cell in twice]


def _group(cell: Cell) -> tuple[Any, ...]:
    return cell.model, cell.variant, cell.device, cell.duration_s


def cells(study: "Study") -> list[Cell]:
    """Return the cells of a complete study."""
    limit = study.max_batch_audio_s
    grid = itertools.product(study.models, study.variants, study.devices, study.durations_s, study.batch_sizes)
    return [
        cell for cell in itertools.starmap(Cell, grid) if limit is None or cell.duration_s * cell.batch_size <= limit
    ]


def reference_duration(durations_s: Collection[int]) -> int:
    """Return the duration class (s) that stands for all: the longest within Whisper's window, or the shortest."""
    return max((duration_s for duration_s in durations_s if duration_s <= WHISPER_WINDOW_S), default=min(durations_s))


def profiled(study: "Study") -> list[Cell]:
    """Return the cells whose operators are profiled, each in a job of its own (`profile` in the study's schema).

    By default these are the smallest and the largest batch size of the reference duration, for each model, variant and
    device.
    """
    wanted = study.profile
    grid = cells(study)
    usual = (reference_duration({cell.duration_s for cell in grid}),)
    durations_s = usual if wanted.durations_s == "auto" else wanted.durations_s
    found = [cell for cell in grid if cell.duration_s in durations_s]
    if wanted.batch_sizes != "auto":
        return [cell for cell in found if cell.batch_size in wanted.batch_sizes]
    sizes: dict[tuple[Any, ...], list[int]] = {}
    for cell in found:
        sizes.setdefault(_group(cell), []).append(cell.batch_size)
    return [cell for cell in found if cell.batch_size in (min(sizes[_group(cell)]), max(sizes[_group(cell)]))]
