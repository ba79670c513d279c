"""Energy counters read directly: from powercap files as the kernel writes them, and through NVML's C functions."""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pynvml
import pytest

from asrmeter.measure import energy_counters
from helpers import fake_nvml
from helpers.fake_rapl import LAST_UNIT, UNITS_PER_J, FakeRapl

pytestmark = pytest.mark.alone

NOBODY = 65534


@pytest.fixture
def tree(tmp_path: Path) -> FakeRapl:
    return FakeRapl(tmp_path)


def joules_of(tree: FakeRapl, spent: dict[str, float]) -> float | None:
    """Read the counter before and after its domains used energy."""
    counter = energy_counters.Rapl(tree.powercap)
    assert counter.missing is None
    before = counter.read()
    for domain, joules in spent.items():
        tree.turn(domain, joules)
    return counter.joules_between(before, counter.read())


def test_packages_are_summed_and_nothing_inside_or_around_them(tree: FakeRapl) -> None:
    tree.add("intel-rapl:0", "package-0")
    tree.add("intel-rapl:0:0", "core")
    tree.add("intel-rapl:0:1", "dram")
    tree.add("intel-rapl:1", "package-1", units=7 * 10**6)
    tree.add("intel-rapl:2", "psys")
    spent = {
        "intel-rapl:0": 100.0,
        "intel-rapl:0:0": 60.0,
        "intel-rapl:0:1": 9.0,
        "intel-rapl:1": 50.0,
        "intel-rapl:2": 400.0,
    }
    assert joules_of(tree, spent) == pytest.approx(150, abs=1e-5)


def test_a_package_that_shows_in_memory_too_counts_once(tree: FakeRapl) -> None:
    tree.add("intel-rapl-mmio:0", "package-0")
    tree.add("intel-rapl:0", "package-0")
    assert joules_of(tree, {"intel-rapl:0": 30.0, "intel-rapl-mmio:0": 30.0}) == pytest.approx(30, abs=1e-5)


def test_a_package_that_shows_in_memory_only_counts(tree: FakeRapl) -> None:
    tree.add("intel-rapl-mmio:0", "package-0")
    assert joules_of(tree, {"intel-rapl-mmio:0": 30.0}) == pytest.approx(30, abs=1e-5)


def test_dies_that_share_a_counter_count_once(tree: FakeRapl) -> None:
    register = tree.add("intel-rapl:0", "package-0-die-0")
    mirror = tree.add("intel-rapl:1", "package-0-die-1")
    mirror.unlink()
    mirror.symlink_to(register)
    assert joules_of(tree, {"intel-rapl:0": 30.0}) == pytest.approx(30, abs=1e-5)


def test_packages_that_showed_the_same_once_count_both(tree: FakeRapl) -> None:
    tree.add("intel-rapl:0", "package-0", units=5000)
    tree.add("intel-rapl:1", "package-1", units=5000)
    assert joules_of(tree, {"intel-rapl:0": 30.0, "intel-rapl:1": 20.0}) == pytest.approx(50, abs=1e-5)


def test_a_counter_that_wraps_around_is_followed(tree: FakeRapl) -> None:
    tree.add("intel-rapl:0", "package-0", units=LAST_UNIT - UNITS_PER_J)
    tree.add("intel-rapl:1", "package-1")
    # One unit, 61 microjoules, lies between the largest value and zero.
    assert joules_of(tree, {"intel-rapl:0": 40.0, "intel-rapl:1": 2.0}) == pytest.approx(42, abs=1e-4)


