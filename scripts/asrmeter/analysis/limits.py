"""The limits that a purpose can set, and whether a result meets them, misses them, or that is not known."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from asrmeter.analysis.ranking import is_well_scored
from asrmeter.analysis.results import BASELINE, CellResult
from asrmeter.analysis.under_load import p95_at
from asrmeter.analysis.unknowns import Why
from asrmeter.common.stats import Estimate
from asrmeter.study.model import Scenario

# A variant other than fp32 has to keep this share of fp32's word accuracy.
GATE = "accuracy_gate"


class Outcome(StrEnum):
    """Whether a result meets a limit; `likely`: its value does, but its interval extends beyond or is not known.

    What is `unknown` neither meets the limit nor misses it.
    """

    MET = "met"
    LIKELY = "likely"
    MISSED = "missed"
    UNKNOWN = "unknown"


class Follows(StrEnum):
    """What the uncertainty of a value comes from: it goes with the latency, against it, or with the WER.

    It may also be its own, or there is none.
    """

    LATENCY = "latency"
    SPEED = "speed"
    WER = "wer"
    ITSELF = "itself"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Check:
    """A result compared with one limit: its value, the limit, and the outcome.

    `value` is None where it is not known, and `missing` says why. `is_bound` is for a value of which only one end of
    its interval is known, which misses the limit already.
    """

    key: str
    value: Estimate | None
    limit: float
    at_most: bool
    follows: Follows = Follows.NOTHING
    missing: Why | None = None
    is_bound: bool = False

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
    """A constraint of a scenario: the value that it limits, whether from above or from below, and what that follows.

    `missing` says why the value of a result is not known, or should not be looked at; None if nothing is wrong.
    """

    value: Callable[[CellResult], Estimate | None]
    follows: Follows
    at_most: bool = True
    missing: Callable[[CellResult], Why | None] = lambda result: None
    at_least: Callable[[CellResult], float | None] = lambda result: None

    def check(self, key: str, result: CellResult, limit: float) -> Check:
        """Compare a result with the limit."""
        bound = self.at_least(result)
        missing = self.missing(result)
        value = None if missing else self.value(result)
        if missing is Why.TOO_FEW_REQUESTS and bound is not None and bound > limit:
            return Check(key, Estimate(bound, low=bound), limit, self.at_most, self.follows, is_bound=True)
        if value is None:
            return Check(key, None, limit, self.at_most, self.follows, missing or Why.NOT_MEASURED)
        return Check(key, value, limit, self.at_most, self.follows)


def speed_missing(result: CellResult) -> Why | None:
    """Return why the speed of a result is not known."""
    return Why.DISTURBED if result.disturbance else None


def wer_missing(result: CellResult) -> Why | None:
    """Return why the WER of a result is not known: nothing was scored, or not enough of it to go by."""
    return None if is_well_scored(result) else Why.NO_WER


def _p95_missing(result: CellResult) -> Why | None:
    return speed_missing(result) or (Why.TOO_FEW_REQUESTS if result.latency_p95 is None else None)


def capacity_missing(result: CellResult) -> Why | None:
    """Return why it is not known what a machine carries."""
    return Why.NO_CAPACITY if result.capacity is None else None


def _memory(result: CellResult) -> Estimate | None:
    return None if result.memory_bytes is None else Estimate.exact(result.memory_bytes / 1e9)


# A constraint is a line here, a key in the study's schema, and words in the catalogue.
LIMITS: dict[str, Limit] = {
    "max_wer": Limit(lambda result: result.wer, Follows.WER, missing=wer_missing),
    "max_latency_s_median": Limit(lambda result: result.latency, Follows.LATENCY, missing=speed_missing),
    "max_latency_s_p95": Limit(
        lambda result: result.latency_p95,
        Follows.ITSELF,
        missing=_p95_missing,
        at_least=lambda result: result.latency_p95_at_least,
    ),
    "load_per_s": Limit(lambda result: result.capacity, Follows.ITSELF, at_most=False, missing=capacity_missing),
    "min_rtfx": Limit(lambda result: result.rtfx, Follows.SPEED, at_most=False, missing=speed_missing),
    "max_memory_gb": Limit(_memory, Follows.NOTHING),
}


def checks_of(
    result: CellResult, asked: Scenario, references: Sequence[CellResult], gate: float | None
) -> Iterator[Check]:
    """Yield a result compared with each limit of a scenario, and with the accuracy gate; `references` are fp32."""
    for key, limit in LIMITS.items():
        if (value := getattr(asked, key)) is None:
            continue
        if key == "max_latency_s_p95" and asked.load_per_s is not None:
            under_load = p95_at(result, asked.load_per_s)
            yield Check(key, under_load, value, limit.at_most, missing=None if under_load else Why.NO_CAPACITY)
        else:
            yield limit.check(key, result, value)
    if gate is not None:
        yield gate_check(result, references, gate)


def gate_check(result: CellResult, references: Sequence[CellResult], gate: float) -> Check:
    """Compare a result with the accuracy gate; `references` are fp32."""
    is_known = result.variant == BASELINE or is_well_scored(result)
    kept = word_accuracy_kept(result, references) if is_known else None
    # The same segments on both sides: a ratio without an interval, as MLPerf takes it.
    value = None if kept is None else Estimate.exact(kept)
    return Check(GATE, value, gate, at_most=False, missing=None if value else Why.NO_WER)


def word_accuracy_kept(result: CellResult, results: Sequence[CellResult]) -> float | None:
    """Return the word accuracy of a result over that of the same model's fp32; None without both.

    fp32 is taken at the same duration, and where it was run there, on the same device and at the same batch size.
    """
    if result.variant == BASELINE:
        return 1.0
    if result.wer is None:
        return None
    references = [
        other
        for other in results
        if (other.model, other.variant, other.duration_s) == (result.model, BASELINE, result.duration_s) and other.wer
    ]

    def distance(other: CellResult) -> tuple[bool, int, str]:
        return other.device != result.device, abs(other.batch_size - result.batch_size), other.device

    reference = min(references, key=distance, default=None)
    if reference is None or reference.wer is None or reference.wer.value >= 1:
        return None
    return (1 - result.wer.value) / (1 - reference.wer.value)
