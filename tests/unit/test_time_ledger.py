"""The time of a study as a whole: what each sitting may take of what is left."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrmeter.measure import time_ledger
from asrmeter.measure.time_ledger import TimeLedger

CELLS = [f"m/fp32/cpu/5s-b{number}" for number in range(1, 9)]
times = st.floats(0, 1e6)
needed = st.lists(st.tuples(times, st.integers(1, 20)), min_size=1, max_size=12)


def sittings(laps: int, cells: list[str] = CELLS) -> list[str]:
    return [f"{cell}/lap{lap}" for lap in range(1, laps + 1) for cell in cells]


@pytest.fixture
def ledger(tmp_path: Path) -> TimeLedger:
    return TimeLedger(tmp_path / time_ledger.FILE)


def test_where_nothing_is_known_all_have_the_same(ledger: TimeLedger) -> None:
    assert ledger.allowance_s(CELLS[0], 1, 2, 30.0) == 30.0, "without a ledger"
    ledger.begin(30.0, sittings(2))
    assert ledger.allowance_s(CELLS[0], 1, 2, 30.0) == pytest.approx(30.0)


def test_what_one_leaves_is_for_all_others(ledger: TimeLedger) -> None:
    ledger.begin(30.0, sittings(2))
    ledger.add(f"{CELLS[0]}/lap1", 1, 15.0, 1.0)
    assert ledger.allowance_s(CELLS[1], 1, 2, 30.0) == pytest.approx(31.0)


def test_what_needs_much_has_that_and_the_others_share_the_rest(ledger: TimeLedger) -> None:
    ledger.begin(30.0, sittings(2))
    for cell in CELLS:
        ledger.add(f"{cell}/lap1", 1, 30.0, 100.0 if cell == CELLS[0] else 2.0)
    assert ledger.allowance_s(CELLS[0], 2, 2, 30.0) == 100.0
    assert ledger.allowance_s(CELLS[1], 2, 2, 30.0) == pytest.approx((8 * 30 - 100) / 7)


def test_a_sitting_that_is_tried_again_takes_from_the_others(ledger: TimeLedger) -> None:
    ledger.begin(30.0, sittings(2))
    for cell in CELLS:
        ledger.add(f"{cell}/lap1", 1, 30.0, 2.0)
    before = ledger.allowance_s(CELLS[1], 2, 2, 30.0)
    # As one more: eight are left beside it.
    assert ledger.allowance_s(CELLS[0], 1, 2, 30.0) == pytest.approx(8 * 30 / 9)
    ledger.add(f"{CELLS[0]}/lap1", 1, 24.0, 2.0)
    assert ledger.allowance_s(CELLS[1], 2, 2, 30.0) == pytest.approx(before - 24 / 8)


def test_when_the_time_is_over_each_has_what_it_needs(ledger: TimeLedger) -> None:
    ledger.begin(1.0, sittings(2))
    ledger.add(f"{CELLS[0]}/lap1", 1, 500.0, 7.0)
    assert ledger.allowance_s(CELLS[0], 2, 2, 1.0) == 7.0
    assert ledger.allowance_s(CELLS[1], 1, 2, 1.0) == 0.0


def test_a_later_run_knows_what_cells_need_and_has_spent_nothing(ledger: TimeLedger) -> None:
    ledger.begin(30.0, sittings(2))
    for cell in CELLS:
        ledger.add(f"{cell}/lap1", 1, 99.0, 70.0 if cell == CELLS[0] else 2.0)
    done, left = sittings(2)[:7], sittings(2)[7:]
    ledger.begin(30.0, left, done)
    assert ledger.allowance_s(CELLS[0], 2, 2, 30.0) == 70.0
    assert ledger.allowance_s(CELLS[1], 2, 2, 30.0) == pytest.approx((9 * 30 - 70) / 8)
    # Its record is gone, and what it needed is forgotten with that.
    assert ledger.allowance_s(CELLS[7], 1, 2, 30.0) == pytest.approx((9 * 30 - 70) / 8)


def test_what_is_damaged_is_left_out(ledger: TimeLedger, tmp_path: Path) -> None:
    ledger.begin(30.0, sittings(1))
    path = tmp_path / time_ledger.FILE
    good = json.dumps({"sitting": f"{CELLS[0]}/lap1", "lap": 1, "spent_s": 15.0, "least_s": 1.0})
    odd = ['{"sitting": 5, "lap": 1, "least_s": 1}', '{"sitting": "a/lap1", "lap": null, "least_s": 1}', "[1]", "5", ""]
    odd += ['{"sitting": "a/lap1", "lap": 1, "least_s": NaN, "spent_s": 1e999}', "[" * 5000, '{"pool_s": -1}', "\0\xff"]
    odd += ['{"sitting": "a/lap1", "lap": 1, "least_s": 1, "spent_s": "long"}', good[:-4]]
    with open(path, "a", encoding="latin-1") as stream:
        stream.write("\n".join([*odd, good, ""]))
    assert ledger.allowance_s(CELLS[1], 1, 1, 30.0) == pytest.approx((8 * 30 - 15) / 7)


@given(st.binary(max_size=300))
def test_nothing_in_the_file_stops_a_measurement(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("ledger") / time_ledger.FILE
    path.write_bytes(b'{"pool_s": 100, "n_sittings": 3}\n' + content)
    ledger = TimeLedger(path)
    assert ledger.allowance_s("a", 1, 1, 5.0) >= 0
    ledger.add("a/lap1", 1, 1.0, 1.0)


def test_a_ledger_that_cannot_be_read_or_written_stops_nothing(tmp_path: Path) -> None:
    nowhere = TimeLedger(tmp_path / "none" / "ledger")
    nowhere.add("a/lap1", 1, 1.0, 1.0)
    assert nowhere.allowance_s("a", 1, 1, 5.0) == 5.0
    (tmp_path / "folder").mkdir()
    TimeLedger(tmp_path / "folder").add("a/lap1", 1, 1.0, 1.0)
    assert TimeLedger(tmp_path / "folder").allowance_s("a", 1, 1, 5.0) == 5.0


@given(needed, times)
def test_the_level_shares_all_the_time_there_is(needs: list[tuple[float, int]], time_s: float) -> None:
    level = time_ledger._level([(need, float(n)) for need, n in needs], time_s)
    taken = sum(max(level, need) * n for need, n in needs)
    least = sum(need * n for need, n in needs)
    assert level >= 0
    if time_s >= least:
        assert taken == pytest.approx(time_s)
    else:
        assert taken == pytest.approx(least), "there is not enough, and nobody has more than it needs"


@given(needed, times, times)
def test_more_time_is_never_less_for_anybody(needs: list[tuple[float, int]], time_s: float, more_s: float) -> None:
    weighted = [(need, float(n)) for need, n in needs]
    assert time_ledger._level(weighted, time_s + more_s) >= time_ledger._level(weighted, time_s) - 1e-6


@given(
    least=st.lists(st.floats(0.5, 20), min_size=2, max_size=8),
    laps=st.integers(1, 4),
    share_s=st.floats(20, 60),
    seed=st.integers(0, 9),
)
def test_a_run_takes_its_time_and_no_more(
    tmp_path_factory: pytest.TempPathFactory, least: list[float], laps: int, share_s: float, seed: int
) -> None:
    """Each sitting takes what it may, where that is enough for all."""
    ledger = TimeLedger(tmp_path_factory.mktemp("ledger") / time_ledger.FILE)
    needs = {f"cell{number}": seconds for number, seconds in enumerate(least)}
    ledger.begin(share_s, sittings(laps, list(needs)))
    spent_s, dice = 0.0, random.Random(seed)
    for lap in range(1, laps + 1):
        for cell in dice.sample(list(needs), len(needs)):
            allowed_s = ledger.allowance_s(cell, lap, laps, share_s)
            assert allowed_s >= needs[cell]
            spent_s += allowed_s
            ledger.add(f"{cell}/lap{lap}", lap, allowed_s, needs[cell])
    assert spent_s == pytest.approx(share_s * laps * len(needs))
