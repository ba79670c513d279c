"""The cluster's profile knows every rule that measures: where it runs, on how many cores, in whose job."""

import re
from functools import cache
from typing import Any

import pytest
import yaml

from asrmeter.common.paths import ROOT
from asrmeter.study import validation
from asrmeter.workflow.plan import Plan

RESOURCES = re.compile(r"\*\*(?:measuring|loading|retrying)_resources\(")
# Each needs all cells of a lap, so that a group would hold all of them.
IN_NO_GROUP = {"retry_disturbed_cpu", "retry_disturbed_cuda"}


@cache
def measuring_rules() -> dict[str, str]:
    """Return the text of each rule that takes a machine for itself, by its name."""
    found = {}
    for path in sorted((ROOT / "rules").glob("*.smk")):
        _, *blocks = re.split(r"^(?:use rule \w+ as|rule) (\w+)", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        found |= dict(zip(blocks[::2], blocks[1::2], strict=True))
    return {name: text for name, text in found.items() if RESOURCES.search(text)}


@cache
def profile() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text(encoding="utf-8"))
    return content


def test_rules_that_measure_are_found() -> None:
    kinds = {name.rpartition("_")[0] for name in measuring_rules()}
    assert kinds == {"measure", "retry_disturbed", "profile", "silence", "load", "layout", "ceilings"}
    assert len(measuring_rules()) == 2 * len(kinds)


@pytest.mark.parametrize("rule", sorted(measuring_rules()))
def test_a_rule_that_measures_has_its_place_on_a_cluster(rule: str) -> None:
    device = rule.rpartition("_")[2]
    assert ("gpu=1" in measuring_rules()[rule]) is (device == "cuda")
    for key in ("set-resources", "set-threads"):
        assert profile()[key][rule] == profile()[key][f"measure_{device}"], (
            "all cells of a device have one kind of node"
        )
    assert (rule not in profile()["groups"]) is (rule in IN_NO_GROUP)


def test_a_load_test_shares_its_job_with_its_prediction_alone() -> None:
    groups = profile()["groups"]
    assert [rule for rule, group in groups.items() if group == "load"] == ["predict_load", "load_cpu", "load_cuda"]
    assert "load" not in profile()["group-components"], "two of them would be one job"


@pytest.mark.parametrize("minutes", [None, 4.0, 60.0])
def test_a_load_test_has_time_for_its_search(minutes: float | None) -> None:
    study = {"name": "t", "models": {"whisper-base": {}}, "devices": ["cpu"], "load": {"minutes": minutes}}
    plan = Plan(validation.with_defaults(study, "t.yaml"), on_cluster=True)
    assert plan.load_search_s == (12 * 60 if minutes is None else 60 * minutes)
    resources = plan.measuring_resources()
    # The last probe may be half as long again as it was meant to be, and loading the model is limited as in a cell.
    assert plan.load_timeout_s >= resources["timeout_s"] + 1.5 * plan.load_search_s
    assert 60 * plan.load_minutes >= plan.load_timeout_s + 300
    assert resources["slurm_extra"] == "--exclusive"
