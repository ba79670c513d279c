"""Energy of a window: codecarbon's real code on made-up counters, and what it says where there are none."""

import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pynvml
import pytest

from asrmeter.measure import codecarbon_meter, energy, energy_counters
from asrmeter.measure.codecarbon_meter import Meter
from asrmeter.measure.used_time import UsedTime
from asrmeter.records.events import Energy
from helpers import fake_nvml
from helpers.fake_rapl import LAST_UNIT, UNITS_PER_J, FakeRapl

pytestmark = pytest.mark.alone

# codecarbon takes a kilowatt-hour for 3.6e6 J to six digits.
BY_CODECARBON = 2e-6
GPU = "GPU-4e817856-1fb8-192a-7ab7-0e0e4476c184"


@pytest.fixture(autouse=True)
def hardware_is_looked_for_anew() -> Iterator[None]:
    codecarbon_meter.preload()
    from codecarbon.core import hardware_cache

    hardware_cache.clear_cache()
    yield
    hardware_cache.clear_cache()


@pytest.fixture
def rapl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeRapl:
    """Powercap files of a processor, for codecarbon and for the counter that is read directly."""
    from codecarbon.core import cpu

    tree = FakeRapl(tmp_path)
    monkeypatch.setattr(energy_counters.Rapl.__init__, "__defaults__", (tree.powercap,))
    monkeypatch.setattr(cpu, "_get_candidate_bases", lambda rapl_dir: [str(tree.powercap)])
    # Only asks whether the folder that is given above is there.
    monkeypatch.setattr(cpu.IntelRAPL, "_setup_rapl", cpu.IntelRAPL._fetch_rapl_files)
    return tree


