"""Compare the time of a finished study with that of one Python process that makes the same passes in a loop.

A study's measuring lasts from the start of its first measuring job to the end of its last record. The process (see
`plain.py`) loads each model once, makes the passes that the records tell of, of all phases and those of the energy
windows, and sleeps as long as the idle windows were.

The machine may be faster or slower while that process runs than it was during the study. More robust, and known without
a second run, is the ratio of the study's time to that of its own passes and idle windows. It is a little too high, as
any process has to start and to load its models: what the loop took for that is added once it is known. To show what
could be better, the study's time outside of passes is divided up.
"""

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.extend(str(Path(__file__).parents[2] / folder) for folder in ("scripts", "tests"))

from asrmeter.common.errors import AsrmeterError
from asrmeter.machine.lock import exclusive_lock
from asrmeter.records import cell_record
from asrmeter.records.events import Energy
from asrmeter.records.header import RecordHeader
from asrmeter.workflow.cli import run
from check import plain

# Between two cells of a run there are fractions of a second; after a longer pause it was another run.
LONGEST_PAUSE_S = 30
LOG_NAME = "%Y-%m-%dT%H%M%S.%f.snakemake.log"


@dataclass(frozen=True)
class Cell:
    """A cell's record: when its time began and ended (s since the epoch), and what it holds."""

    begin_s: float
    end_s: float
    header: RecordHeader
    passes: list[dict[str, Any]]

    @property
    def wall_s(self) -> float:
        """Seconds that the study took for it."""
        return self.end_s - self.begin_s

    @property
    def metered_s(self) -> float:
        """Seconds of energy windows: passes without a pause."""
        return sum(window["seconds"] for window in self._windows("windows"))

    @property
    def idle_s(self) -> float:
        """Seconds of idle windows."""
        return sum(window["seconds"] for window in self._windows("idle"))

    @property
    def inside_s(self) -> float:
        """Seconds that a loop would need too: those of passes and of idle windows."""
        return _latency_s(self.passes) + self.metered_s + self.idle_s

    @property
    def outside_s(self) -> dict[str, float]:
        """All other seconds, by what they were spent on."""
        started_s = self.header.started_at_s
        if not self.passes:
            return {"no pass was made": self.wall_s}
        transcripts = [entry for entry in self.passes if entry["phase"] == "transcript"]
        timed = [entry for entry in self.passes if entry["phase"] != "transcript"]
        spent = {
            "Snakemake, start of the job": started_s - self.begin_s,
            "job to first pass": timed[0]["started_at_s"] - started_s,
            "between passes": _gaps_s(timed) + _gaps_s(transcripts),
        }
        metered_s = self.metered_s + self.idle_s
        if transcripts:
            spent["energy set-up"] = transcripts[0]["started_at_s"] - timed[-1]["ended_at_s"] - metered_s
            spent["last pass to record"] = self.end_s - transcripts[-1]["ended_at_s"]
        else:
            # No pass follows the energy windows: the two cannot be separated.
            spent["energy set-up, and to record"] = self.end_s - timed[-1]["ended_at_s"] - metered_s
        return spent

    @property
    def batches(self) -> list[list[str]]:
        """The segment ids of each pass, those of the energy windows too."""
        timed = {entry["batch"]: entry["segment_ids"] for entry in self.passes if entry["phase"] == "latency"}
        n_metered = sum(window["n_passes"] for window in self._windows("windows"))
        metered = itertools.islice(itertools.cycle(timed.values()), n_metered)
        return [*(entry["segment_ids"] for entry in self.passes), *metered]

    def _windows(self, kind: str) -> list[dict[str, Any]]:
        energy = self.header.last(Energy)
        return list(getattr(energy, kind)) if energy else []


