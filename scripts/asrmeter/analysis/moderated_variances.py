"""Variances of many cells, each known by a few degrees of freedom, shrunk to what all of them say together.

The model is that of Smyth (2004, Linear models and empirical Bayes methods for assessing differential expression,
doi:10.2202/1544-6115.1027): the true variance of a cell is s0^2 d0 / chi^2(d0), so that the observed one divided by
s0^2 has an F distribution with d and d0 degrees of freedom. Given what was observed, (d0 s0^2 + d s^2) / (d0 + d) has
d0 + d of them. Smyth finds d0 and s0^2 from moments of log s^2; with one degree of freedom (two laps) the cells that
happen to repeat themselves move these most. Here d0, s0^2 and its slope have the highest likelihood, in which outliers
count less (as in Phipson et al., 2016, doi:10.1214/16-AOAS920) and small variances no more than others.
"""

import math
from dataclasses import dataclass

import numpy as np

# Prior degrees of freedom that are tried. With the last, all cells have one variance.
POOLED = 1e6
PRIOR_DF = np.array([3.0, 5.0, 8.0, 14.0, 30.0, POOLED])
# Slopes of log s0^2 that are tried, the flat one first; short passes may scatter more than long ones.
SLOPES = np.array([0.0, *(sign * slope for slope in (0.25, 0.5, 0.75, 1.0) for sign in (-1, 1))])
# A slope must raise the log-likelihood by more than one parameter does by itself (Akaike, 1974).
LEAST_GAIN = 1.0
N_STEPS = 12


@dataclass(frozen=True)
class Moderated:
    """The variances of cells after shrinking, and the degrees of freedom by which each is known."""

    variances: np.ndarray
    df: np.ndarray


def moderate(variances: np.ndarray, df: np.ndarray, log_size: np.ndarray) -> Moderated:
    """Shrink variances, all above zero, that were observed with `df` degrees of freedom; 0 where nothing was observed.

    s0^2 may follow the size of the cells if that is much more likely. No variance is known by more degrees of freedom
    than there are in all.
    """
    total = float(df.sum())
    known = df > 0
    size = log_size - log_size[known].mean()
    likelihood, scales = _fits(variances[known], df[known], size[known])
    slope_at = int(likelihood.max(axis=1).argmax())
    if likelihood[slope_at].max() < likelihood[0].max() + LEAST_GAIN:
        slope_at = 0
    prior_at = int(likelihood[slope_at].argmax())
    d0, prior = PRIOR_DF[prior_at], scales[slope_at, prior_at] * np.exp(SLOPES[slope_at] * size)
    shrunk = (d0 * prior + df * np.where(known, variances, 0.0)) / (d0 + df)
    return Moderated(shrunk, np.clip(d0 + df, 1.0, max(total, 1.0)))


def _fits(variances: np.ndarray, df: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the log-likelihood up to a constant, and the best s0^2, of each slope (rows) and d0 (columns)."""
    flat = (variances * np.exp(-SLOPES[:, None] * size))[:, None, :]
    d0 = PRIOR_DF[:, None]
    scales = np.repeat((flat * df).sum(axis=-1) / df.sum(), len(PRIOR_DF), axis=1)
    for _ in range(N_STEPS):
        weights = (d0 + df) / (d0 + df * flat / scales[..., None])
        scales = (weights * df * flat).sum(axis=-1) / df.sum()
    beta = [
        sum(math.lgamma((d + prior) / 2) - math.lgamma(prior / 2) + d / 2 * math.log(d / prior) for d in df.tolist())
        - sum(math.lgamma(d / 2) for d in df.tolist())
        for prior in PRIOR_DF.tolist()
    ]
    trend = (df / 2 * size).sum() * SLOPES[:, None]
    tails = ((d0 + df) / 2 * np.log1p(df * flat / scales[..., None] / d0)).sum(axis=-1)
    return np.array(beta) - trend - df.sum() / 2 * np.log(scales) - tails, scales
