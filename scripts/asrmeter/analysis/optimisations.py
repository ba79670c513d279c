"""What would make it faster: each proposal and variant of a study against the baseline, by model and device.

All ratios are of what it takes without the proposal over what it takes with it, so that above 1 is better. Cells are
held against each other that differ by the proposal alone, and that were not disturbed in every lap.
"""

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa

from asrmeter.analysis.agreement import Texts
from asrmeter.analysis.hardware import split_by_hardware
from asrmeter.analysis.optimisation_columns import COMPARED_STAGES, OPTIMISATIONS
from asrmeter.analysis.optimisation_trials import CellPair, Trial, trials_of
from asrmeter.analysis.optimisation_verdicts import Judge, ResultPair, Verdict
from asrmeter.analysis.ranking import comparison_duration
from asrmeter.analysis.results import CellResult, results_of
from asrmeter.analysis.table_rows import CELL_KEY, CELL_WORDS, cell_of, read_rows
from asrmeter.analysis.unmeasured import Setting, unmeasured_of
from asrmeter.common import stats
from asrmeter.common.constants import BASELINE
from asrmeter.common.table_types import Row
from asrmeter.study import grid
from asrmeter.study.grid import Cell
from asrmeter.study.model import Study
from asrmeter.study.proposals import Kind

# Model, variant and device.
Way = tuple[str, str, str]
# The columns without which a row says nothing, and the values that columns of text can have.
_KEY = ("kind", "variant", "baseline", "model", "device", "verdict")
_WORDS = {**CELL_WORDS, "kind": frozenset(get_args(Kind)), "verdict": frozenset(map(str, Verdict))}


def read(path: Path) -> list[Row]:
    """Read the table.

    Raises:
        AsrmeterError: it is not there, or lacks a column.
    """
    return read_rows(path, OPTIMISATIONS, _KEY, _WORDS)


def table(study: Study, tables: Mapping[str, pa.Table]) -> pa.Table:
    """Return the table of a complete study, made of its tables `cells`, `transcripts` and `passes`."""
    passes = tables["passes"].select([*CELL_KEY, "segment_ids", "texts"])
    cells, transcripts = tables["cells"].to_pylist(), tables["transcripts"].to_pylist()
    found = rows(study, cells, transcripts, passes.to_pylist())
    return pa.Table.from_pylist(found, schema=OPTIMISATIONS)


def rows(study: Study, cells: Sequence[Row], transcripts: Sequence[Row], passes: Iterable[Row]) -> list[Row]:
    """Return the rows of a complete study, in the order of the proposals, models and devices.

    `cells`, `transcripts` and `passes` are the rows of these tables.
    """
    found = _Measured(study, cells, transcripts, passes)
    return [
        found.row(trial, model, device)
        for trial in trials_of(study)
        for model in study.models
        for device in study.devices
    ]


