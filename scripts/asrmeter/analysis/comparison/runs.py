"""Two runs side by side: which cells and models changed, which did not, and which cannot be judged.

`rules` has the rules for a cell and for a model, `metrics` the quantities that they apply to.

Drift. Neither intervals nor floors cover a machine that is slower as a whole on another day. Control kernels show that,
and what they explain is taken out (`machine_speeds`). Where all of several models still changed alike and no recorded
setting differs, the machine is the likelier cause, and no change is claimed.
"""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from asrmeter.analysis import kept_runs
from asrmeter.analysis.columns import CELLS, TRANSCRIPTS
from asrmeter.analysis.comparison.large_changes import LargeChange
from asrmeter.analysis.comparison.machine_speeds import MachineSpeeds, machine_speeds
from asrmeter.analysis.comparison.metrics import METRICS
from asrmeter.analysis.comparison.rules import (
    NOT_AGAIN,
    CellInRun,
    CellPair,
    Metric,
    ModelSummary,
    Pair,
    Verdict,
    counted,
)
from asrmeter.analysis.hardware import split_by_hardware
from asrmeter.analysis.results import Candidate
from asrmeter.analysis.table_rows import TRANSCRIPT_KEY, cell_of, read_rows
from asrmeter.common.constants import PROTOCOL_VERSION
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.table_types import Row
from asrmeter.records.run_folders import RUNS, tables_of
from asrmeter.study.grid import Cell

SETTINGS = (
    "machine_id", "device_name", "driver_version", "threads", "os", "python_version", "torch_version",
    "transformers_version", "decoding", "commit",
)  # fmt: skip
# As many as anyone reads; compare.py --csv writes all.
MOST_SHOWN = 200


@dataclass(frozen=True)
class Run:
    """One of two runs: its name for people, the rows of its cells, and the transcripts of each by segment.

    `elsewhere` are the cells that met other hardware than most of the run.
    """

    name: str
    cells: Mapping[Cell, Row]
    texts: Mapping[Cell, Mapping[str, Row]]
    elsewhere: frozenset[Cell]

    @classmethod
    def of(cls, name: str, cells: Iterable[Row], transcripts: Iterable[Row]) -> "Run":
        """Return the run of these rows of its tables."""
        texts: defaultdict[Cell, dict[str, Row]] = defaultdict(dict)
        for row in transcripts:
            texts[cell_of(row)][row["segment_id"]] = row
        by_cell = {cell_of(row): row for row in cells}
        _, elsewhere = split_by_hardware([*by_cell.values()])
        return cls(name, by_cell, texts, frozenset(map(cell_of, elsewhere)))

    @classmethod
    def read(cls, run: str | Path) -> "Run":
        """Return a kept run by its name, or the run of a results folder or tables folder.

        Raises:
            AsrmeterError: it has no such tables.
        """
        cells, transcripts = tables_of(run)
        try:
            rows = read_rows(cells, CELLS), read_rows(transcripts, TRANSCRIPTS, TRANSCRIPT_KEY)
        except AsrmeterError as error:
            if cells.is_relative_to(RUNS):
                raise AsrmeterError(kept_runs.fault_of(cells.relative_to(RUNS).parts[0], error)) from error
            raise
        return cls.of(str(run), map(_complete, rows[0]), rows[1])

    def side(self, cell: Cell) -> CellInRun:
        """Return a cell as this run has it."""
        return CellInRun(self.name, self.cells[cell], self.texts.get(cell, {}), cell in self.elsewhere)


