"""Latencies over laps: exact small cases, and what must not change them. `test_lap_table` has the coverage."""

import math
import statistics
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrmeter.analysis import variance_components
from asrmeter.analysis.sitting_levels import CellLevels
from asrmeter.analysis.variance_components import Components, Fitted, Sitting, fit, time_factor
from asrmeter.common.student import t_quantile

T_2 = 4.303


def sitting(cell: Any, lap: int, *passes: float, **more: Any) -> Sitting:
    """Return a sitting of one batch."""
    return Sitting(cell, lap, {0: passes}, **more)


def study(logs: np.ndarray) -> list[Sitting]:
    """Return sittings of one pass, given its logarithm by cell and lap."""
    return [sitting(cell, lap + 1, math.exp(value)) for (cell, lap), value in np.ndenumerate(logs)]


def half_width(fitted: Fitted) -> float:
    assert fitted.low and fitted.high
    return math.log(fitted.high / fitted.low) / 2


def random_logs(seed: int, n_cells: int, n_laps: int) -> np.ndarray:
    dice = np.random.default_rng(seed)
    return dice.normal(0, 1, (n_cells, 1)) + dice.normal(0, 0.05, (n_cells, n_laps)) + dice.normal(0, 0.03, n_laps)


def test_two_cells_in_two_laps_have_one_degree_of_freedom() -> None:
    # One value is off by d: a quarter of d is left in each of the four, and the laps differ by d / 2.
    d = 0.08
    first, second = fit(study(np.array([[0.0, d], [1.0, 1.0]]))).values()
    assert (first.value, second.value) == (pytest.approx(math.exp(d / 2)), pytest.approx(math.e))
    for one in (first, second):
        assert one.own_se == pytest.approx(d / math.sqrt(8))
        assert one.own_df == pytest.approx(1)
        # Half of the variance comes from either; that of laps counts six times in the degrees of freedom.
        assert half_width(one) == pytest.approx(t_quantile(49 / 37) * d / math.sqrt(8), rel=0.001)
    found = first.components
    assert (found.sitting_sd, found.common_sd) == (pytest.approx(d / 2), pytest.approx(0, abs=1e-6))
    assert (found.sitting_df, found.common_df) == (pytest.approx(1), 1)


def test_a_single_cell_has_the_t_interval_of_its_laps() -> None:
    seconds = [1.0, 1.1, 1.04]
    (one,) = fit(sitting("only", lap, value) for lap, value in enumerate(seconds, start=1)).values()
    logs = [math.log(value) for value in seconds]
    assert one.value == pytest.approx(statistics.geometric_mean(seconds))
    assert half_width(one) == pytest.approx(T_2 * statistics.stdev(logs) / math.sqrt(3), rel=0.005)
    assert one.note == variance_components.SINGLE_CELL
    assert one.components.common_sd is None


def test_another_run_may_lie_farther_away_than_the_truth() -> None:
    for one in fit(study(random_logs(1, 5, 3))).values():
        assert one.next_low and one.next_high
        assert math.log(one.next_high / one.next_low) / 2 == pytest.approx(math.sqrt(2) * half_width(one))


def test_one_lap_has_values_and_a_note() -> None:
    fitted = fit([sitting("a", 1, 1.0, 1.2), sitting("b", 1, 3.0)])
    assert fitted["a"].value == pytest.approx(math.sqrt(1.2)) and fitted["b"].value == pytest.approx(3.0)
    for one in fitted.values():
        assert (one.low, one.high, one.next_low, one.own_se, one.laps) == (None, None, None, None, (1,))
        assert one.note == variance_components.ONE_LAP
    assert fitted["a"].components.pass_sd == pytest.approx(math.log(1.2) / math.sqrt(2))
    assert time_factor(fitted["a"].components, 0.05) is None
    apart = fit([sitting("a", 1, 1.0), sitting("b", 2, 1.0)])
    assert {one.note for one in apart.values()} == {variance_components.NO_REPEATED_CELL}


@pytest.mark.parametrize("n_cells", [1, 2, 6])
def test_equal_values_have_a_narrow_interval_but_one(n_cells: int) -> None:
    for one in fit(study(np.zeros((n_cells, 3)))).values():
        assert one.value == pytest.approx(1.0)
        assert 1e-5 < half_width(one) < 1e-3


def test_a_disturbed_sitting_does_not_count_where_others_stand() -> None:
    logs = random_logs(2, 6, 3)
    sittings = [*study(logs[:, :2]), *(sitting(cell, 3, math.exp(logs[cell, 2])) for cell in range(1, 6))]
    without, hit = fit(sittings), fit([*sittings, sitting(0, 3, 4.0, disturbed=True)])
    assert (hit[0].laps, hit[0].n_dropped) == ((1, 2), 1)
    for cell in without:
        assert (hit[cell].value, hit[cell].low) == pytest.approx((without[cell].value, without[cell].low))


