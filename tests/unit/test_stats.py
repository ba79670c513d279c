"""Coverage of the intervals, with the stop rule included."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from asrmeter.common import stats
from asrmeter.common.stats import Estimate
from asrmeter.measure.stop_rule import StopRule

RULE = StopRule(target=0.025, min_passes=5, max_passes=200, budget_s=1e9)
N_RUNS = 1000
# Three batches of different length: content does not count as noise.
CONTENT_S = np.array([1.0, 1.6, 0.7])
Draw = Callable[[np.random.Generator, int], np.ndarray]


def normal(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.exp(rng.normal(0, 0.02, n))


def heavy_tailed(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.exp(0.02 * rng.standard_t(3, n))


def skewed(rng: np.random.Generator, n: int) -> np.ndarray:
    return (1 + 0.03 * rng.exponential(1, n)) / (1 + 0.03 * np.log(2))


def disturbed(rng: np.random.Generator, n: int) -> np.ndarray:
    """One pass in ten takes 30 % longer; the median is that of the mixture."""
    passes = normal(rng, n) * np.where(rng.random(n) < 0.1, 1.3, 1)
    return passes / 1.00283


def drifting(rng: np.random.Generator, n: int) -> np.ndarray:
    """The machine gets slower by 5 % during the cell; the truth is its speed in the middle."""
    return normal(rng, n) * np.linspace(0.975, 1.025, n)


def wide(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.exp(rng.normal(0, 0.06, n))


def two_speeds(rng: np.random.Generator, n: int) -> np.ndarray:
    """Three passes in ten run at a clock that is 4 % lower."""
    return np.exp(rng.normal(0, 0.005, n)) * np.where(rng.random(n) < 0.3, 1.04, 1) / 1.00282


def wandering(rng: np.random.Generator, n: int) -> np.ndarray:
    """Each pass takes half of its deviation from the one before it."""
    deviation = np.zeros(n)
    state = rng.normal()
    for i, step in enumerate(rng.normal(size=n)):
        state = 0.5 * state + np.sqrt(0.75) * step
        deviation[i] = state
    return np.exp(0.02 * deviation)


def coverage(draw: Draw, n_batches: int) -> float:
    """Return how often the interval covers the true median when the stop rule decides how many rounds there are."""
    content = CONTENT_S[:n_batches]
    most = RULE.max_passes // n_batches
    hits = 0
    for seed in range(N_RUNS):
        if draw is not drifting:
            everything = draw(np.random.default_rng(seed), most * n_batches).reshape(most, n_batches) * content
        for n_rounds in range(stats.MIN_ROUNDS, most + 1):
            if draw is drifting:  # over the measured time, whatever its length
                noise = draw(np.random.default_rng(seed), n_rounds * n_batches)
                everything = noise.reshape(n_rounds, n_batches) * content
            rounds = everything[:n_rounds].tolist()
            if RULE.converged(rounds):
                break
        low, high = stats.blocked_interval(rounds) or (0, 0)
        hits += low <= content.mean() <= high
    return hits / N_RUNS


@pytest.fixture(autouse=True)
def fewer_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """A third of the time, and the coverage does not depend on it."""
    monkeypatch.setattr(stats, "N_RESAMPLES", 300)


@pytest.mark.simulation
@pytest.mark.parametrize("n_batches", [1, 2])
@pytest.mark.parametrize("draw", [normal, heavy_tailed, skewed, disturbed, drifting])
def test_the_interval_covers_the_true_median(draw: Draw, n_batches: int) -> None:
    # 93 to 97 % and twice the standard error of such a share; a drift counts as scatter, which is on the safe side.
    assert 0.93 - 0.014 <= coverage(draw, n_batches) <= (0.99 if draw is drifting else 0.97 + 0.011)


@pytest.mark.simulation
@pytest.mark.parametrize(
    ("draw", "least", "most"),
    [
        (wide, 0.87, 0.94),  # stopped at a moment when the scatter happens to look small
        (two_speeds, 0.83, 0.92),  # the median of a few rounds is not that of many
        (wandering, 0.80, 0.90),  # neighbours resemble each other, so that ten seconds do not show it all
    ],
)
def test_where_it_covers_less(draw: Draw, least: float, most: float) -> None:
    # The documented limits; the noise floor (A/A) covers these cases.
    assert least <= coverage(draw, 2) <= most


def test_content_does_not_count_as_noise() -> None:
    rounds = [[1.0, 10.0], [1.001, 10.01], [0.999, 9.99], [1.0, 10.0]]
    low, high = stats.blocked_interval(rounds) or (0, 0)
    assert stats.blocked_median(rounds) == pytest.approx(5.5)
    assert 5.5 * 0.995 < low <= 5.5 <= high < 5.5 * 1.005


def test_one_batch_has_the_plain_median() -> None:
    assert stats.blocked_median([[3.0], [1.0], [2.0]]) == 2.0


def test_interval_needs_enough_rounds() -> None:
    assert stats.blocked_interval([]) is None
    assert stats.blocked_interval([[1.0]] * 4) is None
    assert stats.blocked_interval([[1.0, 1.0]] * 2) is None
    assert stats.blocked_interval([[3.0]] * 5) == (3.0, 3.0)
    assert stats.blocked_interval([[3.0, 5.0]] * 3) == (4.0, 4.0)


def test_students_t() -> None:
    # Quantiles of the table in any textbook.
    for degrees, t in ((4, 2.776), (5, 2.571), (10, 2.228), (60, 2.000)):
        assert stats._t_quantile(degrees) == pytest.approx(t, rel=0.004)


def test_a_ratio_needs_two_pairs() -> None:
    assert stats.ratio_interval([1], [2]) is None
    low, high = stats.ratio_interval([0, 10], [10, 10]) or (None, None)
    assert (low, high) == (0.0, 1.0)
    assert stats.ratio_interval([1, 2, 0], [0, 0, 5]) is None
    low, high = stats.ratio_interval([1, 2, 0], [0, 5, 5]) or (None, None)
    assert low == 0.0 and high is not None and 0.4 <= high < 2


def test_percentile_needs_enough_values() -> None:
    assert stats.p95([1.0] * 58) is None
    assert stats.p95(list(range(59))) == pytest.approx(55.1)


def two_runs(dice: np.random.Generator, n: int, more: float) -> tuple[list[int], list[int], list[int]]:
    """Return the errors of two runs and the words of n segments, half of the texts alike, with `more` errors a word."""
    words, hard = dice.integers(10, 60, n), dice.gamma(1, 0.08, n)
    first = dice.poisson(words * hard)
    second = np.where(dice.random(n) < 0.5, first, dice.poisson(words * hard)) + dice.poisson(words * more)
    return first.tolist(), second.tolist(), words.tolist()


def test_pairs_show_what_two_intervals_do_not() -> None:
    dice = np.random.default_rng(1)
    equal = [stats.difference_interval(*two_runs(dice, 16, 0.0)) for _ in range(300)]
    assert sum(found is None or not found[0] <= 0 <= found[1] for found in equal) / 300 < 0.13
    paired, apart = 0, 0
    for _ in range(100):
        first, second, words = two_runs(dice, 16, 0.05)
        difference = stats.difference_interval(first, second, words)
        one, other = stats.ratio_interval(first, words), stats.ratio_interval(second, words)
        assert difference and one and other
        paired += difference[0] > 0
        apart += other[0] > one[1]
    assert paired > 75 and apart < 25


def test_a_difference_needs_two_items() -> None:
    assert stats.difference_interval([1], [2], [10]) is None
    assert stats.difference_interval([1, 1], [2, 2], [10, 0]) is None
    assert stats.difference_interval([1, 1], [2, 2], [10, 10]) == pytest.approx((0.1, 0.1))
    low, high = stats.difference_interval([0, 3, 5], [4, 1, 5], [10, 10, 20]) or (0, 0)
    assert stats.difference_interval([4, 1, 5], [0, 3, 5], [10, 10, 20]) == pytest.approx((-high, -low))


def test_a_quotient_has_the_errors_of_both() -> None:
    exact, wide = Estimate(2.0, 2.0, 2.0, 0.01), Estimate(1.0, 0.8, 1.25, 0.03)
    ratio = stats.quotient(exact, wide)
    assert ratio and (ratio.value, ratio.low, ratio.high, ratio.floor) == pytest.approx((0.5, 0.4, 0.625, 0.03))
    back = stats.quotient(wide, exact)
    assert back and (back.value, back.low, back.high) == pytest.approx((2.0, 1.6, 2.5))
    assert stats.quotient(wide, Estimate(2.0)) == Estimate(2.0, None, None, 0.03)
    assert stats.quotient(Estimate(1.0, 0.0, 2.0), wide) == Estimate(1.0, None, None, 0.03)
    assert stats.quotient(Estimate(0.0, 0.0, 0.0), wide) is None


def test_quotient_interval_covers_the_truth_as_often_as_claimed() -> None:
    dice = np.random.default_rng(2)

    def measured(true: float, error: float) -> Estimate:
        value = true * math.exp(dice.normal(0, error))
        return Estimate(value, value * math.exp(-1.96 * error), value * math.exp(1.96 * error))

    ratios = [stats.quotient(measured(1.0, 0.02), measured(1.3, 0.05)) for _ in range(2000)]
    covered = [one.low <= 1.3 <= one.high for one in ratios if one and one.low and one.high]
    assert sum(covered) / len(ratios) == pytest.approx(0.95, abs=0.015)