def read(results: Path) -> list[Cell]:
    """Return the cells of a study in the order in which they were measured.

    Raises:
        AsrmeterError: there are none, or their files' times are not those of the run.
    """
    paths = sorted((results / "measurements").rglob("*.parquet"))
    if not paths:
        raise AsrmeterError(f"{results}: holds no measurements")
    cells: list[Cell] = []
    records = sorted(((*cell_record.read(path), path) for path in paths), key=lambda found: found[0].started_at_s)
    for header, passes, path in records:
        begin_s, end_s = header.started_at_s, path.stat().st_mtime
        if cells and begin_s - cells[-1].end_s < LONGEST_PAUSE_S:
            begin_s = cells[-1].end_s
        if end_s < max([header.started_at_s, *(entry["ended_at_s"] for entry in passes)]) or end_s < begin_s:
            raise AsrmeterError(f"{path}: not the file that the run wrote; copy results with their times (cp -a)")
        cells.append(Cell(begin_s, end_s, header, passes))
    return cells


def whole_run_s(snakemake: Path, cells: Sequence[Cell]) -> float | None:
    """Return how long the Snakemake run took that measured all these cells, by its log; None if there is none."""
    for log in (snakemake / "log").glob("*.snakemake.log"):
        begin_s, end_s = datetime.strptime(log.name, LOG_NAME).timestamp(), log.stat().st_mtime
        if begin_s <= cells[0].begin_s and cells[-1].end_s <= end_s:
            return end_s - begin_s
    return None


def run_loop(results: Path, cells: Sequence[Cell]) -> tuple[float, float]:
    """Make the cells' passes in one process; return (its seconds, those of them inside of passes and idle)."""
    by_model = sorted(cells, key=lambda cell: (cell.header.model, cell.header.variant, cell.header.device))
    loop_cells = [plain.cell(results, cell.header, cell.batches, cell.idle_s) for cell in by_model if cell.passes]
    begin = time.perf_counter()
    found = plain.run(loop_cells)
    wall_s = time.perf_counter() - begin
    return wall_s, sum(sum(cell["seconds"]) for cell in found) + sum(cell["idle_s"] for cell in loop_cells)


def _latency_s(passes: Sequence[dict[str, Any]]) -> float:
    return sum(entry["latency_s"] for entry in passes)


def _gaps_s(passes: Sequence[dict[str, Any]]) -> float:
    """Return the seconds from the first pass to the last that are not in passes."""
    return passes[-1]["ended_at_s"] - passes[0]["started_at_s"] - _latency_s(passes) if passes else 0.0


def main(argv: list[str] | None = None) -> None:
    """Read the command line, print what the study took, then what the loop takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="results folder of a finished study")
    parser.add_argument("--share", type=int, default=1, help="only each n-th cell, for a quick look")
    parser.add_argument("--no-loop", action="store_true", help="use the records only, without a second run")
    args = parser.parse_args(argv)

    measured = read(args.results)
    cells = measured[:: args.share]
    wall_s, inside_s = sum(cell.wall_s for cell in cells), sum(cell.inside_s for cell in cells)
    whole_s = whole_run_s(args.results.absolute().parent / ".snakemake", measured)
    print(f"the whole run, of {len(measured)} cells: {'not known' if whole_s is None else f'{whole_s:.1f} s'}")
    print(
        f"measuring {len(cells)} of them: {wall_s:.1f} s, of which {inside_s:.1f} s inside of passes and idle windows"
    )
    print(f"ratio by the records alone: {wall_s / inside_s:.3f}\n")

    print(f"{'outside of passes':<30}{'sum (s)':>9}{'share':>9}{'median (s)':>12}{'largest (s)':>13}{'cells':>7}")
    spent = [cell.outside_s for cell in cells]
    for name in dict.fromkeys(itertools.chain(*spent)):
        seconds = [cell[name] for cell in spent if name in cell]
        share, median_s = sum(seconds) / inside_s, statistics.median(seconds)
        figures = f"{sum(seconds):>9.2f}{100 * share:>7.2f} %{median_s:>12.3f}{max(seconds):>13.3f}{len(seconds):>7}"
        print(f"{name:<30}{figures}")

    if not args.no_loop:
        with exclusive_lock():
            loop_s, loop_inside_s = run_loop(args.results, cells)
        print(f"\none process: {loop_s:.1f} s, of which {loop_inside_s:.1f} s inside of passes and idle windows")
        print(f"ratio of the two times: {wall_s / loop_s:.3f}")
        print(f"ratio if passes were as fast as in the study: {wall_s / (inside_s + loop_s - loop_inside_s):.3f}")


if __name__ == "__main__":
    run(main, measures=True)