@dataclass(frozen=True)
class _Measured:
    """The tables of a study."""

    study: Study
    rows: Sequence[Row]
    transcripts: Sequence[Row]
    passes: Iterable[Row]

    @cached_property
    def cells(self) -> Mapping[Way, list[Cell]]:
        """The cells of the study by model, variant and device."""
        found: defaultdict[Way, list[Cell]] = defaultdict(list)
        for cell in grid.cells(self.study):
            found[cell.model, cell.variant, cell.device].append(cell)
        return found

    @cached_property
    def of_cell(self) -> dict[Cell, Row]:
        return {cell_of(row): row for row in self.rows}

    @cached_property
    def texts(self) -> Texts:
        pretrained = {cell for cell, row in self.of_cell.items() if row["weights"] == "pretrained"}
        return Texts.of((entry for entry in self.passes if cell_of(entry) in pretrained), self.transcripts)

    @cached_property
    def judge(self) -> Judge:
        comparable, elsewhere = split_by_hardware(self.rows)
        results, unmeasured = results_of(comparable, self.transcripts), unmeasured_of(comparable, elsewhere)
        return Judge(
            self.study,
            {_cell(result): result for result in results},
            {_cell(one): one for one in unmeasured},
            comparison_duration(results, unmeasured),
        )

    def row(self, trial: Trial, model: str, device: str) -> dict[str, Any]:
        """Return the row of a proposal or variant, for a model on a device."""
        results = self.judge.results
        own, others = (self.cells.get((model, name, device), []) for name in (trial.variant, trial.against))
        pairs = [*trial.pairs(own, set(others), self._counts)] if device in trial.devices else []
        counting = [pair for pair in pairs if all(map(self._counts, pair))]
        compared = [(results[before], results[after]) for before, after in counting]
        told = dict.fromkeys(OPTIMISATIONS.names) | self._told(trial, model, device) | self._agreement(trial, pairs)
        speed = stats.mean_ratio([(after.rtfx, before.rtfx) for before, after in compared])
        if speed is None:
            verdict, reason = self.judge.missing(trial, device, own, pairs)
            return told | {"n_cells": 0, "verdict": verdict.value, "reason": reason}
        verdict, reason = self.judge.verdict(compared, [pair for pair in pairs if pair not in counting], speed)
        return (
            told
            | {"n_cells": len(compared), "verdict": verdict.value, "reason": reason}
            | {"speed_ratio": speed.value, "speed_ratio_low": speed.low, "speed_ratio_high": speed.high}
            | _energy(compared)
            | {"memory_ratio": _mean([_ratio(pair, lambda one: one.memory_bytes) for pair in compared])}
            | self._stages(counting)
        )

    def _counts(self, cell: Cell) -> bool:
        """Return whether a cell has a result that was not disturbed in every lap."""
        return cell in self.judge.results and not self.judge.results[cell].disturbance

    def _told(self, trial: Trial, model: str, device: str) -> dict[str, Any]:
        """Return what a row says whether anything was measured or not."""
        proposal, options = trial.proposal, self.study.variants.get(trial.variant)

        def first(variant: str, name: str) -> Any:
            rows = (self.of_cell.get(cell, {}) for cell in self.cells.get((model, variant, device), ()))
            known = (row.get(name) for row in rows)
            return next((value for value in known if value is not None), None)

        before, after = trial.against, trial.variant
        if trial.kind == "without":
            before, after = after, before
        return {
            "proposal": proposal and proposal.name,
            "wording": proposal and proposal.wording,
            "of_2025": proposal and proposal.of_2025,
            "kind": trial.kind,
            "variant": trial.variant,
            "baseline": trial.against,
            "model": model,
            "weights": "random" if self.study.models[model].weights == "random" else "pretrained",
            "device": device,
            "model_bytes": first(after, "model_bytes"),
            "baseline_model_bytes": first(before, "model_bytes"),
            "equal_settings": options and options.equal_settings,
            "differences": first(trial.variant, "differences"),
            "emulated": first(trial.variant, "emulated"),
        }

    def _agreement(self, trial: Trial, pairs: Iterable[CellPair]) -> dict[str, Any]:
        """Return how the texts with what is proposed agree with those without it; a variant's with those of fp32."""
        if trial.kind == "variant":
            pairs = [(self._reference(after), after) for _, after in pairs]
        elif trial.kind == "without":
            pairs = [(before, self._reference(before)) for before, _ in pairs]
        found = self.texts.agreement(pairs)
        change = found.wer_change
        return {
            "share_identical": found.share_identical,
            "n_texts": found.n_texts,
            "wer_change": change and change.value,
            "wer_change_low": change and change.low,
            "wer_change_high": change and change.high,
        }

    def _reference(self, cell: Cell) -> Cell:
        """Return the same cell of the baseline: on its own device if it has texts there, else on the CPU."""
        own = replace(cell, variant=BASELINE)
        return own if own in self.texts.raw else replace(own, device="cpu")

    def _stages(self, pairs: Sequence[CellPair]) -> dict[str, float | None]:
        """Return the seconds of each stage for a segment, with what is proposed and without it, and their ratio."""
        found: dict[str, float | None] = {}
        for stage in COMPARED_STAGES:
            before, after = (
                _mean([stats.ratio(self.of_cell[cell][f"{stage}_s_median"], cell.batch_size) for cell in side])
                for side in zip(*pairs, strict=True)
            )
            found |= {f"{stage}_ratio": stats.ratio(before, after)}
            found |= {f"{stage}_s": after, f"baseline_{stage}_s": before}
        return found


def _energy(pairs: Sequence[ResultPair]) -> dict[str, Any]:
    """Return the ratio of the energies where all come from the same method."""
    methods = {result.energy_method for pair in pairs for result in pair}
    ratios = [_ratio(pair, lambda one: one.energy.value if one.energy else None) for pair in pairs]
    mean = _mean(ratios) if len(methods) == 1 else None
    return {"energy_ratio": mean, "energy_method": None if mean is None else methods.pop()}


def _ratio(pair: ResultPair, value: Callable[[CellResult], float | None]) -> float | None:
    before, after = map(value, pair)
    return stats.ratio(before, after)


def _mean(values: Sequence[float | None]) -> float | None:
    """Return the geometric mean; None where a value is missing or zero."""
    known = [value for value in values if value]
    return statistics.geometric_mean(known) if known and len(known) == len(values) else None


def _cell(one: Setting) -> Cell:
    return Cell(one.model, one.variant, one.device, one.duration_s, one.batch_size)
