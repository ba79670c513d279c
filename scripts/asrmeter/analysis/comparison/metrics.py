"""The metrics that two runs are compared by: latency, WER and energy; `rules` has the rules."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from asrmeter.analysis import paired_wer
from asrmeter.analysis.comparison.rules import (
    CellInRun,
    CellPair,
    Metric,
    ModelSummary,
    Pair,
    Verdict,
    always_disturbed,
    counted,
)
from asrmeter.analysis.results import Candidate, energy_method, energy_of, latency_of
from asrmeter.common import stats
from asrmeter.common.stats import Estimate
from asrmeter.common.vocabulary import MODELLED_METHODS


class Latency(Metric):
    """Seconds a pass, with the interval of its laps; that of a ratio carries the components of both runs."""

    name, unit = "latency", "s"
    lower, higher = Verdict.FASTER, Verdict.SLOWER
    min_evidence = "three cells with an interval, and most of its cells, to compare"

    def has(self, sides: CellPair) -> bool:
        """Every cell is compared: one that failed in both runs is listed here."""
        return True

    def estimate(self, side: CellInRun) -> Estimate | None:
        """Return the latency of a cell, if it was measured. The laps of two runs have nothing in common."""
        return replace(latency_of(side.row), block=None) if side.is_measured else None

    def effect_of(self, first: CellInRun, second: CellInRun) -> Estimate | None:
        """Return the ratio, after the machine's speed in both runs."""
        before, after = self.estimate(first), self.estimate(second)
        return stats.quotient(before, _at_usual_speed(after, second)) if before and after else None

    def expected(self, first: CellInRun) -> tuple[float, float] | None:
        """Return the first run's interval for another run."""
        low, high = first.row["latency_s_next_low"], first.row["latency_s_next_high"]
        return None if low is None or high is None else (low, high)

    def predicted(self, first: CellInRun, second: CellInRun) -> bool | None:
        """Tell whether the second latency lies within the first run's interval for another run."""
        expected, after = self.expected(first), self.estimate(second)
        if expected is None or after is None or always_disturbed(second):
            return None
        return expected[0] <= _at_usual_speed(after, second).value <= expected[1]

    def missing_reason(self, side: CellInRun) -> str:
        """Return why a latency has no interval."""
        missing = side.failure or always_disturbed(side)
        if missing or side.row["latency_s_ci_low"] is not None:
            return missing
        return f"no interval: {side.row['interval_note'] or 'its laps do not say how they scatter'}"

    def incomparable_reason(self, first: CellInRun, second: CellInRun) -> str:
        """The same batches must have been timed, too."""
        return super().incomparable_reason(first, second) or _other_batches(first, second)


class Wer(Metric):
    """Word error rate over all segments, with its interval over segments; compared segment by segment."""

    name, unit, scale = "wer", "%", 100.0
    lower, higher = Verdict.BETTER, Verdict.WORSE
    effect, drifts = "difference", False
    min_evidence = "two segments with words that both runs scored"

    def estimate(self, side: CellInRun) -> Estimate | None:
        """Return the WER of a cell; with random weights it has none."""
        value, low, high = (side.row[key] for key in ("wer", "wer_ci_low", "wer_ci_high"))
        return None if value is None or not side.is_measured else Estimate(value, low, high)

    def least(self, side: CellInRun) -> float:
        """One word is wrong."""
        return 1 / (side.row["wer_words"] or 1)

    def missing_reason(self, side: CellInRun) -> str:
        """Return why a cell has no WER, or no texts to compare it by."""
        return side.failure or ("" if self.estimate(side) and side.texts else "it was not scored")

    def incomparable_reason(self, first: CellInRun, second: CellInRun) -> str:
        """The same segments must have been transcribed and scored in the same way, too."""
        if reason := super().incomparable_reason(first, second):
            return reason
        if self.estimate(first) and self.estimate(second):
            if first.row["normaliser"] != second.row["normaliser"]:
                return "another normaliser"
            if {key: row["n_words"] for key, row in first.texts.items()} != {
                key: row["n_words"] for key, row in second.texts.items()
            }:
                return "other segments were scored"
        return ""

    def inconclusive_reason(self, first: CellInRun, second: CellInRun) -> str:
        """One segment alone says nothing of others, unless nothing changed at all."""
        if reason := super().inconclusive_reason(first, second):
            return reason
        effect = self.effect_of(first, second)
        return "" if effect and effect.low is not None else "fewer than two segments with words"

    def effect_of(self, first: CellInRun, second: CellInRun) -> Estimate | None:
        """Return the difference of both WERs, 0 exactly where all texts are the same."""
        whole = all(self.estimate(side) and side.texts for side in (first, second))
        return paired_wer.difference([(first.texts, second.texts)]) if whole else None

    def are_same(self, first: CellInRun, second: CellInRun) -> bool:
        """Tell whether the interval of the difference contains 0."""
        return _contains_zero(self.effect_of(first, second))

    def summary(self, candidate: Candidate, pairs: Mapping[Pair, CellPair]) -> ModelSummary:
        """Pool the segments of all comparable cells, even of cells with one segment each."""
        pooled = [
            (first.texts, second.texts)
            for pair, (first, second) in pairs.items()
            if pair.verdict is not Verdict.NOT_COMPARABLE and pair.effect is not None
        ]
        effect = paired_wer.difference(pooled) if pooled else None
        judged = effect is not None and effect.low is not None
        change = self.direction(effect) if judged and not _contains_zero(effect) else None
        return ModelSummary(candidate, counted(pairs), effect, change, judged)


