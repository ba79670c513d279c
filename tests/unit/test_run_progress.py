"""How far a run has come: the line, and what of Snakemake's log and of the cells' files becomes of it."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from asrmeter.records import cell_record
from asrmeter.study import validation
from asrmeter.workflow.announcement import announcement, approx_duration
from asrmeter.workflow.further import LAYOUT, LOAD, Further
from asrmeter.workflow.progress import RunProgress
from asrmeter.workflow.sittings import CellsDone, Sittings
from helpers.records import header

A, B, C = (f"whisper-base/fp32/cpu/30s-b{batch_size}/lap1" for batch_size in (1, 2, 4))
PLAN = "4 cells, 1 lap, about 8 min"


def write(results: Path, sitting: str, status: str = "ok", text: str = "") -> None:
    """Write the record of a sitting as the measuring parent does."""
    reason = None if status == "ok" else text or "because"
    cell_record.write(results / "measurements" / f"{sitting}.parquet", header(status=status, reason=reason), [])


def test_a_line_says_what_is_done_failed_left_and_now() -> None:
    earlier = {f"m/fp32/cuda/5s-b{number}/lap1": status for number, status in enumerate(("ok", "ok", "oom"))}
    run = Sittings({1: 25}, earlier)
    assert run.line() == "cells: 3 of 25 done (1 failed: 1 oom), 22 left"
    for number in range(2):
        run.begin(f"m/fp32/cpu/5s-b{number}/lap1", 100.0 + 10 * number)
        run.end(f"m/fp32/cpu/5s-b{number}/lap1", 110.0 + 10 * number, "ok")
    run.begin(A, 120.0)
    # Of two nothing follows for the others.
    assert run.line() == f"cells: 5 of 25 done (1 failed: 1 oom), 20 left; now {A}"
    run.end(A, 175.0, "oom")
    run.begin(B, 175.0)
    # 75 s for three of them.
    assert run.line([A]) == f"cells: 6 of 25 done (2 failed: 2 oom), 19 left, about 8 min; {A} oom; now {B}"
    run.end(B, 180.0, None)
    assert run.line() == "cells: 6 of 25 done (2 failed: 2 oom), 1 ended without a record, 18 left, about 8 min"


def test_laps_are_told_one_after_the_other() -> None:
    run = Sittings({1: 2, 2: 2})
    assert run.line() == "lap 1 of 2: 0 of 2 cells done, 4 measurements left"
    for number, (lap, status) in enumerate(((1, "ok"), (1, "oom"))):
        run.begin(f"m/fp32/cpu/5s-b{number}/lap{lap}", 10.0 * number)
        run.end(f"m/fp32/cpu/5s-b{number}/lap{lap}", 10.0 * number + 10, status)
    assert run.line() == "lap 2 of 2: 0 of 2 cells done (1 failed: 1 oom), 2 measurements left"
    run.end("m/fp32/cpu/5s-b1/lap2", 40.0, "oom")
    assert run.line() == ("lap 2 of 2: 1 of 2 cells done (1 failed: 1 oom), 1 measurement left, about 10 s"), (
        "a cell that failed in two laps is one"
    )
    run.end("m/fp32/cpu/5s-b0/lap2", 50.0, "ok")
    assert run.line() == "lap 2 of 2: 2 of 2 cells done (1 failed: 1 oom), no measurements left"


def test_several_cells_at_once_share_the_time_in_a_short_line() -> None:
    run = Sittings({1: 100})
    for number in range(20):
        run.begin(f"m/fp32/cpu/5s-b{number}/lap1", 0.0, "node1")
    for number in range(10):
        run.end(f"m/fp32/cpu/5s-b{number}/lap1", 60.0, "ok")
    assert run.left_s == pytest.approx(60 / 10 * 90)
    assert run.line().endswith(
        "90 left, about 9 min; now m/fp32/cpu/5s-b10/lap1 on node1, m/fp32/cpu/5s-b11/lap1 on node1, "
        "m/fp32/cpu/5s-b12/lap1 on node1 and 7 more"
    )


def further(kind: str, name: str, takes_s: float) -> Further:
    folder = "load" if kind == LOAD else "layouts"
    return Further(kind, name, Path("r", folder, f"{name}.parquet"), Path("r", "logs", folder, f"{name}.log"), takes_s)


def test_layouts_and_load_tests_are_left_beside() -> None:
    layout, load = further(LAYOUT, "m/fp32/cpu/2x1/lap1", 20), further(LOAD, "m/fp32/cpu", 600)
    run = Sittings({1: 6}, further={one.name: one for one in (layout, load)})
    assert run.line() == "cells: 0 of 6 done, 6 left; 1 layout measurement and 1 load test left, about 10 min"
    for number in range(3):
        run.begin(f"m/fp32/cpu/5s-b{number}/lap1", 100.0 * number)
        run.end(f"m/fp32/cpu/5s-b{number}/lap1", 100.0 * number + 50, "ok")
        if number == 1:
            run.begin(layout.name, 150.0)
            run.end(layout.name, 200.0, "unknown")
    # In 250 s, 50 of them for the layout.
    assert run.left_s == pytest.approx(200)
    run.begin(load.name, 250.0)
    assert run.line() == (
        "cells: 3 of 6 done, 3 left, about 3 min; 1 load test left, about 10 min; now load test m/fp32/cpu"
    )
    run.end(load.name, 800.0, None)
    assert run.left_s == pytest.approx(200) and run.line() == "cells: 3 of 6 done, 3 left, about 3 min"
    run.expect(load.name)
    assert "1 load test left" in run.line(), "it is tried again"


@pytest.mark.parametrize(
    ("protocol", "n_to_measure", "said"),
    [
        ({"minutes": 8, "laps": 2}, None, "8 cells, 2 laps, about 8 min"),
        ({"minutes": 8, "laps": 2}, 16, "8 cells, 2 laps, about 8 min"),
        ({"minutes": 8, "laps": 2}, 4, "8 cells, 2 laps, 4 of 16 measurements to do, about 2 min"),
        ({"laps": 1, "budget_s": 30}, 8, "8 cells, 1 lap, at least 4 min"),
    ],
)
def test_the_plan_is_told_in_a_line(protocol: dict[str, Any], n_to_measure: int | None, said: str) -> None:
    study = {"name": "t", "models": {"whisper-base": {}}, "devices": ["cpu"], "protocol": protocol}
    assert announcement(validation.with_defaults(study, "t.yaml"), n_to_measure) == said


@pytest.mark.parametrize(
    ("time_s", "said"),
    [(0.2, "10 s"), (44, "40 s"), (89, "90 s"), (100, "2 min"), (5000, "83 min"), (7300, "2 h"), (4e5, "5 days")],
)
def test_a_time_is_rough(time_s: float, said: str) -> None:
    assert approx_duration(time_s) == said


Log = Callable[..., None]


@pytest.fixture
def logged() -> Iterator[tuple[logging.Logger, Log]]:
    """A logger, and what logs an event as Snakemake does."""
    logger = logging.Logger("of a run", logging.INFO)

    def log(event: str, job: int | None = None) -> None:
        # Snakemake's own names for the number of a job.
        number = {} if job is None else {"job_id" if event == "job_finished" else "jobid": job}
        logger.info(event, extra={"event": event, **number})

    yield logger, log
    for handler in logger.handlers:
        handler.close()


class Watched:
    """A run whose lines are kept."""

    def __init__(self, results: Path, logger: logging.Logger, done: set[str], poll_s: float | None = None) -> None:
        self.lines: list[str] = []
        self.results = results

        def say(line: str, shown: CellsDone) -> None:
            self.lines.append(line.removeprefix("cells: "))
            # As Snakemake's log it comes back.
            logger.info(line)

        self.progress = RunProgress(results, say)
        self.progress.begin({1: A, 2: B, 3: C}, done, PLAN, poll_s)
        logger.addHandler(self.progress)


def test_a_run_on_this_machine(tmp_path: Path, logged: tuple[logging.Logger, Log]) -> None:
    logger, log = logged
    write(tmp_path, "earlier/fp32/cpu/5s-b1/lap1", "timeout")
    # Of an earlier protocol: to be measured again, and done only when it is.
    write(tmp_path, B)
    watched = Watched(tmp_path, logger, {"earlier/fp32/cpu/5s-b1/lap1"})
    log("job_info", 7)
    log("job_info", 1)
    write(tmp_path, A)
    log("job_finished", 1)
    log("progress")
    log("job_info", 2)
    log("job_info", 7)
    write(tmp_path, B, "killed")
    # With --quiet nobody says that it has finished.
    log("job_started")
    log("progress")
    log("job_info", 3)
    log("job_error", 3)
    log("job_info", 3)
    write(tmp_path, C)
    log("job_finished", 3)
    watched.progress.end()
    log("job_info", 1)
    failed = "1 failed: 1 timeout"
    both = "2 failed: 1 timeout, 1 killed"
    assert watched.lines == [
        PLAN,
        f"1 of 4 done ({failed}), 3 left",
        f"1 of 4 done ({failed}), 3 left; now {A}",
        f"2 of 4 done ({failed}), 2 left",
        f"2 of 4 done ({failed}), 2 left; now {B}",
        f"3 of 4 done ({both}), 1 left; {B} killed",
        f"3 of 4 done ({both}), 1 left; now {C}",
        f"3 of 4 done ({both}), 1 ended without a record, none left",
        f"3 of 4 done ({both}), 1 left; now {C}",
        f"4 of 4 done ({both}), none left",
        f"4 of 4 done ({both}), none left; for details run python scripts/list_cells.py {tmp_path} --status failed",
    ]
    written = (tmp_path / "logs" / "progress.log").read_text().splitlines()
    assert [line.partition(" ")[2].removeprefix("cells: ") for line in written] == watched.lines
    assert len(written[0].split()[0]) == len("2026-03-01T10:00:00+01:00")


def test_a_run_of_load_tests_alone_tells_them(tmp_path: Path, logged: tuple[logging.Logger, Log]) -> None:
    logger, log = logged
    write(tmp_path, A)
    lines: list[str] = []
    progress = RunProgress(tmp_path, lambda line, _: lines.append(line.removeprefix("cells: 1 of 1 done, none left")))
    loads = {
        job: further(LOAD, f"m{job}/fp32/cpu", 120)._replace(record=tmp_path / "load" / f"{job}") for job in (4, 5)
    }
    progress.begin({}, {A}, PLAN, further=loads)
    logger.addHandler(progress)
    log("job_info", 4)
    log("job_finished", 4)
    log("job_info", 5)
    (tmp_path / "load").mkdir()
    (tmp_path / "load" / "5").touch()
    # With --quiet nobody says that it has finished.
    log("progress")
    progress.end()
    assert lines == [
        PLAN,
        "; 2 load tests left, about 4 min",
        "; 2 load tests left, about 4 min; now load test m4/fp32/cpu",
        "; 1 load test left, about 2 min",
        "; 1 load test left, about 2 min; now load test m5/fp32/cpu",
        "",
    ]
    assert list(progress.to_measure) == []


def test_a_group_of_jobs_elsewhere_is_known_by_its_files(tmp_path: Path, logged: tuple[logging.Logger, Log]) -> None:
    logger, log = logged
    logs = tmp_path / "logs" / "measure" / Path(A).parents[1]
    for name in ("30s-b1", "30s-b2"):
        (logs / name).mkdir(parents=True)
    # Of an earlier run.
    (logs / "30s-b2" / "lap1.log").write_text(f"measuring {B} on node7\n")
    watched = Watched(tmp_path, logger, set(), poll_s=0.02)
    log("group_info")
    for job in (1, 2, 3):
        log("job_info", job)

    def wait_for(line: str) -> None:
        deadline = time.monotonic() + 5
        while watched.lines[-1] != line:
            assert time.monotonic() < deadline, watched.lines
            time.sleep(0.01)

    (logs / "30s-b1" / "lap1.log").write_text(f"waiting for another pipeline\nmeasuring results/{A} on node1\n")
    wait_for(f"0 of 3 done, 3 left; now {A} on node1")
    write(tmp_path, A, "oom")
    wait_for(f"1 of 3 done (1 failed: 1 oom), 2 left; {A} oom")
    (logs / "30s-b2" / "lap1.log").unlink()
    (logs / "30s-b2" / "lap1.log").write_text(f"measuring results/{B} on node2\n")
    wait_for(f"1 of 3 done (1 failed: 1 oom), 2 left; now {B} on node2")
    # The node is lost: the group ends, and its members are measured again, also the one that had a record.
    log("group_error")
    for job in (1, 2, 3):
        log("job_error", job)
    assert watched.lines[-1] == "1 of 3 done (1 failed: 1 oom), 2 ended without a record, none left"
    for job in (1, 2, 3):
        (tmp_path / "measurements" / f"{(A, B, C)[job - 1]}.parquet").unlink(missing_ok=True)
        log("job_info", job)
    wait_for("0 of 3 done, 3 left")
    for job, cell in enumerate((A, B, C), start=1):
        write(tmp_path, cell)
        log("job_finished", job)
    watched.progress.end()
    assert watched.lines[-1] == "3 of 3 done, none left"
    deadline = time.monotonic() + 5
    while any(thread.name == "asrmeter-progress" for thread in threading.enumerate()):
        assert time.monotonic() < deadline, "it looks on after the end"
        time.sleep(0.01)


def test_an_interrupted_run_ends_with_what_is_left(tmp_path: Path, logged: tuple[logging.Logger, Log]) -> None:
    logger, log = logged
    watched = Watched(tmp_path, logger, set())
    log("job_info", 1)
    write(tmp_path, A)
    log("job_info", 2)
    watched.progress.end()
    assert watched.lines[-2:] == [f"1 of 3 done, 2 left; now {B}", "1 of 3 done, 2 left"]


def test_a_place_that_may_not_be_written_stops_nothing(tmp_path: Path, logged: tuple[logging.Logger, Log]) -> None:
    logger, log = logged
    (tmp_path / "logs").write_text("no folder")
    watched = Watched(tmp_path, logger, set())
    log("job_info", 1)
    assert watched.lines[-1] == f"0 of 3 done, 3 left; now {A}"


def test_a_run_without_cells_says_nothing(tmp_path: Path, logged: tuple[logging.Logger, Log]) -> None:
    logger, log = logged
    lines: list[str] = []
    progress = RunProgress(tmp_path, lines.append)
    progress.begin({}, {A}, PLAN)
    logger.addHandler(progress)
    log("job_info", 1)
    progress.end()
    assert lines == []
    assert not (tmp_path / "logs").exists()
