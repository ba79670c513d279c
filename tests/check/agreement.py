"""Print how far two runs of the same study agree: the latencies of cells, their ratios, and the answers.

    python tests/check/agreement.py first/results second/results

Latencies are held against each other after the control kernels, where these explain what all cells share. Ratios are
those of any two cells of a device, within each run.
"""

import argparse
import itertools
import math
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.extend(str(Path(__file__).parents[2] / folder) for folder in ("scripts", "tests"))

from asrmeter.analysis.comparison.machine_speeds import MachineSpeeds, machine_speeds
from asrmeter.analysis.comparison.runs import Run
from asrmeter.analysis.results import latency_of, results_of
from asrmeter.analysis.scenarios import recommend
from asrmeter.analysis.unmeasured import unmeasured_of
from asrmeter.common.files import read_json
from asrmeter.common.stats import ratio_of
from asrmeter.common.table_types import Row
from asrmeter.study.model import Study
from asrmeter.workflow.cli import run

Both = tuple[Row, Row]


def known(rows: Sequence[Row]) -> bool:
    """Return whether all of a cell's rows have intervals."""
    return all(row["latency_s_ci_low"] is not None and not row["disturbed"] for row in rows)


def latencies(both: Sequence[Both], factor: float) -> str:
    """Return how far the latencies of cells agree, the second ones as if its machine were `factor` slower."""
    n_overlap = n_within = 0
    differences = []
    for first, second in both:
        value, low, high = (factor * second[f"latency_s_{part}"] for part in ("median", "ci_low", "ci_high"))
        n_overlap += low <= first["latency_s_ci_high"] and first["latency_s_ci_low"] <= high
        n_within += first["latency_s_next_low"] <= value <= first["latency_s_next_high"]
        differences.append(abs(math.log(value / first["latency_s_median"])))
    return f"{shares(n_overlap, n_within, len(both))}; {spread(differences)}"


def ratios(both: Sequence[Both]) -> str:
    """Return how far the ratios of two cells agree."""
    n_overlap = n_within = n = 0
    differences = []
    for (a, later_a), (b, later_b) in itertools.combinations(both, 2):
        first, second = ratio_of(latency_of(a), latency_of(b)), ratio_of(latency_of(later_a), latency_of(later_b))
        if first and second and first.high and first.low and second.high and second.low:
            n += 1
            n_overlap += first.overlaps(second)
            half = math.sqrt(2) * math.log(first.high / first.low) / 2
            difference = abs(math.log(second.value / first.value))
            n_within += difference <= half
            differences.append(difference)
    return f"{shares(n_overlap, n_within, n)}; {spread(differences)}"


def of_machine(speeds: MachineSpeeds) -> str:
    """Return how fast the machine was in both runs, and by how much all cells changed."""
    best = " and ".join("unknown" if share is None else f"{share:.0%}" for share in speeds.best_shares)
    changes = ["unknown" if change is None else f"{change - 1:+.1%}" for change in (speeds.ratio, speeds.shift)]
    taken_out = "taken out" if speeds.explains else "not taken out"
    return f"machine at {best} of its best; control {changes[0]}, {taken_out}; latency of all cells {changes[1]}"


def width(rows: Sequence[Row]) -> str:
    """Return how wide the intervals of latencies are."""
    if not rows:
        return "no intervals"
    half = statistics.median(math.log(row["latency_s_ci_high"] / row["latency_s_ci_low"]) / 2 for row in rows)
    return f"half-width {half:.1%}, within the target {sum(row['converged'] for row in rows)} of {len(rows)}"


def shares(n_overlap: int, n_within: int, n: int) -> str:
    """Return two counts as shares."""
    return f"{n_overlap} of {n} intervals overlap, {n_within} of {n} values lie where the first run expects them"


def spread(differences: Sequence[float]) -> str:
    """Return the median and the largest of differences of logarithms."""
    if not differences:
        return "nothing to compare"
    return f"differences {math.expm1(statistics.median(differences)):.1%}, at most {math.expm1(max(differences)):.1%}"


def answers(folder: Path) -> dict[str, str]:
    """Return the answer to each scenario of a run."""
    study = Study.model_validate(read_json(folder / "study.json", alone=True, shape={}))
    found = Run.read(folder)
    rows = [row for texts in found.texts.values() for row in texts.values()]
    cells = list(found.cells.values())
    said = {}
    for one in recommend(results_of(cells, rows), unmeasured_of(cells), study):
        likely = one.certainty.probability if one.certainty else None
        certain = "" if likely is None else f" ({likely:.0%}, {'sure' if one.is_sure else 'not sure'})"
        said[one.name] = f"{one.ranking.first.cell}{certain}" if one.ranking else f"none: {one.missing}"
    return said


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, and print how far two runs agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path, help="a results folder")
    parser.add_argument("second", type=Path, help="a results folder of the same study")
    args = parser.parse_args(argv)
    first, second = Run.read(args.first), Run.read(args.second)
    cells = [cell for cell in first.cells if cell in second.cells]
    pairs = [(first.side(cell), second.side(cell)) for cell in cells]
    both = [(first.cells[cell], second.cells[cell]) for cell in cells]
    both = [rows for rows in both if known(rows)]
    print(f"{len(both)} of {len(cells)} cells have an interval in both runs")
    for speeds in machine_speeds(pairs):
        own = [rows for rows in both if rows[0]["device"] == speeds.device]
        print(f"{speeds.device}: {of_machine(speeds)}")
        print(f"  latencies: {latencies(own, speeds.factor)}")
        print(f"  ratios:    {ratios(own)}")
        for name, rows in (("first", [one for one, _ in own]), ("second", [other for _, other in own])):
            print(f"  {name}: {width(rows)}")
    said, later = answers(args.first), answers(args.second)
    for name, answer in said.items():
        print(f"{name}: {answer} | {later.get(name)}")


if __name__ == "__main__":
    run(main)
