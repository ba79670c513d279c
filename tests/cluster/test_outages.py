"""Parts of a cluster die and come back while cells are measured, and so does Snakemake: in the end all is there."""

import random
import subprocess
import time
from pathlib import Path

import pytest
from slurm import NODES, Cluster
from test_cluster import SNAKEMAKE

from asrmeter import record
from asrmeter.siblings import MEASURED_STATUS
from checkouts import Checkout, one_cell, wait_for

pytestmark = pytest.mark.pipeline
CELLS = {f"whisper-tiny.en/fp32/cpu/5s-b{batch}" for batch in (1, 2, 3)}
TARGETS = [f"results/measurements/{cell}.parquet" for cell in sorted(CELLS)]


def test_outages_lose_nothing(on_cluster: Checkout, cluster: Cluster, plugin: Path) -> None:
    on_cluster.write(one_cell(batch_sizes=[1, 2, 3], devices=["cpu"], results="results-outages"))
    (on_cluster.folder / "results-outages").mkdir()
    for part in ("models", "corpus", "downloads"):
        (on_cluster.folder / "results-outages" / part).symlink_to(on_cluster.results / part)
    dice = random.Random(7)
    outages = ["controller", "daemon", "snakemake", "controller", "daemon"]
    process = _start(on_cluster, plugin)
    try:
        for outage in outages:
            wait_for(lambda run=process: _running(cluster) or run.poll() is not None, "no job runs", 120)
            time.sleep(dice.uniform(1, 6))
            if process.poll() is not None or not _running(cluster):
                continue
            print(f"the {outage} dies with {_measured(on_cluster)} of {len(CELLS)} records")
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
        # An outage that meets a question for the state of its jobs makes the executor wait for ever; README says so.
        try:
            code = process.wait(150)
        except subprocess.TimeoutExpired:
            code = None
    finally:
        process.kill()
        process.wait(10)
    if code != 0:
        wait_for(lambda: not _running(cluster), "jobs run on", 120)
        on_cluster.run("--unlock")
        process = _start(on_cluster, plugin)
        assert process.wait(200) == 0
    assert _measured(on_cluster) == len(CELLS)
    for target in TARGETS:
        header, passes = record.read(on_cluster.folder / target.replace("results", "results-outages", 1))
        assert header["status"] in MEASURED_STATUS and passes, header["reason"]
    wait_for(lambda: not on_cluster.processes(), "a process lives on", 30)
    wait_for(lambda: set(cluster.states()) == set(NODES), "a node is gone", 30)


def _start(checkout: Checkout, plugin: Path) -> "subprocess.Popen[bytes]":
    targets = [target.replace("results", "results-outages", 1) for target in TARGETS]
    output = checkout.folder.with_name("outages.txt")
    return checkout.start(
        *targets, *SNAKEMAKE, "--group-components", "cells_cpu=3", output=output, PYTHONPATH=str(plugin)
    )


def _running(cluster: Cluster) -> bool:
    try:
        return any(job.state == "RUNNING" for job in cluster.jobs())
    except subprocess.SubprocessError:
        return False


def _measured(checkout: Checkout) -> int:
    return len(list((checkout.folder / "results-outages" / "measurements").rglob("*.parquet")))
