"""How much a sitting measures."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrmeter.corpora.batches import by_length, representative, share_of_lap
from asrmeter.measure.stop_rule import MAX_UNSTEADY_ROUNDS, batches_of_sitting, n_unsteady, why_no_more

RANKED = [3, 0, 5, 1, 4, 2]
SIZES = st.integers(1, 40)


def test_batches_are_ranked_by_what_they_are_padded_to() -> None:
    audio_s = {"a": 4.0, "b": 9.0, "c": 5.0, "d": 8.0}
    assert by_length([["a"], ["b"], ["c"]], audio_s) == [1, 2, 0]
    assert by_length([["c", "d"], ["a", "b"]], audio_s) == [1, 0]
    assert by_length([["a", "b"], ["c", "b"], ["b", "a"]], audio_s) == [1, 0, 2]


@given(n=SIZES, n_laps=st.integers(1, 9))
def test_all_laps_have_every_batch_and_each_has_the_longest(n: int, n_laps: int) -> None:
    ranked = [*range(n)][::-1]
    shares = [share_of_lap(ranked, lap, n_laps) for lap in range(1, n_laps + 1)]
    assert set().union(*shares) == set(ranked)
    assert all(share[0] == ranked[0] for share in shares)
    sizes = [len(share) for share in shares]
    assert max(sizes) <= math.ceil(n / n_laps) + 1
    # No batch but the longest is in two laps.
    assert sum(sizes) == n + n_laps - 1


@given(n=SIZES, done=st.integers(1, 9), more=st.integers(0, 9))
def test_laps_that_are_added_later_leave_none_out(n: int, done: int, more: int) -> None:
    ranked = [*range(n)]
    first = [share_of_lap(ranked, lap, done) for lap in range(1, done + 1)]
    later = [share_of_lap(ranked, lap, done + more) for lap in range(done + 1, done + more + 1)]
    assert set().union(*first, *later) == set(ranked)


def test_each_lap_has_short_and_long_batches() -> None:
    assert share_of_lap(RANKED, 1, 2) == [3, 5, 4]
    assert share_of_lap(RANKED, 2, 2) == [3, 0, 1, 2]


def test_the_representative_batch_is_the_median() -> None:
    assert representative([7]) == 7
    assert representative([2, 1, 0]) == 1
    assert representative(RANKED) == 1


def test_a_sitting_makes_all_batches_if_a_round_of_them_fits() -> None:
    assert batches_of_sitting(RANKED, 1, 2, longest_s=1.0, budget_s=6.0, max_passes=300) == [3, 0, 1, 2, 4, 5]
    assert batches_of_sitting(RANKED, 1, 2, longest_s=1.1, budget_s=6.0, max_passes=300) == [3, 4, 5]
    assert batches_of_sitting(RANKED, 2, 2, longest_s=9.0, budget_s=6.0, max_passes=300) == [3, 0, 1, 2]
    assert batches_of_sitting(RANKED, 1, 3, longest_s=0.1, budget_s=6.0, max_passes=5) == [3, 1]


@pytest.mark.parametrize(
    ("rounds", "why"),
    [
        ([[4.0, 2.6]], None),
        ([[4.0, 2.7]], "no further round fits into 10 s"),
        ([[2.0], [2.0], [2.0], [2.0]], None),
        ([[2.0], [2.0], [2.0], [2.0], [2.0]], "no further round fits into 10 s"),
        ([[0.1] * 10], None),
        ([[0.1] * 11], "max_passes = 20 allows no further round"),
        ([[99.0]], "no further round fits into 10 s"),
    ],
)
def test_a_round_begins_while_half_of_it_fits(rounds: list[list[float]], why: str | None) -> None:
    assert why_no_more(rounds, budget_s=10, max_passes=20) == why


@given(pass_s=st.floats(0.1, 3), n=st.integers(1, 6), budget_s=st.floats(0.5, 10))
def test_the_budget_is_spent_within_half_a_round(pass_s: float, n: int, budget_s: float) -> None:
    rounds = [[pass_s] * n]
    while why_no_more(rounds, budget_s, max_passes=10**6) is None:
        rounds.append([pass_s] * n)
    spent_s = len(rounds) * n * pass_s
    assert spent_s > budget_s - n * pass_s / 2 - 1e-6
    assert len(rounds) == 1 or spent_s <= budget_s + n * pass_s / 2 + 1e-6


def test_slow_first_rounds_belong_to_the_warm_up() -> None:
    assert n_unsteady([[1.0]]) == 0
    assert n_unsteady([[1.04, 2.0], [1.0, 2.0], [1.0, 2.0]]) == 0
    assert n_unsteady([[1.5, 2.9], [1.0, 2.0], [1.0, 2.0]]) == 1
    assert n_unsteady([[1.5], [1.2], [1.0], [1.01], [0.99]]) == 2


def test_two_rounds_remain() -> None:
    assert n_unsteady([[9.0], [1.0]]) == 0
    assert n_unsteady([[9.0], [5.0], [1.0]]) == 1


def test_a_slow_round_later_on_stays() -> None:
    assert n_unsteady([[1.0], [1.5], [1.0], [1.0]]) == 0


def test_warm_up_ends_if_every_round_is_faster() -> None:
    faster = [[0.9**i] for i in range(20)]
    assert n_unsteady(faster) == MAX_UNSTEADY_ROUNDS
    assert n_unsteady(faster[:4]) == 2
