"""How sure an answer is: the probability that what is recommended is really the best, and what would change it.

The probability is the share of joint draws in which the recommended model and variant is the first of those that meet
all limits, at whichever of its settings. Latencies are drawn from their variance components (`stats.draws`): what is
common to a lap moves all cells of a device together, so that it counts against a limit and not between rivals. WERs are
drawn by resampling segments, the same ones for all models, as they transcribed the same audio. What follows one of the
two (throughput, energy) is drawn with it, a percentile by its own interval. The accuracy gate and peak memory are taken
as they are.

The probability is among the settings of which all is known that is asked for. Of one of which a part is not known the
best is assumed for that part: it could win if it then comes first in any draw.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from asrmeter.analysis.limits import Check, Follows
from asrmeter.analysis.preferences import HIGHEST
from asrmeter.analysis.ranking import is_well_scored, wer_differs
from asrmeter.analysis.results import CellResult
from asrmeter.analysis.wer_draws import wer_draws
from asrmeter.common import stats
from asrmeter.common.stats import Estimate

# An answer is called sure from this probability on.
SURE = 0.95
N_DRAWS = 1000
# Of the logarithm of a latency relative to its estimate: beyond this nothing changes.
_FARTHEST = 50.0
# Far less than one word of any corpus: settings with the same WER are told apart by their speed.
_LESS_THAN_A_WORD = 1e-9

Checks = Mapping[CellResult, Sequence[Check]]


@dataclass(frozen=True)
class TurningPoint:
    """The number that would change the answer first.

    If `result` had `becomes` as its `measure` instead of `value`, then `answer` would be recommended (None: nobody).
    The measure is the preference or the key of a limit. `result` is a rival, or what is recommended now if it may miss
    a limit. `becomes` is None where the value is better already, and the two cannot be told apart.
    """

    result: CellResult
    measure: str
    value: float
    becomes: float | None
    answer: CellResult | None


@dataclass(frozen=True)
class Certainty:
    """The probability that an answer is right: of the model and variant, and of the very setting.

    Both are None where something that the answer depends on has no interval. `could_win` are results of which something
    is not known, and which would come first if that were good enough.
    """

    probability: float | None
    of_setting: float | None
    turning_point: TurningPoint | None
    could_win: tuple[CellResult, ...] = ()

    @property
    def is_sure(self) -> bool:
        """Whether the answer is called sure."""
        return self.probability is not None and self.probability >= SURE


def certainty(first: CellResult, prefer: str, checks: Checks, values: Mapping[CellResult, Estimate]) -> Certainty:
    """Return how sure it is that `first` is the best.

    `checks` compare every result that was considered with the same limits; `values` are what the preference ranks by,
    of those of which it is known.
    """
    contest = _Contest(first, prefer, checks, values)
    if contest.undrawn:
        return Certainty(None, None, contest.nearest, contest.could_win)
    turning_point = contest.likeliest or contest.nearest
    return Certainty(contest.probability, contest.of_setting, turning_point, contest.could_win)


@dataclass(frozen=True)
class _Contest:
    """The results that may win, in columns, and draws of them, in rows."""

    first: CellResult
    prefer: str
    checks: Checks
    values: Mapping[CellResult, Estimate]

    @cached_property
    def results(self) -> list[CellResult]:
        return list(self.checks)

    @cached_property
    def place(self) -> int:
        return self.results.index(self.first)

    @cached_property
    def is_known(self) -> np.ndarray:
        """Whether of each result everything is known that is asked for."""
        return np.array([one in self.values and all(check.value for check in self.checks[one]) for one in self.results])

    @cached_property
    def known(self) -> list[CellResult]:
        return [result for result, is_known in zip(self.results, self.is_known, strict=True) if is_known]

    @cached_property
    def meeting(self) -> list[CellResult]:
        return [result for result in self.known if all(check.passes for check in self.checks[result])]

    @property
    def undrawn(self) -> bool:
        """Whether something that meets the limits lacks an interval that the answer depends on."""
        needed = [self.values[result] for result in self.meeting]
        if any(check.follows in (Follows.LATENCY, Follows.SPEED) for check in self.checks[self.first]):
            needed += [result.latency for result in self.meeting]
        own = [check for one in self.meeting for check in self.checks[one] if check.follows is Follows.ITSELF]
        needed += [check.value for check in own if check.value]
        return any(value.low is None or value.high is None for value in needed)

    @cached_property
    def latency(self) -> np.ndarray:
        """Latencies relative to the estimates; what has no interval stays as it is."""
        return _relative([result.latency for result in self.results])

    @cached_property
    def wer(self) -> np.ndarray:
        return wer_draws(self.results, N_DRAWS)

    @cached_property
    def scores(self) -> np.ndarray:
        """What the preference ranks by, the lower the better; what is not known is as good as can be."""
        if self.prefer == "accuracy":
            pace = self.latency / np.array([result.rtfx.value for result in self.results])
            pace[:, [bool(result.disturbance) for result in self.results]] = 0.0
            scores = self.wer + _LESS_THAN_A_WORD * pace / (1 + pace)
            lacking = [not is_well_scored(result) for result in self.results]
        else:
            values = np.array([self.values[one].value if one in self.values else 1.0 for one in self.results])
            scores = -values / self.latency if self.prefer in HIGHEST else values * self.latency
            lacking = [one not in self.values for one in self.results]
        scores[:, lacking] = -np.inf
        return scores

    @cached_property
    def met(self) -> list[np.ndarray]:
        """For each limit, whether each draw of each result is within it, as far as is known."""
        return [
            self._within([self.checks[one][i] for one in self.results]) for i in range(len(self.checks[self.first]))
        ]

    @cached_property
    def meets_all(self) -> np.ndarray:
        within = np.full((N_DRAWS, len(self.results)), True)
        for met in self.met:
            within &= met
        return within

    def _within(self, column: Sequence[Check]) -> np.ndarray:
        check = column[0]
        lacking = np.array([one.value is None for one in column])
        known = np.array([1.0 if one.value is None else one.value.value for one in column])
        drawn = {
            Follows.LATENCY: lambda: known * self.latency,
            Follows.SPEED: lambda: known / self.latency,
            Follows.WER: lambda: self.wer,
            Follows.ITSELF: lambda: known * _relative([one.value or Estimate(1.0) for one in column]),
            Follows.NOTHING: lambda: np.broadcast_to(known, (N_DRAWS, len(known))),
        }[check.follows]()
        return (drawn <= check.limit if check.at_most else drawn >= check.limit) | lacking

    @cached_property
    def winners(self) -> np.ndarray:
        """The column of the best of which all is known in each draw; -1 where none is within all limits."""
        possible = np.where(self.meets_all & self.is_known, self.scores, np.inf)
        return np.where(np.isfinite(possible.min(axis=1)), possible.argmin(axis=1), -1)

    @property
    def could_win(self) -> tuple[CellResult, ...]:
        """Those of which something is not known, and which are first in a draw, or not told from the first."""
        first = self.meets_all & (self.scores <= self.scores[:, [self.place]])
        ahead, possible = ([bool(column.any()) for column in draws.T] for draws in (first, self.meets_all))
        return tuple(
            result
            for place, result in enumerate(self.results)
            if not self.is_known[place] and (ahead[place] or (possible[place] and not self._is_behind(result)))
        )

    def _is_behind(self, result: CellResult) -> bool:
        """Whether what is known of a result is clearly worse than that of the first."""
        if self.prefer == "accuracy":
            return is_well_scored(result) and wer_differs(self.first, result)
        value = self.values.get(result)
        return value is not None and self.values[self.first].differs_from(value)

    @cached_property
    def is_right(self) -> np.ndarray:
        own = [place for place, result in enumerate(self.results) if result.candidate == self.first.candidate]
        return np.isin(self.winners, own)

    @property
    def probability(self) -> float:
        return float(self.is_right.mean())

    @property
    def of_setting(self) -> float:
        return float((self.winners == self.place).mean())

    @property
    def likeliest(self) -> TurningPoint | None:
        """What most of the draws in which another one wins have in common; None if there are none."""
        causes = Counter(map(self._cause, np.flatnonzero(~self.is_right).tolist()))
        if not causes:
            return None
        (limit, winner), _ = causes.most_common(1)[0]
        answer = self.results[winner] if winner >= 0 else None
        if limit is not None:
            return self._limit_of(self.first, limit, answer)
        return self._overtaken_by(self.results[winner])

    def _cause(self, draw: int) -> tuple[int | None, int]:
        """Return the limit that the recommended one misses in a draw, None if it is only beaten, and who wins it."""
        missed = next((i for i, met in enumerate(self.met) if not met[draw, self.place]), None)
        return missed, int(self.winners[draw])

    def _limit_of(self, result: CellResult, limit: int, answer: CellResult | None) -> TurningPoint:
        check = self.checks[result][limit]
        value = np.nan if check.value is None else check.value.value
        return TurningPoint(result, check.key, value, check.limit, answer)

    def _overtaken_by(self, rival: CellResult) -> TurningPoint:
        """Return what a rival needs: to be within a limit that it misses, or a better value."""
        for place, check in enumerate(self.checks[rival]):
            if not check.passes:
                return self._limit_of(rival, place, rival)
        theirs, ours = self.values[rival].value, self.values[self.first].value
        is_better = theirs >= ours if self.prefer in HIGHEST else theirs <= ours
        return TurningPoint(rival, self.prefer, theirs, None if is_better else ours, rival)

    @property
    def nearest(self) -> TurningPoint | None:
        """The number that has the least way to go, by its ratio; None without a rival or a limit."""
        rivals = [result for result in self.known if result.candidate != self.first.candidate]
        meeting = [rival for rival in rivals if rival in set(self.meeting)]
        runner_up = min(meeting, key=self._distance, default=None)
        points = [self._overtaken_by(runner_up)] if runner_up else []
        for place, check in enumerate(self.checks[self.first]):
            if check.follows is not Follows.NOTHING:
                points.append(self._limit_of(self.first, place, runner_up))
        return min(points, key=_way, default=None)

    def _distance(self, rival: CellResult) -> float:
        return _ratio(self.values[rival].value, self.values[self.first].value)


def _relative(estimates: Sequence[Estimate]) -> np.ndarray:
    """Return draws of each value over its estimate, in columns; what has no interval stays as it is."""
    drawn = stats.draws(estimates, N_DRAWS) - np.log([max(one.value, np.finfo(float).tiny) for one in estimates])
    # With one degree of freedom a draw can be larger than any number.
    return np.exp(np.clip(np.nan_to_num(drawn), -_FARTHEST, _FARTHEST))


def _way(point: TurningPoint) -> float:
    return 1.0 if point.becomes is None else _ratio(point.value, point.becomes)


def _ratio(one: float, other: float) -> float:
    """Return how many times as large the larger of two values is."""
    low, high = sorted((abs(one), abs(other)))
    return high / low if low else np.inf