@pytest.fixture
def no_rapl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from codecarbon.core import cpu

    monkeypatch.setattr(energy_counters.Rapl.__init__, "__defaults__", (tmp_path,))
    monkeypatch.setattr(cpu, "_get_candidate_bases", lambda rapl_dir: [])


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less for power to settle."""
    monkeypatch.setattr(energy_counters, "SETTLE_STEP_S", 0.05)
    monkeypatch.setattr(energy_counters, "SETTLE_MAX_S", 1.0)


def installed(monkeypatch: pytest.MonkeyPatch, *cards: fake_nvml.Card) -> fake_nvml.FakeNvml:
    """Put cards into the machine; torch runs on the one with the UUID `GPU`."""
    return fake_nvml.install(monkeypatch, *cards)


def of_power(watts: float, tick_s: float = 0.001) -> Callable[[], int]:
    """Return a counter (mJ) of a card with constant power, updated every `tick_s`."""
    return lambda: 10**9 + round(watts * 1000 * (time.perf_counter() // tick_s * tick_s))


def joules(meter: Meter, run: Callable[[], object]) -> dict[str, float | None]:
    assert meter.failure is None
    meter.begin()
    run()
    return meter.end()


def metered(gpu: str | None, run: Callable[[], object], least_s: float) -> Energy:
    """Meter passes as a sitting of the first lap does, whose timed passes are one."""
    counters = energy_counters.of_device(gpu)
    used = UsedTime()
    run()
    used.end()
    found = energy.EnergyMeasurement(counters)
    if not found.is_measured:
        return found.model(used, n_passes=1)
    found.meter(run, least_s, n_passes_per_run=1)
    return found.idle()


# Processors


def test_codecarbon_and_the_counter_agree_on_both_sockets(rapl: FakeRapl) -> None:
    rapl.add("intel-rapl:0", "package-0")
    rapl.add("intel-rapl:0:0", "core")
    rapl.add("intel-rapl:1", "package-1", units=9 * 10**6)
    meter, counter = Meter(None), energy_counters.Rapl()
    before = counter.read()
    spent = joules(
        meter, lambda: [rapl.turn(domain, 400.0) for domain in ("intel-rapl:0", "intel-rapl:0:0", "intel-rapl:1")]
    )
    assert meter.method_cpu == "rapl"
    assert meter.note == "CPU: whole socket by RAPL"
    assert counter.joules_between(before, counter.read()) == pytest.approx(800, abs=1e-5)
    assert spent["cpu_j"] == pytest.approx(800, rel=BY_CODECARBON)
    assert spent["gpu_j"] is None


def test_codecarbon_and_the_counter_agree_when_it_wraps_around(rapl: FakeRapl) -> None:
    rapl.add("intel-rapl:0", "package-0", units=LAST_UNIT - 100 * UNITS_PER_J)
    meter, counter = Meter(None), energy_counters.Rapl()
    before = counter.read()
    spent = joules(meter, lambda: rapl.turn("intel-rapl:0", 250.0))
    assert counter.joules_between(before, counter.read()) == pytest.approx(250, abs=1e-4)
    assert spent["cpu_j"] == pytest.approx(250, rel=BY_CODECARBON)


def test_codecarbon_and_the_counter_agree_on_twins_and_mirrors(rapl: FakeRapl) -> None:
    register = rapl.add("intel-rapl:0", "package-0-die-0")
    mirror = rapl.add("intel-rapl:1", "package-0-die-1")
    mirror.unlink()
    mirror.symlink_to(register)
    twin = rapl.add("intel-rapl-mmio:0", "package-0-die-0")
    twin.unlink()
    twin.symlink_to(register)
    meter, counter = Meter(None), energy_counters.Rapl()
    before = counter.read()
    spent = joules(meter, lambda: rapl.turn("intel-rapl:0", 60.0))
    assert counter.joules_between(before, counter.read()) == pytest.approx(60, abs=1e-5)
    assert spent["cpu_j"] == pytest.approx(60, rel=BY_CODECARBON)


def test_a_socket_that_cannot_be_read_any_more_is_no_figure(rapl: FakeRapl) -> None:
    rapl.add("intel-rapl:0", "package-0")
    file = rapl.add("intel-rapl:1", "package-1", units=9 * 10**6)
    meter = Meter(None)

    def lose_one() -> None:
        rapl.turn("intel-rapl:0", 60.0)
        file.unlink()

    assert joules(meter, lose_one) == {"cpu_j": None, "gpu_j": None, "ram_j": None}
    assert meter.failure == "codecarbon failed: RuntimeError('rapl lost during a window')"


@pytest.mark.usefixtures("quickly")
def test_a_window_and_an_idle_one_where_the_cpu_has_a_counter(rapl: FakeRapl) -> None:
    rapl.add("intel-rapl:0", "package-0")

    def work() -> None:
        rapl.turn("intel-rapl:0", 100.0)
        time.sleep(0.2)

    with rapl.running({"intel-rapl:0": 5.0}, tick_s=0.002):
        found = metered(None, work, least_s=0.3)
    assert (found.method_cpu, found.method_gpu, found.counter_note) == ("rapl", "none", None)
    assert found.counter_tick_s is not None and found.counter_tick_s > 0
    (window,) = found.windows
    assert window["counter_cpu_j"] == pytest.approx(100 * window["n_passes"] + 5 * window["seconds"], rel=0.05)
    assert window["cpu_j"] == pytest.approx(window["counter_cpu_j"], rel=0.05)
    assert window["gpu_j"] is window["counter_gpu_j"] is None
    assert window["ram_j"] is not None and window["ram_j"] > 0
    (idle,) = found.idle
    assert idle["counter_cpu_j"] == pytest.approx(5 * idle["seconds"], rel=0.3)


@pytest.mark.usefixtures("no_rapl")
def test_the_load_model_is_tdp_by_share_of_cpu_time() -> None:
    meter = Meter(None)
    matrix = np.random.default_rng(0).random((400, 400))

    def work() -> None:
        end = time.perf_counter() + 2
        while time.perf_counter() < end:
            matrix @ matrix

    before = os.times()
    spent = joules(meter, work)
    after = os.times()
    cpu_s = after.user + after.system - before.user - before.system
    assert meter.method_cpu == "cpu_load_model"
    assert "modelled by codecarbon from a TDP of" in meter.note
    assert spent["cpu_j"] == pytest.approx(meter._cpu._tdp * cpu_s / (os.cpu_count() or 1), rel=0.05)


@pytest.mark.usefixtures("no_rapl")
@pytest.mark.parametrize("model", ["cpu_load_model", "tdp_constant"])
def test_the_model_of_passes_is_what_codecarbon_says_of_a_window(model: str) -> None:
    meter = Meter(None)
    mode = {"cpu_load_model": "cpu_load", "tdp_constant": "constant"}[model]
    meter.method_cpu, meter._cpu._mode = model, mode
    matrix = np.random.default_rng(0).random((400, 400))
    used = UsedTime()
    by_codecarbon = joules(meter, lambda: [matrix @ matrix for _ in range(100)] and time.sleep(0.3))
    used.end()
    modelled = meter.modelled(used.seconds, used.cpu_s)
    assert modelled["gpu_j"] is by_codecarbon["gpu_j"] is None
    # codecarbon reads its clocks a little earlier or later, and CPU time in steps of 10 ms.
    for part in ("cpu_j", "ram_j"):
        assert modelled[part] == pytest.approx(by_codecarbon[part], rel=0.1), part


@pytest.mark.usefixtures("no_rapl")
def test_the_window_of_a_modelled_cpu_is_the_timed_passes() -> None:
    found = metered(None, lambda: time.sleep(0.2), least_s=99)
    assert found.method_cpu == "cpu_load_model"
    (window,) = found.windows
    assert window["n_passes"] == 1 and found.idle == ()
    assert window["seconds"] == pytest.approx(0.2, abs=0.1)
    assert window["counter_cpu_j"] is None
    assert found.counter_tick_s is None
    assert found.counter_note is not None and found.counter_note.startswith("RAPL: no processor package in ")


def test_processes_that_a_pass_started_count() -> None:
    code = "import time\nwhile time.process_time() < 0.5: pass\nprint(flush=True)\ntime.sleep(60)"
    used = UsedTime()
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None and server.stdout.readline() == b"\n"
        used.end()
        server.kill()
    assert 0.45 <= used.cpu_s < 1.0


# GPUs


@pytest.mark.usefixtures("no_rapl", "quickly")
def test_the_cells_own_card_is_metered_by_its_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    other = fake_nvml.Card("GPU-11111111-1fb8-192a-7ab7-0e0e4476c184", energy_mj=of_power(999))
    installed(monkeypatch, other, fake_nvml.Card(GPU, energy_mj=of_power(150)))
    found = metered(GPU, lambda: time.sleep(0.02), least_s=0.4)
    assert (found.method_cpu, found.method_gpu) == ("cpu_load_model", "nvml_counter")
    assert found.note.startswith("GPU: NVML's energy counter; CPU: modelled by codecarbon")
    assert found.counter_note is None
    assert found.idle_settled_s is not None
    assert len(found.windows) == 1
    for window in [*found.windows, *found.idle]:
        assert window["counter_gpu_j"] == pytest.approx(150 * window["seconds"], rel=0.2)
        assert window["gpu_j"] == pytest.approx(150 * window["seconds"], rel=0.3)
        assert window["counter_cpu_j"] is None


def test_codecarbon_takes_the_difference_of_the_cards_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = [7_000_000]
    installed(monkeypatch, fake_nvml.Card(GPU, power_mw=lambda: 1, energy_mj=lambda: shown[0]))
    meter, counter = Meter(energy_counters.Nvml(GPU)), energy_counters.Nvml(GPU)
    before = counter.read()
    spent = joules(meter, lambda: shown.append(shown.pop() + 1_234_567))
    assert counter.joules_between(before, counter.read()) == pytest.approx(1234.567)
    assert spent["gpu_j"] == pytest.approx(1234.567, rel=BY_CODECARBON)


@pytest.mark.usefixtures("no_rapl", "quickly")
def test_a_window_lasts_fifty_updates_of_the_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, fake_nvml.Card(GPU, energy_mj=of_power(150, tick_s=0.02)))
    found = metered(GPU, lambda: time.sleep(0.05), least_s=0.1)
    assert found.counter_tick_s == pytest.approx(0.02, rel=0.25)
    for window in [*found.windows, *found.idle]:
        assert window["seconds"] >= 50 * found.counter_tick_s


@pytest.mark.usefixtures("no_rapl")
def test_a_card_without_a_counter_is_metered_by_its_power(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = itertools.cycle([100_000, 300_000])
    installed(monkeypatch, fake_nvml.Card(GPU, power_mw=lambda: next(readings)))
    meter = Meter(energy_counters.Nvml(GPU))
    assert meter.method_gpu == "nvml_power"
    assert meter.note.startswith("GPU: mean of NVML's power, read every second; CPU: ")
    begin = time.perf_counter()
    spent = joules(meter, lambda: time.sleep(2.5))
    assert spent["gpu_j"] == pytest.approx(200 * (time.perf_counter() - begin), rel=0.02)
    assert energy_counters.Nvml(GPU).missing == "NVML's energy counter: Not Supported"


def test_card_counter_backwards_is_not_replaced_by_power(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = [7_000_000]
    installed(monkeypatch, fake_nvml.Card(GPU, energy_mj=lambda: shown[0]))
    meter = Meter(energy_counters.Nvml(GPU))
    assert meter.method_gpu == "nvml_counter"
    assert joules(meter, lambda: shown.append(shown.pop() - 6_000_000))["gpu_j"] is None
    assert meter.failure == "codecarbon failed: RuntimeError('nvml_counter lost during a window')"


@pytest.mark.usefixtures("no_rapl")
def test_a_gpu_that_nvml_does_not_show_leaves_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    library = installed(monkeypatch, fake_nvml.Card(GPU, energy_mj=of_power(150)))
    library.opens_with = pynvml.NVML_ERROR_DRIVER_NOT_LOADED
    found = metered(GPU, lambda: time.sleep(0.02), least_s=0.1)
    assert (found.method_cpu, found.method_gpu) == ("cpu_load_model", "none")
    assert found.note.startswith("GPU: not found by NVML; CPU: ")
    assert found.counter_note == "NVML: Driver Not Loaded"
    assert [window["gpu_j"] for window in found.windows] == [None]
    assert found.windows[0]["cpu_j"] is not None


def test_a_cell_on_the_cpu_leaves_gpus_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    library = installed(monkeypatch, fake_nvml.Card(GPU, energy_mj=of_power(150)))
    metered(None, lambda: time.sleep(0.02), least_s=0.05)
    assert library.n_opened == 0


# What may go wrong


def breaks(*arguments: object, **options: object) -> None:
    raise OSError("no such luck")


@pytest.mark.usefixtures("quickly")
@pytest.mark.parametrize("step", ["__init__", "start_task", "stop_task"])
def test_the_counter_is_left_when_codecarbon_fails(rapl: FakeRapl, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    from codecarbon import OfflineEmissionsTracker

    rapl.add("intel-rapl:0", "package-0")
    monkeypatch.setattr(OfflineEmissionsTracker, step, breaks)
    with rapl.running({"intel-rapl:0": 50.0}, tick_s=0.002):
        found = metered(None, lambda: time.sleep(0.02), least_s=0.2)
    assert found.method_cpu == found.method_gpu == "none"
    assert found.note == "codecarbon failed: OSError('no such luck')"
    assert len(found.windows) == 1
    for window in [*found.windows, *found.idle]:
        assert window["cpu_j"] is window["gpu_j"] is window["ram_j"] is None
        assert window["counter_cpu_j"] == pytest.approx(50 * window["seconds"], rel=0.2)


@pytest.mark.usefixtures("quickly")
def test_a_method_that_gave_no_figure_is_none(rapl: FakeRapl, monkeypatch: pytest.MonkeyPatch) -> None:
    from codecarbon import OfflineEmissionsTracker

    starts, start_task = itertools.count(), OfflineEmissionsTracker.start_task
    rapl.add("intel-rapl:0", "package-0")
    # Setting up succeeds, the first window does not.
    monkeypatch.setattr(OfflineEmissionsTracker, "start_task", lambda *a: (breaks if next(starts) else start_task)(*a))
    with rapl.running({"intel-rapl:0": 50.0}, tick_s=0.002):
        found = metered(None, lambda: time.sleep(0.02), least_s=0.1)
    assert found.method_cpu == "none"
    assert [window["cpu_j"] for window in found.windows] == [None]
    assert found.note == "CPU: whole socket by RAPL; codecarbon failed: OSError('no such luck')"


@pytest.mark.usefixtures("no_rapl")
def test_without_any_meter_there_are_no_joules(monkeypatch: pytest.MonkeyPatch) -> None:
    from codecarbon import OfflineEmissionsTracker

    monkeypatch.setattr(OfflineEmissionsTracker, "start_task", breaks)
    found = metered(None, lambda: time.sleep(0.02), least_s=0.05)
    assert found.method_cpu == found.method_gpu == "none"
    assert found.idle == ()
    (window,) = found.windows
    assert {name: value for name, value in window.items() if name.endswith("_j")} == dict.fromkeys(
        ("cpu_j", "gpu_j", "ram_j", "counter_cpu_j", "counter_gpu_j")
    )
    assert "no such luck" in found.note
    assert found.counter_note


def test_a_pass_that_fails_leaves_a_note(rapl: FakeRapl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy_counters, "TICK_SEARCH_S", 0)
    rapl.add("intel-rapl:0", "package-0")

    def run() -> None:
        rapl.turn("intel-rapl:0", 5.0)
        raise ValueError("out of luck")

    found = energy.EnergyMeasurement(energy_counters.of_device(None)).meter(run, least_s=0, n_passes_per_run=1)
    assert found.windows == []
    assert found.note == "CPU: whole socket by RAPL; a pass failed: ValueError('out of luck')"


@pytest.mark.usefixtures("quickly")
def test_idling_that_fails_leaves_the_window(rapl: FakeRapl, monkeypatch: pytest.MonkeyPatch) -> None:
    rapl.add("intel-rapl:0", "package-0")
    found = energy.EnergyMeasurement(energy_counters.of_device(None))
    with rapl.running({"intel-rapl:0": 50.0}, tick_s=0.002):
        found.meter(lambda: time.sleep(0.02), least_s=0.1, n_passes_per_run=3)
    monkeypatch.setattr(energy_counters.Rapl, "settle", lambda _: 1 / 0)
    (window,) = found.idle().windows
    assert window["n_passes"] % 3 == 0 and window["counter_cpu_j"] is not None
    assert found.found.note is not None and "idling failed: ZeroDivisionError" in found.found.note


def test_interruption_is_not_caught(rapl: FakeRapl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy_counters, "TICK_SEARCH_S", 0)
    rapl.add("intel-rapl:0", "package-0")

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        energy.EnergyMeasurement(energy_counters.of_device(None)).meter(interrupted, least_s=0, n_passes_per_run=1)


# Beside the measurement


def test_no_configuration_no_network_and_no_files(
    rapl: FakeRapl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("the network is used")

    rapl.add("intel-rapl:0", "package-0")
    home = tmp_path / "home"
    home.mkdir()
    (home / ".codecarbon.config").write_text("[codecarbon]\npue = 3\nforce_cpu_power = 1000\nsave_to_file = true\n")
    monkeypatch.chdir(home)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("CODECARBON_ELECTRICITYMAPS_API_TOKEN", "token")
    monkeypatch.setenv("CODECARBON_RAPL_PREFER_PSYS", "true")
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    meter = Meter(None)
    assert joules(meter, lambda: rapl.turn("intel-rapl:0", 100.0))["cpu_j"] == pytest.approx(100, rel=BY_CODECARBON)
    assert meter.method_cpu == "rapl"
    assert os.listdir(home) == [".codecarbon.config"]


@pytest.mark.usefixtures("no_rapl")
def test_no_thread_runs_beside_a_window() -> None:
    threads, others = [], set(threading.enumerate())

    def run() -> None:
        time.sleep(0.2)  # a thread that was told to end has done so by then
        threads.extend(set(threading.enumerate()) - others)

    metered(None, run, least_s=0.05)
    assert threads == []


FORKED = """
import ctypes, os, sys
import pytest
from helpers import fake_nvml
library = fake_nvml.install(pytest.MonkeyPatch(), fake_nvml.Card("GPU-a"))
from asrmeter.measure import codecarbon_meter
codecarbon_meter.preload()
assert library.n_opened == 0, "NVML is open before the fork"
before = set(sys.modules)
meter = codecarbon_meter.Meter(None)
assert meter.failure is None, meter.failure
assert set(sys.modules) == before, set(sys.modules) - before
"""


def test_preloaded_process_is_silent_and_asks_no_slurm() -> None:
    paths = os.pathsep.join(str(Path(__file__).parents[i] / part) for i, part in [(2, "scripts"), (1, "")])
    environment: dict[str, Any] = {**os.environ, "PYTHONPATH": paths, "SLURM_JOB_ID": "7", "SLURM_JOBID": "7"}
    done = subprocess.run([sys.executable, "-c", FORKED], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
