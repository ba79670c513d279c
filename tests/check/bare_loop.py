"""Compare asrmeter with a bare loop: both measure a cell of a finished study in turn.

In pairs, forwards and backwards in turn (A B B A A B ...): A is `scripts/measure.py`, with its worker started directly
or forked from a run's server; B is a fresh process of `plain.py`, which knows nothing of asrmeter and makes the same
passes with transformers, or for a cell of an engine with that alone. Compared are blocked medians: of each batch the
median over its timed passes, then the mean over the batches. The peaks of memory of both are told beside them.
Last, asrmeter's runtime with its stage marks and the plain model take turns in one process: what timing stages costs.

The 95 % interval of a ratio A / B is that of Wilcoxon's signed-rank test over the pairs (Hodges & Lehmann, 1963): exact
from six pairs on, where a bootstrap is too narrow, and little moved by a pair that a neighbour disturbed. A ratio is
`within` the bound if all of its interval is, `outside` if none of it is, and else `undecided`: then more pairs are
measured, until the time is over. Looking again after each pair makes a wrong answer likelier than one in twenty only
where the true ratio lies near the bound.

The exit code is 0 if all ratios are within, 1 if one is outside, 3 if none is but one is undecided.
"""

import argparse
import contextlib
import itertools
import json
import math
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.extend(str(Path(__file__).parents[2] / folder) for folder in ("scripts", "tests"))

from asrmeter.common.errors import AsrmeterError
from asrmeter.machine.lock import exclusive_lock
from asrmeter.measure import launcher
from asrmeter.records import cell_record
from asrmeter.records.events import Latency, Memory, Ready
from asrmeter.workflow.cli import run
from check import plain
from helpers.speech import told

ROOT = Path(__file__).parents[2]

# measure.py looks for a process of this name above itself: a run whose server can fork its worker.
SHELLS = {"direct": "sh", "forked": "snakemake"}
# Rounds that asrmeter takes for a part of the warm-up count too: the plain loop does not choose either.
TIMED = ("latency", "warmup")
TAIL = 0.025
# Passes in one process scatter less than processes, and take less time: more pairs, in this part of the time.
STAGE_PAIRS, STAGE_SHARE = 20, 0.2
STAGE_TIMING = "stage timing"
EXIT_CODES = {"within": 0, "outside": 1, "undecided": 3}
Measure = Callable[[], float]
Passes = list[dict[str, Any]]


@dataclass(frozen=True)
class Ratio:
    """A ratio with its 95 % interval, None where there are too few pairs, and what follows from it."""

    ratio: float
    low: float | None
    high: float | None
    n_pairs: int
    verdict: str

    def __str__(self) -> str:
        interval = "no interval" if self.low is None else f"{self.low:.3f} to {self.high:.3f}"
        return f"{self.ratio:.3f} ({interval}, {self.n_pairs} pairs): {self.verdict}"


def ratio_of(ratios: Sequence[float], within: float) -> Ratio:
    """Return the combined ratio of pairs, and whether it is within `within` of 1."""
    means = sorted(math.sqrt(a * b) for a, b in itertools.combinations_with_replacement(ratios, 2))
    # How many of the equally likely choices of signs have each sum of positive ranks.
    n_choices = [1]
    for rank in range(1, len(ratios) + 1):
        n_choices = [a + b for a, b in zip([*n_choices, *[0] * rank], [*[0] * rank, *n_choices], strict=True)]
    n_rejected = sum(n <= TAIL * 2 ** len(ratios) for n in itertools.accumulate(n_choices))
    if n_rejected == 0:
        return Ratio(statistics.median(means), None, None, len(ratios), "undecided")
    low, high = means[n_rejected - 1], means[-n_rejected]
    if 1 - within <= low and high <= 1 + within:
        verdict = "within"
    else:
        verdict = "outside" if high < 1 - within or low > 1 + within else "undecided"
    return Ratio(statistics.median(means), low, high, len(ratios), verdict)


def blocked_median(passes: Iterable[dict[str, Any]], seconds: Iterable[float]) -> float:
    """Return the mean over batches of the median seconds of each batch's timed passes."""
    by_batch: dict[int, list[float]] = defaultdict(list)
    for entry, latency_s in zip(passes, seconds, strict=True):
        if entry["phase"] in TIMED:
            by_batch[entry["batch"]].append(latency_s)
    return statistics.mean(map(statistics.median, by_batch.values()))