@dataclass(frozen=True)
class ByMetric:
    """Two runs by one metric.

    `drift` is what all of several models are alike; without a setting that differs none of them counts as changed then.
    """

    metric: Metric
    pairs: tuple[Pair, ...]
    models: tuple[ModelSummary, ...]
    drift: Verdict | None

    @property
    def counts(self) -> Mapping[Verdict, int]:
        """How many cells have each verdict, in the order of the verdicts."""
        return counted(self.pairs)

    @property
    def overlap_share(self) -> float | None:
        """Share of the cells with two intervals in which these overlap; None if there are no such cells."""
        overlaps = [pair.overlap for pair in self.pairs if pair.overlap is not None]
        return statistics.mean(overlaps) if overlaps else None

    @property
    def predicted_share(self) -> float | None:
        """Share of the cells whose second value lies where the first run expected it; None without expectations."""
        told = [pair.predicted for pair in self.pairs if pair.predicted is not None]
        return statistics.mean(told) if told else None

    @property
    def changed(self) -> tuple[ModelSummary, ...]:
        """The models that changed as a whole."""
        return tuple(model for model in self.models if model.change)

    @property
    def drifted(self) -> bool:
        """Whether all models changed alike, and none of them is said to have changed for that."""
        return self.drift is not None and not self.changed

    @property
    def judged(self) -> tuple[ModelSummary, ...]:
        """The models of which there is enough to tell a change by."""
        return tuple(model for model in self.models if model.judged)

    @property
    def shown(self) -> list[Pair]:
        """The pairs that people are shown: those that differ first, and no more than anyone reads."""
        return sorted(self.pairs, key=lambda pair: pair.verdict is Verdict.SAME)[:MOST_SHOWN]


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side.

    `names` are those of the first and the second run, `n_cells` how many cells both have. `missing` holds cells that
    only one of them has, each with the name of that one; `failed` those that only the first has measured, each with
    what became of it; `lost` the models of which the first has measured cells and the second has none; `differing` the
    settings that are not the same, each with its values in both; `speeds` how fast the machine was in both.
    """

    names: tuple[str, str]
    n_cells: int
    by_metric: tuple[ByMetric, ...]
    missing: tuple[tuple[Cell, str], ...]
    failed: tuple[tuple[Cell, str], ...]
    lost: tuple[Candidate, ...]
    differing: tuple[tuple[str, str, str], ...]
    speeds: tuple[MachineSpeeds, ...] = ()

    @property
    def other_machine(self) -> bool:
        """Whether the runs were made on different machines."""
        return any(key == "machine_id" for key, *_ in self.differing)

    @property
    def n_not_again(self) -> int:
        """How many cells were not measured again."""
        return len({pair.cell for part in self.by_metric for pair in part.pairs if pair.reason == NOT_AGAIN})

    @property
    def large_changes(self) -> list[tuple[Metric, Pair, LargeChange]]:
        """The changes by far, the largest first."""
        found = [(part.metric, pair, pair.large) for part in self.by_metric for pair in part.pairs if pair.large]
        return sorted(found, key=lambda one: -one[2].factor)


def compare(first: Run, second: Run) -> Comparison:
    """Compare two runs by every metric that they have."""
    common = sorted(first.cells.keys() & second.cells.keys())
    sides = [(first.side(cell), second.side(cell)) for cell in common]
    differing = tuple(
        _differing([[side.row for side in run if not side.elsewhere] for run in zip(*sides, strict=True)])
    )
    speeds = machine_speeds(sides)
    factors = {one.device: one.factor for one in speeds}
    sides = [(before, replace(after, machine_speed=factors.get(after.row["device"], 1.0))) for before, after in sides]
    parts = (_by(metric, [both for both in sides if metric.has(both)], bool(differing)) for metric in METRICS)
    names = first.name, second.name
    measured = {(cell.model, cell.variant) for cell in first.cells if first.side(cell).is_measured}
    return Comparison(
        names=names,
        n_cells=len(common),
        by_metric=tuple(part for part in parts if part.pairs),
        missing=tuple((cell, names[cell in second.cells]) for cell in sorted(first.cells.keys() ^ second.cells.keys())),
        failed=tuple(
            (cell, after.failure)
            for cell, (before, after) in zip(common, sides, strict=True)
            if before.is_measured and not after.is_measured
        ),
        lost=tuple(sorted(measured - {(cell.model, cell.variant) for cell in second.cells})),
        differing=differing,
        speeds=tuple(speeds),
    )


def _by(metric: Metric, sides: Sequence[CellPair], differing: bool) -> ByMetric:
    judged: defaultdict[Candidate, dict[Pair, CellPair]] = defaultdict(dict)
    for both in sides:
        pair = metric.judge(both)
        judged[pair.candidate][pair] = both
    models = [metric.summary(candidate, judged[candidate]) for candidate in judged]
    alike = metric.drifts and len(models) > 1 and len({model.change for model in models}) == 1
    drift = models[0].change if alike else None
    if drift and not differing:
        models = [replace(model, change=None) for model in models]
    return ByMetric(metric, tuple(pair for own in judged.values() for pair in own), tuple(models), drift)


def _differing(runs: Sequence[Sequence[Row]]) -> Iterable[tuple[str, str, str]]:
    for key in SETTINGS if runs else ():
        before, after = (", ".join(sorted({str(row[key]) for row in rows if row[key] is not None})) for rows in runs)
        if before != after:
            yield key, before or "none", after or "none"


def _complete(row: Row) -> Row:
    """Return the row of a cell, with nulls for what tables of another protocol lack: none of it is compared."""
    is_other = "protocol" in row and row["protocol"] not in (None, PROTOCOL_VERSION)
    return {**dict.fromkeys(CELLS.names), **row} if is_other else row
