"""Percentiles over requests: how many they take, what an interval holds, and what counts once."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrmeter.analysis.requests import SHARES, Percentile, Requests
from asrmeter.common.order_statistics import least_n, least_rank, order_interval

P95 = SHARES["p95"]


def passes(of_batches: Sequence[Sequence[float]], batch_size: int = 1) -> list[dict[str, Any]]:
    """Return passes over batches, given the latencies of each; every batch has segments of its own."""
    return [
        {"batch": batch, "latency_s": latency_s, "segment_ids": [f"{batch}-{i}" for i in range(batch_size)]}
        for batch, own in enumerate(of_batches)
        for latency_s in own
    ]


def exact(of_batches: Sequence[Sequence[float]], batch_size: int = 1) -> Requests:
    """Return requests to a machine that is the same in all laps."""
    return Requests(passes(of_batches, batch_size), 1.0, 1.0)


def below(n: int, share: float) -> list[float]:
    """Return the probability that fewer than k of n values lie below a percentile, by the definition."""
    mass = [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]
    return [0.0, *itertools.accumulate(mass)]


@pytest.mark.parametrize(("name", "n"), [("p50", 6), ("p90", 29), ("p95", 59), ("p99", 299)])
def test_so_many_segments_a_percentile_takes(name: str, n: int) -> None:
    assert least_n(SHARES[name]) == n
    assert order_interval(n - 1, SHARES[name]) is None


@given(st.integers(1, 400), st.sampled_from(sorted(SHARES.values())))
def test_two_of_the_values_hold_the_percentile_with_95_per_cent(n: int, share: float) -> None:
    known = below(n, share)
    ranks = order_interval(n, share)
    if ranks is None:
        assert known[n] - known[1] < 0.95
    else:
        low, high = ranks
        assert 1 <= low < high <= n
        # Discrete as it is, hardly more than it has to be.
        assert 0.95 - 1e-12 <= known[high] - known[low] <= 0.985
    least = least_rank(n, share)
    if least is not None:
        assert 1 - known[least] >= 0.95 - 1e-12
        assert least == n or 1 - known[least + 1] < 0.95


def test_of_one_pass_each_it_is_order_statistics() -> None:
    found = exact([[float(i)] for i in range(1, 101)]).percentile(P95)
    assert found == Percentile(pytest.approx(95), pytest.approx(90), pytest.approx(99))
    assert exact([[2.0]] * 59).percentile(P95) == Percentile(2.0, pytest.approx(2.0), pytest.approx(2.0))


def test_a_segment_counts_once_however_often_it_was_timed() -> None:
    once = exact([[float(i)] for i in range(1, 101)])
    uneven = exact([[float(i)] * (1 if i % 2 else 9) for i in range(1, 101)])
    assert (once.n, uneven.n) == (100, 100)
    for share in SHARES.values():
        assert once.percentile(share) == uneven.percentile(share)
    # Repetitions of the same six segments are no requests of other users.
    few = exact([[float(i)] * 100 for i in range(1, 7)])
    assert few.percentile(P95).value is None and few.percentile(0.5).value == 3.0


def test_jitter_is_part_of_what_a_request_takes() -> None:
    """One pass in ten takes five times as long, of whichever segment."""
    of_batches = [[1.0] * 9 + [5.0]] * 60
    found = exact(of_batches)
    assert (found.percentile(0.5).value, found.percentile(P95).value) == (1.0, 5.0)
    assert found.jitter_s_p95 == pytest.approx(4.0 * math.sqrt(10 / 9))
    # What segments differ by is no jitter.
    assert exact([[float(i)] * 5 for i in range(1, 21)]).jitter_s_p95 == 0.0
    assert exact([[1.0] * 4] * 60).jitter_s_p95 is None
    assert exact([[1.0] * 5] * 11).jitter_s_p95 is None


def test_segments_of_a_batch_wait_for_the_same_pass() -> None:
    found = exact([[1.0]] * 58, batch_size=4)
    assert (found.n, found.n_batches) == (232, 58)
    assert found.percentile(P95).value is None
    assert exact([[1.0]] * 59, batch_size=4).percentile(P95).value == 1.0


def test_from_few_requests_a_percentile_has_a_bound_from_below() -> None:
    of_batches = [[float(i)] for i in range(1, 7)]
    assert exact(of_batches).percentile(P95) == Percentile(low=pytest.approx(5.0))
    # The laps may all have been slow ones.
    assert Requests(passes(of_batches), 0.9, 1.1).percentile(P95).low == pytest.approx(4.5)
    assert Requests(passes(of_batches)).percentile(P95) == Percentile()
    assert Requests([]).percentile(P95) == Percentile()


def test_laps_make_the_interval_wider() -> None:
    of_batches = [[float(i)] for i in range(1, 101)]
    found = Requests(passes(of_batches), 0.8, 1.3).percentile(P95)
    assert found.low and found.low < 0.8 * 95 and found.low > 0.8 * 90
    assert found.high and 1.3 * 95 < found.high < 1.3 * 99
    assert Requests(passes(of_batches)).percentile(P95) == Percentile(pytest.approx(95))


SEGMENTS = {
    "lognormal": lambda rng, n: rng.lognormal(0, 0.4, n),
    "uniform": lambda rng, n: rng.uniform(0.5, 1.5, n),
    "two kinds": lambda rng, n: rng.lognormal(0, 0.05, n) + 2.0 * (rng.random(n) < 0.2),
}


def drawn(rng: np.random.Generator, segments: str, n: int, n_passes: int, jitter: float) -> np.ndarray:
    """Return the latencies of n segments, in rows, whose passes scatter about what each takes."""
    return SEGMENTS[segments](rng, n)[:, None] * rng.lognormal(0, jitter, (n, n_passes))


@pytest.mark.simulation
@pytest.mark.parametrize(
    ("segments", "n", "n_passes", "jitter"),
    [
        ("lognormal", 59, 1, 0.02),
        ("lognormal", 59, 4, 0.02),
        ("lognormal", 150, 4, 0.1),
        ("uniform", 59, 4, 0.02),
        ("uniform", 150, 1, 0.02),
        ("two kinds", 59, 4, 0.1),
        ("two kinds", 150, 4, 0.02),
    ],
)
def test_the_interval_holds_the_percentile_in_95_of_100_studies(
    segments: str, n: int, n_passes: int, jitter: float
) -> None:
    rng = np.random.default_rng(0)
    truth = float(np.quantile(drawn(rng, segments, 300_000, 4, jitter), P95))
    n_studies, held = 1000, 0
    for _ in range(n_studies):
        found = exact(drawn(rng, segments, n, n_passes, jitter).tolist()).percentile(P95)
        assert found.low is not None and found.high is not None
        held += found.low <= truth <= found.high
    assert 0.93 <= held / n_studies <= 0.97


@pytest.mark.simulation
def test_a_bound_from_below_holds_from_six_requests() -> None:
    rng = np.random.default_rng(0)
    truth = math.exp(0.4 * 1.6449)
    bounds = [exact([[float(one)] for one in rng.lognormal(0, 0.4, 6)]).percentile(P95).low for _ in range(4000)]
    assert np.mean([bound is not None and bound <= truth for bound in bounds]) == pytest.approx(0.967, abs=0.012)
