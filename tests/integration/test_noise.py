"""The noise check: the spread of times, what is wrong with the machine, and the report."""

import contextlib
import fcntl
import json
import logging
import os
import random
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_disturbance import busy_neighbours, report

import check_noise as script
from asrmeter.common.errors import AsrmeterError
from asrmeter.machine import noise_check
from asrmeter.machine.facts import available_cpus
from asrmeter.machine.lock import LOCK_VARIABLE
from asrmeter.machine.noise_check import MachineState, Problem, TimingSpread
from helpers import fake_nvml

pytestmark = pytest.mark.alone

TARGET = 0.025
STEADY = TimingSpread(
    n_passes=100,
    median_s=0.07,
    interquartile_range=0.01,
    largest_excess=0.05,
    halves_difference=0.001,
    drift=-0.004,
    noise_floor=0.008,
)
GPU = {"name": "Card", "persistence_mode": True, "gpu_mhz": 1700, "gpu_temperature_c": 40}
GPU |= {"gpu_slowdowns": [], "n_foreign_gpu_processes": 0}


def machine_state(gpus: tuple[dict[str, Any], ...] = (), **state: Any) -> MachineState:
    """Return the state of a quiet machine of four cores; `state` changes the report of the watch."""
    activity = report(4, **state)
    return MachineState(
        activity=activity,
        busiest=["make (pid 7) 0.93"],
        n_cpus=4,
        governor="performance",
        swap_bytes=0,
        swapped_pages=0,
        gpus=list(gpus),
    )


def of_gpu(**state: Any) -> MachineState:
    return machine_state((GPU | state,))


def report_of(spread: TimingSpread, state: MachineState, threads: int = 4) -> str:
    return "\n".join(noise_check.report_lines(spread, noise_check.problems(state, threads), state, threads, TARGET))


def scattered(share: float, n: int = 120) -> list[float]:
    """Return times around 70 ms with a standard deviation of this part of it."""
    rng = random.Random(1)
    return [0.07 * (1 + share * rng.gauss(0, 1)) for _ in range(n)]


def test_spread_of_equal_times_is_zero() -> None:
    assert noise_check.spread_of([0.05] * 20) == TimingSpread(20, 0.05, 0, 0, 0, 0, 0)


def test_noise_floor_grows_with_scatter_shrinks_with_passes() -> None:
    floors = [noise_check.spread_of(scattered(share)).noise_floor for share in (0.002, 0.02, 0.2)]
    assert floors == pytest.approx([floors[0], 10 * floors[0], 100 * floors[0]], rel=0.1)
    # Of two medians of 60 values each: 1.96 * 1.25 * sigma * sqrt(2 / 60).
    assert floors[1] == pytest.approx(0.009, rel=0.4)
    assert noise_check.spread_of(scattered(0.02, 1200)).noise_floor < 0.5 * floors[1]


def test_spread_one_slow_pass_is_an_excess_only() -> None:
    spread = noise_check.spread_of([*[0.05] * 30, 0.15])
    assert spread.largest_excess == pytest.approx(2)
    assert spread.interquartile_range == spread.noise_floor == 0


def test_spread_drift_is_noise() -> None:
    passes_s = [0.05 * (1 + 0.001 * i) for i in range(90)]
    spread = noise_check.spread_of(passes_s)
    # From the middle of the first third to that of the last: 60 steps on 1.0145.
    assert spread.drift == pytest.approx(0.06 / 1.0145, rel=0.01)
    assert abs(spread.halves_difference) < 0.002
    assert spread.noise_floor == spread.drift


def test_spread_halves_are_interleaved() -> None:
    spread = noise_check.spread_of([0.05, 0.06] * 20)
    assert spread.halves_difference == pytest.approx(0.2)
    assert spread.noise_floor == pytest.approx(0.2)


def test_noise_floor_needs_the_minimum_of_passes() -> None:
    assert noise_check.spread_of(scattered(0.01, noise_check.MIN_PASSES)).noise_floor < 0.1
    assert noise_check.spread_of(scattered(0.01, noise_check.MIN_PASSES - 4)).noise_floor == float("inf")


def test_report_quiet_machine() -> None:
    assert noise_check.problems(machine_state((GPU,)), threads=4) == []
    lines = report_of(STEADY, machine_state((GPU,))).splitlines()
    assert lines[-1] == "QUIET: ready for measurements"
    assert "  differences under 0.8 % cannot be seen on this machine now" in lines
    assert "the last third was 0.4 % faster than the first" in lines[2]
    assert "  Card: 1700 MHz, 40 °C" in lines
    assert not any(line.strip().startswith(("wrong", "hint", "no visible cause")) for line in lines)


