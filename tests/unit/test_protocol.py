"""When a cell is warm, and when to stop."""

from asrmeter.measure.stop_rule import MAX_UNSTEADY_ROUNDS, WARM_AFTER_S, StopRule

RULE = StopRule(target=0.025, min_passes=6, max_passes=20, budget_s=10)


def test_a_second_of_work_ends_the_warm_up() -> None:
    assert not RULE.warm(0.0)
    assert RULE.warm(WARM_AFTER_S)


def test_slow_first_rounds_belong_to_the_warm_up() -> None:
    assert RULE.n_unsteady([[1.0]]) == 0
    assert RULE.n_unsteady([[1.04, 2.0], [1.0, 2.0]]) == 0
    assert RULE.n_unsteady([[1.5, 2.9], [1.0, 2.0]]) == 1
    assert RULE.n_unsteady([[1.5], [1.2], [1.0], [1.01], [0.99]]) == 2
    assert RULE.steady([[1.5], [1.2], [1.0], [1.01], [0.99]]) == [[1.0], [1.01], [0.99]]


def test_a_slow_round_later_on_stays() -> None:
    assert RULE.n_unsteady([[1.0], [1.5], [1.0], [1.0]]) == 0


def test_warm_up_ends_if_every_round_is_faster() -> None:
    faster = [[0.9**i] for i in range(20)]
    assert RULE.n_unsteady(faster) == MAX_UNSTEADY_ROUNDS
    assert RULE.n_unsteady(faster[:3]) == 2


def test_converged_needs_a_minimum_of_passes() -> None:
    assert not RULE.converged([[1.0]] * 5)
    assert RULE.converged([[1.0]] * 6)
    assert RULE.converged([[1.0, 5.0]] * 3)
    assert not RULE.converged([[1.0], [1.5], [0.7], [1.2], [0.9], [1.1]])


def test_measuring_ends_with_a_reason() -> None:
    assert RULE.exhausted([[0.1]] * 19) is None
    assert RULE.exhausted([[0.1, 0.1]] * 10) == "max_passes = 20 ran"
    assert RULE.exhausted([[4.0], [7.0]]) == "budget_s = 10 was spent"
