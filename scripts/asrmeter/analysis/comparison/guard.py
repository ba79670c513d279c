"""What a guard finds in a comparison: what is worse in the second run, and what could not be judged.

Worse is a model that is slower, worse by WER, or takes more measured energy as a whole; a cell that is so by far; and a
cell that the first run measured and that failed in the second. Modelled energy only repeats latency. Peak memory is not
judged.

Not judged, and that may hide anything: a metric by which no model can be judged; models that are all slower alike
though nothing recorded differs; a model that the second run lacks; a cell whose file cannot be read.
"""

from collections import Counter, defaultdict

from asrmeter.analysis.comparison.large_changes import UNEXPECTED_FACTOR
from asrmeter.analysis.comparison.rules import UNDECIDED, Pair
from asrmeter.analysis.comparison.runs import ByMetric, Comparison
from asrmeter.common.errors import few
from asrmeter.common.vocabulary import UNREADABLE


def regressions(comparison: Comparison) -> list[str]:
    """Return what is worse in the second run, each in a few words; empty where nothing is."""
    found = []
    for part in guarded(comparison):
        models = [model.candidate for model in part.models if model.change is part.metric.higher]
        worse = ["/".join(candidate) for candidate in models]
        worse += [
            f"{pair.cell.id} by a factor of {factor:.3g}"
            for pair in part.pairs
            if pair.candidate not in models and (factor := _factor(part, pair))
        ]
        if worse:
            found.append(f"{part.metric.name}: {few(worse)} {part.metric.higher}")
    if failed := [f"{cell.id} ({why})" for cell, why in comparison.failed if not _is_unreadable(why)]:
        found.append(f"failed: {few(failed)}")
    return found


def unjudged(comparison: Comparison) -> list[str]:
    """Return what could not be judged, each with the reason; empty where all could be."""
    by_reason: defaultdict[str, list[str]] = defaultdict(list)
    for part in guarded(comparison):
        if reason := _not_judged(part):
            by_reason[reason].append(part.metric.name)
    found = [f"{', '.join(metrics)}: {reason}" for reason, metrics in by_reason.items()]
    if unreadable := [f"{cell.id} ({why})" for cell, why in comparison.failed if _is_unreadable(why)]:
        found.append(few(unreadable))
    if comparison.lost:
        names = few(["/".join(candidate) for candidate in comparison.lost])
        found.append(f"{names}: not in {comparison.names[1]}")
    if not guarded(comparison):
        found.append("no cell that was measured is in both runs")
    return found


def guarded(comparison: Comparison) -> list[ByMetric]:
    """Return the metrics of which more is a regression."""
    return [part for part in comparison.by_metric if part.metric.guarded]


def _not_judged(part: ByMetric) -> str:
    """Return why nothing can be told by a metric, or ""."""
    if part.drifted and part.drift is part.metric.higher:
        return (
            f"all models {part.drift} alike, though no recorded setting differs: the machine may have drifted, measure "
            "again"
        )
    if part.judged:
        return ""
    reasons = Counter(pair.reason for pair in part.pairs if pair.verdict in UNDECIDED).most_common(1)
    lacks = f"no model has {part.metric.min_evidence}"
    for reason, n in reasons:
        return reason if n == len(part.pairs) else f"{lacks} ({n} of {len(part.pairs)} cells: {reason})"
    return lacks


def _factor(part: ByMetric, pair: Pair) -> float | None:
    """Return by what factor a cell is surely worse by far, after what the machine explains; None if it is not."""
    if pair.large is None or pair.effect is None or pair.verdict is not part.metric.higher or part.drifted:
        return None
    if part.metric.effect != "ratio":
        return pair.large.factor
    return pair.effect.value if pair.effect.value >= UNEXPECTED_FACTOR else None


def _is_unreadable(why: str) -> bool:
    return why.startswith(f"{UNREADABLE},")
