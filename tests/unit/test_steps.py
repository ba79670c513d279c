"""What `make run` shows: lines made of the log of real runs, in a file and on a terminal."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asrmeter.common.paths import ROOT, SCRIPTS
from asrmeter.workflow.screens import Plain, Terminal
from asrmeter.workflow.sittings import CellsDone
from asrmeter.workflow.snakemake_api import OWN
from asrmeter.workflow.steps import Screen, Steps

# Snakemake's log of a run of four cells in two laps, and of one whose recordings cannot be used.
RECORDED = Path(__file__).parent / "recorded"


class Kept:
    """A screen whose lines and bars are kept."""

    def __init__(self, keeps: bool) -> None:
        self.keeps = keeps
        self.lines: list[str] = []
        self.bars: list[tuple[str, int, int, str]] = []
        self.has_bar = False

    def line(self, text: str) -> None:
        self.lines.append(text)

    def bar(self, title: str, n_done: int, n_all: int, now: str = "") -> None:
        self.bars.append((title, n_done, n_all, now))
        self.has_bar = True

    def no_bar(self) -> None:
        self.has_bar = False


def record(told: dict[str, Any]) -> logging.LogRecord:
    shown = told.get(OWN)
    return logging.makeLogRecord(told | ({OWN: CellsDone(**shown | {"now": tuple(shown["now"])})} if shown else {}))


def recorded(name: str) -> Iterator[dict[str, Any]]:
    for line in (RECORDED / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


def show(screen: Screen, told: list[dict[str, Any]]) -> None:
    now = [0.0]
    steps = Steps(screen, lambda: now[0])
    for one in told:
        now[0] = one.get("at_s", now[0])
        steps.show(record(one))


@pytest.fixture
def in_a_file() -> Kept:
    return Kept(keeps=True)


@pytest.fixture
def on_a_terminal() -> Kept:
    return Kept(keeps=False)


def cells(n_over: int, n_all: int, text: str = "", **more: Any) -> dict[str, Any]:
    shown = {"n_over": n_over, "n_all": n_all, "lap": 1, "n_laps": 1, "left_s": None, "now": (), "has_news": False}
    return {"msg": text or f"cells: {n_over} of {n_all} done", "levelno": logging.INFO, OWN: shown | more}


def begun(job: int, rule: str) -> dict[str, Any]:
    return {"event": "job_info", "jobid": job, "rule_name": rule}


def test_a_recorded_run_is_a_line_a_step(in_a_file: Kept) -> None:
    told = [*recorded("run")]
    show(in_a_file, told)
    assert len(in_a_file.lines) < 60 < len(told)
    steps = [line[8:].partition(":")[0] for line in in_a_file.lines if line.endswith(" s") and " done, " in line]
    assert steps[0] in ("Packages", "Speech", "Models") and steps[-2:] == ["Figures", "Report"]
    assert {"Packages", "Speech", "Models", "FLOPs", "Profiles", "Tables", "Capacity", "Bottlenecks"} < {*steps}
    measured = [line[8:] for line in in_a_file.lines if line[8:].startswith("lap ")]
    assert measured[0].startswith("lap 1 of 2: 0 of 4 cells done, 8 measurements left; now whisper-tiny.en/")
    assert measured[-1] == "lap 2 of 2: 4 of 4 cells done, no measurements left" and len(measured) == 9
    assert in_a_file.lines[-1] == "Report: results/report.html" and in_a_file.lines[-5] == ""
    assert not [line for line in in_a_file.lines if "jobid" in line or "wildcards" in line or "Select jobs" in line]


def test_a_terminal_has_a_bar_instead_of_lines_on_the_way(on_a_terminal: Kept) -> None:
    show(on_a_terminal, [*recorded("run")])
    assert not [line for line in on_a_terminal.lines if line.endswith("...") or " jobs" in line]
    bars = [bar for bar in on_a_terminal.bars if bar[0].startswith("Measurements")]
    assert bars[0][0] == "Measurements, lap 1 of 2" and bars[0][2] == 8
    assert any(", about " in title and title.endswith(" left") for title, *_ in bars)
    done = [n_done for _, n_done, *_ in bars]
    assert done == sorted(done) and {*range(8)} <= {*done}
    assert any(now.startswith("whisper-tiny.en/fp32/cpu/5s-b") for *_, now in bars)
    assert not on_a_terminal.has_bar


def test_a_failed_job_shows_its_log_and_the_way_on(in_a_file: Kept, tmp_path: Path) -> None:
    (tmp_path / "own.log").write_text("at first" + "\n" * 20 + "error: quiet: no usable audio\x1b[2J\n")
    told = [*recorded("failed")]
    failed = next(one for one in told if one.get("event") == "job_error")
    failed["log"] = [str(tmp_path / "own.log")]
    show(in_a_file, told)
    at = in_a_file.lines.index(next(line for line in in_a_file.lines if "FAILED" in line))
    assert in_a_file.lines[at].endswith(f"FAILED: Speech (rule corpus); log: {tmp_path / 'own.log'}")
    assert in_a_file.lines[at + 1] == "    at first"
    why = in_a_file.lines[at + 2]
    assert why.startswith("    error: quiet: no usable audio") and "\x1b" not in why
    assert in_a_file.lines[-1].startswith("1 job failed. Put right what is said above and run the same command again")
    assert ".snakemake/log/" in in_a_file.lines[-1]
    # Snakemake says it twice more, with the whole command.
    assert not [line for line in in_a_file.lines if "CalledProcessError" in line or "At least one job" in line]


def test_an_interrupted_run_blames_no_job(in_a_file: Kept) -> None:
    said = "Terminating processes on user request, this might take some time."
    failed = {"event": "job_error", "jobid": 1, "rule_name": "measure_cpu", "rule_msg": None, "log": []}
    hint = {"msg": f"Complete log(s): {ROOT}/.snakemake/log/a.log", "levelno": logging.INFO}
    show(in_a_file, [begun(1, "measure_cpu"), {"msg": said, "levelno": logging.WARNING}, failed, hint])
    assert in_a_file.lines[1:] == [
        "Interrupted: waiting for the jobs to end ...",
        "Run the same command again: what is done is kept. Snakemake's whole log: "
        + os.path.relpath(ROOT / ".snakemake/log/a.log"),
    ]


def test_what_is_wrong_is_shown_and_the_rest_is_not(in_a_file: Kept) -> None:
    levels = {"Building DAG of jobs...": logging.INFO, "a file is older": logging.WARNING, "no rule": logging.ERROR}
    levels |= {"Creating conda environment envs/measure.yaml...": logging.INFO}
    show(in_a_file, [{"msg": said, "levelno": level} for said, level in levels.items()])
    assert in_a_file.lines == ["a file is older", "no rule", "Creating conda environment envs/measure.yaml..."]


def test_a_thousand_cells_are_twenty_lines(in_a_file: Kept) -> None:
    told = [cells(0, 1000), begun(1, "measure_cpu")]
    told += [cells(n, 1000, now=() if n % 2 else ("m/fp32/cpu/5s-b1/lap1",)) for n in range(1001)]
    show(in_a_file, told)
    assert 20 <= len(in_a_file.lines) <= 22 and in_a_file.lines[-1].endswith("cells: 1000 of 1000 done")


def test_cells_that_failed_are_named_but_not_all(in_a_file: Kept) -> None:
    told = [cells(0, 1000), begun(1, "measure_cpu")]
    told += [cells(n, 1000, f"cells: {n} of 1000 done; m/b{n} oom", has_news=True) for n in range(1, 1001)]
    told += [{"event": "job_finished", "job_id": 1}, cells(1000, 1000, "1000 failed; which and why", has_news=True)]
    show(in_a_file, told)
    assert in_a_file.lines[0].endswith("m/b1 oom") and len(in_a_file.lines) <= 42
    assert in_a_file.lines[-1].endswith("1000 failed; which and why")


@pytest.mark.parametrize("screen", [Plain, Terminal])
def test_a_screen_shows_lines_whole(screen: Any, tmp_path: Path) -> None:
    path = tmp_path / "shown"
    with open(path, "w", encoding="utf-8") as stream:
        one = screen(stream)
        one.bar("Measurements, lap 1 of 2", 3, 8, "whisper-tiny.en/fp32/cpu/5s-b1/lap1")
        one.line("  0:21  Speech: done, 18 s")
        one.no_bar()
    shown = path.read_text(encoding="utf-8")
    assert "  0:21  Speech: done, 18 s\n" in shown
    assert ("3 of 8  Measurements, lap 1 of 2" in shown) == (screen is Terminal)


JOB = """
import os, subprocess, sys
from types import SimpleNamespace
from snakemake_logger_plugin_asrmeter import LogHandler
import logging
handler = LogHandler(SimpleNamespace(dryrun=sys.argv[1] == "dry", stdout=False), None)
handler.setFormatter(logging.Formatter("%(message)s"))
subprocess.run("echo of a job; echo of a job >&2; echo path=$PYTHONPATH", shell=True)
handler.handle(logging.makeLogRecord({"msg": "Building DAG", "levelno": logging.INFO}))
handler.handle(logging.makeLogRecord({"msg": "odd", "levelno": logging.WARNING}))
print("of Snakemake itself", file=sys.stderr)
handler.close()
"""


def handled(kind: str, folder: Path) -> str:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(SCRIPTS), str(folder)])}
    done = subprocess.run(
        [sys.executable, "-c", JOB, kind], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout + done.stderr


def test_what_jobs_write_goes_to_a_file(tmp_path: Path) -> None:
    assert handled("run", tmp_path) == "odd\nof Snakemake itself\n"
    (log,) = (tmp_path / ".snakemake" / "log").glob("*.jobs.log")
    # Jobs do not see the folder in which Snakemake found the plugin.
    assert log.read_text().splitlines() == ["of a job", "of a job", f"path={tmp_path}"]


def test_a_run_outlives_who_reads_along(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    with subprocess.Popen(
        [sys.executable, "-c", JOB, "run"],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as run:
        assert run.stdout and run.stderr
        run.stdout.close()
        run.stderr.close()
        assert run.wait(30) == 0


def test_a_dry_run_is_shown_as_ever(tmp_path: Path) -> None:
    assert sorted(handled("dry", tmp_path).splitlines()) == sorted(
        ["of a job", "of a job", f"path={tmp_path}", "Building DAG", "odd", "of Snakemake itself"]
    )
    assert not (tmp_path / ".snakemake").exists()


def test_snakemake_finds_the_plugin_in_scripts() -> None:
    code = "from snakemake_interface_logger_plugins import registry; print(*registry.LoggerPluginRegistry().plugins)"
    environment = os.environ | {"PYTHONPATH": "scripts"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert "asrmeter" in done.stdout.split(), done.stderr


def test_make_run_is_quiet_unless_told_otherwise() -> None:
    def commands(*more: str) -> str:
        return subprocess.run(
            ["make", "--dry-run", "--always-make", "run", *more], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout

    assert "--logger asrmeter" in commands() and "--quiet" in commands()
    assert "--logger" not in commands("VERBOSE=1") and "--quiet" not in commands("VERBOSE=1")
