"""The plan of a run: what each job needs, and what another study has left."""

import json
from pathlib import Path
from typing import Any

import pytest

from asrmeter.common.errors import AsrmeterError
from asrmeter.records import cell_record
from asrmeter.study import validation
from asrmeter.workflow.laps import PlannedJob
from asrmeter.workflow.plan import Plan
from helpers.records import header

CELL = "whisper-base/fp32/cpu/5s-b1"
SITTING = f"{CELL}/lap1"


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
    """Write a record of SITTING as the plan has it, but for `changes`; return its path."""
    cell = plan.cells[CELL]
    told = {"model": cell.model, "duration_s": cell.duration_s, "batch_size": cell.batch_size}
    told |= {"lap": 1, "seed": plan.study.seed, "threads": None, "options": plan.study.variants[cell.variant].as_json()}
    protocol = plan.study.protocol.model_dump(include={"budget_s", "target", "max_passes", "energy_window_s"})
    told |= protocol | {"protocol": plan.study.protocol.version}
    cell_record.write(Path(plan.laps.record(SITTING)), header(**(told | changes)), [])
    return plan.laps.record(SITTING)


def test_a_lap_then_what_was_disturbed_then_the_next_lap(plan: Plan) -> None:
    assert len(plan.cells) == 2 * 2 * 2 and len(plan.laps.sittings) == 3 * 8
    laps = plan.laps
    by_priority = sorted(
        [
            *(
                (priority, plan.laps.sittings[sitting].lap, "measured")
                for sitting, priority in plan.laps.priorities.items()
            ),
            *((laps.retry_priority(lap), lap, "retried") for lap in (1, 2, 3)),
        ],
        reverse=True,
    )
    assert len({priority for priority, _, _ in by_priority}) == len(by_priority)
    assert [(lap, what) for _, lap, what in by_priority] == [
        (lap, what) for lap in (1, 2, 3) for what in ["measured"] * 8 + ["retried"]
    ]
    assert sorted(plan.laps.priorities.values(), reverse=True) == list(plan.laps.priorities.values())
    assert plan.laps.top_priority > by_priority[0][0] and by_priority[-1][0] > 0


def test_the_job_after_a_lap_needs_its_records_on_its_device() -> None:
    both = plan_of(devices=["cpu", "cuda"], protocol={"laps": 2})
    assert both.laps.retried == [
        f"results/measurements/.laps/{device}-lap{lap}.json" for lap in (1, 2) for device in ("cpu", "cuda")
    ]
    records = both.laps.records("cuda", "measure", 2)
    assert len(records) == 8 and all(path.endswith("/lap2.parquet") and "/cuda/" in path for path in records)


def test_a_cell_or_lap_outside_the_study_is_refused(plan: Plan) -> None:
    assert (plan.cell(CELL).id, plan.sitting(f"{CELL}/lap3").id) == (CELL, f"{CELL}/lap3")
    with pytest.raises(AsrmeterError, match=r"^whisper-base/fp32/cuda/5s-b1 is not a cell of the study t; add its"):
        plan.cell("whisper-base/fp32/cuda/5s-b1")
    with pytest.raises(AsrmeterError, match=r"^whisper-base/fp32/cuda/5s-b1 is not a cell of the study t; add its"):
        plan.sitting("whisper-base/fp32/cuda/5s-b1/lap1")
    with pytest.raises(
        AsrmeterError, match=r"5s-b1/lap4 is not measured by the study t; raise protocol.laps, which is 3"
    ):
        plan.sitting(f"{CELL}/lap4")


def test_a_job_for_any_cell_asks_for_the_memory_of_the_largest(plan: Plan) -> None:
    each = [plan.memory_mb(cell, 1) for cell in plan.cells.values()]
    assert plan.most_memory_mb("cpu", 1) == max(each) > min(each)
    assert plan.laps.retry_minutes * 60 > plan.laps.retry_s > plan.timeout_s


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
    with pytest.raises(AsrmeterError, match=rf"^{path}: belongs to another study or version \(seed 7, but 42 is"):
        plan.check_untracked(lambda path: Path(path).exists())
    write_record(plan)
    plan.check_untracked(lambda path: Path(path).exists())


def test_a_run_measures_the_sittings_of_the_jobs_that_it_needs(plan: Plan) -> None:
    first, second, *_ = plan.laps.sittings
    jobs = [
        PlannedJob(1, "study", ["results/study.json"], is_needed=True, has_attempts=False),
        PlannedJob(2, "measure_cpu", [plan.laps.record(first)], is_needed=True, has_attempts=True),
        PlannedJob(3, "measure_cpu", [plan.laps.record(second)], is_needed=False, has_attempts=True),
        PlannedJob(4, "retry_disturbed_cpu", [plan.laps.retried[0]], is_needed=True, has_attempts=True),
    ]
    assert plan.laps.sittings_of_jobs(jobs) == ({2: first}, {second})


def test_the_ledger_has_the_share_of_what_a_run_measures(plan: Plan) -> None:
    plan.laps.begin_ledger(plan.laps.sittings, ())
    assert not Path(plan.laps.ledger).exists(), "nothing limits the time of the whole"
    limited = plan_of(protocol={"minutes": 8, "laps": 2})
    limited.laps.begin_ledger((), list(limited.laps.sittings))
    assert not Path(plan.laps.ledger).exists(), "nothing is measured"
    first, *others = limited.laps.sittings
    limited.laps.begin_ledger(others, [first])
    own = json.loads(Path(limited.laps.ledger).read_text())
    assert own == {"pool_s": pytest.approx(8 * 60 * 15 / 16), "n_sittings": 15}
    assert limited.laps.share_s == 30


def test_measuring_jobs_of_a_study_agree_on_their_resources(plan: Plan) -> None:
    assert plan.measuring_resources()["untracked"] == "--laps=3"
    tried = plan_of(protocol={"larger_than_oom": True, "timeout_s": 70, "budget_s": 5}).measuring_resources()
    assert (tried["untracked"], tried["timeout_s"]) == ("--laps=3 --larger-than-oom", 70)
    limited = plan_of(protocol={"minutes": 10, "laps": 2}).measuring_resources()["untracked"]
    assert limited == "--laps=2 --share-s=37.5 --time-ledger=results/measurements/.time-ledger.jsonl"
    assert tried["runtime"] * 60 > 70
