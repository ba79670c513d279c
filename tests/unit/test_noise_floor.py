"""The noise floor: what two measurements of the same cell differ by."""

from typing import Any

import pytest

from asrmeter.analysis import repeatability


def cell(median: float | None, low: float | None = None, high: float | None = None, **changes: Any) -> dict[str, Any]:
    identity = {"model": "m", "variant": "fp32", "device": "cpu", "duration_s": 5, "batch_size": 1}
    latency = {"latency_s_median": median, "latency_s_ci_low": low, "latency_s_ci_high": high}
    measured = {"status": "ok", "reason": None, "machine_id": "a", "device_name": "A"}
    return identity | latency | measured | changes


def test_the_difference_is_relative_to_the_mean() -> None:
    row = repeatability.pair(cell(1.0, 0.9, 1.1), cell(1.5, 1.2, 1.6))
    assert row["relative_difference"] == pytest.approx(0.4)
    assert row["latency_s_median_again"] == 1.5
    assert row["overlap"] is False
    assert row["note"] is None


def test_touching_intervals_overlap_missing_ones_say_nothing() -> None:
    assert repeatability.pair(cell(1.0, 0.9, 1.1), cell(1.2, 1.1, 1.3))["overlap"] is True
    assert repeatability.pair(cell(1.0), cell(1.2, 1.1, 1.3))["overlap"] is None


@pytest.mark.parametrize("other", [{"machine_id": "b"}, {"device_name": "B"}])
def test_two_machines_have_no_noise_floor(other: dict[str, str]) -> None:
    row = repeatability.pair(cell(1.0, 0.9, 1.1), cell(1.2, 1.1, 1.3, **other))
    assert (row["relative_difference"], row["overlap"]) == (None, None)
    assert "different hardware" in row["note"]


def test_a_measurement_that_failed_leaves_a_reason() -> None:
    row = repeatability.pair(cell(1.0), cell(None, status="oom", reason="too large"))
    assert row["relative_difference"] is None
    assert row["note"] == "the second measurement has no latency (oom: too large)"
    assert repeatability.floor([row], cell(1.0)) == {"floor": None, "note": row["note"]}


def test_the_floor_is_the_largest_difference_of_the_device() -> None:
    pairs = [
        repeatability.pair(cell(1.0), cell(1.01)),
        repeatability.pair(cell(1.0), cell(1.02)),
        repeatability.pair(cell(1.0, device="cuda"), cell(2.0)),
    ]
    assert repeatability.floor(pairs, cell(3.0))["floor"] == pytest.approx(0.02 / 1.01)
    assert repeatability.floor([], cell(3.0)) == {
        "floor": None,
        "note": "protocol.aa_pairs is 0: no cell was measured twice",
    }


def test_the_floor_is_that_of_the_hardware() -> None:
    there = {"machine_id": "b"}
    pairs = [repeatability.pair(cell(1.0), cell(1.01)), repeatability.pair(cell(1.0, **there), cell(1.5, **there))]
    assert repeatability.floor(pairs, cell(3.0))["floor"] == pytest.approx(0.01 / 1.005)
    assert repeatability.floor(pairs[1:], cell(3.0)) == {
        "floor": None,
        "note": "no cell was measured twice on its hardware",
    }
