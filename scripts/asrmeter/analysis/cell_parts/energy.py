"""What a cell consumed: the mean power in the windows of all laps, times the latency of its class."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from asrmeter.common.stats import ratio
from asrmeter.common.table_types import Row
from asrmeter.records.events import Energy as EnergyEvent


@dataclass(frozen=True)
class Energy:
    """The energy of a cell: `events` are what the workers of its laps reported, `part` is the device's component.

    Parts are cpu, gpu and ram as codecarbon gives them, and counter_cpu and counter_gpu: the hardware's counter, read
    directly. A lap whose energy was found in another way than that of the first does not count.
    """

    events: Sequence[EnergyEvent]
    batch_size: int
    part: str
    latency_s: float | None

    @cached_property
    def first(self) -> EnergyEvent:
        """The report that says how energy was found."""
        return next((event for event in self.events if event.windows), next(iter(self.events), EnergyEvent()))

    @cached_property
    def _alike(self) -> list[EnergyEvent]:
        return [event for event in self.events if self._method(event) == self._method(self.first)]

    @cached_property
    def windows(self) -> Sequence[Row]:
        """The windows in which energy was measured."""
        return [window for event in self._alike for window in event.windows]

    def windows_w(self, part: str) -> list[float]:
        """Return the power of a part in each window; an empty list without a meter."""
        return [window[f"{part}_j"] / window["seconds"] for window in self._known(part)]

    def power_w(self, part: str | None = None) -> float | None:
        """Return the mean power of a part (default: the device's) over the time of all windows."""
        known = self._known(part or self.part)
        joules = sum(window[f"{part or self.part}_j"] for window in known)
        return ratio(joules, sum(window["seconds"] for window in known)) if known else None

    def j_per_sample(self, part: str | None = None) -> float | None:
        """Return the joules of a part (default: the device's) by sample."""
        return self._per_sample(self.power_w(part))

    @property
    def net_j_per_sample(self) -> float | None:
        """The energy above idle by sample; None where idle power was not measured."""
        gross_w, idle_w = self.power_w(), self.idle_power_w
        return None if gross_w is None or idle_w is None else self._per_sample(gross_w - idle_w)

    @property
    def range_rel(self) -> float | None:
        """Range of the power of the device's windows over their median; None for a single window."""
        powers = self.windows_w(self.part)
        return ratio(max(powers) - min(powers), statistics.median(powers)) if len(powers) > 1 else None

    @property
    def range_j_per_sample(self) -> tuple[float, float] | None:
        """The joules by sample at the least and at the largest power of the device's windows; None for a single one."""
        powers = self.windows_w(self.part)
        low, high = (self._per_sample(end(powers, default=None)) for end in (min, max))
        return None if len(powers) < 2 or low is None or high is None else (low, high)

    @property
    def counter_difference(self) -> float | None:
        """How far codecarbon's value lies above the counter that was read beside it, relative to the counter."""
        found = ratio(self.power_w(), self.power_w(f"counter_{self.part}"))
        return None if found is None else found - 1

    @property
    def idle_power_w(self) -> float | None:
        """Power of the cell's device with the model loaded and nothing to do; None without a counter."""
        windows: list[Row] = [window for event in self._alike for window in event.idle]
        idle = [window for window in windows if window[f"{self.part}_j"] is not None]
        return idle[0][f"{self.part}_j"] / idle[0]["seconds"] if idle else None

    def method(self, part: str) -> str:
        """Return where the energy of a part comes from."""
        return self.first.method_cpu if part == "cpu" else self.first.method_gpu

    def _known(self, part: str) -> list[Row]:
        return [one for one in self.windows if one.get(f"{part}_j") is not None and one["seconds"]]

    def _method(self, event: EnergyEvent) -> str:
        return event.method_cpu if self.part == "cpu" else event.method_gpu

    def _per_sample(self, power_w: float | None) -> float | None:
        return None if power_w is None or self.latency_s is None else power_w * self.latency_s / self.batch_size
