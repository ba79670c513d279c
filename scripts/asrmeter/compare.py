"""Two runs side by side: which cells take as long as before, which do not, and where that cannot be told.

The rule for a cell. It is `same` if the latency intervals overlap or the difference is within the noise floor of either
run; else `faster` or `slower` says what the second run is. Where an interval is missing, a run did not converge, or a
cell that seems to differ was disturbed, it is `ambiguous`; where other audio, weights or batches were timed, it is
`not_comparable`.

The rule for a model. It changed only if at least three of its cells did, these are more than half of those that can be
compared, and none says the opposite. One pair of runs carries no more: intervals know the noise inside a run, and the
floor is one sample of the noise between runs, so that a few cells may differ by chance. If as many as one cell in five
did, in either direction alike, a model of six cells would be called changed by chance twice in 1,000 comparisons.

Drift. Neither intervals nor floor know that a machine may be slower as a whole on another day. Where all of several
models changed alike and no recorded setting differs, that is the likelier cause, and no change is claimed.
"""

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from asrmeter.errors import AsrmeterError
from asrmeter.plan import Cell
from asrmeter.settings import MEASURED_STATUS, Candidate, Row, cell_of, disturbance_of, latency_of
from asrmeter.stats import Estimate

LEAST_CHANGED_CELLS = 3
SETTINGS = (
    "machine_id", "device_name", "driver_version", "threads", "os", "python_version", "torch_version",
    "transformers_version", "decoding", "commit",
)  # fmt: skip
COLUMNS = (
    "model", "variant", "device", "duration_s", "batch_size", "weights", "status", "reason", "latency_s_median",
    "latency_s_ci_low", "latency_s_ci_high", "noise_floor", "audio_s_mean", "disturbed", "disturbance", "protocol",
    "corpus_sha256", "weights_sha256", *SETTINGS,
)  # fmt: skip


class Verdict(StrEnum):
    """What the second run is, compared with the first."""

    SAME = "same"
    FASTER = "faster"
    SLOWER = "slower"
    AMBIGUOUS = "ambiguous"
    NOT_COMPARABLE = "not_comparable"


@dataclass(frozen=True)
class Pair:
    """A cell that both runs have: its latency in seconds a pass in each, and what follows.

    `reason` says why nothing can be told, and is "" otherwise.
    """

    cell: Cell
    first: Estimate | None
    second: Estimate | None
    verdict: Verdict
    reason: str

    @property
    def candidate(self) -> Candidate:
        """The model and its variant."""
        return self.cell.model, self.cell.variant

    @property
    def ratio(self) -> float | None:
        """The second latency over the first: below 1 the second run is faster. None where there is no such number."""
        if self.first is None or self.second is None or self.verdict is Verdict.NOT_COMPARABLE:
            return None
        return self.second.value / self.first.value

    @property
    def overlap(self) -> bool | None:
        """Whether the intervals overlap; None without two intervals of the same work."""
        if self.ratio is None or self.first is None or self.second is None:
            return None
        return None if None in (self.first.low, self.second.low) else self.first.overlaps(self.second)


