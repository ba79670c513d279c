"""When to stop, and intervals that mean what they say."""

import numpy as np
import pytest

from asrmeter import stats
from asrmeter.protocol import MAX_WARMUP_PASSES, WARM_AFTER_S, StopRule

RULE = StopRule(target=0.025, min_passes=6, max_passes=20, budget_s=10)


def test_a_steady_pass_ends_the_warm_up() -> None:
    assert not RULE.warm([])
    assert not RULE.warm([0.5])
    assert not RULE.warm([0.5, 0.4])
    assert RULE.warm([0.3, 0.2, 0.195])
    assert RULE.warm([WARM_AFTER_S])
    assert RULE.warm([0.01 * 0.5**i for i in range(MAX_WARMUP_PASSES)])


def test_a_narrow_interval_converges_but_not_before_the_least_count() -> None:
    assert not RULE.converged([1.0] * 5)
    assert RULE.converged([1.0] * 6)
    assert not RULE.converged([1.0, 1.5, 0.7, 1.2, 0.9, 1.1])


def test_measuring_ends_with_a_reason() -> None:
    assert RULE.exhausted([0.1] * 19) is None
    assert RULE.exhausted([0.1] * 20) == "max_passes = 20 ran"
    assert RULE.exhausted([4, 7]) == "budget_s = 10 was spent"


def test_the_interval_of_the_median_covers_it() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for run in range(300):
        found = stats.median_interval(rng.lognormal(0, 0.3, 40), seed=run)
        assert found is not None
        hits += found[0] <= 1 <= found[1]
    assert 0.91 <= hits / 300 <= 0.99


def test_an_interval_needs_values_enough() -> None:
    assert stats.median_interval([1.0, 2.0, 3.0, 4.0, 5.0]) is None
    assert stats.median_interval([3.0] * 6) == (3.0, 3.0)
    assert stats.ratio_interval([1], [2]) is None
    low, high = stats.ratio_interval([0, 10], [10, 10]) or (None, None)
    assert (low, high) == (0.0, 1.0)


def test_a_percentile_is_given_only_where_the_count_carries_it() -> None:
    assert stats.p95([1.0] * 58) is None
    assert stats.p95(list(range(59))) == pytest.approx(55.1)
