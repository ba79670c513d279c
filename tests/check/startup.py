"""Compare the start-up of two checkouts: CPU time, time before the first pass, and peak memory of a cell.

Both checkouts measure the same cell, a small random Whisper, in pairs, forwards and backwards in turn (A B B A A B
...), with the worker started directly and forked from a run's server. Each forked measurement starts a server of its
own and measures the cell twice; the second time counts, as the server is up by then. Printed are the median of each
quantity in A and B, and the median of the pairs' ratios B / A.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.extend(str(Path(__file__).parents[2] / folder) for folder in ("scripts", "tests"))

import numpy as np
import soundfile

from asrmeter.measure import launcher
from asrmeter.records import cell_record
from asrmeter.records.events import Memory, Ready
from asrmeter.workflow.cli import aligned, run
from check.bare_loop import SHELLS, Shell
from helpers.made_inputs import sign_corpus, sign_model
from helpers.model_folders import whisper_folder

# Two rounds: only what comes before them is compared.
PROTOCOL = {"version": 2, "target": 1, "max_passes": 2, "budget_s": 1}
Quantities = dict[str, float]


def make_cell(folder: Path) -> list[str]:
    """Make the model and the audio of a cell; return the options of measure.py."""
    model, corpus = whisper_folder(folder / "model"), folder / "corpus"
    sign_model(model, family="whisper", weights="random")
    corpus.mkdir()
    soundfile.write(corpus / "a.flac", np.random.default_rng(1).uniform(-0.5, 0.5, 5 * 16_000), 16_000)
    segment = {
        "segment_id": "a",
        "duration_s": 5,
        "audio_s": 5.0,
        "path": "a.flac",
        "text": "w1 w2",
        "language_told": "en",
    }
    options = {
        "model": "whisper",
        "model-folder": model,
        "segments": sign_corpus(corpus, [segment]),
        "variant": "fp32",
        "variant-options": json.dumps({"runtime": "transformers", "dtype": "float32", "attention": "sdpa"}),
        "device": "cpu",
        "duration-s": 5,
        "batch-size": 1,
        "threads": "auto",
        "seed": 1,
        "protocol": json.dumps(PROTOCOL | {"energy_window_s": 0}),
        "output": folder / "cell.parquet",
    }
    return [f"--{name}={value}" for name, value in options.items()]


def quantities(record: Path) -> Quantities:
    """Return what a record says of the start-up."""
    header, passes = cell_record.read(record)
    ready, memory = header.last(Ready), header.last(Memory)
    if ready is None or memory is None:
        sys.exit(f"the cell was not measured: {header.status}, {header.reason}")
    found = {
        "startup_cpu_s": ready.startup_cpu_s,
        "preload_cpu_s": ready.preload_cpu_s,
        "before_first_pass_s": passes[0]["started_at_s"] - header.started_at_s,
        "model_rss_mib": (ready.model_rss_bytes or 0) / 2**20,
        "peak_rss_mib": (memory.peak_rss_bytes or 0) / 2**20,
    }
    return {name: value for name, value in found.items() if value is not None}


def measure(checkout: Path, worker: str, options: list[str], folder: Path) -> Quantities:
    """Measure the cell with the code of a checkout."""
    switch = {launcher.FORK_SERVER_VARIABLE: "0"} if worker == "direct" else {launcher.RUN_VARIABLE: "check"}
    environment = {key: value for key, value in os.environ.items() if key != launcher.FORK_SERVER_VARIABLE}
    shell, log = Shell(SHELLS[worker], environment | switch), folder / "log"
    try:
        for _ in range(2 if worker == "forked" else 1):
            if shell.run([sys.executable, str(checkout / "scripts" / "measure.py"), *options], log):
                sys.exit(f"measure.py of {checkout} failed:\n{log.read_text()}")
    finally:
        shell.end()
    return quantities(folder / "cell.parquet")


def main(argv: list[str] | None = None) -> None:
    """Read the command line, measure, print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkouts", type=Path, nargs=2, metavar="CHECKOUT", help="A and B")
    parser.add_argument("--workers", nargs="+", choices=SHELLS, default=list(SHELLS), help="how to start the worker")
    parser.add_argument("--pairs", type=int, default=7, help="number of pairs")
    args = parser.parse_args(argv)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        options = make_cell(folder)
        for worker in args.workers:
            found: tuple[list[Quantities], list[Quantities]] = [], []
            for pair in range(args.pairs):
                for side in (0, 1) if pair % 2 == 0 else (1, 0):
                    found[side].append(measure(args.checkouts[side], worker, options, folder))
            lines = [[worker, "A", "B", "B / A"]]
            for quantity in found[0][0]:
                a, b = ([one[quantity] for one in side] for side in found)
                ratio = statistics.median(y / x for x, y in zip(a, b, strict=True))
                lines.append([quantity, f"{statistics.median(a):.4g}", f"{statistics.median(b):.4g}", f"{ratio:.3f}"])
            print("\n".join(aligned(lines)), flush=True)


if __name__ == "__main__":
    run(main, measures=True)