def test_a_machine_without_rapl_says_so(tmp_path: Path) -> None:
    counter = energy_counters.Rapl(tmp_path / "class" / "powercap")
    assert counter.missing == f"RAPL: no processor package in {tmp_path}/class/powercap"
    assert counter.read() is None
    assert counter.tick_s is None


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """Yield a folder that everybody may enter, for a test that goes on as an ordinary user."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)
        if os.getuid() == 0:
            os.seteuid(0)


def test_files_that_only_root_may_read_are_a_reason(as_nobody: Path) -> None:
    tree = FakeRapl(as_nobody)
    tree.add("intel-rapl:0", "package-0").chmod(0o400 if os.getuid() == 0 else 0)
    if os.getuid() == 0:
        os.seteuid(NOBODY)
    counter = energy_counters.Rapl(tree.powercap)
    assert counter.missing == f"RAPL: only root may read {tree.powercap}/intel-rapl:0/energy_uj"
    assert counter.read() is None


def test_file_that_disappears_gives_a_reason(tree: FakeRapl) -> None:
    file = tree.add("intel-rapl:0", "package-0")
    counter = energy_counters.Rapl(tree.powercap)
    before = counter.read()
    file.unlink()
    assert counter.joules_between(before, counter.read()) is None
    assert counter.missing is not None
    assert "No such file" in counter.missing


def test_counter_that_stands_still_gives_a_reason(tree: FakeRapl) -> None:
    tree.add("intel-rapl:0", "package-0")
    counter = energy_counters.Rapl(tree.powercap)
    assert counter.joules_between(counter.read(), counter.read()) is None
    assert counter.missing == "the energy counter stood still"


def test_the_update_interval_of_files_is_found(tree: FakeRapl) -> None:
    tree.add("intel-rapl:0", "package-0")
    with tree.running({"intel-rapl:0": 65.0}, tick_s=0.1):
        assert energy_counters.Rapl(tree.powercap).tick_s == pytest.approx(0.1, rel=0.4)


def test_counter_without_updates_watch_ends(tree: FakeRapl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy_counters, "TICK_SEARCH_S", 0.2)
    tree.add("intel-rapl:0", "package-0")
    begin = time.perf_counter()
    assert energy_counters.Rapl(tree.powercap).tick_s is None
    assert time.perf_counter() - begin < 1


def test_the_card_is_found_by_its_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {"GPU-a": 5_000_000, "GPU-b": 7_000_000}
    cards = [fake_nvml.Card(uuid, energy_mj=lambda uuid=uuid: shown[uuid]) for uuid in shown]
    fake_nvml.install(monkeypatch, *cards)
    counter = energy_counters.Nvml("GPU-b")
    assert counter.missing is None
    before = counter.read()
    shown["GPU-a"] += 1_000_000
    shown["GPU-b"] += 1_234_567
    assert counter.joules_between(before, counter.read()) == pytest.approx(1234.567)


def test_card_counter_backwards_gives_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = [5_000_000, 5_000_000, 12_000]
    fake_nvml.install(monkeypatch, fake_nvml.Card("GPU-a", energy_mj=lambda: shown.pop(0)))
    counter = energy_counters.Nvml("GPU-a")
    assert counter.joules_between(counter.read(), counter.read()) is None
    assert counter.missing == "the energy counter went backwards, for example because its driver was reloaded"


def test_a_card_without_a_counter_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_nvml.install(monkeypatch, fake_nvml.Card("GPU-a"))
    assert energy_counters.Nvml("GPU-a").missing == "NVML's energy counter: Not Supported"
    assert energy_counters.Nvml("GPU-of-another-machine").missing == "NVML: Not Found"


def test_a_driver_that_does_not_answer_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    library = fake_nvml.install(monkeypatch, fake_nvml.Card("GPU-a"))
    library.opens_with = pynvml.NVML_ERROR_DRIVER_NOT_LOADED
    assert energy_counters.Nvml("GPU-a").missing == "NVML: Driver Not Loaded"


class Clock:
    """A clock for the counters, on which reading it takes 0.1 ms and nothing else takes time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 0.0
        monkeypatch.setattr(energy_counters, "time", self)

    def perf_counter(self) -> float:
        self.now_s += 1e-4
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def card_of_power(clock: Clock, watts_from_s: dict[float, float], tick_s: float) -> fake_nvml.Card:
    """Return a card that changes its power (W) at times, and updates its counter every `tick_s`."""

    def energy_mj() -> int:
        now_s = clock.now_s // tick_s * tick_s
        spans = zip(watts_from_s.items(), [*watts_from_s, float("inf")][1:], strict=True)
        return 10**9 + round(1000 * sum(watts * max(0, min(now_s, end) - begin) for (begin, watts), end in spans))

    return fake_nvml.Card("GPU-a", energy_mj=energy_mj)


@pytest.mark.parametrize("tick_s", [0.001, 0.02, 0.1])
def test_the_update_interval_of_a_card_is_found(monkeypatch: pytest.MonkeyPatch, clock: Clock, tick_s: float) -> None:
    fake_nvml.install(monkeypatch, card_of_power(clock, {0: 70.0}, tick_s))
    assert energy_counters.Nvml("GPU-a").tick_s == pytest.approx(tick_s, abs=1e-4)
    assert clock.now_s <= 1


def test_settle_waits_for_falling_power(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    fake_nvml.install(monkeypatch, card_of_power(clock, {0: 300.0, 0.4: 200.0, 0.9: 120.0, 1.3: 70.0}, 0.02))
    # Half a second is partly before 1.3 s; three that hardly differ follow.
    assert energy_counters.Nvml("GPU-a").settle() == pytest.approx(3.1, abs=0.2)


def test_settle_ends_where_power_never_settles(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    rising = {i * 0.5: 100.0 * 1.2**i for i in range(20)}
    fake_nvml.install(monkeypatch, card_of_power(clock, rising, 0.02))
    assert energy_counters.Nvml("GPU-a").settle() is None
    assert clock.now_s == pytest.approx(5, abs=0.6)


def test_settle_waits_longest_without_a_counter(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    fake_nvml.install(monkeypatch, fake_nvml.Card("GPU-a"))
    assert energy_counters.Nvml("GPU-a").settle() is None
    assert clock.now_s == pytest.approx(5, abs=0.01)
