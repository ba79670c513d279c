"""How often intervals hold: many studies are simulated. And the parts that they are made of, beside other ways."""

import math

import numpy as np
import pytest

from asrmeter.analysis.additive_fit import additive_fit
from asrmeter.analysis.lap_table import LapTable
from asrmeter.analysis.moderated_variances import moderate
from asrmeter.analysis.variance_components import Sitting, fit
from asrmeter.common.student import t_quantiles
from helpers.lap_world import World


@pytest.mark.simulation
@pytest.mark.parametrize(
    "world",
    [
        World(own_sd=0.0),
        World(own_sd=0.03, n_laps=2),
        World(own_sd=0.10, n_laps=5),
        World(drift_sd=0.03),
        World(drift_sd=0.08, n_laps=2),
        World(drift_sd=0.08),
        World(drift_sd=0.08, n_laps=5),
        World(heavy_tails=True, n_laps=2),
        World(heavy_tails=True, drift_sd=0.03),
        World(unequal=True),
        World(unequal=True, drift_sd=0.03, n_laps=2),
        World(n_cells=6),
        World(n_cells=6, drift_sd=0.08),
        World(n_cells=6, heavy_tails=True, n_laps=2),
    ],
    ids=str,
)
def test_intervals_hold_as_often_as_they_say(world: World) -> None:
    # 93 to 97 %, and the noise of so many studies: cells of a study share its drift.
    found = world.coverage(300)
    for share in (found.truth, found.ratio, found.next_run):
        assert 0.93 - 0.015 <= share <= 0.97 + 0.01, found


@pytest.mark.simulation
def test_a_pooled_variance_fails_where_short_cells_scatter_more() -> None:
    dice, world = np.random.default_rng(2), World(unequal=True)
    short = slice(0, 6)
    pooled, moderated = [], []
    for _ in range(200):
        found = world.fitted(world.study(dice))
        error = np.abs(found.additive.rows[short])
        pooled.append(error <= 2.01 * math.sqrt(found.mean_variance / 3))
        moderated.append(
            error <= t_quantiles(found.variances.df[short]) * np.sqrt(found.variances.variances[short] / 3)
        )
    assert np.mean(pooled) < 0.88 < 0.9 < np.mean(moderated)


@pytest.mark.simulation
def test_laps_that_share_a_batch_only_hold_as_often() -> None:
    dice, held = np.random.default_rng(3), []
    log_batches = np.log([3.0, 1.0, 1.5, 0.7, 2.0, 1.2, 0.9])
    truth = np.exp(log_batches).mean()
    for _ in range(60):
        lap_effects = dice.normal(0, 0.04, (12, 3))
        sittings = [
            Sitting(cell, lap + 1, {batch: timed(log_batches[batch] + effect, dice) for batch in (0, lap + 1, lap + 4)})
            for (cell, lap), effect in np.ndenumerate(lap_effects)
        ]
        held += [one.low <= truth <= one.high for one in fit(sittings).values() if one.low and one.high]
    assert len(held) == 720 and 0.92 <= np.mean(held) <= 0.98


def timed(log_latency: float, dice: np.random.Generator) -> list[float]:
    """Return two passes of a batch."""
    return np.exp(log_latency + dice.normal(0, 0.03, 2)).tolist()


def test_additive_fit_is_that_of_weighted_least_squares() -> None:
    dice = np.random.default_rng(4)
    table, weights = dice.normal(0, 1, (6, 4)), dice.uniform(0.1, 10, 6)
    seen = dice.random((6, 4)) < 0.7
    seen[:, 0] = seen[0] = True
    places = np.argwhere(seen)
    design = np.zeros((len(places), 10))
    design[range(len(places)), places[:, 0]] = design[range(len(places)), 6 + places[:, 1]] = 1
    root = np.sqrt(weights[places[:, 0]])
    weighted = design * root[:, None]
    hat = weighted @ np.linalg.pinv(weighted)
    residuals = (np.eye(len(places)) - hat) @ (table[seen] * root) / root
    found = additive_fit(table, seen, weights)
    assert found.residuals[seen] == pytest.approx(residuals)
    assert found.leverage[seen] == pytest.approx(np.diag(hat))
    assert found.columns.sum() == pytest.approx(0)
    assert (found.rows[:, None] + found.columns + found.residuals)[seen] == pytest.approx(table[seen])


def test_own_variances_are_those_of_least_squares() -> None:
    seen = np.ones((5, 3), bool)
    seen[0, 2] = False
    found = LapTable.of(np.random.default_rng(8).normal(0, 0.05, (5, 3)), seen, np.zeros(5))
    assert found
    cells, laps = np.nonzero(seen)
    # The last lap's effect is minus the sum of the others.
    contrasts = np.vstack([np.eye(2), [-1, -1]])
    design = np.hstack([np.eye(5)[cells], contrasts[laps]]) / np.sqrt(found.variances.variances[cells])[:, None]
    exact = np.diag(np.linalg.inv(design.T @ design))[:5]
    assert found.own_variances(np.zeros(5), np.zeros(5)) == pytest.approx(exact, rel=1e-3)
    assert exact[0] > found.variances.variances[0] / 2 * 1.05


def test_columns_that_no_row_relates_are_taken_as_equal() -> None:
    seen = np.array([[True, True, False, False], [False, False, True, True]])
    found = additive_fit(np.array([[1.0, 1.2, 0, 0], [0, 0, 5.0, 5.4]]), seen, np.ones(2))
    assert found.rows == pytest.approx([1.1, 5.2])
    assert found.columns == pytest.approx([-0.1, 0.1, -0.2, 0.2])


def test_equal_variances_are_pooled() -> None:
    dice = np.random.default_rng(5)
    observed = 0.01 * dice.chisquare(4, 200) / 4
    found = moderate(observed, np.full(200, 4.0), np.zeros(200))
    assert found.variances == pytest.approx(np.full(200, observed.mean()), rel=0.25)
    assert found.df.min() > 30


def test_different_variances_keep_their_own() -> None:
    dice = np.random.default_rng(6)
    true = 0.01 * 5 / dice.chisquare(5, 400)
    found = moderate(true * dice.chisquare(4, 400) / 4, np.full(400, 4.0), np.zeros(400))
    # Prior degrees of freedom near the five of the truth, beside four of their own.
    assert 7 <= found.df[0] <= 12
    errors = np.log(found.variances / true)
    assert abs(np.mean(errors)) < 0.15 and np.std(errors) < 0.6


def test_one_wild_cell_does_not_widen_the_others() -> None:
    observed = np.full(24, 0.0004)
    observed[0] = 1.0
    found = moderate(observed, np.full(24, 2.0), np.zeros(24))
    assert found.variances[0] > 0.2
    assert found.variances[1:].max() < 0.002


def test_variances_follow_the_size_only_where_they_do() -> None:
    dice = np.random.default_rng(7)
    size = np.linspace(-2, 2, 100)
    noise = dice.chisquare(2, 100) / 2
    trend = moderate(0.01 * np.exp(-size) * noise, np.full(100, 2.0), size).variances
    assert trend[0] / trend[-1] > 15
    assert np.ptp(np.log(moderate(0.01 * noise, np.full(100, 2.0), np.zeros(100)).variances)) < 1.5


def test_what_was_not_observed_has_what_all_have() -> None:
    found = moderate(np.array([0.01, 0.01, 5.0]), np.array([2.0, 2.0, 0.0]), np.zeros(3))
    assert found.variances[2] == pytest.approx(0.01, rel=0.01)
    assert found.df[2] <= 4
