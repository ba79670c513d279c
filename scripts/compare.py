"""Compare two runs cell by cell: same, faster, slower, or ambiguous where that cannot be told."""

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from asrmeter.cli import run
from asrmeter.compare import COLUMNS, Comparison, Verdict, cells_file, compare
from asrmeter.report.text import NULL, interval, number
from asrmeter.settings import read_rows
from asrmeter.stats import Estimate


def main(argv: list[str] | None = None) -> None:
    """Print the comparison; what is faster or slower is the second run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=Path, help="results folder, or tables folder, of the run to compare with")
    parser.add_argument("second", type=Path, help="results folder, or tables folder, of the run to be judged")
    arguments = parser.parse_args(argv)
    first, second = (read_rows(cells_file(folder), COLUMNS) for folder in (arguments.first, arguments.second))
    print(as_text(compare(first, second, (str(arguments.first), str(arguments.second)))))


def as_text(comparison: Comparison) -> str:
    """Return the comparison for a terminal: cells, models, what is missing, what differs; the last line counts."""
    first, second = comparison.names
    heading = ("cell", "first (s)", "second (s)", "ratio", "verdict", "why")
    cells = [
        (
            pair.cell.id,
            _latency(pair.first),
            _latency(pair.second),
            _ratio(pair.ratio),
            _word(pair.verdict),
            pair.reason,
        )
        for pair in comparison.pairs
    ]
    models = [
        f"{'/'.join(model.candidate)}: {_counted(model.counts)}; median ratio {_ratio(model.ratio)}"
        + (f"; {model.change} as a whole" if model.change else "")
        for model in comparison.models
    ]
    lines = [f"first:  {first}", f"second: {second}", "", *_aligned([heading, *cells]), "", *models]
    if not comparison.changed:
        lines.append("no model is faster or slower as a whole")
    if comparison.drift:
        lines.append(f"all models are {comparison.drift} alike: look at the machine and the software first")
    lines += [f"only in {name}: {cell.id}" for cell, name in comparison.missing]
    lines += [f"{key} differs: {before} -> {after}" for key, before, after in comparison.differing]
    share = comparison.overlap_share
    overlap = "no cell has two intervals" if share is None else f"{_percent(share)} of the latency intervals overlap"
    return "\n".join([*lines, f"{_counted(comparison.counts)}; {overlap}"])


def _latency(estimate: Estimate | None) -> str:
    if estimate is None:
        return NULL
    return f"{number(estimate.value)} ({interval(estimate.low, estimate.high)})"


def _ratio(ratio: float | None) -> str:
    return NULL if ratio is None else f"{ratio:.3f}"


def _percent(share: float) -> str:
    # Rounded down: 100 % means all.
    return f"{math.floor(100 * share)} %"


def _word(verdict: Verdict) -> str:
    return verdict.replace("_", " ")


def _counted(counts: Mapping[Verdict, int]) -> str:
    parts = ", ".join(f"{n} {_word(verdict)}" for verdict, n in counts.items())
    return f"{sum(counts.values())} cells: {parts or 'none in common'}"


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table, its columns aligned."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in table]


if __name__ == "__main__":
    run(main)
