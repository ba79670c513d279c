"""Time how long Snakemake plans a study of 10,000 cells: CPU seconds, of one checkout or of several in turn.

    python tests/check/plan_time.py . ../before --pairs 3

Nothing is run and nothing is written but the study, into a temporary folder. Where several checkouts are given, each
round plans with each of them, and the ratio to the first is that of the medians.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from helpers.checkouts import large

DURATIONS = 50


def cpu_s(checkout: Path, study: Path, *arguments: str) -> float:
    """Return the CPU time (s) of a dry run.

    Raises:
        subprocess.CalledProcessError: it failed; what it said is on the terminal.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = ["snakemake", "--dry-run", "--quiet", "rules", "--cores", "2", "--configfile", str(study), *arguments]
    subprocess.run(command, cwd=checkout, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    """Read the command line, plan, and print a line for each checkout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkouts", nargs="*", type=Path, default=[Path()], help="folders with a Snakefile")
    parser.add_argument("--pairs", type=int, default=3, help="how often each is planned")
    args = parser.parse_args()
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "large.yaml"
        study.write_text(json.dumps(large(DURATIONS)))
        rounds = [[cpu_s(checkout, study) for checkout in args.checkouts] for _ in range(args.pairs)]
    medians = [statistics.median(times) for times in zip(*rounds, strict=True)]
    for checkout, median_s in zip(args.checkouts, medians, strict=True):
        print(f"{checkout}: {median_s:.1f} CPU s, {median_s / medians[0]:.2f} of the first")


if __name__ == "__main__":
    main()