@dataclass(frozen=True)
class ModelSummary:
    """All pairs of a model and variant: how many of each verdict, their median ratio, and whether it changed at all."""

    candidate: Candidate
    counts: Mapping[Verdict, int]
    ratio: float | None
    change: Verdict | None


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side.

    `names` are those of the first and the second run. `missing` holds cells that only one of them has, each with the
    name of that one; `differing` the settings that are not the same, each with its values in both. `drift` is what all
    of several models are alike; without a setting that differs none of them counts as changed then.
    """

    names: tuple[str, str]
    pairs: tuple[Pair, ...]
    models: tuple[ModelSummary, ...]
    missing: tuple[tuple[Cell, str], ...]
    differing: tuple[tuple[str, str, str], ...]
    drift: Verdict | None

    @property
    def counts(self) -> Mapping[Verdict, int]:
        """How many cells have each verdict, in the order of the verdicts."""
        return _counts(self.pairs)

    @property
    def overlap_share(self) -> float | None:
        """Share of the cells with two intervals in which these overlap; None if there are no such cells."""
        overlaps = [pair.overlap for pair in self.pairs if pair.overlap is not None]
        return statistics.mean(overlaps) if overlaps else None

    @property
    def changed(self) -> tuple[ModelSummary, ...]:
        """The models that changed as a whole."""
        return tuple(model for model in self.models if model.change)


def cells_file(folder: Path) -> Path:
    """Return the cells table of a results folder or tables folder.

    Raises:
        AsrmeterError: there is none.
    """
    for path in (folder / "tables" / "cells.parquet", folder / "cells.parquet"):
        if path.is_file():
            return path
    raise AsrmeterError(f"{folder}: neither a results folder nor a tables folder: holds no cells.parquet")


def compare(first: Iterable[Row], second: Iterable[Row], names: tuple[str, str]) -> Comparison:
    """Compare the cells tables of two runs, whose names are for people; they need the columns `COLUMNS`."""
    before, after = ({cell_of(row): row for row in rows} for rows in (first, second))
    common = sorted(before.keys() & after.keys())
    pairs = [_pair(before[cell], after[cell], names) for cell in common]
    candidates = dict.fromkeys(pair.candidate for pair in pairs)
    models = [_summary(one, [pair for pair in pairs if pair.candidate == one]) for one in candidates]
    differing = tuple(_differing([before[cell] for cell in common], [after[cell] for cell in common]))
    drift = models[0].change if len(models) > 1 and len({model.change for model in models}) == 1 else None
    if drift and not differing:
        models = [replace(model, change=None) for model in models]
    return Comparison(
        names=names,
        pairs=tuple(pairs),
        models=tuple(models),
        missing=tuple((cell, names[cell in after]) for cell in sorted(before.keys() ^ after.keys())),
        differing=differing,
        drift=drift,
    )


def _pair(first: Row, second: Row, names: tuple[str, str]) -> Pair:
    verdict, reason = _judge(first, second, names)
    before, after = (latency_of(row) if _is_measured(row) else None for row in (first, second))
    return Pair(cell_of(first), before, after, verdict, reason)


def _judge(first: Row, second: Row, names: tuple[str, str]) -> tuple[Verdict, str]:
    """Apply the rule for a cell; return the verdict, and why nothing can be told."""
    if reason := _other_work(first, second):
        return Verdict.NOT_COMPARABLE, reason
    if reason := _of_either(_no_interval, first, second, names):
        return Verdict.AMBIGUOUS, reason
    before, after = latency_of(first), latency_of(second)
    if before.ties_with(after):
        return Verdict.SAME, ""
    if reason := _of_either(disturbance_of, first, second, names):
        return Verdict.AMBIGUOUS, f"disturbed in {reason}"
    return (Verdict.FASTER if after.value < before.value else Verdict.SLOWER), ""


def _other_work(first: Row, second: Row) -> str:
    """Return why two cells of the same name did not do the same work, or ""."""
    for key, reason in (
        ("protocol", "another protocol"),
        ("corpus_sha256", "other audio"),
        ("weights", "other weights"),
        ("weights_sha256", "other weights"),
    ):
        if first[key] != second[key]:
            return reason
    if _is_measured(first) and _is_measured(second):
        lengths = first["audio_s_mean"], second["audio_s_mean"]
        if None not in lengths and not math.isclose(*lengths):
            return "other batches were timed"
    return ""


def _no_interval(row: Row) -> str:
    """Return why a cell's latency has no interval to go by, or ""."""
    if row["status"] != "ok":
        return f"{row['status']}, {row['reason'] or 'no reason was recorded'}"
    return "" if _is_measured(row) and row["latency_s_ci_low"] is not None else "no interval"


def _of_either(why: Callable[[Row], str], first: Row, second: Row, names: tuple[str, str]) -> str:
    """Return what holds of either cell, each with the name of its run, or ""."""
    reasons = zip(names, map(why, (first, second)), strict=True)
    return "; ".join(f"{name}: {reason}" for name, reason in reasons if reason)


def _is_measured(row: Row) -> bool:
    return row["status"] in MEASURED_STATUS and row["latency_s_median"] is not None


def _summary(candidate: Candidate, pairs: Sequence[Pair]) -> ModelSummary:
    """Apply the rule for a model."""
    counts = _counts(pairs)
    n_comparable = len(pairs) - counts.get(Verdict.NOT_COMPARABLE, 0)
    change = None
    for verdict, opposite in ((Verdict.FASTER, Verdict.SLOWER), (Verdict.SLOWER, Verdict.FASTER)):
        n = counts.get(verdict, 0)
        if n >= LEAST_CHANGED_CELLS and n > n_comparable / 2 and opposite not in counts:
            change = verdict
    ratios = [pair.ratio for pair in pairs if pair.ratio is not None]
    return ModelSummary(candidate, counts, statistics.median(ratios) if ratios else None, change)


def _counts(pairs: Iterable[Pair]) -> dict[Verdict, int]:
    found = Counter(pair.verdict for pair in pairs)
    return {verdict: found[verdict] for verdict in Verdict if found[verdict]}


def _differing(first: Sequence[Row], second: Sequence[Row]) -> Iterable[tuple[str, str, str]]:
    for key in SETTINGS:
        before, after = (
            ", ".join(sorted({str(row[key]) for row in rows if row[key] is not None})) for rows in (first, second)
        )
        if before != after:
            yield key, before or "none", after or "none"
