"""The log-latencies of cells in laps, taken apart into cells, laps and scatter."""

import math
from dataclasses import dataclass

import numpy as np

from asrmeter.analysis.additive_fit import AdditiveFit, additive_fit
from asrmeter.analysis.moderated_variances import Moderated, moderate
from asrmeter.common.student import combined_df, t_quantile, t_quantiles

# No machine repeats itself better, as a part of a latency: equal values have an interval too.
LEAST_SD = 1e-4
# Variances are the weights of the fit that they come from.
N_REFITS = 3
# The control must explain the cells' own scatter with this confidence (a t-test of its slope) to be used.
CONTROL_CONFIDENCE = 0.99
# With few laps the component common to a lap often happens to look small, and then Satterthwaite's degrees of freedom
# are too many: with two laps, 88 % instead of 95 % were covered. It counts in them by this over its own degrees.
COMMON_CAUTION = 6.0


@dataclass(frozen=True)
class Slope:
    """By how much a cell slows down with the control kernel (1: as much), and whether that is sure."""

    value: float
    explains: bool


@dataclass(frozen=True)
class LapTable:
    """The log-latencies of cells (rows) in laps (columns) where `seen`; `variances` are those of one sitting.

    `observed` are the variances before they were moderated, each with `df` degrees of freedom. Without `with_common`
    what is common to a lap counts as the cells' own: too few cells have several laps to tell.
    """

    seen: np.ndarray
    additive: AdditiveFit
    variances: Moderated
    observed: np.ndarray
    df: np.ndarray
    with_common: bool

    @classmethod
    def of(cls, table: np.ndarray, seen: np.ndarray, log_size: np.ndarray, df_spent: float = 0.0) -> "LapTable | None":
        """Fit a table; None if no cell has two laps. `df_spent` were taken by what was removed from it before."""
        for with_common in (True, False):
            weights = np.ones(len(table))
            for _ in range(N_REFITS):
                additive = additive_fit(table, seen, weights, with_common)
                df = (1 - additive.leverage).sum(axis=1)
                df[df < 1e-6] = 0.0
                left = df.sum() - df_spent
                if left < 0.5:
                    break
                df = df * left / df.sum()
                squares = (additive.residuals**2).sum(axis=1)
                observed = np.maximum(np.divide(squares, df, out=np.zeros_like(df), where=df > 0), LEAST_SD**2)
                variances = moderate(observed, df, log_size)
                weights = 1 / variances.variances
            else:
                return cls(seen, additive, variances, observed, df, with_common)
        return None

    @property
    def n_laps(self) -> int:
        """The laps in which any cell was timed."""
        return self.seen.shape[1]

    @property
    def mean_variance(self) -> float:
        """The variance of one sitting of the usual cell."""
        return float((self.observed * self.df).sum() / self.df.sum())

    @property
    def between_laps(self) -> tuple[float, float]:
        """The mean square of laps, and the part of it that comes from knowing them by scattering cells."""
        if not self.with_common:
            return 0.0, 0.0
        df = self.n_laps - 1
        return float((self.additive.columns**2).sum()) / df, float(np.trace(self.additive.covariance)) / df

    def own_variances(self, in_lap: np.ndarray, in_value: np.ndarray) -> np.ndarray:
        """Return the variance of each cell's log-latency, without what is common to the laps.

        What passes add to the variance of a lap and to that of the value is given: where laps timed different batches,
        the passes of the mean over laps are others than those by which laps are compared. A lap that is missing is made
        up by the other cells' laps.
        """
        share = self.seen / self.seen.sum(axis=1, keepdims=True)
        laps = np.maximum(self.variances.variances - in_lap, 0.0) / self.seen.sum(axis=1)
        return laps + in_value + np.einsum("ci,ij,cj->c", share, self.additive.covariance, share)

    def half_widths(self, own_variances: np.ndarray) -> np.ndarray:
        """Return half of each 95 % interval of the log-latency, with what is common to the laps.

        The mean square of laps contains what the cells' own scatter adds to it, so that this is taken off once.
        """
        between, sampling = (part / self.n_laps for part in self.between_laps)
        own = np.maximum(own_variances - sampling, 0.0)
        return half_width(between, self.n_laps - 1, own, self.variances.df)

    def slope(self, slower: np.ndarray) -> Slope | None:
        """Return how a cell slows down with the control, given the log of by how much that was slower in each sitting.

        Only what a sitting has beyond its cell and its lap counts. Two slow laps that chance put beside a slow control
        prove nothing. None where the control is missing or constant, or nothing is left to test.
        """
        df = float(self.df.sum()) - 1
        if df < 1 or not self.with_common or not np.isfinite(slower[self.seen]).all():
            return None
        weights = 1 / self.variances.variances
        control = additive_fit(slower, self.seen, weights).residuals
        if np.abs(control).max() < LEAST_SD:
            return None
        moved = float((weights[:, None] * control**2).sum())
        slope = float((weights[:, None] * control * self.additive.residuals).sum()) / moved
        left = float((weights[:, None] * (self.additive.residuals - slope * control) ** 2).sum())
        return Slope(slope, slope > t_quantile(df, CONTROL_CONFIDENCE) * math.sqrt(left / df / moved))


def half_width(common: float, common_df: float, own: np.ndarray, own_df: np.ndarray) -> np.ndarray:
    """Return half of the 95 % interval of values with two variances, each known with its degrees of freedom."""
    caution = max(1.0, COMMON_CAUTION / common_df)
    return t_quantiles(combined_df((caution * common, own), (common_df, own_df))) * np.sqrt(common + own)
