"""Intervals and percentiles."""

from collections.abc import Sequence

import numpy as np

CONFIDENCE = 0.95
N_RESAMPLES = 1000
# The range of n values holds their median with probability 1 - 2 * 0.5^n: below six no interval can be a 95 % one.
LEAST_N_FOR_MEDIAN_INTERVAL = 6
# p95 needs n with 1 - 0.95^n >= 0.95: with fewer samples the largest of them is more likely than not below it.
LEAST_N_FOR_P95 = 59


def median_interval(values: Sequence[float], seed: int = 0) -> tuple[float, float] | None:
    """Return the 95 % percentile-bootstrap interval of the median; None where the count cannot carry it."""
    if len(values) < LEAST_N_FOR_MEDIAN_INTERVAL:
        return None
    rng = np.random.default_rng(seed)
    array = np.asarray(values)
    medians = np.median(array[rng.integers(0, len(array), (N_RESAMPLES, len(array)))], axis=1)
    return _middle(medians)


def ratio_interval(
    numerators: Sequence[float], denominators: Sequence[float], seed: int = 0
) -> tuple[float, float] | None:
    """Return the 95 % bootstrap interval of sum(numerators) / sum(denominators); None for fewer than two pairs."""
    if len(numerators) < 2:
        return None
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(numerators), (N_RESAMPLES, len(numerators)))
    return _middle(np.asarray(numerators)[drawn].sum(axis=1) / np.asarray(denominators)[drawn].sum(axis=1))


def p95(values: Sequence[float]) -> float | None:
    """Return the 95th percentile, or None if there are too few values to carry it."""
    return float(np.quantile(values, 0.95)) if len(values) >= LEAST_N_FOR_P95 else None


def _middle(statistics: np.ndarray) -> tuple[float, float]:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(statistics, [tail, 1 - tail])
    return float(low), float(high)