PROBLEMS: list[tuple[str, MachineState, int, str, str]] = [
    ("neighbours", machine_state(waiting_threads=0.3), 1, "0.30 of its threads waited", "end or pause"),
    ("busiest", machine_state(waiting_threads=0.3), 1, "; the busiest in sight: make (pid 7) 0.93", "end or pause"),
    ("crowd", machine_state(waiting_threads=0.9), 2, "0.90 of its threads waited", "end or pause"),
    ("steal", machine_state(steal_share=0.04), 1, "the hypervisor gave 4.0 %", "take a dedicated one"),
    ("clock", machine_state(cpu_mhz=2000.0), 1, "the clock was 2000 MHz", "governor `performance`"),
    ("heat", machine_state(n_throttle_events=3), 1, "slowed down for heat (3 events)", "cool the machine"),
    (
        "paging",
        replace(machine_state(), swapped_pages=9, swap_bytes=2**20),
        1,
        "9 pages went to swap",
        "fills the memory",
    ),
    ("swap", replace(machine_state(), swap_bytes=2**21), 0, "2 MiB are in swap", "swapoff"),
    ("governor", replace(machine_state(), governor="powersave"), 0, "governor `powersave`", "cpupower"),
    (
        "GPU heat",
        machine_state((GPU | {"gpu_slowdowns": ["HwThermalSlowdown"]},)),
        1,
        "Card: the GPU slowed",
        "cool the card",
    ),
    ("GPU shared", of_gpu(n_foreign_gpu_processes=1), 1, "Card: 1 other process had", "nvidia-smi"),
    ("GPU driver", of_gpu(persistence_mode=False), 0, "persistence mode is off", "nvidia-smi -pm 1"),
]


@pytest.mark.parametrize(
    ("state", "severity", "what", "remedy"), [pytest.param(*rest, id=name) for name, *rest in PROBLEMS]
)
def test_problem_has_its_line_and_remedy(state: MachineState, severity: int, what: str, remedy: str) -> None:
    (problem,) = noise_check.problems(state, threads=4)
    assert problem.severity == severity
    assert what in problem.what and remedy in problem.remedy
    lines = report_of(STEADY, state).splitlines()
    assert f"  {'wrong' if severity else 'hint'}: {problem.what}" in lines
    assert f"      -> {problem.remedy}" in lines
    assert lines[-1].startswith(("QUIET", "NOISY", "NOT FIT")[severity])


def test_problem_more_threads_than_cores_is_unfit() -> None:
    (problem,) = noise_check.problems(machine_state(), threads=5)
    assert (problem.what, problem.severity) == ("5 threads have to share 4 cores", 2)


def test_problem_hyper_threads_are_a_hint() -> None:
    state = machine_state()
    state.activity["n_cores"] = 2
    (problem,) = noise_check.problems(state, threads=4)
    assert (problem.what, problem.severity) == ("4 threads run as hyper-threads on 2 cores", 0)
    assert noise_check.problems(state, threads=2) == []


def test_problem_unknown_governor_or_gpu_is_none() -> None:
    state = replace(of_gpu(**dict.fromkeys(set(GPU) - {"name"})), governor=None)
    assert noise_check.problems(state, threads=4) == []
    assert "Card: ? MHz, ? °C" in report_of(STEADY, state)


def test_problems_worst_comes_first() -> None:
    state = replace(machine_state(steal_share=0.1, waiting_threads=0.9), governor="powersave")
    assert [problem.severity for problem in noise_check.problems(state, threads=4)] == [2, 1, 0]


@pytest.mark.parametrize(
    ("noise_floor", "verdict"), [(0.02, "quiet"), (0.03, "noisy"), (0.11, "unfit"), (float("inf"), "unfit")]
)
def test_verdict_by_noise_floor_without_problems(noise_floor: float, verdict: str) -> None:
    spread = replace(STEADY, noise_floor=noise_floor)
    assert noise_check.verdict_of(spread, [], TARGET) == verdict
    assert noise_check.verdict_of(spread, [Problem("a", "b", 0)], TARGET) == verdict
    assert ("no visible cause" in report_of(spread, machine_state())) is (verdict != "quiet")
    assert "no visible cause" not in report_of(spread, machine_state(steal_share=0.5))


def test_report_noisy_machine_names_the_floor() -> None:
    last = report_of(replace(STEADY, noise_floor=0.031), machine_state()).splitlines()[-1]
    assert last == "NOISY: equal measurements will differ by 3.1 % or more (target 2.5 %)"


