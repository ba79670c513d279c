"""What a cell consumed, from the windows of its energy measurement."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from asrmeter.common.stats import ratio
from asrmeter.common.table_types import Row
from asrmeter.records.events import Energy as EnergyEvent


@dataclass(frozen=True)
class Energy:
    """The energy of a cell: `event` is what the worker reported of it, `part` the component of the cell's device.

    Parts are cpu, gpu and ram as codecarbon gives them, and counter_cpu and counter_gpu: the hardware's counter, read
    directly.
    """

    event: EnergyEvent
    batch_size: int
    part: str

    @property
    def windows(self) -> Sequence[Row]:
        """The windows in which energy was measured."""
        return self.event.windows

    @property
    def _idle(self) -> Sequence[Row]:
        return self.event.idle

    def windows_j_per_sample(self, part: str) -> list[float]:
        """Return the joules of a part by sample in each window; an empty list without a meter."""
        return [
            joules / (window["n_passes"] * self.batch_size)
            for window in self.windows
            if (joules := window.get(f"{part}_j")) is not None
        ]

    def j_per_sample(self, part: str | None = None) -> float | None:
        """Return the joules of a part (default: the device's) by sample, the median of the windows."""
        per_sample = self.windows_j_per_sample(part or self.part)
        return statistics.median(per_sample) if per_sample else None

    @property
    def net_j_per_sample(self) -> float | None:
        """The energy above idle by sample; None where idle power was not measured."""
        gross, idle_w = self.j_per_sample(), self.idle_power_w
        if gross is None or idle_w is None:
            return None
        seconds = statistics.median(w["seconds"] / (w["n_passes"] * self.batch_size) for w in self.windows)
        return gross - idle_w * seconds

    @property
    def range_rel(self) -> float | None:
        """Range of the device's windows over their median; None for a single window."""
        per_sample = self.windows_j_per_sample(self.part)
        if len(per_sample) < 2:
            return None
        return ratio(max(per_sample) - min(per_sample), statistics.median(per_sample))

    @property
    def counter_difference(self) -> float | None:
        """How far codecarbon's value lies above the counter that was read beside it, relative to the counter."""
        counter, codecarbon = self.j_per_sample(f"counter_{self.part}"), self.j_per_sample()
        found = ratio(codecarbon, counter)
        return None if found is None else found - 1

    @property
    def idle_power_w(self) -> float | None:
        """Power of the cell's device with the model loaded and nothing to do; None without a counter."""
        idle = [window for window in self._idle if window[f"{self.part}_j"] is not None]
        return idle[0][f"{self.part}_j"] / idle[0]["seconds"] if idle else None

    def method(self, part: str) -> str:
        """Return where the energy of a part comes from."""
        return self.event.method_cpu if part == "cpu" else self.event.method_gpu