def measure_pairs(
    sides: dict[str, Measure],
    least_pairs: int,
    limit_s: float,
    within: float,
    tell: Callable[[dict[str, float]], object] = lambda _: None,
) -> tuple[list[dict[str, float]], dict[str, Ratio]]:
    """Measure all `sides` in turn until it is decided how each compares with the last of them, or the time is over.

    Returns:
        the seconds by side of each pair, with which `tell` is called, and the ratio of each side but the last.
    """
    ends_at_s = time.monotonic() + limit_s
    *others, base = sides
    pairs: list[dict[str, float]] = []
    while True:
        found = {name: sides[name]() for name in ([*others, base] if len(pairs) % 2 == 0 else [base, *others[::-1]])}
        pairs.append({name: found[name] for name in sides})
        tell(pairs[-1])
        ratios = {name: ratio_of([pair[name] / pair[base] for pair in pairs], within) for name in others}
        decided = len(pairs) >= least_pairs and all(ratio.verdict != "undecided" for ratio in ratios.values())
        if decided or time.monotonic() >= ends_at_s:
            return pairs, ratios


class Cell:
    """A cell of a finished study that is measured anew, by asrmeter and by a plain loop."""

    def __init__(self, results: Path, name: str, budget_s: float, folder: Path) -> None:
        self._results, self._log, self._output = results, folder / "log", folder / "cell.parquet"
        self._read(results / "measurements" / f"{name}/lap1.parquet")
        self._command = [sys.executable, str(ROOT / "scripts" / "measure.py"), *self._options(budget_s)]
        self.disturbances: list[str] = []
        # Peaks of memory of the latest measurements, by who measured.
        self.peaks_bytes: dict[str, int | None] = {}

    def by_asrmeter(self, worker: str, shell: "Shell") -> float:
        """Measure the cell by asrmeter; return the blocked median in seconds."""
        if shell.run(self._command, self._log):
            raise AsrmeterError(f"measure.py failed:\n{self._log.read_text()}")
        self._read(self._output)
        ready, latency = self.header.last(Ready), self.header.last(Latency)
        if self.header.status not in ("ok", "unconverged"):
            raise AsrmeterError(f"the cell was not measured: {self.header.status}, {self.header.reason}")
        if (ready is not None and ready.preload_cpu_s is not None) != (worker == "forked"):
            raise AsrmeterError(f"the worker was not {worker}")
        memory = self.header.last(Memory)
        self.peaks_bytes[worker] = memory and memory.peak_rss_bytes
        self.disturbances += [latency.disturbance] if latency and latency.disturbance else []
        return blocked_median(self._passes, [entry["latency_s"] for entry in self._passes])

    def by_plain_loop(self) -> float:
        """Make the passes of the latest measurement in a plain loop; return the blocked median in seconds."""
        with exclusive_lock():
            (found,) = plain.run([self.plain_cell([entry["segment_ids"] for entry in self._passes], self._n_warm_up)])
        self.peaks_bytes["bare"] = found["peak_rss_bytes"]
        if found["texts"] != [entry["texts"] for entry in self._passes]:
            raise AsrmeterError("the plain loop and asrmeter have different texts: they did not do the same work")
        return blocked_median(self._passes, found["seconds"])

    def stage_timing(self) -> dict[str, Measure]:
        """Return rounds over the timed batches in this process: by asrmeter's runtime with its marks, and plainly."""
        from asrmeter import runtimes
        from asrmeter.runtimes.base import Setup

        own, device = self.plain_cell([]), self.header.device
        model = plain.model_of(own)
        name, options = runtimes.runtime_of(own["options"])
        converted = Path(own["converted_folder"]) if own["converted_folder"] else None
        setup = Setup(
            *(Path(own["model_folder"]), own["family"], options, device, own["threads"]),
            random_weights=own["weights"] == "random",
            converted=converted,
        )
        runtime = runtimes.load(name, setup)
        batches = {tuple(entry["segment_ids"]) for entry in self._passes if entry["phase"] in TIMED}
        speech = plain.speech(Path(own["segments"]), itertools.chain(*batches))

        def with_marks(waveforms: list[Any], references: list[str]) -> None:
            timeline = runtime.timeline()
            runtime.transcribe(told(waveforms, [own["language"]] * len(waveforms), references), timeline)
            timeline.end()

        def a_round(transcribe: Callable[[list[Any], list[str]], object]) -> float:
            begin = time.perf_counter()
            for ids in batches:
                transcribe([speech[i][0] for i in ids], [speech[i][1] for i in ids])
            return time.perf_counter() - begin

        return {STAGE_TIMING: lambda: a_round(with_marks), "bare": lambda: a_round(model.transcribe)}

    def plain_cell(self, passes: list[list[str]], n_warm_up: int = 0) -> dict[str, Any]:
        """Return the cell as the plain loop gets it."""
        return plain.cell(self._results, self.header, passes, n_warm_up)

    def _read(self, record: Path) -> None:
        """Read a record; passes of the warm-up that hear no whole segment are only counted."""
        self.header, passes = cell_record.read(record)
        self._passes = [entry for entry in passes if entry["segment_ids"]]
        self._n_warm_up = len(passes) - len(self._passes)

    def _options(self, budget_s: float) -> list[str]:
        """Return the options of measure.py: those of the study, except for the stop rule."""
        header, own = self.header, self.plain_cell([])
        protocol = {
            **{"version": header.protocol, "target": header.target, "max_passes": header.max_passes},
            # An energy window is one round.
            **{"budget_s": budget_s, "energy_window_s": 0},
        }
        options = {
            **{
                key: getattr(header, key)
                for key in ("model", "variant", "device", "duration_s", "batch_size", "threads", "seed")
            },
            **{key: own[key] for key in ("model_folder", "segments")},
            "variant_options": json.dumps(header.options),
            "protocol": json.dumps(protocol),
            **{"lap": header.lap, "laps": header.n_laps},
            "output": self._output,
        }
        if own["converted_folder"]:
            options["converted_folder"] = own["converted_folder"]
        return [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]