def test_a_cell_disturbed_in_every_lap_has_no_interval() -> None:
    sittings = study(random_logs(3, 5, 2))
    hit = [sitting("hit", lap, 1.0 + lap, disturbed=True) for lap in (1, 2)]
    alone, beside = fit(sittings), fit([*sittings, *hit])
    assert (beside["hit"].low, beside["hit"].laps, beside["hit"].n_dropped) == (None, (), 2)
    assert beside["hit"].note == variance_components.ALWAYS_DISTURBED
    assert beside["hit"].value == pytest.approx(math.sqrt(6))
    assert all(beside[cell] == alone[cell] for cell in alone)
    assert fit(hit)["hit"].value == pytest.approx(math.sqrt(6))


def test_the_value_is_the_mean_over_batches_of_any_laps() -> None:
    batches, laps = {0: 4.0, 1: 1.0, 2: 2.0, 3: 0.5}, {1: 1.0, 2: 1.1, 3: 0.95}
    # The longest batch is in each lap, the others in one or two.
    timed = {1: (0, 1), 2: (0, 2), 3: (0, 3, 1)}
    sittings = [
        Sitting("cell", lap, {batch: [batches[batch] * speed] * 2 for batch in timed[lap]})
        for lap, speed in laps.items()
    ]
    (one,) = fit(sittings).values()
    assert one.value == pytest.approx(7.5 / 4 * statistics.geometric_mean(laps.values()))
    assert one.lap_scatter == pytest.approx(statistics.stdev(map(math.log, laps.values())))


def test_what_only_a_disturbed_lap_timed_is_as_others_have_it() -> None:
    # The disturbed lap is not slower by the same factor in each batch.
    hit = [
        Sitting("hit", 1, {0: [2.0], 1: [1.0]}),
        Sitting("hit", 2, {0: [2.0], 1: [1.0]}),
        Sitting("hit", 3, {0: [2.0], 2: [40.0]}, disturbed=True),
    ]
    others = [Sitting(cell, lap, {0: [4.0], 1: [2.0], 2: [3.0]}) for cell in "abc" for lap in (1, 2, 3)]
    odd = [Sitting("odd", lap, {0: [1.0], 2: [9.0]}, content="others") for lap in (1, 2)]
    found = fit([*hit, *others, *odd])["hit"]
    assert (found.value, found.laps, found.n_dropped) == (pytest.approx(4.5 / 3), (1, 2), 1)
    assert fit([*hit, *odd])["hit"].value == pytest.approx(3.0 / 2)


def test_a_missing_lap_is_made_up_by_the_other_cells() -> None:
    logs = np.array([[0.0, 0.0, 0.3]] * 12) + np.random.default_rng(4).normal(0, 0.001, (12, 3))
    whole = fit(study(logs))
    lacking = fit(one for one in study(logs) if (one.cell, one.lap) != (0, 3))
    assert lacking[0].value == pytest.approx(whole[0].value, rel=0.002)
    assert lacking[0].laps == (1, 2)
    assert lacking[0].own_se and whole[0].own_se and lacking[0].own_se > whole[0].own_se
    # A cell with one lap has an interval by what all others say.
    single = fit(one for one in study(logs) if one.cell or one.lap == 3)[0]
    assert single.value == pytest.approx(whole[0].value, rel=0.005)
    assert lacking[0].own_se < (single.own_se or 0)


def test_passes_of_batches_that_laps_share_tell_laps_apart() -> None:
    one = CellLevels([Sitting("cell", 1, {0: [2.0], 1: [1.0]}), Sitting("cell", 2, {0: [2.0], 2: [1.0]})])
    in_lap, in_value = one.pass_parts
    assert in_lap == pytest.approx(1.0)
    assert in_value == pytest.approx(0.5**2 / 2 + 0.25**2 + 0.25**2)
    whole = CellLevels([Sitting("cell", lap, {0: [2.0], 1: [2.0]}) for lap in (1, 2)])
    assert whole.pass_parts == pytest.approx((0.5, 0.25))