class Energy(Metric):
    """Watt-hours per hour of audio of the cell's own device, by a counter: its power times the latency.

    It has the latency's interval. How far windows lie apart is a floor.
    """

    name, unit = "energy", "Wh/h"
    lower, higher = Verdict.LOWER, Verdict.HIGHER
    min_evidence = "three cells, and most of its cells, whose energy can be compared"
    modelled: ClassVar[bool] = False

    def has(self, sides: CellPair) -> bool:
        """Measured and modelled energies are not mixed: where one run has measured, both would have to."""
        methods = {energy_method(side.row) for side in sides if self.estimate(side)}
        return bool(methods) and methods.issubset(MODELLED_METHODS) is self.modelled

    def estimate(self, side: CellInRun) -> Estimate | None:
        """Return the energy of a cell, with the range of its windows as a floor."""
        energy = energy_of(side.row) if side.is_measured else None
        return replace(energy, block=None) if energy else None

    def missing_reason(self, side: CellInRun) -> str:
        """Return why a cell has no energy, or no floor for it."""
        energy = self.estimate(side)
        if energy is None or always_disturbed(side):
            return side.failure or always_disturbed(side) or "no energy"
        return "" if energy.floor is not None else "neither several windows nor a noise floor"

    def incomparable_reason(self, first: CellInRun, second: CellInRun) -> str:
        """The same batches must have been run, and their energy found in the same way, too."""
        if reason := super().incomparable_reason(first, second) or _other_batches(first, second):
            return reason
        methods = [energy_method(side.row) for side in (first, second) if side.is_measured]
        return f"other energy methods: {', '.join(methods)}" if len(set(methods)) > 1 else ""


class ModelledEnergy(Energy):
    """The same by a model of the device: it follows the running time and adds nothing to latency."""

    name = "energy_modelled"
    modelled, guarded = True, False


METRICS: tuple[Metric, ...] = (Latency(), Wer(), Energy(), ModelledEnergy())


def _at_usual_speed(latency: Estimate, side: CellInRun) -> Estimate:
    """Return what a latency would have been at the speed that the machine had in the other run."""
    low, high = (None if end is None else end * side.machine_speed for end in (latency.low, latency.high))
    return replace(latency, value=latency.value * side.machine_speed, low=low, high=high)


def _other_batches(first: CellInRun, second: CellInRun) -> str:
    lengths = first.row["audio_s_mean"], second.row["audio_s_mean"]
    if first.is_measured and second.is_measured and None not in lengths and not math.isclose(*lengths):
        return "other batches were timed"
    return ""


def _contains_zero(effect: Estimate | None) -> bool:
    return effect is not None and effect.low is not None and effect.high is not None and effect.low <= 0 <= effect.high
