"""The verdict on a proposal for one model and device.

The rule. It is `not_possible` if no cell of its variant can run on this machine, and `not_measured` if no cell has a
result with it and without it for any other reason. It is `costs_accuracy` if, in the class in which models are
compared, a setting misses the gate that variants have to pass to be recommended (`limits.gate_check`). Otherwise the
geometric mean of the speed ratios decides: `no_difference` if its interval contains 1 or it is within the noise floor,
else `helps` or `hurts`. Without an interval the value decides, and the reason says so. Nobody who is disturbed in every
lap takes part.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from asrmeter.analysis.limits import Outcome, gate_check
from asrmeter.analysis.optimisation_trials import CellPair, Trial
from asrmeter.analysis.results import CellResult
from asrmeter.analysis.unmeasured import Unmeasured
from asrmeter.common.constants import BASELINE
from asrmeter.common.stats import Estimate
from asrmeter.study.grid import Cell
from asrmeter.study.model import Study


class Verdict(StrEnum):
    """Whether a proposal makes a model faster, at no cost in accuracy."""

    HELPS = "helps"
    NO_DIFFERENCE = "no_difference"
    HURTS = "hurts"
    COSTS_ACCURACY = "costs_accuracy"
    NOT_POSSIBLE = "not_possible"
    NOT_MEASURED = "not_measured"


# A result without what is proposed, and the one with it.
ResultPair = tuple[CellResult, CellResult]
Judged = tuple[Verdict, str | None]


@dataclass(frozen=True)
class Judge:
    """Gives the verdicts of a study; `duration_s` is the class in which models are compared."""

    study: Study
    results: Mapping[Cell, CellResult]
    unmeasured: Mapping[Cell, Unmeasured]
    duration_s: int | None

    def missing(self, trial: Trial, device: str, own: Sequence[Cell], pairs: Sequence[CellPair]) -> Judged:
        """Return the verdict where no pair of cells has two results; `own` are the cells of the variant."""
        failed = [self.unmeasured[cell] for cell in own if cell in self.unmeasured]
        refused = len(failed) == len(own) > 0 and all(one.does_not_run for one in failed)
        if (refused and trial.kind == "variant") or device not in trial.devices:
            reasons = _said(one.reason for one in failed) if refused else ""
            return Verdict.NOT_POSSIBLE, reasons or f"it is not for {device}, only for {', '.join(trial.devices)}"
        absent = [name for name in (trial.variant, trial.against) if name not in self.study.variants]
        if absent:
            return Verdict.NOT_MEASURED, f"the study has no variant {absent[0]}"
        if not pairs:
            return Verdict.NOT_MEASURED, "the study has one batch size only"
        return Verdict.NOT_MEASURED, _said(self._why(cell) for pair in pairs for cell in pair)

    def verdict(self, pairs: Sequence[ResultPair], left_out: Sequence[CellPair], speed: Estimate) -> Judged:
        """Return the verdict by results with what is proposed and without it, and by their mean speed ratio."""
        missed, notes = self._accuracy(pairs)
        if left_out:
            whys = _said(self._why(cell) for pair in left_out for cell in pair)
            notes.append(f"{len(left_out)} of {len(left_out) + len(pairs)} cells do not count: {whys}")
        if missed:
            return Verdict.COSTS_ACCURACY, "; ".join((missed, *notes))
        one = Estimate.exact(1.0)
        if speed.low is None:
            what = "one lap" if self.study.protocol.laps == 1 else "the ratio"
            notes.insert(0, f"{what} has no interval: the value alone decides")
        if speed.ties_with(one) or speed.value == 1:
            verdict = Verdict.NO_DIFFERENCE
        else:
            verdict = Verdict.HELPS if speed.value > 1 else Verdict.HURTS
        return verdict, "; ".join(notes) or None

    def _accuracy(self, pairs: Sequence[ResultPair]) -> tuple[str, list[str]]:
        """Return which setting misses the gate and by how much, "" if none does, and why accuracy is not known."""
        gate = self.study.report.accuracy_gate
        after = [result for _, result in pairs]
        if not after[0].writes_words:
            return "", [f"accuracy is unknown: {after[0].wer_note or 'weights are random'}"]
        if gate is None or all(result.variant == BASELINE for result in after):
            return "", []
        references = [
            one for one in self.results.values() if (one.variant, one.duration_s) == (BASELINE, self.duration_s)
        ]
        of_class = [result for result in after if result.duration_s == self.duration_s]
        checks = [(result, gate_check(result, references, gate)) for result in of_class]
        for result, check in checks:
            if check.outcome is Outcome.MISSED and check.value:
                setting = f"{result.duration_s} s, batch size {result.batch_size}"
                return f"{setting}: it keeps {check.value.value:.1%} of the word accuracy, not {gate:.1%}", []
        if any(check.passes for _, check in checks):
            return "", []
        return "", ["accuracy is not judged: too few segments were scored"]

    def _why(self, cell: Cell) -> str:
        """Return why a cell takes no part, "" if it does."""
        if cell in self.results:
            return "disturbed in every lap" if self.results[cell].disturbance else ""
        if cell not in self.unmeasured:
            return "not measured"
        one = self.unmeasured[cell]
        if one.elsewhere is not None:
            return "measured on other hardware"
        return f"{one.status}: {one.reason}" if one.reason else one.status


def _said(reasons: Iterable[str]) -> str:
    """Return reasons, each once."""
    return "; ".join(dict.fromkeys(filter(None, reasons)))
