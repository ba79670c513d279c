"""Compare layouts with plain ones, of processes that know nothing of asrmeter (`plain_layouts.py`).

For each layout on the CPU that a finished study has measured, in turn: `scripts/measure_layout.py` again (A), and as
many plain processes (B), each bound to CPUs of its own, with one model, over the same segments in an order of its own,
for as many seconds. Printed are the segments a second of all processes, their ratio A / B, and of both the ratio to the
first layout. Of several rounds the ends of a 95 % interval (Student's t of the logarithms) stand beside each.
"""

import argparse
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.extend(str(Path(__file__).parents[2] / folder) for folder in ("scripts", "tests"))

from asrmeter.analysis.layouts import read_record
from asrmeter.common.files import read_json
from asrmeter.common.student import t_quantile
from asrmeter.study import fingerprints, ownership
from asrmeter.study.layouts import LayoutRun, layout_runs
from check import plain, plain_layouts

Measured = dict[str, list[float]]


def own_rate(run: LayoutRun, results: Path, options: Sequence[str], converted: Path | None) -> float:
    """Measure a layout anew; return its segments a second.

    Raises:
        RuntimeError: it was not measured.
    """
    script = Path(__file__).parents[2] / "scripts" / "measure_layout.py"
    corpus = read_json(results / "study.json", shape=dict)["corpus"]["name"]
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "lap1.parquet")
        places = [
            f"--model-folder={results / 'models' / run.cell.model}",
            f"--segments={results / 'corpus' / corpus / 'segments.json'}",
            f"--output={output}",
        ]
        places += [f"--converted-folder={converted}"] if converted else []
        subprocess.run([sys.executable, script, *options, *places], check=True, capture_output=True)
        found = read_record(run, output)
    if found.samples_per_s is None:
        raise RuntimeError(f"{run.id}: {found.header.status}: {found.header.reason}")
    if found.header.disturbance:
        print(f"  disturbed: {found.header.disturbance}", flush=True)
    return found.samples_per_s


def interval(values: Sequence[float]) -> str:
    """Return the geometric mean with its 95 % interval."""
    logs = [math.log(value) for value in values]
    mean = statistics.fmean(logs)
    if len(logs) < 2:
        return f"{math.exp(mean):.3f}"
    half = t_quantile(len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
    return f"{math.exp(mean):.3f} ({math.exp(mean - half):.3f} to {math.exp(mean + half):.3f})"


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Return the ratio of each round."""
    return [one / other for one, other in zip(above, below, strict=True)]


def main() -> None:
    """Read the command line, measure in turn, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="results folder of a study with layouts")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured; 3 by default")
    parser.add_argument("--budget-s", type=float, default=10, help="seconds of passes; 10 by default")
    args = parser.parse_args()
    study = ownership.read(args.results / "study.json")
    saved, made_of = study.as_json(), fingerprints.fingerprints_of(study)
    saved["protocol"]["budget_s"] = args.budget_s
    runs = [run for run in layout_runs(study) if run.lap == 1 and run.cell.device == "cpu"]
    for way in dict.fromkeys(run.cell for run in runs):
        own_runs = [run for run in runs if run.cell == way]
        asrmeter: Measured = {run.layout: [] for run in own_runs}
        bare: Measured = {run.layout: [] for run in own_runs}
        for number in range(args.rounds):
            # Forwards and backwards in turn: a drift of the machine falls on neither.
            for run in own_runs if number % 2 == 0 else own_runs[::-1]:
                kinds = ((asrmeter, _measure_own), (bare, _measure_plain))
                for rates, measure in kinds if number % 2 == 0 else kinds[::-1]:
                    rates[run.layout].append(measure(run, args, saved, made_of))
        first = own_runs[0].layout
        for run in own_runs:
            a, b = asrmeter[run.layout], bare[run.layout]
            print(
                f"{run.layout}: asrmeter {interval(a)} segments/s, plain {interval(b)}, A / B {interval(ratios(a, b))}"
            )
            if run.layout != first:
                of_own, of_plain = ratios(a, asrmeter[first]), ratios(b, bare[first])
                print(f"  over the first: asrmeter {interval(of_own)}, plain {interval(of_plain)}", flush=True)


def _converted(run: LayoutRun, args: argparse.Namespace, saved: dict[str, Any]) -> Path | None:
    from asrmeter import runtimes

    conversion = runtimes.variant_options(saved["variants"][run.cell.variant]).conversion()
    return args.results / "converted" / run.cell.model / conversion.format if conversion else None


def _measure_own(run: LayoutRun, args: argparse.Namespace, saved: dict[str, Any], made_of: Any) -> float:
    options = fingerprints.layout_options(saved, run, made_of)
    return own_rate(run, args.results, options, _converted(run, args, saved))


def _measure_plain(run: LayoutRun, args: argparse.Namespace, saved: dict[str, Any], made_of: Any) -> float:
    from asrmeter.corpora.batches import batches

    manifest = args.results / "corpus" / saved["corpus"]["name"] / "segments.json"
    rows = [row for row in read_json(manifest, shape=list) if row["duration_s"] == run.cell.duration_s]
    provenance = read_json(args.results / "models" / run.cell.model / "provenance.json", shape=dict)
    converted = _converted(run, args, saved)
    header = SimpleNamespace(
        model=run.cell.model,
        corpus=saved["corpus"]["name"],
        family=provenance["family"],
        weights=provenance["weights"],
        options=saved["variants"][run.cell.variant],
        device="cpu",
        threads=run.threads,
        conversion={"format": converted.name} if converted else None,
    )
    cell = plain.cell(args.results, header, batches(rows, run.cell.batch_size, saved["seed"]))
    cpus = sorted(os.sched_getaffinity(0))
    sets = [cpus[begin : begin + run.threads] for begin in range(0, run.processes * run.threads, run.threads)]
    return plain_layouts.run(cell, sets, args.budget_s)


if __name__ == "__main__":
    main()
