"""The self-check: how far times lie apart, what is wrong with the machine, what is said about it."""

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

import fake_nvml
import pytest
from test_disturbance import busy_neighbours, report

import noise
from asrmeter.common.errors import AsrmeterError
from asrmeter.machine.facts import available_cpus
from asrmeter.machine.lock import LOCK_VARIABLE
from noise import Problem, Readings, Spread

pytestmark = pytest.mark.alone

TARGET = 0.025
STEADY = Spread(
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


def readings(gpus: tuple[dict[str, Any], ...] = (), **seen: Any) -> Readings:
    """Return the readings of a quiet machine of four cores; `seen` goes into the report of the watch."""
    activity = report(4, **seen)
    return Readings(
        activity=activity,
        busiest=["make (pid 7) 0.93"],
        n_cpus=4,
        governor="performance",
        swap_bytes=0,
        swapped_pages=0,
        gpus=list(gpus),
    )


def of_gpu(**seen: Any) -> Readings:
    return readings((GPU | seen,))


def said(spread: Spread, seen: Readings, threads: int = 4) -> str:
    return "\n".join(noise.text(spread, noise.problems(seen, threads), seen, threads, TARGET))


def scattered(share: float, n: int = 120) -> list[float]:
    """Return times around 70 ms with a standard deviation of this part of it."""
    rng = random.Random(1)
    return [0.07 * (1 + share * rng.gauss(0, 1)) for _ in range(n)]


def test_equal_times_have_no_noise() -> None:
    assert noise.spread_of([0.05] * 20) == Spread(20, 0.05, 0, 0, 0, 0, 0)


def test_the_noise_floor_grows_with_the_scatter_and_shrinks_with_more_passes() -> None:
    floors = [noise.spread_of(scattered(share)).noise_floor for share in (0.002, 0.02, 0.2)]
    assert floors == pytest.approx([floors[0], 10 * floors[0], 100 * floors[0]], rel=0.1)
    # Of two medians of 60 values each: 1.96 * 1.25 * sigma * sqrt(2 / 60).
    assert floors[1] == pytest.approx(0.009, rel=0.4)
    assert noise.spread_of(scattered(0.02, 1200)).noise_floor < 0.5 * floors[1]


def test_one_slow_pass_is_an_excess_and_no_scatter() -> None:
    spread = noise.spread_of([*[0.05] * 30, 0.15])
    assert spread.largest_excess == pytest.approx(2)
    assert spread.interquartile_range == spread.noise_floor == 0


def test_a_drift_is_noise() -> None:
    passes_s = [0.05 * (1 + 0.001 * i) for i in range(90)]
    spread = noise.spread_of(passes_s)
    # From the middle of the first third to that of the last: 60 steps on 1.0145.
    assert spread.drift == pytest.approx(0.06 / 1.0145, rel=0.01)
    assert abs(spread.halves_difference) < 0.002
    assert spread.noise_floor == spread.drift


def test_halves_are_interleaved() -> None:
    spread = noise.spread_of([0.05, 0.06] * 20)
    assert spread.halves_difference == pytest.approx(0.2)
    assert spread.noise_floor == pytest.approx(0.2)


def test_the_least_passes_carry_a_noise_floor() -> None:
    assert noise.spread_of(scattered(0.01, noise.LEAST_PASSES)).noise_floor < 0.1
    assert noise.spread_of(scattered(0.01, noise.LEAST_PASSES - 4)).noise_floor == float("inf")


def test_a_quiet_machine_is_called_quiet() -> None:
    assert noise.problems(readings((GPU,)), threads=4) == []
    lines = said(STEADY, readings((GPU,))).splitlines()
    assert lines[-1] == "QUIET: good to measure on"
    assert "  differences under 0.8 % cannot be seen on this machine now" in lines
    assert "the last third was 0.4 % faster than the first" in lines[2]
    assert "  Card: 1700 MHz, 40 °C" in lines
    assert not any(line.strip().startswith(("wrong", "hint", "no cause")) for line in lines)


PROBLEMS: list[tuple[str, Readings, int, str, str]] = [
    ("neighbours", readings(waiting_threads=0.3), 1, "0.30 of its threads waited", "end or pause"),
    ("busiest", readings(waiting_threads=0.3), 1, "; the busiest in sight: make (pid 7) 0.93", "end or pause"),
    ("crowd", readings(waiting_threads=0.9), 2, "0.90 of its threads waited", "end or pause"),
    ("steal", readings(steal_share=0.04), 1, "the hypervisor gave 4.0 %", "take a dedicated one"),
    ("clock", readings(cpu_mhz=2000.0), 1, "the clock was 2000 MHz", "governor `performance`"),
    ("heat", readings(n_throttle_events=3), 1, "slowed down for heat (3 events)", "cool the machine"),
    ("paging", replace(readings(), swapped_pages=9, swap_bytes=2**20), 1, "9 pages went to swap", "fills the memory"),
    ("swap", replace(readings(), swap_bytes=2**21), 0, "2 MiB lie in swap", "swapoff"),
    ("governor", replace(readings(), governor="powersave"), 0, "governor `powersave`", "cpupower"),
    (
        "GPU heat",
        readings((GPU | {"gpu_slowdowns": ["HwThermalSlowdown"]},)),
        1,
        "Card: the GPU slowed",
        "cool the card",
    ),
    ("GPU shared", of_gpu(n_foreign_gpu_processes=1), 1, "Card: 1 other process had", "nvidia-smi"),
    ("GPU driver", of_gpu(persistence_mode=False), 0, "persistence mode is off", "nvidia-smi -pm 1"),
]


@pytest.mark.parametrize(
    ("seen", "spoils", "what", "remedy"), [pytest.param(*rest, id=name) for name, *rest in PROBLEMS]
)
def test_each_problem_has_its_line_and_its_remedy(seen: Readings, spoils: int, what: str, remedy: str) -> None:
    (problem,) = noise.problems(seen, threads=4)
    assert problem.spoils == spoils
    assert what in problem.what and remedy in problem.remedy
    lines = said(STEADY, seen).splitlines()
    assert f"  {'wrong' if spoils else 'hint'}: {problem.what}" in lines
    assert f"      -> {problem.remedy}" in lines
    assert lines[-1].startswith(("QUIET", "NOISY", "NOT FIT")[spoils])


def test_more_threads_than_cores_are_unfit() -> None:
    (problem,) = noise.problems(readings(), threads=5)
    assert (problem.what, problem.spoils) == ("5 threads have to share 4 cores", 2)


def test_hyper_threads_are_a_hint() -> None:
    seen = readings()
    seen.activity["n_cores"] = 2
    (problem,) = noise.problems(seen, threads=4)
    assert (problem.what, problem.spoils) == ("4 threads run as hyper-threads on 2 cores", 0)
    assert noise.problems(seen, threads=2) == []


def test_an_unknown_governor_or_gpu_is_no_problem() -> None:
    seen = replace(of_gpu(**dict.fromkeys(set(GPU) - {"name"})), governor=None)
    assert noise.problems(seen, threads=4) == []
    assert "Card: ? MHz, ? °C" in said(STEADY, seen)


def test_the_worst_problem_comes_first() -> None:
    seen = replace(readings(steal_share=0.1, waiting_threads=0.9), governor="powersave")
    assert [problem.spoils for problem in noise.problems(seen, threads=4)] == [2, 1, 0]


@pytest.mark.parametrize(
    ("noise_floor", "came_out"), [(0.02, "quiet"), (0.03, "noisy"), (0.11, "unfit"), (float("inf"), "unfit")]
)
def test_the_noise_floor_decides_where_nothing_is_wrong(noise_floor: float, came_out: str) -> None:
    spread = replace(STEADY, noise_floor=noise_floor)
    assert noise.verdict(spread, [], TARGET) == came_out
    assert noise.verdict(spread, [Problem("a", "b", 0)], TARGET) == came_out
    assert ("no cause in sight" in said(spread, readings())) is (came_out != "quiet")
    assert "no cause in sight" not in said(spread, readings(steal_share=0.5))


def test_a_noisy_machine_is_told_the_figure() -> None:
    last = said(replace(STEADY, noise_floor=0.031), readings()).splitlines()[-1]
    assert last == "NOISY: measurements will differ by 3.1 % or more without a cause (target 2.5 %)"


def test_the_busiest_processes_are_named_without_their_arguments() -> None:
    code = "import time; time.sleep(0.2)\nend = time.process_time() + 20\nwhile time.process_time() < end: pass"
    child = subprocess.Popen([sys.executable, "-c", code, "secret"])
    try:
        before, begin = noise._cpu_s_of_others(), time.monotonic()
        time.sleep(2)
        after = noise._cpu_s_of_others()
        named = noise._busiest(before, after, time.monotonic() - begin)
    finally:
        child.kill()
        child.wait()
    (process,) = (process for process in after if process[0] == child.pid)
    (line,) = noise._busiest(before, {process: after[process]}, 2)
    assert re.fullmatch(rf"python\S* \(pid {child.pid}\) [012]\.\d\d", line)
    assert 0 < len(named) <= noise.N_NAMED
    assert not any("secret" in line for line in named)
    assert not any(pid == os.getpid() for pid, _, _ in after)


def test_names_are_printable_and_idle_processes_are_not_named() -> None:
    before = {(1, 5, "old"): 3.0, (2, 5, "idle"): 9.0}
    after = {(1, 5, "old"): 4.0, (2, 5, "idle"): 9.01, (3, 8, "ne\x1b[2Jw) "): 2.5}
    assert noise._busiest(before, after, 2.0) == ["ne?[2Jw)  (pid 3) 1.25", "old (pid 1) 0.50"]


def test_a_check_of_this_machine() -> None:
    spread, seen = noise.check(threads=1, seconds=0.5)
    assert spread.n_passes >= noise.LEAST_PASSES
    assert 0.005 < spread.median_s < 5
    assert seen.activity["seconds"] >= 0.5
    assert seen.activity["mean"]["own_cpu_cores"] > 0.05
    assert seen.n_cpus == available_cpus()
    assert 1 <= seen.activity["n_cores"] <= len(os.sched_getaffinity(0))
    assert noise.verdict(spread, noise.problems(seen, 1), TARGET) in ("quiet", "noisy", "unfit")


def test_busy_neighbours_make_a_machine_unquiet_and_are_named() -> None:
    n_cpus = len(os.sched_getaffinity(0))
    with busy_neighbours(n_cpus, limit_s=60):
        spread, seen = noise.check(threads=1, seconds=2)
    found = noise.problems(seen, threads=1)
    assert noise.verdict(spread, found, TARGET) in ("noisy", "unfit")
    assert "waited for one of the" in found[0].what and "(pid " in found[0].what


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(LOCK_VARIABLE, str(tmp_path / "lock"))
    return tmp_path / "lock"


@pytest.fixture
def noisy(lock: Path, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Have the check find a noisy machine at once; whether it was alone is put down."""
    was_alone: list[bool] = []

    def check(threads: int, seconds: float) -> tuple[Spread, Readings]:
        with open(lock) as stream, contextlib.suppress(BlockingIOError):
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            was_alone.append(False)
            return STEADY, readings()
        was_alone.append(True)
        return replace(STEADY, noise_floor=0.05), readings()

    monkeypatch.setattr(noise, "check", check)
    return was_alone


def test_the_check_is_alone_and_says_what_it_found(
    noisy: list[bool], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        noise.main(["--threads", "4", "--json", str(tmp_path / "noise.json")])
    assert noisy == [True]
    assert caplog.messages[-1].startswith("NOISY: ")
    written = json.loads((tmp_path / "noise.json").read_text())
    assert (written["verdict"], written["spread"]["noise_floor"], written["threads"]) == ("noisy", 0.05, 4)
    assert written["readings"]["activity"]["n_cpus"] == 4


def test_only_strict_fails(noisy: list[bool]) -> None:
    noise.main(["--threads", "4"])
    with pytest.raises(AsrmeterError, match="not quiet enough"):
        noise.main(["--threads", "4", "--strict"])
    noise.main(["--threads", "4", "--strict", "--target", "0.06"])


def test_gpus_are_read_without_a_context(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_nvml.install(monkeypatch, fake_nvml.Card("GPU-1"), fake_nvml.Card("GPU-2", name="Small"))
    large, small = noise._gpus()
    assert (large["name"], small["name"]) == ("NVIDIA H100 80GB HBM3", "Small")
    assert (large["gpu_temperature_c"], large["n_foreign_gpu_processes"]) == (45, 0)
    # Not told by this library.
    assert large["persistence_mode"] is large["gpu_mhz"] is None
    assert noise.problems(readings((large, small)), threads=4) == []
