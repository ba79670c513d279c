"""A comparison of two runs as text for a terminal."""

import math
from collections.abc import Mapping
from enum import StrEnum

from asrmeter.analysis.comparison.guard import guarded, regressions, unjudged
from asrmeter.analysis.comparison.large_changes import FACTOR
from asrmeter.analysis.comparison.machine_speeds import MachineSpeeds
from asrmeter.analysis.comparison.rules import Metric, Verdict
from asrmeter.analysis.comparison.runs import MOST_SHOWN, ByMetric, Comparison
from asrmeter.common.errors import few
from asrmeter.common.stats import Estimate
from asrmeter.report.formatting import NULL, effect_text, interval, number, percent
from asrmeter.workflow.cli import aligned

WHOLE = "the whole comparison: python scripts/compare.py A B --csv FILE"
NO_CAUSE = "no cause: nothing that both runs recorded differs; measure it again"
# Of large changes, of which each has lines of its own.
MOST_LARGE = 20


def as_text(comparison: Comparison) -> str:
    """Return the comparison: what differs, each metric, and as the last line the models that changed."""
    first, second = comparison.names
    lines = [f"first:  {first}", f"second: {second}"]
    lines += [f"{key} differs: {before} -> {after}" for key, before, after in comparison.differing]
    if comparison.other_machine:
        lines.append("the machines differ: what changed may be theirs")
    lines += [line for speeds in comparison.speeds if (line := _speed(speeds, comparison.names))]
    lines[2:2] = _large(comparison)
    for part in comparison.by_metric:
        lines += ["", *_of_metric(part)]
    lines += ["", *(f"failed in {second}: {cell.id} ({why})" for cell, why in comparison.failed[:MOST_SHOWN])]
    lines += [f"only in {name}: {cell.id}" for cell, name in comparison.missing[:MOST_SHOWN]]
    if (n_more := len(comparison.missing) - MOST_SHOWN) > 0:
        lines.append(f"and {n_more} more cells in one run only")
    return "\n".join([*lines, _verdict(comparison)])


def _large(comparison: Comparison) -> list[str]:
    """Return the changes by far, and for each what may be why."""
    changes = comparison.large_changes
    lines = [f"changed by a factor of {FACTOR:g}, or far more than expected: {len(changes)}"] if changes else []
    for metric, pair, large in changes[:MOST_LARGE]:
        values = " -> ".join(
            f"{number(one.value * metric.scale)} {metric.unit}" for one in (pair.first, pair.second) if one
        )
        way = "up" if large.ratio > 1 else "down"
        lines.append(f"  {pair.cell.id}: {_word(metric.name)} {values}, {way} by a factor of {number(large.factor)}")
        causes = [f"{_word(one.name)}: {one.first} -> {one.second}" for one in large.causes]
        lines += [f"    possible cause: {cause}" for cause in causes] or [f"    {NO_CAUSE}"]
    if (n_more := len(changes) - MOST_LARGE) > 0:
        lines.append(f"  and {n_more} more; {WHOLE}")
    return lines


def _speed(speeds: MachineSpeeds, names: tuple[str, str]) -> str:
    """Say how fast the machine was in both runs, and whether the ratios of latencies are free of it."""
    shares = [
        f"{_whole_percent(share)} of its best in {name}"
        for share, name in zip(speeds.best_shares, names, strict=True)
        if share
    ]
    if speeds.ratio is not None:
        explains = "taken out of the ratios" if speeds.explains else "which does not explain the latencies"
        shares.append(f"in {names[1]} at {percent(speeds.ratio)} of its speed in {names[0]}, {explains}")
    return f"{speeds.device}: the machine ran at {'; '.join(shares)}" if shares else ""


