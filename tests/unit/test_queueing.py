"""The simulated queue, held against the theory of queues."""

import math

import numpy as np
import pytest

from asrmeter.analysis.queueing import (
    Batching,
    ServiceTimes,
    arrivals_s,
    capacity_per_s,
    percentiles_s,
    simulate,
    valid_per_s,
)
from asrmeter.common.early_stopping import least_judged, most_late

ALONE = Batching(1, 0.0)
N = 200_000


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_a_constant_service_waits_as_in_m_d_1(load: float) -> None:
    service_s = 0.02
    served = simulate(arrivals_s(load / service_s, N, seed=1), lambda _: service_s, ALONE)
    # Pollaczek and Khinchine: the mean wait of M/D/1.
    assert served.latencies_s.mean() == pytest.approx(service_s * (1 + load / (2 * (1 - load))), rel=0.03)


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_an_exponential_service_waits_as_in_m_m_1(load: float) -> None:
    rng = np.random.default_rng(2)
    served = simulate(arrivals_s(load, N, seed=3), lambda _: float(rng.exponential()), ALONE)
    # The latency of M/M/1 is exponential too.
    for percentile in (0.5, 0.95):
        expected = -math.log(1 - percentile) / (1 - load)
        assert np.quantile(served.latencies_s, percentile) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(("n_machines", "load"), [(2, 1.2), (4, 3.0)])
def test_machines_that_share_a_queue_wait_as_erlang_says(n_machines: int, load: float) -> None:
    rng = np.random.default_rng(4)
    served = simulate(arrivals_s(load, N, seed=5), lambda _: float(rng.exponential()), ALONE, n_machines)
    terms = [load**k / math.factorial(k) for k in range(n_machines)]
    last = load**n_machines / math.factorial(n_machines) * n_machines / (n_machines - load)
    waits = last / (sum(terms) + last)
    assert served.latencies_s.mean() == pytest.approx(1 + waits / (n_machines - load), rel=0.04)


def test_a_batch_is_what_waits_or_comes_in_time() -> None:
    arrivals = np.array([0.0, 0.1, 0.2, 5.0, 5.4, 9.0])
    served = simulate(arrivals, lambda size: 1.0 + size, Batching(2, 0.5))
    # 0 and 0.1 fill a batch at once; 0.2 has waited too long when the machine is free; 5.4 comes within half a second.
    assert served.batch_sizes.tolist() == [2, 1, 2, 1]
    assert served.latencies_s.tolist() == pytest.approx([3.1, 3.0, 4.9, 3.4, 3.0, 2.5])


def test_service_times_are_those_that_were_measured() -> None:
    service = ServiceTimes({1: [1.0, 1.1, 0.9], 4: [2.5, 2.5]})
    assert [service.median_s(size) for size in (1, 2, 4)] == pytest.approx([1.0, 1.5, 2.5])
    draw = service.drawn(seed=1)
    assert {round(draw(1), 6) for _ in range(50)} == {0.9, 1.0, 1.1}
    assert draw(4) == 2.5 and service.max_batch == 4


def test_capacity_is_the_highest_rate_that_holds() -> None:
    service = ServiceTimes({1: [0.1]})
    rate = capacity_per_s(service, ALONE, target_latency_s=0.5, percentile=0.95)
    [at_capacity], [above] = (percentiles_s(part * rate, service, ALONE, [0.95]) for part in (1, 1.03))
    assert at_capacity <= 0.5 < above
    # The wait of M/D/1 is known exactly (Erlang): 95 of 100 wait at most 0.4 s before their 0.1 s.
    assert _share_that_waits_at_most(0.4, 0.1, rate) == pytest.approx(0.95, abs=0.005)
    assert capacity_per_s(service, ALONE, target_latency_s=0.05, percentile=0.95) < 0.1
    several = capacity_per_s(service, ALONE, target_latency_s=0.5, percentile=0.95, n_machines=3)
    # Three machines at one queue carry more than three queues.
    assert 3 * rate < several < 30


def _share_that_waits_at_most(wait_s: float, service_s: float, rate_per_s: float) -> float:
    terms = (
        (-rate_per_s * (wait_s - k * service_s)) ** k
        / math.factorial(k)
        * math.exp(rate_per_s * (wait_s - k * service_s))
        for k in range(math.floor(wait_s / service_s) + 1)
    )
    return (1 - rate_per_s * service_s) * sum(terms)


def test_batches_carry_more_where_they_cost_less() -> None:
    service = ServiceTimes({1: [0.1], 8: [0.2]})
    alone, in_batches = (
        capacity_per_s(service, Batching(size, 0.05), target_latency_s=1.0, percentile=0.95) for size in (1, 8)
    )
    assert alone < 10 < in_batches < 40


def test_early_stopping_allows_what_mlperf_tells() -> None:
    assert [least_judged(share) for share in (0.9, 0.95, 0.99)] == [44, 90, 459]
    # By sums of the binomial in whole numbers: 5 late of 100 are expected at the limit.
    for n in (89, 90, 150, 600):
        chances = [math.comb(n, k) * 0.05**k * 0.95 ** (n - k) for k in range(n)]
        allowed = most_late(n, 0.95)
        assert sum(chances[: allowed + 1]) <= 0.01 < sum(chances[: allowed + 2])
    assert [most_late(n, 0.95) for n in (89, 90, 150, 600)] == [-1, 0, 1, 17]


def test_short_load_tests_find_less_and_scatter_more() -> None:
    service = ServiceTimes({1: [0.1]})
    capacity = capacity_per_s(service, ALONE, target_latency_s=0.5, percentile=0.95)
    found = {
        test_s: [valid_per_s(service, ALONE, 0.5, 0.95, test_s, share) for share in (0.975, 0.5, 0.025)]
        for test_s in (10, 100, 2000)
    }
    widths = []
    for low, middle, high in found.values():
        assert low < middle < high
        widths.append((high - low) / middle)
    assert widths == sorted(widths, reverse=True)
    # A long one finds what the percentile itself says.
    assert found[2000][1] == pytest.approx(capacity, rel=0.03) and found[100][1] < 0.97 * capacity
    assert valid_per_s(service, ALONE, 0.05, 0.95, 10, 0.5) == 0
