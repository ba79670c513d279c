"""Student's t: quantiles for any degrees of freedom, and the degrees of freedom of a sum of variances."""

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from asrmeter.common.constants import CONFIDENCE

# t is interpolated between these. It is undefined here below the first, and normal above the last.
DFS = np.concatenate([np.geomspace(1, 1e4, 200), [math.inf]])

Values = float | np.ndarray


def t_quantile(df: float, confidence: float = CONFIDENCE) -> float:
    """Return the two-sided quantile t, with the share between -t and t, for 1 or more degrees of freedom.

    Its error is at most 0.3 % for 95 %, and 1 % for 99 %.
    """
    return float(t_quantiles(np.array(df), confidence))


def t_quantiles(dfs: np.ndarray, confidence: float = CONFIDENCE) -> np.ndarray:
    """Return `t_quantile` for each of several degrees of freedom. For large values t is linear in their reciprocal."""
    return np.interp(-1 / np.maximum(dfs, 1.0), -1 / DFS, _quantiles_of_grid(confidence))


@lru_cache
def _quantiles_of_grid(confidence: float) -> np.ndarray:
    """Return the quantiles for `DFS`.

    With t = sqrt(df) tan(angle) the density is a power of a cosine, so its integral over a grid of angles has no long
    tail.
    """
    angles = np.linspace(0, math.pi / 2, 4001)
    quantiles = []
    for df in DFS[:-1]:
        density = np.cos(angles) ** (df - 1)
        below = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
        quantiles.append(math.sqrt(df) * math.tan(np.interp(confidence, below / below[-1], angles)))
    return np.array([*quantiles, NormalDist().inv_cdf((1 + confidence) / 2)])


def combined_df(variances: Sequence[Values], dfs: Sequence[Values]) -> np.ndarray:
    """Return the degrees of freedom of a sum of variances (Satterthwaite, 1946), at least 1; inf for a sum of zero."""
    total: Values = sum(variances)
    below = np.asarray(sum(np.square(variance) / df for variance, df in zip(variances, dfs, strict=True)))
    df = np.divide(np.square(total), below, out=np.full(below.shape, math.inf), where=below > 0)
    return np.maximum(df, 1.0)
