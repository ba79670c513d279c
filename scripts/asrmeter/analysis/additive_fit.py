"""Tables of rows and columns, with gaps, as sums of a row's and a column's effect."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class AdditiveFit:
    """A weighted least-squares fit of table[r, c] = rows[r] + columns[c]; the columns' effects add up to zero.

    `residuals` are zero in gaps. `leverage` is the part of each residual's degree of freedom that the fit took.
    `covariance` is that of the columns' effects, where each value has the variance 1 / weight of its row.
    """

    rows: np.ndarray
    columns: np.ndarray
    residuals: np.ndarray
    leverage: np.ndarray
    covariance: np.ndarray


def additive_fit(table: np.ndarray, seen: np.ndarray, weights: np.ndarray, with_columns: bool = True) -> AdditiveFit:
    """Fit a table where `seen`; each row has a value at least, and a positive weight.

    Rows are eliminated first, so that the system to be solved is as small as the number of columns. Without columns
    the fit is the mean of each row.
    """
    share = seen / seen.sum(axis=1, keepdims=True)
    values = np.where(seen, table, 0.0)
    # A row's value in a column less the row's mean, as a combination of the columns' effects.
    contrasts = seen[:, :, None] * (np.eye(table.shape[1]) - share[:, None, :])
    information = np.einsum("r,rci,rcj->ij", weights, contrasts, contrasts)
    centred = seen * (values - (values * share).sum(axis=1, keepdims=True))
    covariance = _inverse(information) if with_columns else np.zeros_like(information)
    columns = covariance @ (weights @ centred)
    rows = (share * (values - columns)).sum(axis=1)
    residuals = seen * (values - rows[:, None] - columns)
    leverage = share + weights[:, None] * np.einsum("rci,ij,rcj->rc", contrasts, covariance, contrasts)
    return AdditiveFit(rows, columns, residuals, np.where(seen, leverage, 1.0), covariance)


def _inverse(information: np.ndarray) -> np.ndarray:
    """Return the pseudo-inverse: what may be added to all columns, or to some that no row relates, is taken as zero."""
    values, vectors = np.linalg.eigh(information)
    known = values > 1e-10 * max(float(values[-1]), 1e-300)
    return (vectors[:, known] / values[known]) @ vectors[:, known].T
