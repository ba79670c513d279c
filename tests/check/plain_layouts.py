"""Plain models in several processes at once, begun by a barrier, to check asrmeter's layouts against.

This imports nothing of asrmeter. Run as a process it reads from standard input a cell (see `plain.cell`), the CPUs of
each process and for how many seconds they make passes, and writes how many segments all of them make in a second.
"""

import itertools
import json
import multiprocessing
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))

import plain

WARM_S = 1.0
LIMIT_S = 300
# Libraries read them when they are loaded.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def run(cell: dict[str, Any], cpus: Sequence[Sequence[int]], budget_s: float) -> float:
    """Run the plain processes of a layout from a new one, and return the segments a second of all.

    Raises:
        RuntimeError: it failed.
    """
    given = json.dumps({"cell": cell, "cpus": cpus, "budget_s": budget_s})
    done = subprocess.run([sys.executable, __file__], input=given, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the plain processes ended with exit code {done.returncode}:\n{done.stderr}")
    return float(done.stdout)


def work(cell: dict[str, Any], seed: int, budget_s: float, barrier: Any, results: Any) -> None:
    """Load a plain model, warm up, wait for the others, and make passes; tell when each began and ended."""
    model = plain.model_of(cell)
    batches = list(cell["passes"])
    segments = plain.speech(Path(cell["segments"]), itertools.chain(*batches))
    random.Random(seed).shuffle(batches)

    def make(ids: list[str]) -> tuple[float, float]:
        began_s = time.perf_counter()
        model.transcribe([segments[i][0] for i in ids], [segments[i][1] for i in ids])
        return began_s, time.perf_counter()

    warm_s = time.perf_counter() + WARM_S
    while make(batches[0])[1] < warm_s:
        pass
    barrier.wait(LIMIT_S)
    ends_s = time.perf_counter() + budget_s
    passes = []
    for ids in itertools.cycle(batches):
        passes.append(make(ids))
        if passes[-1][1] >= ends_s:
            break
    results.put(passes)


def rate(told: Sequence[Sequence[tuple[float, float]]], batch_size: int) -> float:
    """Return the segments a second of all processes, of passes until the first of them stopped."""
    ends_s = min(passes[-1][1] for passes in told)
    rates = []
    for passes in told:
        counted = [one for one in passes if one[1] <= ends_s]
        rates.append(len(counted) * batch_size / (counted[-1][1] - counted[0][0]))
    return sum(rates)


def main() -> None:
    """Read what to run, run it, write the rate."""
    given = json.load(sys.stdin)
    for name in THREADS:
        os.environ[name] = str(len(given["cpus"][0]))
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(len(given["cpus"])), context.Queue()
    processes = []
    for seed, cpus in enumerate(given["cpus"]):
        os.sched_setaffinity(0, cpus)  # a process has those of its parent
        args = (given["cell"], seed, given["budget_s"], barrier, results)
        processes.append(context.Process(target=work, args=args, daemon=True))
        processes[-1].start()
    told = [results.get(timeout=LIMIT_S) for _ in processes]
    print(rate(told, len(given["cell"]["passes"][0])))


if __name__ == "__main__":
    main()
