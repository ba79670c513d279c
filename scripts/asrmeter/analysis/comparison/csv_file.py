"""The pairs of a comparison as a CSV file, in raw numbers."""

import csv
from pathlib import Path

from asrmeter.analysis.comparison.runs import Comparison
from asrmeter.common.files import atomic

_VALUES = ("first", "second", "effect")
_PLACE = ("model", "variant", "device", "duration_s", "batch_size")
HEADING = (
    "metric", *_PLACE, *(f"{value}{end}" for value in _VALUES for end in ("", "_low", "_high")), "effect_is", "floor",
    "verdict", "reason", "predicted", "large_change_ratio", "possible_causes",
)  # fmt: skip


def write_csv(comparison: Comparison, path: Path) -> None:
    """Write every pair: s, errors per word, Wh per hour of audio, relative floors.

    Of each metric large changes come first.
    ."""
    rows = [
        [
            part.metric.name,
            *(getattr(pair.cell, key) for key in _PLACE),
            *(getattr(getattr(pair, value), end, None) for value in _VALUES for end in ("value", "low", "high")),
            part.metric.effect,
            getattr(pair.effect, "floor", None),
            pair.verdict,
            pair.reason,
            pair.predicted,
            pair.large and pair.large.ratio,
            pair.large and "; ".join(f"{one.name}: {one.first} -> {one.second}" for one in pair.large.causes),
        ]
        for part in comparison.by_metric
        for pair in sorted(part.pairs, key=lambda pair: pair.large is None)
    ]
    with atomic(path) as target, open(target, "w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([HEADING, *rows])
