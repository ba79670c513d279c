"""Latencies of cells over several laps, with intervals from variance components.

On the scale of logarithms a pass is the sum of its batch, what is common to the lap (the whole machine was slower),
what is the cell's own in that lap (another process, another moment) and what is its own. Cells have few laps, so that
their variances are estimated together (`moderated_variances`). What is common to a lap is estimated from all cells; it
has as many degrees of freedom as there are laps, less one. A ratio of two cells of the same group is free of it.

`docs/method.md` says how often the intervals hold, and where they do not.
"""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from asrmeter.analysis.lap_table import LEAST_SD, LapTable, half_width
from asrmeter.analysis.moderated_variances import moderate
from asrmeter.analysis.sitting_levels import CellLevels, Sitting, made_up_by_others

__all__ = ["Components", "Fitted", "Sitting", "fit", "time_factor"]

ONE_LAP = "one lap cannot say how laps scatter: protocol.laps"
NO_REPEATED_CELL = "no cell has two laps that count"
ALWAYS_DISTURBED = "disturbed in every lap"
SINGLE_CELL = "a single cell: only its own laps say how they scatter"


@dataclass(frozen=True)
class Components:
    """How the latencies of a group scatter, as standard deviations relative to the latency, with degrees of freedom.

    `pass_sd` is from pass to pass of a batch, `lap_sd` from lap to lap of a cell on its own, `common_sd` what all cells
    of a lap share, and `sitting_sd` that of a cell's latency in one lap, with what passes add. None where nothing was
    repeated. `speed_slope` is by how much a cell slows down with the control kernel (1: as much), None where that is
    not known; it was taken out of the latencies where `drift_explained`.
    """

    n_cells: int
    n_laps: int
    pass_sd: float | None = None
    pass_df: float = 0.0
    lap_sd: float | None = None
    sitting_sd: float | None = None
    sitting_df: float = 0.0
    common_sd: float | None = None
    common_df: float = 0.0
    speed_slope: float | None = None
    drift_explained: bool = False


@dataclass(frozen=True)
class Fitted:
    """The latency of a cell in seconds, with 95 % intervals; None where `note` says why.

    `low` and `high` are for what the cell takes in the long run, `next_low` and `next_high` for the value of another
    run of the same study. `own_se` and `own_df` are on the scale of logarithms, without what is common to laps;
    `lap_scatter` is the standard deviation of the cell's latency from lap to lap on its own. `laps` are those that
    count, `n_dropped` is how many do not.
    """

    value: float
    laps: tuple[int, ...]
    n_dropped: int
    components: Components
    low: float | None = None
    high: float | None = None
    next_low: float | None = None
    next_high: float | None = None
    own_se: float | None = None
    own_df: float | None = None
    lap_scatter: float | None = None
    note: str | None = None


def fit(sittings: Iterable[Sitting]) -> dict[Hashable, Fitted]:
    """Return the latency of each cell; all sittings are of the same hardware, device and variant group.

    A cell that was disturbed in every lap has a value, and says nothing about the others.
    """
    by_cell: dict[Hashable, list[Sitting]] = {}
    for sitting in sittings:
        by_cell.setdefault(sitting.cell, []).append(sitting)
    levels = {cell: CellLevels(sorted(ones, key=lambda one: one.lap)) for cell, ones in by_cell.items()}
    sound = {cell: one for cell, one in levels.items() if not one.always_disturbed}
    sound |= {cell: _made_up(one, sound) for cell, one in sound.items() if one.missing}
    fitted = dict(zip(sound, _fitted(list(sound.values())), strict=True)) if sound else {}
    components = next((one.components for one in fitted.values()), Components(0, 0))
    return {
        cell: fitted.get(cell) or Fitted(one.value, (), len(one.sittings), components, note=ALWAYS_DISTURBED)
        for cell, one in levels.items()
    }


def time_factor(components: Components, target: float, most_laps: int = 9) -> float | None:
    """Return by which factor more time the usual cell would have a half-width within the target; 1.0 if it has.

    More laps come first, as they help against every component; with the most of them, more passes in each. None where
    no time would do: then laps scatter too much for it, each cell on its own or the machine as a whole.
    """
    found = components
    if found.sitting_sd is None or found.lap_sd is None:
        return None
    own, of_laps, common = found.sitting_sd**2, found.lap_sd**2, (found.common_sd or 0.0) ** 2

    def within(passes_more: float, laps: int) -> bool:
        variance = of_laps + (own - of_laps) / passes_more
        df = found.sitting_df * (laps - 1) / (found.n_laps - 1)
        return bool(half_width(common / laps, laps - 1, np.array(variance / laps), np.array(df)) <= target)

    for laps in range(found.n_laps, max(found.n_laps, most_laps) + 1):
        if within(1.0, laps):
            return laps / found.n_laps
    more = next((2.0**power for power in range(1, 11) if within(2.0**power, laps)), None)
    return None if more is None else more * laps / found.n_laps


