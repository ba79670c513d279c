"""The server that a load test drives, and LoadGen that drives it, held against theory and against the simulation."""

import math
import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest

from asrmeter.analysis.queueing import Batching, simulate
from asrmeter.common.early_stopping import least_judged, most_late
from asrmeter.measure import load_generator
from asrmeter.measure.load_generator import Answered, Load
from asrmeter.measure.serving import Request, Server

pytest.importorskip("mlperf_loadgen")
SERVICE_S = 0.025


def serve_alone(segments: Sequence[int]) -> None:
    time.sleep(SERVICE_S * len(segments))


def put_load(rate_per_s: float, duration_s: float, **changes: object) -> Answered:
    transcribe = changes.pop("transcribe", serve_alone)
    asked = {
        "target_latency_s": 0.5,
        "percentile": 0.95,
        "max_batch": 1,
        "max_wait_s": 0.0,
        "most_s": 1.5 * duration_s,
        "seed": 7,
        **changes,
    }
    load = Load(rate_per_s=rate_per_s, duration_s=duration_s, **asked)  # type: ignore[arg-type]
    return load_generator.run(load, 10, transcribe)  # type: ignore[arg-type]


def latencies_s(answered: Answered) -> np.ndarray:
    return np.array([one.latency_s for one in answered.requests])


def arrivals(answered: Answered) -> np.ndarray:
    came = np.array([one.arrived_s for one in answered.requests])
    return came - came[0]


def services_s(answered: Answered) -> np.ndarray:
    """Return what each batch took: a sleep takes longer than it was asked for."""
    return np.array([batch.ended_s - batch.began_s for batch in answered.batches])


@pytest.mark.alone
@pytest.mark.parametrize("load", [0.4, 0.7])
def test_a_constant_service_is_served_as_in_m_d_1(load: float) -> None:
    answered = put_load(load / SERVICE_S, 12)
    took_s, told_s = services_s(answered), latencies_s(answered)
    in_turn = iter(took_s.tolist())
    # What these very requests wait, one after the other.
    expected = simulate(arrivals(answered), lambda _: next(in_turn), Batching(1, 0.0)).latencies_s
    assert told_s.mean() == pytest.approx(expected.mean(), rel=0.05)
    # Pollaczek and Khinchine: what requests at random wait on average, over many more of them than came here.
    rate = (len(told_s) - 1) / arrivals(answered)[-1]
    busy = rate * took_s.mean()
    wait_s = rate * (took_s**2).mean() / (2 * (1 - busy))
    blocks = [block.mean() for block in np.array_split(told_s - took_s, 10)]
    interval = 2.3 * np.std(blocks, ddof=1) / math.sqrt(10)
    assert (told_s - took_s).mean() == pytest.approx(wait_s, rel=0.05, abs=interval + 0.05 * took_s.mean())


@pytest.mark.alone
def test_batches_form_as_in_the_simulation() -> None:
    def transcribe(segments: Sequence[int]) -> None:
        time.sleep(0.02 + 0.002 * len(segments))

    answered = put_load(100, 10, max_batch=8, max_wait_s=0.03, transcribe=transcribe)
    expected = simulate(arrivals(answered), lambda size: 0.0202 + 0.002 * size, Batching(8, 0.03))
    sizes = [len(batch.requests) for batch in answered.batches]
    assert np.mean(sizes) == pytest.approx(expected.batch_sizes.mean(), rel=0.05)
    assert latencies_s(answered).mean() == pytest.approx(expected.latencies_s.mean(), rel=0.05)
    assert np.quantile(latencies_s(answered), 0.95) == pytest.approx(np.quantile(expected.latencies_s, 0.95), rel=0.1)


def test_over_capacity_ends_by_itself_and_loses_nothing() -> None:
    begin_s = time.perf_counter()
    answered = put_load(120, 6, target_latency_s=0.1)
    # Three times what it can do: without giving up it would take 18 seconds.
    assert time.perf_counter() - begin_s < 10
    assert answered.gave_up and not answered.is_valid
    n_with_text = sum(one.latency_s is not None for one in answered.requests)
    assert 0 < n_with_text < len(answered.requests)
    assert n_with_text == sum(len(batch.requests) for batch in answered.batches)
    assert answered.told["Result is"] in ("VALID", "INVALID") and "Scheduled samples per second" in answered.told


def test_within_capacity_every_request_is_answered() -> None:
    answered = put_load(20, 3, least_requests=90, most_s=9)
    assert answered.is_valid and not answered.gave_up
    assert len(answered.requests) >= least_judged(0.95) == 90
    assert all(one.latency_s and one.latency_s >= SERVICE_S for one in answered.requests)
    # A tenth of a percent, and far from a core: the model has it.
    assert answered.generator_cpu_s < 0.05 * answered.took_s


def test_too_few_requests_are_not_valid_and_more_are_awaited() -> None:
    assert not put_load(20, 1).is_valid
    answered = put_load(30, 1, least_requests=100, most_s=5)
    assert len(answered.requests) >= 100 and answered.is_valid


def test_an_error_of_the_model_is_told() -> None:
    def fail(segments: Sequence[int]) -> None:
        raise MemoryError("no room for the batch")

    with pytest.raises(MemoryError, match="no room for the batch"):
        put_load(50, 1, transcribe=fail)


def test_seeds_decide_when_requests_come() -> None:
    one, other = (put_load(50, 1, seed=seed, transcribe=lambda _: None) for seed in (1, 2))
    gaps = [np.diff(arrivals(answered))[:20] for answered in (one, other)]
    assert not np.allclose(*gaps, atol=2e-3)


def test_a_full_batch_does_not_wait_and_a_lone_request_does() -> None:
    done: list[list[int]] = []
    server = Server(lambda _: None, lambda batch: done.append([one.id for one in batch]), 2, 0.2, give_up_s=60)
    begin_s = time.perf_counter()
    server.put([Request(n, n, begin_s) for n in range(3)])
    server._thread.join(0.1)
    assert done == [[0, 1]]
    server._thread.join(0.2)
    assert done == [[0, 1], [2]]
    server.close()
    assert not server._thread.is_alive() and threading.active_count() >= 1


def test_closing_serves_what_waits() -> None:
    served: list[int] = []
    server = Server(served.extend, lambda _: None, 4, 60.0, give_up_s=60)
    server.put([Request(n, n, time.perf_counter()) for n in range(3)])
    server.close()
    assert served == [0, 1, 2]


@pytest.mark.parametrize("n_slow", [0, 2, 4])
def test_loadgen_judges_by_the_rule_that_is_simulated(n_slow: int) -> None:
    slow = iter([True, *[False] * 10] * n_slow)

    def transcribe(segments: Sequence[int]) -> None:
        time.sleep(0.07 if next(slow, False) else 0.001)

    answered = put_load(150, 1, target_latency_s=0.05, max_batch=64, least_requests=150, transcribe=transcribe)
    n_late = int((latencies_s(answered) > 0.05).sum())
    assert answered.is_valid is (n_late <= most_late(len(answered.requests), 0.95))
    assert answered.is_valid is (n_slow == 0)
