"""The search for a capacity: what it probes, and what it says."""

import math

import pytest

from asrmeter.measure.capacity_search import PRECISION, Search, Verdict


class World:
    """A machine that carries `capacity` requests a second, and says otherwise of the rates in `wrong`, once each."""

    def __init__(self, capacity: float, time_s: float = 1e9, gives_up_above: float = math.inf) -> None:
        self.capacity, self.wrong, self.now_s = capacity, set[int](), 0.0
        self.gives_up_above = gives_up_above
        self.probed: list[float] = []
        self.search = Search(self.probe, lambda _: 10.0, time_s, lambda: self.now_s)

    def probe(self, rate: float) -> Verdict:
        self.probed.append(rate)
        self.now_s += 10
        is_valid = (rate <= self.capacity) is not (len(self.probed) in self.wrong)
        return Verdict(rate, is_valid, 1.2 * self.capacity if rate > self.gives_up_above else None)


@pytest.mark.parametrize("predicted", [1.0, 9.5, 10.0, 10.4, 13.0, 60.0])
def test_the_bracket_holds_the_capacity(predicted: float) -> None:
    world = World(10.0)
    world.search.run(predicted)
    low, high = world.search.low_per_s, world.search.high_per_s
    assert low and high and low <= 10 < high <= (1 + PRECISION) * low and world.search.is_narrow
    assert len(world.probed) <= 14


def test_a_good_prediction_takes_few_probes() -> None:
    world = World(10.0)
    world.search.run(9.8)
    # 9.8, 11.3, 10.5, then the curve.
    assert len(world.probed) == 6
    low = world.search.low_per_s
    assert low and world.probed[-3:] == pytest.approx([0.5 * low, 0.75 * low, 0.25 * low])


def test_no_probe_begins_that_would_end_too_late() -> None:
    world = World(10.0, time_s=45)
    world.search.run(2.0)
    assert world.now_s <= 45 and not world.search.is_narrow
    assert world.search.low_per_s and world.search.high_per_s is None
    alone = World(10.0, time_s=1)
    alone.search.run(2.0)
    assert alone.probed == [2.0]


def test_a_verdict_that_contradicts_another_is_repeated() -> None:
    world = World(10.0)
    world.search.run(9.8)
    n_before_curve = len(world.probed) - 3
    again = World(10.0)
    again.wrong = {n_before_curve + 1}
    again.search.run(9.8)
    # Half of the capacity was called invalid once: it was tried again, and the last word counts.
    assert again.probed[n_before_curve] == again.probed[n_before_curve + 1]
    assert again.search.low_per_s == world.search.low_per_s and again.search.is_narrow


def test_a_capacity_by_chance_does_not_stand() -> None:
    world = World(4.0)
    world.wrong = {1}
    world.search.run(10.0)
    # Called valid by chance, above all that follows: half of it is not, nor is it itself when tried again.
    assert world.search.low_per_s is None or world.search.low_per_s <= 4.0
    assert not world.search.is_narrow


def test_nothing_far_below_the_prediction_is_tried() -> None:
    world = World(0.0)
    world.search.run(10.0)
    assert world.search.low_per_s is None and min(world.probed) >= 0.5 and len(world.probed) < 8


def test_far_above_the_capacity_what_the_server_did_leads_on() -> None:
    world = World(10.0, gives_up_above=15.0)
    world.search.run(600.0)
    # 600, then 12 and 10.4, which are invalid, ...
    assert world.probed[1] == 12.0 and world.search.is_narrow and len(world.probed) <= 8


def test_too_few_requests_are_no_verdict_and_end_the_search() -> None:
    search = Search(lambda rate: Verdict(rate, None), lambda _: 10.0, 1e9, lambda: 0.0)
    search.run(2.0)
    assert len(search.verdicts) == 1 and search.low_per_s is None and search.high_per_s is None
