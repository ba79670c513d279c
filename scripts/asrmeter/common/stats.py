"""Confidence intervals and percentiles, and comparisons based on them."""

import math
import statistics
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from asrmeter.common.constants import CONFIDENCE
from asrmeter.common.student import combined_df, t_quantile

N_RESAMPLES = 1000
_Z = statistics.NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval; `low` and `high` are None without an interval.

    `floor` is the noise floor: values with a smaller relative difference tie, regardless of the intervals. It is None
    if no noise floor was measured; then the intervals alone decide. For two estimates either `differs_from` holds, or
    `ties_with`, or neither. In the last case an interval is missing, and the comparison is inconclusive.

    `own_se`, the standard error of the logarithm with `own_df` degrees of freedom, excludes the part that the estimates
    of a `block` share (such as a slow machine).
    """

    value: float
    low: float | None = None
    high: float | None = None
    floor: float | None = None
    own_se: float | None = None
    own_df: float | None = None
    block: str | None = None

    @classmethod
    def exact(cls, value: float) -> "Estimate":
        """Return a value without uncertainty."""
        return cls(value, value, value)

    def __rtruediv__(self, numerator: float) -> "Estimate":
        """Return `numerator` divided by this estimate: the ends of the interval swap, relative errors stay."""
        low, high = (numerator / end if end else None for end in (self.high, self.low))
        return replace(self, value=numerator / self.value, low=low, high=high)

    def differs_from(self, other: "Estimate") -> bool:
        """Return True if two estimates differ beyond interval and noise floor; False if an interval is missing."""
        apart = _are_apart(self, other)
        return bool(apart) and not self._is_within_floor(other)

    def ties_with(self, other: "Estimate") -> bool:
        """Return True if two estimates are equal within the interval of their ratio or the noise floor."""
        return _are_apart(self, other) is False or self._is_within_floor(other)

    def relative_difference(self, other: "Estimate") -> float:
        """Return the difference divided by the mean: nearly the same for seconds and for their reciprocal."""
        total = self.value + other.value
        return 2 * abs(self.value - other.value) / total if total else 0.0

    def overlaps(self, other: "Estimate") -> bool:
        """Return True if the intervals of two estimates overlap; False if one is missing."""
        if self.low is None or self.high is None or other.low is None or other.high is None:
            return False
        return self.low <= other.high and other.low <= self.high

    def _is_within_floor(self, other: "Estimate") -> bool:
        return self.relative_difference(other) <= (max_floor(self, other) or 0.0)


def wilson_interval(n_found: int, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of the share `n_found` / `n`, with `n` of at least one."""
    share, z2_n = n_found / n, _Z**2 / n
    middle = (share + z2_n / 2) / (1 + z2_n)
    half = math.sqrt(z2_n * (share * (1 - share) + z2_n / 4)) / (1 + z2_n)
    return max(0.0, middle - half), min(1.0, middle + half)


def ratio_of(one: Estimate, other: Estimate) -> Estimate | None:
    """Return the first estimate divided by the second with a 95 % interval; None if the second is zero.

    For two estimates of the same block the shared part cancels. Otherwise their errors are independent: half-widths on
    a logarithmic scale are added in quadrature, for each side (MOVER: Zou & Donner, 2008, doi:10.1002/sim.3095). There
    is no interval if one of the two has none, or one that reaches zero.
    """
    if not other.value:
        return None
    value, floor = one.value / other.value, max_floor(one, other)
    half = _half_width_in_block(one, other)
    if half is not None:
        return Estimate(value, value * math.exp(-half), value * math.exp(half), floor)
    ends = (one.low, one.high, other.low, other.high)
    if value <= 0 or any(end is None or end <= 0 for end in ends):
        return Estimate(value, floor=floor)
    low, high, other_low, other_high = (math.log(end) for end in ends if end)
    a, b = math.log(one.value), math.log(other.value)
    down, up = math.hypot(a - low, other_high - b), math.hypot(high - a, b - other_low)
    return Estimate(value, value * math.exp(-down), value * math.exp(up), floor)


def mean_ratio(pairs: Sequence[tuple[Estimate, Estimate]]) -> Estimate | None:
    """Return the geometric mean of the ratios of pairs, the first over the second, with a 95 % interval.

    Within blocks the ratios of pairs are independent, and half-widths are added in quadrature. The shared part of other
    pairs is unknown, so their half-widths are added linearly. There is no interval if a ratio has none, and no mean if
    a pair has no ratio.
    """
    ratios = [ratio_of(*pair) for pair in pairs]
    known = [ratio for ratio in ratios if ratio is not None and ratio.value > 0]
    if not known or len(known) < len(ratios):
        return None
    value = math.exp(statistics.fmean(math.log(ratio.value) for ratio in known))
    floor = max((ratio.floor for ratio in known if ratio.floor is not None), default=None)
    own, shared = [0.0, 0.0], [0.0, 0.0]
    for pair, ratio in zip(pairs, known, strict=True):
        if not ratio.low or not ratio.high:
            return Estimate(value, floor=floor)
        halves = math.log(ratio.value / ratio.low), math.log(ratio.high / ratio.value)
        is_own = _half_width_in_block(*pair) is not None
        for side, half in enumerate(halves):
            if is_own:
                own[side] = math.hypot(own[side], half)
            else:
                shared[side] += half
    down, up = (math.hypot(*parts) / len(known) for parts in zip(own, shared, strict=True))
    return Estimate(value, value * math.exp(-down), value * math.exp(up), floor)