def test_passes_show_what_laps_happen_not_to() -> None:
    passes = (1.0, 1.5, 0.8)
    same = [sitting(cell, lap, *passes) for cell in range(3) for lap in (1, 2)]
    one = fit(same)[0]
    # Laps agree by chance, but the median of such passes scatters.
    assert one.own_se and one.own_se > 0.05
    assert one.components.lap_sd == 0.0


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), n_cells=st.integers(2, 8), n_laps=st.integers(2, 5), factor=st.floats(0.01, 100))
def test_unit_order_and_the_speed_of_a_lap_change_no_ratio(seed: int, n_cells: int, n_laps: int, factor: float) -> None:
    logs = random_logs(seed, n_cells, n_laps)
    before = fit(study(logs))
    slow_lap = logs + np.eye(n_laps)[0] * math.log(factor)
    order = np.random.default_rng(seed).permutation(n_cells * n_laps)
    for after in (
        fit(study(logs + math.log(factor))),
        fit(study(slow_lap)),
        fit([study(logs)[place] for place in order]),
    ):
        for cell in before:
            ratios = [fitted[cell].value / fitted[0].value for fitted in (before, after)]
            assert ratios[0] == pytest.approx(ratios[1], rel=1e-6)
            assert before[cell].own_se == pytest.approx(after[cell].own_se, rel=1e-4)
            assert before[cell].own_df == pytest.approx(after[cell].own_df, rel=1e-4)


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_whatever_was_timed_has_a_value_and_no_nonsense(data: st.DataObject) -> None:
    seconds = st.floats(1e-4, 1e3)
    sittings = data.draw(
        st.lists(
            st.builds(
                Sitting,
                st.integers(0, 3),
                st.integers(1, 3),
                st.dictionaries(st.integers(0, 2), st.lists(seconds, min_size=1, max_size=3), min_size=1),
                st.booleans(),
                st.none() | st.floats(0.1, 1),
                st.integers(0, 1),
            ),
            min_size=1,
            unique_by=lambda one: (one.cell, one.lap),
        )
    )
    for cell, one in fit(sittings).items():
        times = [
            time
            for sitting in sittings
            if sitting.cell == cell
            for passes in sitting.batches.values()
            for time in passes
        ]
        assert math.isfinite(one.value) and one.value > 0
        if len(sittings) == 1:
            assert min(times) * (1 - 1e-9) <= one.value <= max(times) * (1 + 1e-9)
        ends = (one.next_low, one.low, one.high, one.next_high)
        if None in ends:
            assert ends == (None,) * 4 and one.note
        else:
            assert 0 <= one.next_low <= one.low < one.value < one.high <= one.next_high


def test_a_drift_that_the_control_follows_is_taken_out() -> None:
    dice = np.random.default_rng(5)
    slower = dice.normal(0, 0.1, (12, 3))
    logs = slower + dice.normal(0, 0.01, (12, 3))
    measured = [
        sitting(cell, lap + 1, math.exp(value), speed=math.exp(-slower[cell, lap]))
        for (cell, lap), value in np.ndenumerate(logs)
    ]
    found = fit(measured)[0].components
    assert found.drift_explained and found.speed_slope == pytest.approx(1, abs=0.1)
    assert found.sitting_sd == pytest.approx(0.01, rel=0.3)
    without = fit(sitting(one.cell, one.lap, *one.batches[0]) for one in measured)
    # Latencies are as at the mean speed of the run: taken together they stay what they were.
    together = [sum(math.log(one.value) for one in fitted.values()) for fitted in (fit(measured), without)]
    assert together[0] == pytest.approx(together[1])
    plain = without[0].components
    assert (plain.drift_explained, plain.speed_slope) == (False, None)
    assert plain.sitting_sd == pytest.approx(0.1, rel=0.3)
    same_speed = fit(sitting(one.cell, one.lap, *one.batches[0], speed=0.9) for one in measured)[0].components
    assert same_speed == plain


def test_a_control_that_explains_nothing_is_only_reported() -> None:
    used = 0
    for seed in range(100):
        dice = np.random.default_rng(seed)
        measured = [
            sitting(cell, lap, math.exp(dice.normal(0, 0.05)), speed=math.exp(dice.normal(-0.1, 0.02)))
            for cell in range(6)
            for lap in (1, 2, 3)
        ]
        found = fit(measured)[0].components
        assert found.speed_slope is not None
        used += found.drift_explained
    assert used <= 3


def test_more_time_helps_until_the_laps_are_spent() -> None:
    found = Components(24, 3, pass_sd=0.1, lap_sd=0.02, sitting_sd=0.03, sitting_df=46, common_sd=0.0, common_df=2)
    assert time_factor(found, 0.05) == 1.0
    factor = time_factor(found, 0.025)
    # 1.96 * 0.03 / sqrt(laps) within 0.025: six laps.
    assert factor == pytest.approx(2.0)
    assert time_factor(found, 0.018) == pytest.approx(3 * 2)
    assert time_factor(found, 0.01) is None
    drifting = Components(24, 3, lap_sd=0.02, sitting_sd=0.02, sitting_df=46, common_sd=0.1, common_df=2)
    assert time_factor(drifting, 0.05) is None
