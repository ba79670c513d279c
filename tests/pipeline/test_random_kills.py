"""Whatever is killed, whenever: in the end every cell has one valid record a lap, and nothing is left behind."""

import contextlib
import itertools
import os
import random
import re
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from asrmeter.common.vocabulary import MEASURED_STATUS
from asrmeter.records import cell_record
from helpers.checkouts import Checkout, MakeCheckout, Process, one_cell, wait_for

pytestmark = pytest.mark.pipeline
# More of them by hand: ASRMETER_KILLS=200 pytest -s tests/pipeline/test_random_kills.py
N_KILLS = int(os.environ.get("ASRMETER_KILLS", "6"))
VICTIMS = ("worker", "job", "server", "snakemake")
MOST_BETWEEN_S = 4
# What `asrmeter.files.atomic` writes to.
HALF_WRITTEN = re.compile(r"-\d+\.\w{8}$")
# One that was only just written, Snakemake had no time to note: it is measured again.
SETTLED_S = 2


@pytest.fixture
def checkout(make_checkout: MakeCheckout, inputs: Checkout) -> Checkout:
    checkout = make_checkout("killed", made_from=inputs)
    study = one_cell(batch_sizes=[1, 2])
    study["protocol"] |= {"budget_s": 0.2, "laps": 2}
    checkout.write(study)
    return checkout


def test_random_kills_lose_nothing_and_leave_nothing(checkout: Checkout) -> None:
    dice = random.Random(20261127)
    killed: Counter[str] = Counter()
    while killed.total() < N_KILLS:
        run = checkout.start()
        killed += _kill_at_random(checkout, run, dice, N_KILLS - killed.total())
        if run.wait(300) == -signal.SIGKILL:
            wait_for(lambda: not checkout.processes("scripts/"), "a job of a killed run goes on", 15)
            # A server looks for its run only once it has imported everything.
            wait_for(lambda: not checkout.processes(), "a process of a killed run lives on", 60)
            checkout.run("--unlock")
        else:
            # All is measured or given up: begin again with half of it.
            for sitting in checkout.measured[::2]:
                checkout.record(sitting).unlink()
    print(f"killed: {dict(killed)}")
    assert set(killed) <= set(VICTIMS) and len(killed) > 1

    checkout.run(limit_s=300)
    # A cell whose worker was killed is a record that says so; this is how it is measured again.
    done = checkout.step("scripts/list_cells.py", "results", "--status", "killed", "--delete")
    assert done.code in (0, 1), done.output
    checkout.run(limit_s=300)

    headers = [cell_record.read(checkout.record(sitting))[0] for sitting in checkout.measured]
    assert len(headers) == 4
    assert {header.status for header in headers} <= set(MEASURED_STATUS)
    rows = pq.read_table(checkout.results / "tables" / "cells.parquet").to_pylist()
    assert len(rows) == 2 and all(row["latency_s_median"] for row in rows)
    assert (checkout.results / "report.html").read_text().endswith("</html>\n")
    spans = sorted(
        (entry["started_at_s"], entry["ended_at_s"])
        for sitting in checkout.measured
        for entry in cell_record.read(checkout.record(sitting))[1]
    )
    assert all(ended <= began for (_, ended), (began, _) in itertools.pairwise(spans)), "two measured at once"
    assert checkout.run("--dry-run").jobs == {}
    assert not checkout.processes()
    assert not list(checkout.folder.glob(".snakemake/locks/*")) + list(checkout.folder.glob(".snakemake/incomplete/*"))
    assert not [path for path in checkout.results.rglob(".*") if HALF_WRITTEN.search(path.name)]
    assert not list(checkout.results.rglob(".retry*"))


def _kill_at_random(checkout: Checkout, run: "subprocess.Popen[bytes]", dice: random.Random, most: int) -> Counter[str]:
    """Kill what is there at random times, until the run ends or Snakemake itself is killed; return how often what."""
    killed: Counter[str] = Counter()
    began = time.monotonic()
    while killed.total() < most and run.poll() is None:
        at = time.monotonic() + dice.uniform(0, MOST_BETWEEN_S)
        while time.monotonic() < at and run.poll() is None:
            time.sleep(0.05)
        kept = _settled(checkout)
        victims = _victims(checkout, run)
        if run.poll() is not None or not victims:
            continue
        name = dice.choice(sorted(victims))
        print(f"{time.monotonic() - began:.0f} s: {name} with {len(checkout.measured)} records")
        victims[name].end()
        killed[name] += 1
        for path, content in kept.items():
            assert path.read_bytes() == content, f"{path} is lost by the end of a {name}"
        if name == "snakemake":
            break
    return killed


def _settled(checkout: Checkout) -> dict[Path, bytes]:
    """Return the records that nobody can be writing any more."""
    found = {}
    for sitting in checkout.measured:
        path = checkout.record(sitting)
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > SETTLED_S:
                found[path] = path.read_bytes()
    return found


def _victims(checkout: Checkout, run: "subprocess.Popen[bytes]") -> dict[str, Process]:
    """Return what can be killed now, by its name."""
    found = {}
    if jobs := [
        process for process in checkout.processes("scripts/measure.py") if process.command.startswith("python")
    ]:
        found["job"] = jobs[-1]
    if served := checkout.processes("-m asrmeter.measure.fork_server"):
        found["server"] = served[0]
        if served[1:]:
            found["worker"] = served[-1]
    # Before it has planned anything there is nothing to lose; once all is measured, tables and report are.
    if found or checkout.measured:
        found["snakemake"] = Process(run.pid, "", 0)
    return found
