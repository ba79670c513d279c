"""What asrmeter asks of Snakemake beyond its interface for users."""

import inspect
import re
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake.exceptions import MissingRuleException
from snakemake.scheduling.job_scheduler import JobScheduler
from snakemake.settings.types import MaxJobsPerTimespan, SchedulingSettings

from asrmeter.common.errors import AsrmeterError
from asrmeter.workflow import snakemake_api


def workflow(**changes: Any) -> Any:
    return SimpleNamespace(
        **{"overwrite_configfiles": [], "config_settings": SimpleNamespace(config={}), "nodes": None}
        | {"is_main_process": True, "executor_plugin": object(), "dryrun": False}
        | {"execution_settings": SimpleNamespace(lock=True)}
        | changes
    )


def test_an_error_for_people_ends_snakemake_in_one_line() -> None:
    def refuse(name: str) -> None:
        raise AsrmeterError(f"{name}: broken")

    with pytest.raises(SystemExit, match=r"^error: a.yaml: broken$"):
        snakemake_api.or_exit(refuse, "a.yaml")
    assert snakemake_api.or_exit(len, "four") == 4


def test_a_number_of_jobs_is_for_a_cluster() -> None:
    assert snakemake_api.runs_here(workflow())
    assert not snakemake_api.runs_here(workflow(nodes=100))
    assert not snakemake_api.runs_here(workflow(is_main_process=False))


def test_the_sources_of_a_study_are_named() -> None:
    assert snakemake_api.study_sources(workflow()) == "config.yaml"
    given = workflow(overwrite_configfiles=[str(Path("a.yaml").absolute())])
    assert snakemake_api.study_sources(given) == "a.yaml"
    more = workflow(config_settings=SimpleNamespace(config={"seed": 1}))
    assert snakemake_api.study_sources(more) == "config.yaml, --config"


@pytest.mark.parametrize(
    "changes",
    [
        {"is_main_process": False},  # a job on a node
        {"executor_plugin": None},  # a report of Snakemake
        {"dryrun": True},
        {"execution_settings": SimpleNamespace(lock=False)},
    ],
)
def test_only_who_runs_jobs_holds_the_results(changes: dict[str, Any]) -> None:
    assert snakemake_api.runs_jobs(workflow())
    assert not snakemake_api.runs_jobs(workflow(**changes))


@pytest.mark.parametrize(
    ("changes", "limited"),
    [
        ({"local_exec": True}, False),
        ({"local_exec": False}, True),  # jobs are submitted to a cluster
        ({"local_exec": False, "is_main_process": False}, False),  # the steps of a job on a node
    ],
)
def test_no_limit_of_jobs_wakes_up_beside_a_measurement(
    changes: dict[str, Any], limited: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(JobScheduler, "_schedule_reevalutation", JobScheduler._schedule_reevalutation)
    settings = SchedulingSettings(max_jobs_per_timespan=MaxJobsPerTimespan(100))
    snakemake_api.let_scheduler_sleep(workflow(scheduling_settings=settings, **changes))
    assert (settings.max_jobs_per_timespan is not None) is limited
    snakemake_api.let_scheduler_sleep(workflow(scheduling_settings=None, **changes))


def test_however_many_jobs_began_there_is_one_more_look(monkeypatch: pytest.MonkeyPatch) -> None:
    # That Snakemake calls it so.
    assert "self._schedule_reevalutation(self.job_rate_limiter.timespan)" in inspect.getsource(JobScheduler.schedule)
    monkeypatch.setattr(JobScheduler, "_schedule_reevalutation", JobScheduler._schedule_reevalutation)
    snakemake_api.let_scheduler_sleep(workflow(scheduling_settings=None, local_exec=False))
    scheduler: Any = SimpleNamespace(_open_jobs=threading.Semaphore(0))
    for _ in range(2):
        for _ in range(5):
            JobScheduler._schedule_reevalutation(scheduler, 0.02)
        assert scheduler._open_jobs.acquire(timeout=5)
        assert not scheduler._open_jobs.acquire(timeout=0.1)


def planning(targets: list[str], plan: Callable[[], None]) -> Any:
    rules = [SimpleNamespace(name=name, has_wildcards=lambda name=name: name == "model") for name in ("model", "fetch")]
    settings = SimpleNamespace(targets=targets)
    return workflow(rules=rules, dag_settings=settings, _build_dag=plan)


def test_what_a_check_refuses_is_not_planned() -> None:
    done: list[str] = []
    one = planning([], lambda: done.append("planned"))
    snakemake_api.before_planning(one, lambda: done.append("checked"), "results")
    assert done == []
    one._build_dag()
    assert done == ["checked", "planned"]

    def refuse() -> None:
        raise AsrmeterError("results/: no")

    snakemake_api.before_planning(one, refuse, "results")
    with pytest.raises(SystemExit, match=r"^error: results/: no$"):
        one._build_dag()
    assert done == ["checked", "planned"]


@pytest.mark.parametrize("targets", [["fecth"], ["results/study.json", "fecth"], ["fecth", "fecth2"]])
def test_a_target_that_no_rule_makes_is_one_line(targets: list[str]) -> None:
    def plan() -> None:
        raise MissingRuleException("fecth")

    one = planning(targets, plan)
    snakemake_api.before_planning(one, lambda: None, "results-q")
    said = "fecth: there is no such target (did you mean fetch?); targets are fetch, and the files that a run of "
    with pytest.raises(SystemExit, match=f"^error: {re.escape(said)}config.yaml makes below results-q/$"):
        one._build_dag()


def test_snakemake_reads_its_command_line_by_our_readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from snakemake import cli
    from snakemake.settings import types

    monkeypatch.setattr(types, "load_configfile", types.load_configfile)
    monkeypatch.setattr(cli, "parse_config", cli.parse_config)
    for _ in range(2):
        snakemake_api.take_command_line()
    (tmp_path / "a.yaml").write_text("name: [\n")
    with pytest.raises(SystemExit, match=r"a\.yaml, line 2, column 1: is not YAML"):
        types.ConfigSettings(configfiles=[tmp_path / "a.yaml"])
    (tmp_path / "a.yaml").write_text("name: mine\n")
    assert types.ConfigSettings(configfiles=[tmp_path / "a.yaml"]).overwrite_config == {"name": "mine"}
    assert cli.parse_config(None) == {} and cli.parse_config(["seed=1"]) == {"seed": 1}
    with pytest.raises(
        SystemExit, match=r"^error: --config: fetch is not KEY=VALUE; --config takes all following words"
    ):
        cli.parse_config(["seed=1", "fetch"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dryrun": True}, ["plan"]),
        ({"dryrun": True, "is_main_process": False}, []),
        ({}, ["answer"]),
        ({"touch": True}, []),
        ({"is_main_process": False}, []),
    ],
)
def test_a_run_ends_with_its_answer_or_plan(changes: dict[str, bool], said: list[str]) -> None:
    done: list[str] = []
    one = workflow(execute=lambda *a, **b: done.append("ran"), **{"touch": False, **changes})
    snakemake_api.after_run(one, lambda: done.append("plan"), lambda: done.append("answer"))
    one.execute(1, two=2)
    assert done == ["ran", *said]


def test_a_failed_run_has_no_answer() -> None:
    def execute() -> None:
        raise RuntimeError("a job failed")

    one = workflow(execute=execute, dryrun=False)
    snakemake_api.after_run(one, pytest.fail, pytest.fail)
    with pytest.raises(RuntimeError, match="a job failed"):
        one.execute()