def _of_metric(part: ByMetric) -> list[str]:
    """Return the lines of a metric: cells, models, counts."""
    metric, shown = part.metric, part.shown
    heading = ("cell", "first", "second", metric.effect, "floor", "verdict", "why")
    cells = [
        (
            pair.cell.id,
            _value(pair.first, metric),
            _value(pair.second, metric),
            effect_text(pair.effect, metric),
            percent(pair.effect.floor if pair.effect else None),
            _word(pair.verdict),
            pair.reason,
        )
        for pair in shown
    ]
    effect = {"ratio": "median ratio", "difference": "pooled difference"}[metric.effect]
    models = [
        f"{'/'.join(model.candidate)}: {_counted(model.counts)}; {effect} {effect_text(model.effect, metric)}"
        + (f"; {model.change} as a whole" if model.change else "")
        for model in part.models
    ]
    lines = [f"{_word(metric.name)} ({metric.unit})", *aligned([heading, *cells]), "", *models]
    if len(shown) < len(part.pairs):
        lines.insert(1, f"shown {len(shown)} of {len(part.pairs)}; {WHOLE}")
    if part.drift:
        lines.append(f"all models are {part.drift} alike: look at the machine and the software first")
    share = part.overlap_share
    # Runs that are compared segment by segment may differ though their own intervals overlap.
    overlap = "" if share is None or metric.effect != "ratio" else f"; {_whole_percent(share)} of the intervals overlap"
    if part.predicted_share is not None:
        overlap += f"; {_whole_percent(part.predicted_share)} lie where the first run expected them"
    return [*lines, f"{_counted(part.counts)}{overlap}"]


def _verdict(comparison: Comparison) -> str:
    """Return which models changed as a whole, in one line."""
    if not comparison.n_cells:
        return "verdict: no cell in common"
    verdicts = []
    for part in comparison.by_metric:
        changed = {
            verdict: ["/".join(model.candidate) for model in part.changed if model.change is verdict]
            for verdict in (part.metric.lower, part.metric.higher)
        }
        found = [f"{few(names)} {verdict}" for verdict, names in changed.items() if names]
        if part.drifted:
            found = [f"all models {part.drift} alike, so the machine may have drifted"]
        otherwise = "no model changed" if part.judged else "too little to tell of any model"
        verdicts.append(f"{_word(part.metric.name)}: {', '.join(found) or otherwise}")
    return f"verdict: {'; '.join(verdicts)}"


class Finding(StrEnum):
    """What a guard finds; each has an exit code of its own."""

    NO_REGRESSION = "no regression"
    REGRESSION = "REGRESSION"
    NOTHING_TO_JUDGE = "NOTHING TO JUDGE"


def guard_line(comparison: Comparison) -> tuple[Finding, str]:
    """Return what a guard finds, and that in one line: a regression is named one only where something is worse."""
    worse, left = regressions(comparison), unjudged(comparison)
    if worse:
        rest = [f"not judged: {'; '.join(left)}"] if left else []
        return Finding.REGRESSION, f"{Finding.REGRESSION}: {'; '.join([*worse, *rest])}"
    if left:
        return Finding.NOTHING_TO_JUDGE, f"{Finding.NOTHING_TO_JUDGE}: {'; '.join(left)}"
    return Finding.NO_REGRESSION, f"{Finding.NO_REGRESSION} ({_coverage(comparison)})"


def _coverage(comparison: Comparison) -> str:
    """Return how many models could be judged by each metric: one that could not may hide a regression."""
    judged = [
        f"{_word(part.metric.name)} of {len(part.judged)} of {len(part.models)} models" for part in guarded(comparison)
    ]
    missing = [name for _, name in comparison.missing].count(comparison.names[0])
    return f"{', '.join(judged)} could be judged" + (f"; {missing} cells are missing" if missing else "")


def _value(estimate: Estimate | None, metric: Metric) -> str:
    if estimate is None:
        return NULL
    value, between = number(estimate.value * metric.scale), interval(estimate.low, estimate.high, metric.scale)
    return value if between == NULL else f"{value} ({between})"


def _whole_percent(share: float) -> str:
    # Rounded down: 100 % means all.
    return f"{math.floor(100 * share)} %"


def _word(name: str) -> str:
    return name.replace("_", " ")


def _counted(counts: Mapping[Verdict, int]) -> str:
    return f"{sum(counts.values())} cells: {', '.join(f'{n} {_word(verdict)}' for verdict, n in counts.items())}"
