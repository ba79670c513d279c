"""Purposes that ask what a machine carries: a load as a limit, and the capacity as what decides."""

from typing import Any

import pytest

from asrmeter.analysis.capacity_tables import tables
from asrmeter.analysis.limits import Outcome
from asrmeter.analysis.results import results_of
from asrmeter.analysis.scenarios import Recommendation, recommend
from asrmeter.analysis.under_load import p95_at, with_capacities
from asrmeter.analysis.unmeasured import unmeasured_of
from asrmeter.common.errors import AsrmeterError
from asrmeter.records.events import Searched
from asrmeter.study import validation
from helpers.capacity import LOAD, load_cells, load_study, load_test, passes_of, probe

EVENTS = (
    probe(1, 14.0, latencies_s=[0.8] * 400),
    probe(2, 7.0, latencies_s=[0.3] * 400),
    probe(3, 3.5, latencies_s=[0.2] * 400),
    probe(4, 14.6, valid=False, latencies_s=[1.2] * 400),
    Searched(low_per_s=14.0, high_per_s=14.6, is_narrow=True),
)


def answered(**scenario: Any) -> Recommendation:
    """Return what is recommended where ct2-int8 takes half as long as fp32, which was load-tested."""
    study = load_study(report={"scenarios": {"mine": scenario}})
    cells = [
        {**row, **{key: row[key] / 2 for key in row if key.startswith("latency_s_") and row[key]}}
        if row["variant"] == "ct2-int8"
        else row
        for row in load_cells(study)
    ]
    loads, capacities = tables(study, cells, passes_of(cells), {"whisper-tiny.en/fp32/cpu": load_test(EVENTS)})
    results = with_capacities(results_of(cells), loads, capacities)
    [found] = recommend(results, unmeasured_of(cells), study)
    return found


def test_the_highest_capacity_decides() -> None:
    found = answered(prefer="capacity")
    assert found.ranking and found.ranking.first.variant == "ct2-int8"
    modelled = found.ranking.first.capacity
    assert modelled and modelled.low and modelled.high and modelled.low < modelled.value < modelled.high
    assert found.ranking.runner_up and found.ranking.runner_up.capacity
    # The measured one, not what the model says of it.
    assert found.ranking.runner_up.capacity.value == pytest.approx(0.99 * 14.0)
    assert found.certainty and found.certainty.probability and found.certainty.probability > 0.95


def test_a_load_that_one_cannot_carry_rules_it_out() -> None:
    found = answered(load_per_s=20, prefer="accuracy")
    assert {one.variant for one in found.meeting} <= {"ct2-int8"}
    assert found.ruled_out["load_per_s"] == 3
    assert {one.variant for one in found.missing_limit} == {"fp32"}


def test_the_waiting_time_is_that_at_the_load() -> None:
    found = answered(load_per_s=7 * 0.99, max_latency_s_p95=0.25)
    assert found.ruled_out["max_latency_s_p95"] >= 3
    fp32 = next(one for one in found.missing_limit if one.variant == "fp32")
    assert (p95_at(fp32, 0.99 * 7.0) or 0) and p95_at(fp32, 0.99 * 7.0).value == pytest.approx(0.3)  # type: ignore[union-attr]
    # Between two rates that were tried, and above all of them.
    between = p95_at(fp32, 0.99 * 10.5)
    assert between and between.value == pytest.approx(0.55) and p95_at(fp32, 30.0) is None
    slack = answered(load_per_s=7 * 0.99, max_latency_s_p95=0.35, devices=["cpu"])
    assert {one.variant for one in slack.meeting} == {"fp32", "ct2-int8"}
    assert all(check.outcome is not Outcome.UNKNOWN for check in slack.checks)


def test_what_a_machine_carries_is_known_of_its_class_alone() -> None:
    study = load_study()
    cells = load_cells(study)
    loads, capacities = tables(study, cells, passes_of(cells), {})
    others = [row | {"duration_s": 30} for row in cells]
    assert all(one.capacity is None for one in with_capacities(results_of(others), loads, capacities))


@pytest.mark.parametrize("scenario", [{"load_per_s": 5}, {"prefer": "capacity"}])
def test_a_purpose_of_capacity_takes_a_load(scenario: dict[str, Any]) -> None:
    study = load_study().as_json() | {"report": {"scenarios": {"mine": scenario}}}
    assert validation.with_defaults(study, "a study").load
    key = next(iter(scenario))
    with pytest.raises(AsrmeterError, match=rf"report\.scenarios\.mine\.{key}: a capacity needs .*load: {{}}"):
        validation.with_defaults(study | {"load": None}, "a study")
    assert LOAD["max_batch"] == 4
