"""Simulated studies: how latencies scatter from lap to lap, and how often the intervals made of them hold."""

import math
from dataclasses import dataclass

import numpy as np

from asrmeter.analysis.lap_table import LapTable
from asrmeter.common.student import combined_df, t_quantiles

PASS_SD = 0.015


@dataclass(frozen=True)
class Coverage:
    """How often 95 % intervals hold the truth (of the shortest quarter of the cells too), a ratio, the next run.

    `half_width` and `ratio_half_width` are medians, relative.
    """

    truth: float
    shortest: float
    ratio: float
    next_run: float
    half_width: float
    ratio_half_width: float


@dataclass(frozen=True)
class World:
    """How latencies scatter, relative to the latency: from process to process, and of the machine from lap to lap.

    With unequal scatter the shortest cell scatters twice as much as the middle one, the longest half as much.
    """

    own_sd: float = 0.05
    drift_sd: float = 0.0
    heavy_tails: bool = False
    unequal: bool = False
    n_cells: int = 24
    n_laps: int = 3

    def log_sizes(self) -> np.ndarray:
        """Return the log-latencies of the cells, from the shortest on."""
        return np.linspace(-1, 1.5, self.n_cells)

    def study(self, dice: np.random.Generator) -> np.ndarray:
        """Return the errors of the log-latencies of a study, by cell and lap."""
        shape = self.n_cells, self.n_laps
        trend = np.exp(-0.55 * (self.log_sizes() - 0.25)) if self.unequal else np.ones(self.n_cells)
        own = dice.standard_t(3, shape) / math.sqrt(3) if self.heavy_tails else dice.normal(0, 1, shape)
        passes, drift = dice.normal(0, PASS_SD, shape), dice.normal(0, self.drift_sd, self.n_laps)
        return self.own_sd * trend[:, None] * own + passes + drift

    def fitted(self, errors: np.ndarray) -> LapTable:
        """Return what is found out from a study."""
        found = LapTable.of(errors, np.ones(errors.shape, bool), self.log_sizes())
        assert found
        return found

    def coverage(self, n_studies: int) -> Coverage:
        """Return how often intervals hold in so many studies."""
        dice, none = np.random.default_rng(1), np.zeros(self.n_cells)
        rows = []
        for _ in range(n_studies):
            found, following = self.fitted(self.study(dice)), self.study(dice).mean(axis=1)
            values, own, df = found.additive.rows, found.own_variances(none, none), found.variances.df
            half = found.half_widths(own)
            a, b = np.split(dice.permutation(self.n_cells), 2)
            df_of_ratio = np.minimum(combined_df((own[a], own[b]), (df[a], df[b])), np.maximum(df[a], df[b]))
            half_of_ratio = t_quantiles(df_of_ratio) * np.sqrt(own[a] + own[b])
            holds = np.abs(values) <= half
            rows.append(
                (
                    holds.mean(),
                    holds[: max(1, self.n_cells // 4)].mean(),
                    (np.abs(values[a] - values[b]) <= half_of_ratio).mean(),
                    (np.abs(values - following) <= math.sqrt(2) * half).mean(),
                    np.median(half),
                    np.median(half_of_ratio),
                )
            )
        table = np.array(rows)
        return Coverage(*table[:, :4].mean(axis=0).tolist(), *np.median(table[:, 4:], axis=0).tolist())
