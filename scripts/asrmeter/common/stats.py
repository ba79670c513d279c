"""Confidence intervals, percentiles, and which values differ by them."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
N_RESAMPLES = 1000
# With fewer residuals the scatter of passes is not known well: five passes of one batch, three rounds of two.
MIN_DEGREES_OF_FREEDOM = 4
MIN_ROUNDS = 3
# p95 needs n with 1 - 0.95^n >= 0.95: with fewer samples the largest of them is more likely than not below it.
MIN_N_FOR_P95 = 59


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval; `low` and `high` are None where there is no interval.

    `floor` is the noise floor: values with a smaller relative difference tie, whatever the intervals say. It is None
    where no noise floor was measured; then the intervals alone decide. For two estimates either `differs_from` holds,
    or `ties_with`, or neither: then an interval is missing, and the comparison is inconclusive.
    """

    value: float
    low: float | None = None
    high: float | None = None
    floor: float | None = None

    @classmethod
    def exact(cls, value: float) -> "Estimate":
        """Return a value without uncertainty."""
        return cls(value, value, value)

    def __rtruediv__(self, numerator: float) -> "Estimate":
        """Return `numerator` divided by this estimate: the ends of the interval swap, the relative floor stays."""
        low, high = (numerator / end if end else None for end in (self.high, self.low))
        return Estimate(numerator / self.value, low, high, self.floor)

    def differs_from(self, other: "Estimate") -> bool:
        """Return True if two estimates differ beyond intervals and noise floor; False if an interval is missing."""
        return None not in (self.low, self.high, other.low, other.high) and not self.ties_with(other)

    def ties_with(self, other: "Estimate") -> bool:
        """Return True if two estimates are equal within their intervals or the noise floor."""
        return self.overlaps(other) or self.relative_difference(other) <= max(self.floor or 0.0, other.floor or 0.0)

    def relative_difference(self, other: "Estimate") -> float:
        """Return the difference divided by the mean: nearly the same for seconds and for their reciprocal."""
        total = self.value + other.value
        return 2 * abs(self.value - other.value) / total if total else 0.0

    def overlaps(self, other: "Estimate") -> bool:
        """Return True if the intervals of two estimates overlap; False if one is missing."""
        if self.low is None or self.high is None or other.low is None or other.high is None:
            return False
        return self.low <= other.high and other.low <= self.high


def ratio(numerator: float | None, denominator: float | None) -> float | None:
    """Return a quotient; None where a part of it is missing, or it would divide by zero."""
    return None if numerator is None or not denominator else numerator / denominator


def blocked_median(rounds: Sequence[Sequence[float]]) -> float:
    """Return the mean over batches of each batch's median.

    `rounds` has a row for each round and a column for each batch. Batches differ in content: only passes over the same
    batch repeat each other. With one batch this is the plain median.
    """
    return float(np.median(np.asarray(rounds), axis=0).mean())


def blocked_interval(rounds: Sequence[Sequence[float]], seed: int = 0) -> tuple[float, float] | None:
    """Return the 95 % bootstrap interval of `blocked_median`; None for too few rounds.

    A residual bootstrap (Efron & Tibshirani, 1993, chapter 9): residuals are the ratios of passes to the median of
    their batch, drawn from all batches, so that content does not count as noise. It is expanded for few residuals
    (the expanded percentile interval of Hesterberg, 2015, doi:10.1080/00031305.2015.1089789): by Student's t over the
    normal quantile, and by the root of r / (r - 1), as residuals of r rounds are that much smaller than deviations from
    the truth.
    """
    table = np.asarray(rounds, dtype=float)
    if table.ndim != 2 or len(table) < MIN_ROUNDS:
        return None
    n_rounds, n_batches = table.shape
    degrees = (n_rounds - 1) * n_batches
    if degrees < MIN_DEGREES_OF_FREEDOM:
        return None
    medians = np.median(table, axis=0)
    residuals = (table / medians).ravel()
    drawn = np.random.default_rng(seed).integers(0, len(residuals), (N_RESAMPLES, n_rounds, n_batches))
    resampled = (np.median(residuals[drawn], axis=1) * medians).mean(axis=1)
    deviations = (resampled - resampled.mean()) * _t_quantile(degrees) / _z() * math.sqrt(n_rounds / (n_rounds - 1))
    low, high = _percentile_interval(deviations)
    return float(medians.mean() + low), float(medians.mean() + high)


def ratio_interval(
    numerators: Sequence[float], denominators: Sequence[float], seed: int = 0
) -> tuple[float, float] | None:
    """Return the 95 % bootstrap interval of sum(numerators) / sum(denominators).

    None for fewer than two pairs with a denominator. Pairs whose denominator is 0 (silence) are drawn, but never alone.
    """
    if np.count_nonzero(denominators) < 2:
        return None
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(numerators), (N_RESAMPLES, len(numerators)))
    above, below = (np.asarray(values)[drawn].sum(axis=1) for values in (numerators, denominators))
    return _percentile_interval(above[below > 0] / below[below > 0])


def difference_interval(
    first: Sequence[float], second: Sequence[float], denominators: Sequence[float], seed: int = 0
) -> tuple[float, float] | None:
    """Return the 95 % bootstrap interval of (sum(second) - sum(first)) / sum(denominators), in the ratios' unit.

    Paired: each drawn item has both numerators, such as a segment with its word errors in two runs, so that an item
    that is hard for both does not count as noise (Bisani & Ney, 2004, Bootstrap estimates for confidence intervals in
    ASR performance evaluation, ICASSP). None for fewer than two items with a denominator.
    """
    return ratio_interval([after - before for before, after in zip(first, second, strict=True)], denominators, seed)


def quotient(first: Estimate, second: Estimate) -> Estimate | None:
    """Return the second estimate divided by the first with a 95 % interval; None if the first is zero.

    The errors of two runs are independent: on a logarithmic scale half-widths are added in quadrature, for each side
    (MOVER: Zou & Donner, 2008, doi:10.1002/sim.3095). With a the first and b the second,
    ln(high / (b / a)) = sqrt(ln(b_high / b)^2 + ln(a / a_low)^2), and downwards likewise with b_low and a_high.
    There is no interval if one of the two has none, or one that reaches zero.
    """
    if not first.value:
        return None
    value, floor = second.value / first.value, max_floor(first, second)
    ends = (first.low, first.high, second.low, second.high)
    if any(end is None or end <= 0 for end in ends) or value <= 0:
        return Estimate(value, floor=floor)
    a_low, a_high, b_low, b_high = (math.log(end) for end in ends if end)
    a, b = math.log(first.value), math.log(second.value)
    down, up = math.hypot(b - b_low, a_high - a), math.hypot(b_high - b, a - a_low)
    return Estimate(value, value * math.exp(-down), value * math.exp(up), floor)


def max_floor(first: Estimate, second: Estimate) -> float | None:
    """Return the larger noise floor of two estimates; None if neither has one."""
    return max((floor for floor in (first.floor, second.floor) if floor is not None), default=None)


def p95(values: Sequence[float]) -> float | None:
    """Return the 95th percentile; None for too few values."""
    return float(np.quantile(values, 0.95)) if len(values) >= MIN_N_FOR_P95 else None


def _percentile_interval(values: np.ndarray) -> tuple[float, float]:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def _z() -> float:
    return statistics.NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


def _t_quantile(degrees: int) -> float:
    """Return Student's t for the confidence, within 0.5 % from 4 degrees on (Abramowitz & Stegun, 26.7.5)."""
    z = _z()
    return (
        z
        + (z**3 + z) / (4 * degrees)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * degrees**3)
    )
