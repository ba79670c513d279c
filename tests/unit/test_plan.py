"""The plan of a run: what each job needs, and what another study has left."""

import json
from pathlib import Path
from typing import Any

import pytest

from asrmeter.common.errors import AsrmeterError
from asrmeter.records import cell_record
from asrmeter.study import validation
from asrmeter.workflow.plan import Plan, PlannedJob
from helpers.records import header

CELL = "whisper-base/fp32/cpu/5s-b1"


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """The plan of a study in an empty checkout."""
    monkeypatch.chdir(tmp_path)
    return plan_of()


def plan_of(**changes: Any) -> Plan:
    study = {
        "name": "t",
        "models": {"whisper-base": {"weights": "packaged"}, "whisper-tiny": {"weights": "random"}},
        "devices": ["cpu"],
        "durations_s": [5, 15],
        "batch_sizes": [1, 2],
    }
    return Plan(validation.with_defaults(study | changes, "t.yaml"))


def write_json(path: str | Path, content: Any) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(content))


def write_record(plan: Plan, **changes: Any) -> str:
    """Write a record of CELL as the plan has it, but for `changes`; return its path."""
    cell = plan.cells[CELL]
    told = {"model": cell.model, "duration_s": cell.duration_s, "batch_size": cell.batch_size}
    told |= {"seed": plan.study.seed, "threads": None, "options": plan.study.variants[cell.variant].as_json()}
    cell_record.write(Path(plan.record(CELL)), header(**(told | changes)), [])
    return plan.record(CELL)


def test_cells_are_measured_in_the_order_of_their_priorities(plan: Plan) -> None:
    assert len(plan.cells) == 2 * 2 * 2 + 1
    assert list(plan.priorities.values()) == list(range(len(plan.cells), 0, -1))
    assert plan.top_priority > max(plan.priorities.values())


def test_a_cell_outside_the_study_is_refused(plan: Plan) -> None:
    assert plan.cell("whisper-base", "fp32", "cpu", "5s-b1").id == CELL
    with pytest.raises(AsrmeterError, match=r"^whisper-base/fp32/cuda/5s-b1 is not a cell of the study t; add its"):
        plan.cell("whisper-base", "fp32", "cuda", "5s-b1")


def test_a_second_attempt_asks_for_twice_the_memory(plan: Plan) -> None:
    once, twice, thrice = (plan.memory_mb(plan.cells[CELL], attempt) for attempt in (1, 2, 3))
    assert twice == thrice == 2 * once


def test_a_cluster_has_more_attempts_and_no_machine(plan: Plan) -> None:
    there = Plan(plan.study, on_cluster=True)
    assert there.machine == "cluster" != plan.machine
    assert there.retries > plan.retries


def test_archives_are_those_of_models_and_corpus(plan: Plan) -> None:
    assert all(path.startswith("results/downloads/") for path in plan.corpus_archives())
    assert any("whisper_base" in path for path in plan.model_archives("whisper-base"))


def test_a_folder_is_current_or_stale_by_its_fingerprint(plan: Plan) -> None:
    made = plan.models["whisper-base"]
    assert not made.is_current and not made.is_stale
    write_json(made.record, {"key": made.fingerprint})
    assert made.is_current and not made.is_stale
    write_json(made.record, {"key": "another"})
    assert made.is_stale and not made.is_current


def test_stale_outputs_are_those_of_another_study(plan: Plan) -> None:
    assert plan.stale_outputs() == {}
    write_json("results/study.json", plan.study.as_json() | {"seed": 7})
    write_json("results/models/whisper-tiny/provenance.json", {"key": "another"})
    write_json("results/models/whisper-base/provenance.json", {"key": plan.models["whisper-base"].fingerprint})
    write_json(f"results/corpus/{plan.corpus}/selection.json", {"key": "another"})
    assert plan.stale_outputs() == {
        "results/study.json": "results/study.json",
        "results/models/whisper-tiny": "results/models/whisper-tiny",
        f"results/corpus/{plan.corpus}/segments.json": f"results/corpus/{plan.corpus}",
    }


def test_stale_outputs_are_refused_only_if_untracked(plan: Plan) -> None:
    write_json("results/models/whisper-tiny/provenance.json", {"key": "another"})
    plan.check_untracked(lambda path: False)
    with pytest.raises(AsrmeterError, match=r"^results/models/whisper-tiny: was made by another version or study, or"):
        plan.check_untracked(lambda path: "models" in path)


def test_a_record_of_another_seed_is_refused_only_if_untracked(plan: Plan) -> None:
    path = write_record(plan, seed=7)
    plan.check_untracked(lambda path: False)
    with pytest.raises(AsrmeterError, match=rf"^{path}: belongs to another study or version \(seed 7, where 42 is"):
        plan.check_untracked(lambda path: Path(path).exists())
    write_record(plan)
    plan.check_untracked(lambda path: Path(path).exists())


def test_a_run_measures_the_cells_of_the_jobs_that_it_needs(plan: Plan) -> None:
    first, second, *_ = plan.cells
    jobs = [
        PlannedJob(1, ["results/study.json"], is_needed=True, has_attempts=False),
        PlannedJob(2, [plan.record(first)], is_needed=True, has_attempts=True),
        PlannedJob(3, [plan.record(second)], is_needed=False, has_attempts=True),
    ]
    assert plan.cells_of_jobs(jobs) == ({2: first}, {second})


def test_measuring_jobs_of_a_study_agree_on_their_resources(plan: Plan) -> None:
    assert plan.measuring_resources()["larger_than_oom"] == ""
    tried = plan_of(protocol={"larger_than_oom": True, "timeout_s": 70, "budget_s": 5}).measuring_resources()
    assert (tried["larger_than_oom"], tried["timeout_s"]) == ("--larger-than-oom", 70)
    assert tried["runtime"] * 60 > 70