def _fitted(cells: Sequence[CellLevels]) -> list[Fitted]:
    """Return the latencies of cells that have laps that count."""
    laps = sorted(set().union(*(one.by_lap for one in cells)))
    levels = _by_lap([one.by_lap for one in cells], laps)
    log_sizes, seen = np.log([one.value for one in cells]), ~np.isnan(levels)
    pass_variances, components = _passes(cells, log_sizes, len(laps))
    in_lap, in_value = pass_variances * np.array([one.pass_parts for one in cells]).T
    table = LapTable.of(levels, seen, log_sizes)
    if table is None:
        note = ONE_LAP if len(laps) == 1 else NO_REPEATED_CELL
        return [_bare(one, components, note) for one in cells]
    slower = -np.log(_by_lap([one.speeds for one in cells], laps))
    slope = table.slope(slower)
    if slope and slope.explains:
        mean = slower[seen].mean()
        table = LapTable.of(levels - slope.value * (slower - mean), seen, log_sizes, df_spent=1.0) or table
    between, sampling = table.between_laps
    components = replace(
        components,
        lap_sd=math.sqrt(max(table.mean_variance - float(in_lap.mean()), 0.0)),
        sitting_sd=math.sqrt(table.mean_variance),
        sitting_df=float(table.df.sum()),
        common_sd=math.sqrt(max(between - sampling, 0.0)) if table.with_common else None,
        common_df=len(laps) - 1 if table.with_common else 0,
        speed_slope=slope.value if slope else None,
        drift_explained=bool(slope and slope.explains),
    )
    own = table.own_variances(in_lap, in_value)
    return [
        _with_intervals(_bare(one, components, SINGLE_CELL if len(cells) == 1 else None), *numbers)
        for one, *numbers in zip(
            cells,
            table.additive.rows.tolist(),
            table.half_widths(own).tolist(),
            own.tolist(),
            table.variances.df.tolist(),
            table.variances.variances.tolist(),
            strict=True,
        )
    ]


def _made_up(one: CellLevels, sound: Mapping[Hashable, CellLevels]) -> CellLevels:
    content = one.sittings[0].content
    others = [other for other in sound.values() if other is not one and other.sittings[0].content == content]
    return made_up_by_others(one, others)


def _by_lap(values: Sequence[dict[int, float]], laps: Sequence[int]) -> np.ndarray:
    return np.array([[of_cell.get(lap, math.nan) for lap in laps] for of_cell in values])


def _passes(cells: Sequence[CellLevels], log_sizes: np.ndarray, n_laps: int) -> tuple[np.ndarray, Components]:
    """Return the variance of a pass of each cell, zero where no batch was passed twice in a lap."""
    squares, df = (np.array(values, dtype=float) for values in zip(*(one.pass_scatter for one in cells), strict=True))
    if not df.any():
        return np.zeros(len(cells)), Components(len(cells), n_laps)
    observed = np.divide(squares, df, out=np.zeros_like(df), where=df > 0)
    variances = moderate(np.maximum(observed, LEAST_SD**2), df, log_sizes).variances
    pass_sd = math.sqrt(squares.sum() / df.sum())
    return variances, Components(len(cells), n_laps, pass_sd=pass_sd, pass_df=float(df.sum()))


def _bare(cell: CellLevels, components: Components, note: str | None) -> Fitted:
    return Fitted(cell.value, tuple(cell.by_lap), len(cell.sittings) - len(cell.by_lap), components, note=note)


def _with_intervals(
    fitted: Fitted, log_value: float, half: float, own_variance: float, own_df: float, sitting_variance: float
) -> Fitted:
    """Return a latency with its intervals: another run's value has the same variance as this one's."""
    value, half_of_next = math.exp(log_value), half * math.sqrt(2)
    return replace(
        fitted,
        value=value,
        low=value * math.exp(-half),
        high=value * math.exp(half),
        next_low=value * math.exp(-half_of_next),
        next_high=value * math.exp(half_of_next),
        own_se=math.sqrt(own_variance),
        own_df=own_df,
        lap_scatter=math.sqrt(sitting_variance),
    )
