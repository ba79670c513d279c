"""Student's t for any degrees of freedom."""

import math

import numpy as np
import pytest

from asrmeter.common.student import combined_df, t_quantile, t_quantiles


def test_quantiles_are_those_of_the_table_in_any_textbook() -> None:
    table = {1: 12.706, 2: 4.303, 3: 3.182, 5: 2.571, 10: 2.228, 30: 2.042, 120: 1.980, math.inf: 1.960}
    for df, t in table.items():
        assert t_quantile(df) == pytest.approx(t, rel=0.003)
    assert t_quantile(2, confidence=0.99) == pytest.approx(9.925, rel=0.003)


def test_quantiles_between_are_right_too() -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    dfs = np.concatenate([np.linspace(1, 5, 333), np.geomspace(5, 1e6, 333)])
    for confidence, error in ((0.9, 0.002), (0.95, 0.003), (0.99, 0.01)):
        exact = scipy_stats.t.ppf((1 + confidence) / 2, dfs)
        assert np.abs(t_quantiles(dfs, confidence) / exact - 1).max() < error


def test_degrees_of_a_sum_lie_between_the_least_and_all() -> None:
    assert combined_df((1.0, 1.0), (4, 4)) == pytest.approx(8)
    assert combined_df((1.0, 0.0), (4, 7)) == pytest.approx(4)
    assert combined_df((1.0, 1e-9), (1, 1000)) == pytest.approx(1)
    assert combined_df((0.0, 0.0), (1, 1)) == math.inf
    assert combined_df((1.0, np.array([1.0, 0.0])), (4, np.array([4, 4]))).tolist() == pytest.approx([8, 4])