def quotient(first: Estimate, second: Estimate) -> Estimate | None:
    """Return the second estimate divided by the first; see `ratio_of`."""
    return ratio_of(second, first)


def _half_width_in_block(one: Estimate, other: Estimate) -> float | None:
    """Return the half-width of the logarithm of a ratio within a block; None for estimates without a common block.

    Pooled variances together have no more degrees of freedom than the better known one.
    """
    if one.block is None or one.block != other.block:
        return None
    if one.own_se is None or other.own_se is None or one.own_df is None or other.own_df is None:
        return None
    df = float(combined_df((one.own_se**2, other.own_se**2), (one.own_df, other.own_df)))
    return t_quantile(min(df, max(one.own_df, other.own_df))) * math.hypot(one.own_se, other.own_se)


def _are_apart(one: Estimate, other: Estimate) -> bool | None:
    """Return whether the interval of the ratio excludes 1; None if an interval is missing.

    If intervals reach zero (an error rate), the interval of the difference must exclude 0 instead.
    """
    found = ratio_of(one, other)
    if found and found.low is not None and found.high is not None:
        return not found.low <= 1 <= found.high
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return None
    larger, smaller = sorted((one, other), key=lambda estimate: -estimate.value)
    assert larger.low is not None and smaller.high is not None
    gap = math.hypot(larger.value - larger.low, smaller.high - smaller.value)
    return larger.value - smaller.value > gap


def draws(estimates: Sequence[Estimate], n: int, seed: int = 0) -> np.ndarray:
    """Return draws of the logarithms of positive values, one row per draw and one column per estimate.

    Own parts are independent (Student's t). The shared part of a block is drawn once for all its estimates; its width
    is the rest of their intervals. An estimate without an interval is NaN in every draw. The draws of an estimate do
    not depend on the intervals of the others.
    """
    blocks = {one.block for one in estimates if one.block}
    shared = {one: np.random.default_rng([seed, zlib.crc32(one.encode())]).standard_normal(n) for one in blocks}
    drawn = np.full((n, len(estimates)), math.nan)
    for column, one in enumerate(estimates):
        if one.value <= 0 or one.low is None or one.high is None or one.low <= 0:
            continue
        rng = np.random.default_rng([seed, column])
        half = math.log(one.high / one.low) / 2
        own_se, df = (half / t_quantile(math.inf), math.inf) if one.own_se is None else (one.own_se, one.own_df or 1.0)
        own = rng.standard_normal(n) if math.isinf(df) else rng.standard_t(df, n)
        common = math.sqrt(max(half**2 - (own_se * t_quantile(df)) ** 2, 0.0)) / t_quantile(math.inf)
        of_block = shared[one.block] if one.block else rng.standard_normal(n)
        drawn[:, column] = math.log(one.value) + own_se * own + common * of_block
    return drawn


def ratio(numerator: float | None, denominator: float | None) -> float | None:
    """Return a quotient; None if a part is missing or the divisor is zero."""
    return None if numerator is None or not denominator else numerator / denominator


def median_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return two of the values that enclose the median with at least 95 %; None for fewer than six values.

    The number of values below the median follows the binomial distribution of n fair coins, for any distribution.
    """
    below, tail = 0, 0.0
    while (tail := tail + math.comb(len(values), below) / 2 ** len(values)) <= (1 - CONFIDENCE) / 2:
        below += 1
    ordered = sorted(values)
    return (ordered[below - 1], ordered[-below]) if below else None


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

    The bootstrap is paired: each drawn item has both numerators, such as a segment with its word errors in two runs. An
    item that is hard for both then does not count as noise (Bisani & Ney, 2004, Bootstrap estimates for confidence
    intervals in ASR performance evaluation, ICASSP). None for fewer than two items with a denominator.
    """
    return ratio_interval([after - before for before, after in zip(first, second, strict=True)], denominators, seed)


def max_floor(first: Estimate, second: Estimate) -> float | None:
    """Return the larger noise floor of two estimates; None if neither has one."""
    return max((floor for floor in (first.floor, second.floor) if floor is not None), default=None)


def _percentile_interval(values: np.ndarray) -> tuple[float, float]:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)
