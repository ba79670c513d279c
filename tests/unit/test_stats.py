"""Intervals, and which estimates differ by them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrmeter.common import stats
from asrmeter.common.stats import Estimate
from asrmeter.common.student import t_quantile


def in_block(value: float, own_se: float, df: float = math.inf, common: float = 0.0, block: str = "a") -> Estimate:
    """Return an estimate whose interval also has a part that its block shares."""
    half = math.hypot(t_quantile(df) * own_se, 1.96 * common)
    ends = value * math.exp(-half), value * math.exp(half)
    return Estimate(value, *ends, own_se=own_se, own_df=df, block=block)


def test_a_median_lies_between_two_values_as_coins_say() -> None:
    assert stats.median_interval([1.0] * 5) is None
    assert stats.median_interval([6.0, 1.0, 2.0, 3.0, 5.0, 4.0]) == (1.0, 6.0)
    # 95 % of 100 coins show 40 to 60 heads.
    assert stats.median_interval(list(range(1, 101))) == (40, 61)
    low, high = stats.median_interval([float(i) for i in range(3000)]) or (0, 0)
    assert (high - low) / 2 == pytest.approx(1.96 * math.sqrt(3000) / 2, rel=0.03)


def test_within_a_block_what_is_shared_cancels() -> None:
    quick, slow = in_block(1.0, 0.01, common=0.2), in_block(1.1, 0.01, common=0.2)
    assert quick.overlaps(slow) and quick.differs_from(slow) and not quick.ties_with(slow)
    ratio = stats.ratio_of(slow, quick)
    assert ratio and ratio.value == pytest.approx(1.1)
    assert ratio.low and math.log(ratio.value / ratio.low) == pytest.approx(1.96 * 0.01 * math.sqrt(2), rel=1e-3)
    elsewhere = in_block(1.1, 0.01, common=0.2, block="b")
    assert not quick.differs_from(elsewhere) and quick.ties_with(elsewhere)
    # The same for what is made of latencies.
    assert (10 / quick).differs_from(10 / slow) and not (10 / quick).differs_from(10 / elsewhere)


def test_few_degrees_of_freedom_tell_less_apart() -> None:
    quick, slow = in_block(1.0, 0.01, df=1), in_block(1.1, 0.01, df=1)
    assert quick.ties_with(slow)
    ratio = stats.ratio_of(slow, quick)
    assert ratio and ratio.high and math.log(ratio.high / 1.1) == pytest.approx(12.706 * 0.01 * math.sqrt(2), rel=0.01)


def test_a_difference_within_the_floor_is_none() -> None:
    quick, slow = Estimate(1.0, 0.999, 1.001, floor=0.02), Estimate(1.015, 1.014, 1.016)
    assert quick.ties_with(slow) and not quick.differs_from(slow)


def test_error_rates_of_zero_are_compared_by_their_difference() -> None:
    none, few, many = Estimate(0.0, 0.0, 0.02), Estimate(0.01, 0.0, 0.03), Estimate(0.2, 0.15, 0.25)
    assert none.ties_with(few) and few.ties_with(none) and none.ties_with(none)
    assert none.differs_from(many) and many.differs_from(none)
    assert stats.ratio_of(many, none) is None


def test_draws_have_the_intervals_that_they_come_from() -> None:
    estimates = [in_block(1.0, 0.02, common=0.1), in_block(2.0, 0.05, df=5), Estimate(3.0, 2.7, 3.3), Estimate(1.0)]
    drawn = stats.draws(estimates, 40_000, seed=1)
    for column, one in enumerate(estimates[:3]):
        low, high = np.exp(np.quantile(drawn[:, column], [0.025, 0.975]))
        assert math.log(high / low) == pytest.approx(math.log(one.high / one.low), rel=0.03)
    assert np.isnan(drawn[:, 3]).all()
    assert (drawn[:3] == stats.draws(estimates, 40_000, seed=1)[:3]).sum() == 9


def test_draws_of_a_block_share_what_is_common() -> None:
    first, second, elsewhere = (in_block(1.0, 0.01, common=0.1, block=block) for block in "aab")
    drawn = stats.draws([first, second, elsewhere], 20_000)
    assert np.std(drawn[:, 0] - drawn[:, 1]) == pytest.approx(0.01 * math.sqrt(2), rel=0.03)
    assert np.std(drawn[:, 0] - drawn[:, 2]) == pytest.approx(0.1 * math.sqrt(2), rel=0.03)
    alone = stats.draws([Estimate(1.0, 0.8, 1.25)] * 2, 20_000)
    assert abs(np.corrcoef(alone.T)[0, 1]) < 0.03


def test_a_ratio_needs_two_pairs() -> None:
    assert stats.ratio_interval([1], [2]) is None
    low, high = stats.ratio_interval([0, 10], [10, 10]) or (None, None)
    assert (low, high) == (0.0, 1.0)
    assert stats.ratio_interval([1, 2, 0], [0, 0, 5]) is None
    low, high = stats.ratio_interval([1, 2, 0], [0, 5, 5]) or (None, None)
    assert low == 0.0 and high is not None and 0.4 <= high < 2


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


LOGS = st.floats(-3, 3)
IN_BLOCK = st.builds(
    lambda log, se, df: in_block(math.exp(log), se, df), LOGS, st.floats(0.001, 0.3), st.floats(1, 100)
)
APART = st.builds(lambda log, half: Estimate(math.exp(log), math.exp(log - half), math.exp(log + half)), LOGS,
                  st.floats(0.001, 0.3))  # fmt: skip
PAIRS = st.lists(st.tuples(IN_BLOCK, IN_BLOCK) | st.tuples(APART, APART), min_size=1, max_size=5)


def ends(estimate: Estimate | None) -> tuple[float, float, float]:
    assert estimate and estimate.low is not None and estimate.high is not None
    return estimate.value, estimate.low, estimate.high


@given(PAIRS)
def test_a_mean_ratio_turns_round_and_is_as_wide_as_its_parts(pairs: list[tuple[Estimate, Estimate]]) -> None:
    value, low, high = ends(stats.mean_ratio(pairs))
    assert ends(stats.mean_ratio([(b, a) for a, b in pairs])) == pytest.approx((1 / value, 1 / high, 1 / low))
    parts = [ends(stats.ratio_of(*pair)) for pair in pairs]
    assert value == pytest.approx(math.prod(part[0] for part in parts) ** (1 / len(parts)))
    # Never as wide as if all errors went the same way, and never narrower than if they were independent.
    halves = [math.log(up / middle) for middle, _, up in parts]
    half = math.log(high / value)
    assert math.hypot(*halves) / len(parts) - 1e-9 <= half <= sum(halves) / len(parts) + 1e-9


@given(st.tuples(IN_BLOCK, IN_BLOCK) | st.tuples(APART, APART))
def test_the_mean_of_one_ratio_is_that_ratio(pair: tuple[Estimate, Estimate]) -> None:
    assert ends(stats.mean_ratio([pair])) == pytest.approx(ends(stats.ratio_of(*pair)))


def test_pairs_within_laps_tell_more_together_and_others_do_not() -> None:
    within = (in_block(2.0, 0.01), in_block(1.0, 0.01))
    apart = (Estimate(2.0, 1.9, 2.1), Estimate(1.0, 0.95, 1.05))
    for pair, gain in ((within, 2.0), (apart, 1.0)):
        alone, four = (ends(stats.mean_ratio([pair] * n)) for n in (1, 4))
        assert math.log(alone[2] / 2) / math.log(four[2] / 2) == pytest.approx(gain)


def test_a_mean_ratio_lacks_what_a_part_of_it_lacks() -> None:
    sure, bare, none = Estimate(2.0, 1.9, 2.1), Estimate(2.0, floor=0.1), Estimate(0.0)
    assert stats.mean_ratio([]) is None
    assert stats.mean_ratio([(sure, sure), (sure, none)]) is None
    assert stats.mean_ratio([(sure, sure), (sure, bare)]) == Estimate(1.0, floor=0.1)
