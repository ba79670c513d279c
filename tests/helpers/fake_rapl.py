"""Linux' powercap files as the kernel lays them out, with registers that a test turns."""

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

# An Intel processor's energy register has 32 bits and counts 2^-14 J; the kernel shows it in microjoules.
UNITS_PER_J = 2**14
LAST_UNIT = 2**32 - 1


class FakeRapl:
    """The tree below `root`; `powercap` is what `/sys/class/powercap` would be."""

    def __init__(self, root: Path) -> None:
        self.powercap = root / "class" / "powercap"
        self._devices = root / "devices" / "virtual" / "powercap"
        self.powercap.mkdir(parents=True)
        self._registers: dict[str, int] = {}
        self._lock = threading.Lock()

    def add(self, domain: str, name: str, units: int = 10**6) -> Path:
        """Add a domain such as `intel-rapl:0` or, inside it, `intel-rapl:0:1`; return its energy file."""
        control, *numbers = domain.split(":")
        folder = self._devices / control
        if not folder.exists():
            folder.mkdir(parents=True)
            (folder / "subsystem").symlink_to(self.powercap)
            (self.powercap / control).symlink_to(folder)
        for depth in range(1, len(numbers) + 1):
            folder = folder / ":".join([control, *numbers[:depth]])
        folder.mkdir()
        (self.powercap / domain).symlink_to(folder)
        (folder / "name").write_text(f"{name}\n")
        (folder / "max_energy_range_uj").write_text(f"{_microjoules(LAST_UNIT)}\n")
        self._registers[domain] = units
        self._show(domain)
        return folder / "energy_uj"

    def turn(self, domain: str, joules: float) -> None:
        """Let a domain use energy."""
        with self._lock:
            self._registers[domain] = (self._registers[domain] + round(joules * UNITS_PER_J)) & LAST_UNIT
            self._show(domain)

    @contextlib.contextmanager
    def running(self, watts: dict[str, float], tick_s: float) -> Iterator[None]:
        """Let domains use energy, updated every `tick_s`, until the context ends."""
        ends = threading.Event()

        def run() -> None:
            last = time.perf_counter()
            while not ends.wait(tick_s):
                now = time.perf_counter()
                for domain, power_w in watts.items():
                    self.turn(domain, power_w * (now - last))
                last = now

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            ends.set()
            thread.join()

    def _show(self, domain: str) -> None:
        shown = self.powercap / domain / "energy_uj"
        new = shown.with_name(".energy_uj")
        new.write_text(f"{_microjoules(self._registers[domain])}\n")
        os.replace(new, shown)  # a reader never sees half a number


def _microjoules(units: int) -> int:
    return units * 10**6 // UNITS_PER_J