def test_busiest_are_named_without_arguments() -> None:
    code = "import time; time.sleep(0.2)\nend = time.process_time() + 20\nwhile time.process_time() < end: pass"
    child = subprocess.Popen([sys.executable, "-c", code, "secret"])
    try:
        before, begin = noise_check._cpu_s_of_others(), time.monotonic()
        time.sleep(2)
        after = noise_check._cpu_s_of_others()
        named = noise_check._busiest(before, after, time.monotonic() - begin)
    finally:
        child.kill()
        child.wait()
    (process,) = (process for process in after if process[0] == child.pid)
    (line,) = noise_check._busiest(before, {process: after[process]}, 2)
    assert re.fullmatch(rf"python\S* \(pid {child.pid}\) [012]\.\d\d", line)
    assert 0 < len(named) <= noise_check.N_NAMED
    assert not any("secret" in line for line in named)
    assert not any(pid == os.getpid() for pid, _, _ in after)


def test_busiest_names_are_printable_and_not_idle() -> None:
    before = {(1, 5, "old"): 3.0, (2, 5, "idle"): 9.0}
    after = {(1, 5, "old"): 4.0, (2, 5, "idle"): 9.01, (3, 8, "ne\x1b[2Jw) "): 2.5}
    assert noise_check._busiest(before, after, 2.0) == ["ne\\x1b[2Jw)  (pid 3) 1.25", "old (pid 1) 0.50"]


def test_check_of_this_machine() -> None:
    spread, state = noise_check.check(threads=1, seconds=0.5)
    assert spread.n_passes >= noise_check.MIN_PASSES
    assert 0.005 < spread.median_s < 5
    assert state.activity["seconds"] >= 0.5
    assert state.activity["mean"]["own_cpu_cores"] > 0.05
    assert state.n_cpus == available_cpus()
    assert 1 <= state.activity["n_cores"] <= len(os.sched_getaffinity(0))
    assert noise_check.verdict_of(spread, noise_check.problems(state, 1), TARGET) in ("quiet", "noisy", "unfit")


def test_check_names_busy_neighbours() -> None:
    n_cpus = len(os.sched_getaffinity(0))
    with busy_neighbours(n_cpus, limit_s=60):
        spread, state = noise_check.check(threads=1, seconds=2)
    found = noise_check.problems(state, threads=1)
    assert noise_check.verdict_of(spread, found, TARGET) in ("noisy", "unfit")
    assert "waited for one of the" in found[0].what and "(pid " in found[0].what


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(LOCK_VARIABLE, str(tmp_path / "lock"))
    return tmp_path / "lock"


@pytest.fixture
def noisy(lock: Path, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Make the check find a noisy machine at once; the list says whether it held the lock alone."""
    was_alone: list[bool] = []

    def check(threads: int, seconds: float) -> tuple[TimingSpread, MachineState]:
        with open(lock) as stream, contextlib.suppress(BlockingIOError):
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            was_alone.append(False)
            return STEADY, machine_state()
        was_alone.append(True)
        return replace(STEADY, noise_floor=0.05), machine_state()

    monkeypatch.setattr(noise_check, "check", check)
    return was_alone


def test_main_holds_the_machine_and_writes_json(
    noisy: list[bool], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        script.main(["--threads", "4", "--json", str(tmp_path / "noise.json")])
    assert noisy == [True]
    assert caplog.messages[-1].startswith("NOISY: ")
    written = json.loads((tmp_path / "noise.json").read_text())
    assert (written["verdict"], written["spread"]["noise_floor"], written["threads"]) == ("noisy", 0.05, 4)
    assert written["machine_state"]["activity"]["n_cpus"] == 4


def test_main_fails_only_if_strict(noisy: list[bool]) -> None:
    script.main(["--threads", "4"])
    with pytest.raises(AsrmeterError, match="not quiet enough"):
        script.main(["--threads", "4", "--strict"])
    script.main(["--threads", "4", "--strict", "--target", "0.06"])


def test_gpus_are_read_without_a_context(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_nvml.install(monkeypatch, fake_nvml.Card("GPU-1"), fake_nvml.Card("GPU-2", name="Small"))
    large, small = noise_check._gpus()
    assert (large["name"], small["name"]) == ("NVIDIA H100 80GB HBM3", "Small")
    assert (large["gpu_temperature_c"], large["n_foreign_gpu_processes"]) == (45, 0)
    # This fake library does not answer these.
    assert large["persistence_mode"] is large["gpu_mhz"] is None
    assert noise_check.problems(machine_state((large, small)), threads=4) == []
