"""Print which share of the time of a study's measuring jobs goes into timed passes, and where the rest goes.

The measuring lasts from the start of the first job to the last record. A pause between two records that is longer than
a job needs to start was another run, or other jobs of Snakemake, and does not count.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

sys.path.extend(str(Path(__file__).parents[2] / folder) for folder in ("scripts", "tests"))

from asrmeter.common.errors import AsrmeterError
from asrmeter.records import cell_record
from asrmeter.records.events import Latency, Spent
from asrmeter.records.header import RecordHeader
from asrmeter.workflow.cli import aligned, run

# Between two jobs of a run there are fractions of a second.
LONGEST_PAUSE_S = 30
LOG_NAME = "%Y-%m-%dT%H%M%S.%f.snakemake.log"
TIMED = "timed passes"
# Phases of the worker by what they are called here, in their order.
PHASES = {
    "load": "loading model and audio",
    "control": "control kernel",
    "warmup": "warm-up",
    "rounds": "between timed passes",
    "energy": "energy",
}


@dataclass(frozen=True)
class Sitting:
    """A record: when its time began and ended (s since the epoch), and what it says of it."""

    begin_s: float
    end_s: float
    header: RecordHeader

    @property
    def wall_s(self) -> float:
        """Seconds that the study took for it."""
        return self.end_s - self.begin_s

    @property
    def timed_s(self) -> float:
        """Seconds of timed passes."""
        latency = self.header.last(Latency)
        return (latency.timed_s if latency else None) or 0.0

    @property
    def spent_s(self) -> dict[str, float]:
        """All seconds, by what they were spent on."""
        spent, job_s = self.header.last(Spent), self.header.job_s or 0.0
        in_worker = {PHASES[name]: seconds for name, seconds in spent.seconds.items()} if spent else {}
        if in_worker:
            in_worker[PHASES["rounds"]] -= self.timed_s
        return {
            TIMED: self.timed_s,
            "between two jobs (Snakemake)": self.wall_s - job_s,
            "job beside its worker": job_s - self.timed_s - sum(in_worker.values()),
            **in_worker,
        }


def read(results: Path) -> list[Sitting]:
    """Return the sittings of a study in the order in which they were made.

    Raises:
        AsrmeterError: there are none, or their files' times are not those of the run.
    """
    headers = [(cell_record.read_header(path), path) for path in (results / "measurements").rglob("lap*.parquet")]
    if not headers:
        raise AsrmeterError(f"{results}: holds no measurements")
    sittings: list[Sitting] = []
    for header, path in sorted(headers, key=lambda found: found[0].started_at_s or 0):
        started_s, end_s = header.started_at_s or 0.0, path.stat().st_mtime
        begin_s = end_s - (header.job_s or end_s - started_s)
        if sittings and 0 <= begin_s - sittings[-1].end_s < LONGEST_PAUSE_S:
            begin_s = sittings[-1].end_s
        if end_s < started_s:
            raise AsrmeterError(f"{path}: not the file that the run wrote; copy results with their times (cp -a)")
        sittings.append(Sitting(begin_s, end_s, header))
    return sittings


def whole_run_s(snakemake: Path, sittings: Sequence[Sitting]) -> float | None:
    """Return how long the Snakemake run took that made all these sittings, by its log; None if there is none."""
    for log in (snakemake / "log").glob("*.snakemake.log"):
        begin_s, end_s = datetime.strptime(log.name, LOG_NAME).timestamp(), log.stat().st_mtime
        if begin_s <= sittings[0].begin_s and sittings[-1].end_s <= end_s:
            return end_s - begin_s
    return None


def main(argv: list[str] | None = None) -> None:
    """Read the command line, print where the time went."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="results folder of a finished study")
    args = parser.parse_args(argv)

    sittings = read(args.results)
    whole_s = whole_run_s(args.results.absolute().parent / ".snakemake", sittings)
    timed_s, wall_s = (sum(seconds) for seconds in zip(*((one.timed_s, one.wall_s) for one in sittings), strict=True))
    job_s = sum(one.header.job_s or 0.0 for one in sittings)
    print(f"the whole run: {'not known' if whole_s is None else f'{whole_s:.1f} s'}")
    print(f"{len(sittings)} sittings: {wall_s:.1f} s from job to job, {job_s:.1f} s in measuring jobs")
    print(f"timed passes: {timed_s:.1f} s, {timed_s / job_s:.0%} of the jobs, {timed_s / wall_s:.0%} from job to job\n")

    spent = [one.spent_s for one in sittings]
    lines = [["", "sum (s)", "share", "median (s)", "largest (s)"]]
    for name in dict.fromkeys(name for one in spent for name in one):
        seconds = [one.get(name, 0.0) for one in spent]
        figures = (f"{sum(seconds):.1f}", f"{sum(seconds) / wall_s:.1%}")
        lines.append([name, *figures, f"{statistics.median(seconds):.3f}", f"{max(seconds):.3f}"])
    print("\n".join(aligned(lines)))


if __name__ == "__main__":
    run(main)
