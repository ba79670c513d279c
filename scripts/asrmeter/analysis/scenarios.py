"""What to run for a purpose: the study's scenarios, each a set of limits, and what decides among those that meet them.

Looked at are the settings of one duration class on the devices that may be used, with pretrained weights and a WER over
segments enough to carry an interval: without that nobody is recommended. A setting meets a limit if its value does; it
surely does if its whole interval does. A value that was not measured meets no limit. A variant other than fp32 also has
to keep a share of the word accuracy (1 - WER) of the same model's fp32, as MLPerf Inference asks of its submissions.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from asrmeter.analysis.ranking import (
    LEAST_SEGMENTS,
    Pick,
    decisive_duration,
    highest_rtfx,
    lowest_energy,
    lowest_latency,
    lowest_wer,
)
from asrmeter.analysis.results import BASELINE, Candidate, Setting, comparable_energy
from asrmeter.common.stats import Estimate

GATE = "accuracy_gate"


class Outcome(StrEnum):
    """How a setting stands to a limit; `likely`: its value meets it, but its interval reaches over or is not known."""

    MET = "met"
    LIKELY = "likely"
    MISSED = "missed"
    UNKNOWN = "unknown"


class Missing(StrEnum):
    """Why nothing is recommended."""

    NOTHING_MEASURED = "nothing_measured"
    ALL_RANDOM = "all_random"
    NOTHING_SCORED = "nothing_scored"
    TOO_FEW_SEGMENTS = "too_few_segments"
    NONE_MEETS = "none_meets"
    NO_ENERGY = "no_energy"


@dataclass(frozen=True)
class Limit:
    """A constraint of a scenario: what it is asked of, and whether that has to be at most or at least so much."""

    value: Callable[[Setting], Estimate | None]
    at_most: bool = True

    def check(self, key: str, setting: Setting, limit: float) -> "Check":
        """Hold a setting against the limit."""
        return Check(key, self.value(setting), limit, self.at_most)


# A constraint is a line here, a key in the study's schema, and words in the catalogue.
LIMITS: dict[str, Limit] = {
    "max_wer": Limit(lambda setting: setting.wer),
    "max_latency_s_median": Limit(lambda setting: setting.latency),
    "max_latency_s_p95": Limit(lambda setting: setting.latency_p95),
    "min_rtfx": Limit(lambda setting: setting.rtfx, at_most=False),
    "max_memory_gb": Limit(
        lambda setting: Estimate.exact(setting.memory_bytes / 1e9) if setting.memory_bytes is not None else None
    ),
}
PREFERENCES: dict[str, Callable[[Sequence[Setting]], Pick | None]] = {
    "throughput": highest_rtfx,
    "latency": lowest_latency,
    "energy": lowest_energy,
    "accuracy": lowest_wer,
}


@dataclass(frozen=True)
class Check:
    """A setting held against one limit: its value (None where it was not measured), the limit, and what came out."""

    key: str
    value: Estimate | None
    limit: float
    at_most: bool

    @property
    def outcome(self) -> Outcome:
        """How the value stands to the limit."""
        if self.value is None:
            return Outcome.UNKNOWN
        if not self._holds(self.value.value):
            return Outcome.MISSED
        worse = self.value.high if self.at_most else self.value.low
        return Outcome.MET if worse is not None and self._holds(worse) else Outcome.LIKELY

    def _holds(self, value: float) -> bool:
        return value <= self.limit if self.at_most else value >= self.limit


@dataclass(frozen=True)
class Advice:
    """What a scenario comes to.

    `asked` are its settings in the study, `duration_s` the class that was looked at. `pick` is the recommended setting
    with its runner-up, and `checks` hold it against the limits; None where `missing` says why. `n_considered` settings
    were looked at, with a WER over `n_segments` segments, and `n_meeting` of them met all limits; `ruled_out` says how
    many each limit rules out. `nearest` is the setting of another model that misses the fewest limits, with its checks;
    where nothing is recommended, of any.
    """

    name: str
    asked: Mapping[str, Any]
    duration_s: int | None
    pick: Pick | None = None
    checks: tuple[Check, ...] = ()
    n_considered: int = 0
    n_meeting: int = 0
    ruled_out: Mapping[str, int] = field(default_factory=dict)
    nearest: tuple[Setting, tuple[Check, ...]] | None = None
    n_segments: int = 0
    n_unranked: int = 0
    left_out: tuple[Candidate, ...] = ()
    missing: Missing | None = None

    @property
    def is_sure(self) -> bool:
        """Whether all it rests on was measured well enough: limits met, the runner-up beaten, nothing disturbed."""
        if self.pick is None or self.n_unranked or self.left_out:
            return False
        setting, runner_up = self.pick.setting, self.pick.runner_up
        rivals = {other.candidate for other in (*self.pick.ties, *self.pick.unclear)} - {setting.candidate}
        if self.asked["prefer"] == "energy" and setting.energy_is_modelled:
            return False
        fair = runner_up is None or (not runner_up.disturbance and runner_up.hardware[0] == setting.hardware[0])
        met = all(check.outcome is Outcome.MET for check in self.checks)
        return not rivals and fair and met and setting.converged and not setting.disturbance


def advise(settings: Sequence[Setting], study: Mapping[str, Any]) -> list[Advice]:
    """Return what each scenario of a complete study comes to; `settings` are all that were measured."""
    # A study that never runs fp32 has nothing to hold a variant against.
    gate = study["report"][GATE] if BASELINE in study["variants"] else None
    return [_advise(name, asked, settings, gate) for name, asked in study["report"]["scenarios"].items()]


def word_accuracy_kept(setting: Setting, settings: Sequence[Setting]) -> float | None:
    """Return the word accuracy of a setting over that of the same model's fp32; None without both.

    fp32 is taken at the same duration, and where it was run there, on the same device and at the same batch size.
    """
    if setting.wer is None:
        return None
    if setting.variant == BASELINE:
        return 1.0
    references = [
        other
        for other in settings
        if (other.model, other.variant, other.duration_s) == (setting.model, BASELINE, setting.duration_s) and other.wer
    ]

    def distance(other: Setting) -> tuple[bool, int, str]:
        return other.device != setting.device, abs(other.batch_size - setting.batch_size), other.device

    reference = min(references, key=distance, default=None)
    if reference is None or reference.wer is None or reference.wer.value >= 1:
        return None
    return (1 - setting.wer.value) / (1 - reference.wer.value)


def _advise(name: str, asked: Mapping[str, Any], settings: Sequence[Setting], gate: float | None) -> Advice:
    allowed = [setting for setting in settings if asked["devices"] is None or setting.device in asked["devices"]]
    duration_s = asked["duration_s"] or decisive_duration(allowed)
    of_class = [setting for setting in allowed if setting.duration_s == duration_s]
    scored = [setting for setting in of_class if setting.wer]
    telling = [setting for setting in scored if _tells(setting)]
    n_segments = max((setting.n_segments for setting in scored), default=0)
    nothing = Advice(name, asked, duration_s, n_segments=n_segments)
    if missing := _why_nobody(of_class, scored, telling):
        return replace(nothing, missing=missing)
    references = [setting for setting in settings if (setting.variant, setting.duration_s) == (BASELINE, duration_s)]
    compared = {setting.candidate for setting in scored}
    pretrained = dict.fromkeys(setting.candidate for setting in allowed if setting.weights != "random")
    left_out = tuple(candidate for candidate in pretrained if candidate not in compared)
    checks = {setting: tuple(_checks(setting, asked, references, gate)) for setting in telling}
    meeting = [setting for setting in telling if all(map(_passes, checks[setting]))]
    failed = Counter(check.key for own in checks.values() for check in own if not _passes(check))
    looked_at = replace(nothing, n_considered=len(telling), n_meeting=len(meeting), ruled_out=failed, left_out=left_out)
    if asked["prefer"] == "energy":
        looked_at = replace(looked_at, n_unranked=len(meeting) - len(comparable_energy(meeting)))
    rank = PREFERENCES[asked["prefer"]]
    pick = rank(meeting)
    others = [one for one in telling if one not in meeting and (not pick or one.candidate != pick.setting.candidate)]
    nearest = _nearest(others, checks, rank)
    if pick is None:
        missing = Missing.NO_ENERGY if meeting else Missing.NONE_MEETS
        return replace(looked_at, missing=missing, nearest=nearest)
    return replace(looked_at, pick=pick, checks=checks[pick.setting], nearest=nearest)


def _tells(setting: Setting) -> bool:
    """Whether a WER rests on segments enough to recommend by."""
    return setting.n_segments >= LEAST_SEGMENTS and setting.wer is not None and setting.wer.low is not None


def _why_nobody(of_class: Sequence[Setting], scored: Sequence[Setting], telling: Sequence[Setting]) -> Missing | None:
    if telling:
        return None
    if scored:
        return Missing.TOO_FEW_SEGMENTS
    if not of_class:
        return Missing.NOTHING_MEASURED
    random = all(setting.weights == "random" for setting in of_class)
    return Missing.ALL_RANDOM if random else Missing.NOTHING_SCORED


def _checks(
    setting: Setting, asked: Mapping[str, Any], settings: Sequence[Setting], gate: float | None
) -> Iterator[Check]:
    for key, limit in LIMITS.items():
        if asked[key] is not None:
            yield limit.check(key, setting, asked[key])
    if gate is not None:
        kept = word_accuracy_kept(setting, settings)
        # The same segments on both sides: a ratio without an interval, as MLPerf takes it.
        yield Check(GATE, None if kept is None else Estimate.exact(kept), gate, at_most=False)


def _passes(check: Check) -> bool:
    return check.outcome in (Outcome.MET, Outcome.LIKELY)


def _nearest(
    settings: Sequence[Setting],
    checks: Mapping[Setting, tuple[Check, ...]],
    rank: Callable[[Sequence[Setting]], Pick | None],
) -> tuple[Setting, tuple[Check, ...]] | None:
    """Return the first by rank of those that fail the fewest limits."""

    def n_failed(setting: Setting) -> int:
        return sum(not _passes(check) for check in checks[setting])

    fewest = min(map(n_failed, settings), default=0)
    first = rank([setting for setting in settings if n_failed(setting) == fewest])
    return (first.setting, checks[first.setting]) if first else None
