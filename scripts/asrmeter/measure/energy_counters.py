"""Energy counters of the hardware, read directly: RAPL for processors, NVML for a GPU.

A counter shows the energy since some time in the past, so only the difference of two readings is meaningful.
"""

import functools
import itertools
import statistics
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

POWERCAP = Path("/sys/class/powercap")
J_PER_UJ, J_PER_MJ = 1e-6, 1e-3
# The update interval is the median of this many intervals, watched for at most this time.
N_INTERVALS, TICK_SEARCH_S = 5, 1.0
# Power has settled when this many means over this many seconds differ by less than this part of the largest.
# The last number is the longest wait in seconds.
N_SETTLED, SETTLE_STEP_S, SETTLED_WITHIN, SETTLE_MAX_S = 3, 0.5, 0.05, 5.0

Reading = tuple[int, ...]


class Counter(ABC):
    """An energy counter. `missing` is the reason for missing values, and None while there are values."""

    missing: str | None = None

    @abstractmethod
    def read(self) -> Reading | None:
        """Return the counter's value; None, with the reason in `missing`, if it cannot be read."""

    @abstractmethod
    def _joules(self, before: Reading, after: Reading) -> float:
        """Return the joules from one reading to a later one; negative if the counter was reset in between."""

    def joules_between(self, before: Reading | None, after: Reading | None) -> float | None:
        """Return the joules from one reading to a later one; None, with the reason in `missing`, if there are none."""
        if before is None or after is None:
            return None
        joules = self._joules(before, after)
        if joules > 0:
            return joules
        what = "went backwards, for example because its driver was reloaded" if joules else "stood still"
        self.missing = f"the energy counter {what}"
        return None

    @functools.cached_property
    def tick_s(self) -> float | None:
        """Seconds from one update of the counter to the next, watched once; None if it has too few in a second."""
        until = time.perf_counter() + TICK_SEARCH_S
        times: list[float] = []
        while len(times) <= N_INTERVALS and (update := self._update(until)):
            times.append(update[0])
        return statistics.median(b - a for a, b in itertools.pairwise(times)) if len(times) > 1 else None

    def settle(self) -> float | None:
        """Wait until power hardly changes, at most `SETTLE_MAX_S`.

        Returns:
            The seconds that it took; None if power did not settle, or could not be watched.
        """
        begin = time.perf_counter()
        until = begin + SETTLE_MAX_S
        powers: list[float] = []
        last = self._update(until)
        while last:
            time.sleep(SETTLE_STEP_S)
            update = self._update(until)
            joules = self.joules_between(last[1], update[1]) if update else None
            if update is None or joules is None:
                break
            powers.append(joules / (update[0] - last[0]))
            last = update
            latest = powers[-N_SETTLED:]
            if len(latest) == N_SETTLED and max(latest) - min(latest) <= SETTLED_WITHIN * max(latest):
                return last[0] - begin
        time.sleep(max(0.0, until - time.perf_counter()))
        return None

    def _update(self, until: float) -> tuple[float, Reading] | None:
        """Wait for the counter to change; return the time and the reading, or None if it does not until `until`."""
        shown = now = self.read()
        while now is not None and shown is not None and time.perf_counter() < until:
            now = self.read()
            if now is not None and now[0] != shown[0]:
                return time.perf_counter(), now
        return None


class Rapl(Counter):
    """The energy of all processor packages, from Linux' powercap files. AMD's have the same names as Intel's.

    It is exact while a package uses less than `max_energy_range_uj` between two readings: minutes at full load.
    """

    def __init__(self, root: Path = POWERCAP) -> None:
        packages: dict[str, tuple[Path, int]] = {}
        try:
            for domain in sorted(root.glob("intel-rapl*:*")):
                name = (domain / "name").read_text(encoding="utf-8").strip()
                if name.startswith("package"):
                    # A register that is also mapped into memory (intel-rapl-mmio) appears twice, under the same name.
                    range_uj = int((domain / "max_energy_range_uj").read_text(encoding="utf-8"))
                    packages.setdefault(name, (domain / "energy_uj", range_uj))
        except (OSError, ValueError) as error:
            packages, self.missing = {}, f"RAPL: {error}"
        self._files = [file for file, _ in packages.values()]
        self._ranges_uj = [range_uj for _, range_uj in packages.values()]
        if not self._files and not self.missing:
            self.missing = f"RAPL: no processor package in {root}"
        self.read()

    def read(self) -> Reading | None:
        """Return the microjoules of all packages, each read twice in turn."""
        if not self._files:
            return None
        try:
            return tuple(int(file.read_text(encoding="utf-8")) for _ in range(2) for file in self._files)
        except PermissionError as error:
            self.missing = f"RAPL: only root may read {error.filename}"
        except (OSError, ValueError) as error:
            self.missing = f"RAPL: {error}"
        return None

    def _joules(self, before: Reading, after: Reading) -> float:
        n = len(self._files)
        spent_uj = [(after[i] - before[n + i]) % self._ranges_uj[i] for i in range(n)]
        own = [
            i for i in range(n) if not any(self._mirrors(before, j, i) and self._mirrors(after, j, i) for j in range(i))
        ]
        return sum(spent_uj[i] for i in own) * J_PER_UJ

    def _mirrors(self, reading: Reading, one: int, other: int) -> bool:
        """Return whether `other`, read between two readings of `one`, lies between them.

        The dies of a package may share its counter.
        """
        first, between, again = reading[one], reading[other], reading[len(self._files) + one]
        range_uj = self._ranges_uj[one]
        return (between - first) % range_uj <= (again - first) % range_uj


class Nvml(Counter):
    """The energy of the NVIDIA card with the given UUID since its driver was loaded (Volta and later).

    `index` is NVML's number of the card; None if NVML does not open or does not know the card.
    """

    def __init__(self, uuid: str) -> None:
        import pynvml

        self._nvml = pynvml
        self._card: Any = None
        self.index: int | None = None
        try:
            pynvml.nvmlInit()
            self._card = pynvml.nvmlDeviceGetHandleByUUID(uuid)
            self.index = pynvml.nvmlDeviceGetIndex(self._card)
        except pynvml.NVMLError as error:
            self.missing = f"NVML: {error}"
        self.read()

    def read(self) -> Reading | None:
        """Return the millijoules."""
        if self._card is None:
            return None
        try:
            return (self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._card),)
        except self._nvml.NVMLError as error:
            self.missing = f"NVML's energy counter: {error}"
            return None

    def _joules(self, before: Reading, after: Reading) -> float:
        return (after[0] - before[0]) * J_PER_MJ


def of_device(gpu_uuid: str | None) -> dict[str, Counter]:
    """Return the counters for passes on the GPU of a cell, or on the CPU, by part of the machine."""
    return {"cpu": Rapl()} | ({"gpu": Nvml(gpu_uuid)} if gpu_uuid else {})


def can_be_read(counters: dict[str, Counter]) -> bool:
    """Return whether one of the counters gives values."""
    return any(counter.missing is None for counter in counters.values())
