"""The limits that a purpose can set, and whether a result meets them."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from asrmeter.analysis.results import CellResult
from asrmeter.common.stats import Estimate

# A variant other than fp32 has to keep this share of fp32's word accuracy.
GATE = "accuracy_gate"


class Outcome(StrEnum):
    """Whether a result meets a limit; `likely`: its value does, but its interval extends beyond or is not known."""

    MET = "met"
    LIKELY = "likely"
    MISSED = "missed"
    UNKNOWN = "unknown"


class Follows(StrEnum):
    """What the uncertainty of a value comes from: it goes with the latency, against it, with the WER, or has none."""

    LATENCY = "latency"
    SPEED = "speed"
    WER = "wer"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Check:
    """A result compared with one limit: its value (None where it was not measured), the limit, and the outcome."""

    key: str
    value: Estimate | None
    limit: float
    at_most: bool
    follows: Follows = Follows.NOTHING

    @property
    def outcome(self) -> Outcome:
        """Whether the value meets the limit."""
        if self.value is None:
            return Outcome.UNKNOWN
        if not self._holds(self.value.value):
            return Outcome.MISSED
        worse = self.value.high if self.at_most else self.value.low
        return Outcome.MET if worse is not None and self._holds(worse) else Outcome.LIKELY

    @property
    def passes(self) -> bool:
        """Whether the value is within the limit, surely or likely."""
        return self.outcome in (Outcome.MET, Outcome.LIKELY)

    def _holds(self, value: float) -> bool:
        return value <= self.limit if self.at_most else value >= self.limit


@dataclass(frozen=True)
class Limit:
    """A constraint of a scenario: the value that it limits, whether from above or from below, and what that follows."""

    value: Callable[[CellResult], Estimate | None]
    follows: Follows
    at_most: bool = True

    def check(self, key: str, result: CellResult, limit: float) -> Check:
        """Compare a result with the limit."""
        return Check(key, self.value(result), limit, self.at_most, self.follows)


# A constraint is a line here, a key in the study's schema, and words in the catalogue.
LIMITS: dict[str, Limit] = {
    "max_wer": Limit(lambda result: result.wer, Follows.WER),
    "max_latency_s_median": Limit(lambda result: result.latency, Follows.LATENCY),
    "max_latency_s_p95": Limit(lambda result: result.latency_p95, Follows.LATENCY),
    "min_rtfx": Limit(lambda result: result.rtfx, Follows.SPEED, at_most=False),
    "max_memory_gb": Limit(
        lambda result: Estimate.exact(result.memory_bytes / 1e9) if result.memory_bytes is not None else None,
        Follows.NOTHING,
    ),
}
