"""How a cell went, over all its laps: its status, the reason, and whether its interval is as narrow as it should be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from asrmeter.analysis.measured_sitting import MeasuredSitting
from asrmeter.analysis.variance_components import Fitted, time_factor


@dataclass(frozen=True)
class Outcome:
    """The outcome of a cell: see `MeasuredCell` for what it is made of."""

    sittings: Sequence[MeasuredSitting]
    fitted: Fitted | None
    target: float
    unreadable: Mapping[int, str]

    @property
    def half_width(self) -> float | None:
        """The half-width of the latency's interval, relative to the latency: the wider side of both."""
        fitted = self.fitted
        if fitted is None or fitted.low is None or fitted.high is None:
            return None
        return max(fitted.high / fitted.value - 1, 1 - fitted.low / fitted.value)

    @property
    def converged(self) -> bool | None:
        """Whether the interval is within the target; None without a latency."""
        if self.fitted is None:
            return None
        return self.half_width is not None and self.half_width <= self.target

    @property
    def time_factor(self) -> float | None:
        """By which factor more time the usual cell of its group would be within the target; None where none would do.

        That is not known from a single lap.
        """
        return time_factor(self.fitted.components, self.target) if self.fitted else None

    @property
    def status(self) -> str:
        """`ok` or `unconverged` if a lap was measured; else the status of the first lap that can be read."""
        if self.fitted is None:
            return self.sittings[0].header.status
        return "ok" if self.converged else "unconverged"

    @property
    def reason(self) -> str | None:
        """Why the cell has this status, and which laps have no latency."""
        if self.fitted is None:
            return self.sittings[0].header.reason
        lost = {one.lap: _told(one) for one in self.sittings if not one.is_measured} | dict(self.unreadable)
        reasons = [self._width()] if not self.converged else []
        reasons += [f"lap {lap}: {why}" for lap, why in sorted(lost.items())]
        return "; ".join(reasons) or None

    @property
    def disturbed(self) -> bool | None:
        """Whether something disturbed the cell in every lap that was measured; None if none was."""
        measured = [one for one in self.sittings if one.is_measured]
        return all(one.disturbance for one in measured) if measured else None

    @property
    def disturbance(self) -> str | None:
        """What disturbed which laps; None if nothing did."""
        told = {one.lap: one.disturbance for one in self.sittings if one.disturbance}
        return "; ".join(f"lap {lap}: {why}" for lap, why in sorted(told.items())) or None

    def _width(self) -> str:
        if self.half_width is None:
            return (self.fitted and self.fitted.note) or "no interval"
        return f"the interval is {_percent(self.half_width)} wide to a side, the target is {_percent(self.target)}"


def _percent(share: float) -> str:
    return f"{float(f'{100 * share:.2g}'):g} %"


def _told(sitting: MeasuredSitting) -> str:
    header = sitting.header
    return f"{header.status}, {header.reason}" if header.reason else header.status
