"""The grid of a study: its cells, and the order in which each lap measures them."""

import dataclasses
import itertools
import random
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from asrmeter.common.typed_json import JsonObject

if TYPE_CHECKING:
    from asrmeter.study.model import Study

# Whisper processes windows of 30 s. Longer segments need several windows and add no information.
WHISPER_WINDOW_S = 30
# Default time of a load test, as a number of rates.
_RATES_OF_A_SEARCH = 12
# Keys of a study that span its grid, in the order of a cell's fields.
_AXES = ("models", "variants", "devices", "durations_s", "batch_sizes")


@dataclasses.dataclass(frozen=True, order=True)
class Cell:
    """One (model, variant, device, duration, batch)."""

    model: str
    variant: str
    device: str
    duration_s: int
    batch_size: int

    @property
    def id(self) -> str:
        """The cell's path below `measurements/`: the folder of its records."""
        return f"{self.model}/{self.variant}/{self.device}/{self.duration_s}s-b{self.batch_size}"


@dataclasses.dataclass(frozen=True, order=True)
class Sitting:
    """One cell in one lap: one job, one fresh process, one record."""

    cell: Cell
    lap: int

    @property
    def id(self) -> str:
        """The record's path below `measurements/`, without its ending."""
        return f"{self.cell.id}/lap{self.lap}"


def execution_order(study: "Study") -> list[Sitting]:
    """Return all sittings of a complete study in the order in which they are measured: lap by lap.

    The study's seed shuffles each lap separately, so that a drift of the machine affects neither a single model nor the
    same cells in every lap. Of cells that differ only in batch size, the smaller come first, so that a cell which does
    not fit is found at the least cost. Additional laps do not change the order of the first ones.
    """
    grid = cells(study)
    return [Sitting(cell, lap) for lap in laps(study) for cell in _shuffled(grid, f"{study.seed}/{lap}")]


def laps(study: "Study") -> range:
    """Return the numbers of a study's laps."""
    return range(1, study.protocol.laps + 1)


def _shuffled(grid: Iterable[Cell], seed: str) -> list[Cell]:
    order = list(grid)
    random.Random(seed).shuffle(order)
    of_group: dict[tuple[Any, ...], list[Cell]] = {}
    for cell in order:
        of_group.setdefault(_group(cell), []).append(cell)
    by_batch_size = {group: iter(sorted(members)) for group, members in of_group.items()}
    return [next(by_batch_size[_group(cell)]) for cell in order]


def _group(cell: Cell) -> tuple[Any, ...]:
    return cell.model, cell.variant, cell.device, cell.duration_s


def cells(study: "Study") -> list[Cell]:
    """Return the cells of a complete study."""
    return _spanned([getattr(study, axis) for axis in _AXES], study.max_batch_audio_s)


def cells_of_saved(study: JsonObject) -> list[Cell]:
    """Return the cells of a complete study in the form of `study.json`."""
    return _spanned([study[axis] for axis in _AXES], study["max_batch_audio_s"])


def _spanned(axes: Sequence[Iterable[Any]], most_audio_s: int | None) -> list[Cell]:
    grid = itertools.starmap(Cell, itertools.product(*axes))
    return [cell for cell in grid if most_audio_s is None or cell.duration_s * cell.batch_size <= most_audio_s]


def reference_duration(durations_s: Collection[int]) -> int:
    """Return the duration class (s) that represents all: the longest within Whisper's window, or the shortest."""
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


def of_load(study: "Study") -> list[Cell]:
    """Return the cell that represents the load test, for each model, variant and device of a study with `load`.

    Its class is that of the requested segments, and its batch size is the maximum batch of the server.
    """
    if study.load is None:
        return []
    duration_s = study.load.segments_s or reference_duration({cell.duration_s for cell in cells(study)})
    ways = itertools.product(study.models, study.variants, study.devices)
    return [Cell(*way, duration_s, study.load.max_batch) for way in ways]


def load_tested(study: "Study") -> list[Cell]:
    """Return the cells of `of_load` that are load-tested, not only modelled."""
    if (asked := study.load) is None:
        return []
    wanted = (asked.models, asked.variants, asked.devices)
    return [
        cell
        for cell in of_load(study)
        if all(
            names is None or name in names
            for name, names in zip((cell.model, cell.variant, cell.device), wanted, strict=True)
        )
    ]


def way_id(cell: Cell) -> str:
    """Return model, variant and device of a cell as the path of its load test's record below `load/`."""
    return f"{cell.model}/{cell.variant}/{cell.device}"


def behind_load(study: "Study", tested: Cell) -> list[Cell]:
    """Return the cells whose passes predict a load test: those of its class and of its possible batches."""
    return [
        cell
        for cell in cells(study)
        if way_id(cell) == way_id(tested)
        and cell.duration_s == tested.duration_s
        and cell.batch_size <= tested.batch_size
    ]


def search_s(minutes: float | None, duration_s: float) -> float:
    """Return the time (s) for the search of a load test that sends requests at each rate for `duration_s`."""
    return _RATES_OF_A_SEARCH * duration_s if minutes is None else 60 * minutes