class Shell:
    """A shell that runs one command after another, under a name of our choice."""

    def __init__(self, name: str, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [name, "-c", 'while read -r command; do eval "$command"; echo $?; done'],
            executable="/bin/sh",
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, command: Sequence[str], log: Path) -> int:
        """Run a command; return its exit code."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{shlex.join(command)} </dev/null >{shlex.quote(str(log))} 2>&1\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def end(self) -> None:
        """End it, and with it the server of the run that it replaces."""
        self._process.communicate()


@contextlib.contextmanager
def sides_of(cell: Cell, chosen: Sequence[str]) -> Iterator[dict[str, Measure]]:
    """Yield what takes part in a pair: asrmeter with each of the chosen workers, and last the bare loop."""
    environment = {key: value for key, value in os.environ.items() if key != launcher.FORK_SERVER_VARIABLE}
    switch = {"direct": {launcher.FORK_SERVER_VARIABLE: "0"}, "forked": {launcher.RUN_VARIABLE: "check"}}
    shells = {worker: Shell(SHELLS[worker], environment | switch[worker]) for worker in chosen}
    try:
        by_asrmeter = {
            worker: lambda worker=worker, shell=shell: cell.by_asrmeter(worker, shell)
            for worker, shell in shells.items()
        }
        yield by_asrmeter | {"bare": cell.by_plain_loop}
    finally:
        for shell in shells.values():
            shell.end()


def main(argv: list[str] | None = None) -> None:
    """Read the command line, compare, print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=ROOT / "results", help="results folder of a finished study")
    parser.add_argument(
        "--cell", default="whisper-tiny.en/fp32/cpu/5s-b1", help="cell to measure, as below measurements/"
    )
    parser.add_argument(
        "--workers", nargs="+", choices=SHELLS, default=list(SHELLS), help="how asrmeter starts its worker"
    )
    parser.add_argument("--pairs", type=int, default=6, help="least number of pairs")
    parser.add_argument("--budget-s", type=float, default=3, help="seconds of timed passes in each measurement")
    parser.add_argument("--limit-s", type=float, default=900, help="begin no further pair after so many seconds")
    parser.add_argument("--within", type=float, default=0.03, help="bound of a ratio's difference from 1")
    parser.add_argument("--json", type=Path, help="write what was found to this file too")
    args = parser.parse_args(argv)

    print(f"{args.cell}: seconds by {', '.join(args.workers)}, bare", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        cell = Cell(args.results, args.cell, args.budget_s, Path(folder))
        with sides_of(cell, args.workers) as sides:
            pairs, ratios = measure_pairs(
                *(sides, args.pairs, args.limit_s, args.within),
                tell=lambda pair: print(*(f"{seconds:.4f}" for seconds in pair.values()), sep="  ", flush=True),
            )
        with exclusive_lock():
            _, of_stages = measure_pairs(cell.stage_timing(), STAGE_PAIRS, STAGE_SHARE * args.limit_s, args.within)
    ratios |= of_stages
    for name, ratio in ratios.items():
        print(f"{name} / bare: {ratio}")
    for name, peak_bytes in cell.peaks_bytes.items():
        print(f"peak memory of {name}: {'unknown' if peak_bytes is None else f'{peak_bytes / 1e6:.0f} MB'}")
    latency = cell.header.last(Latency)
    marks_s = (latency and latency.stage_marks_s) or 0.0
    print(f"setting the stage marks of a pass takes {1e6 * marks_s:.2g} µs")
    for disturbance in cell.disturbances:
        print(f"asrmeter was disturbed: {disturbance}")
    if args.json:
        found = {"cell": args.cell, "within": args.within, "pairs": pairs, "stage_marks_s": marks_s}
        found |= {"ratios": {name: asdict(ratio) for name, ratio in ratios.items()}, "disturbances": cell.disturbances}
        found |= {"peaks_bytes": cell.peaks_bytes}
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    verdicts = {ratio.verdict for ratio in ratios.values()}
    sys.exit(next(EXIT_CODES[verdict] for verdict in ("outside", "undecided", "within") if verdict in verdicts))


if __name__ == "__main__":
    run(main, measures=True)
