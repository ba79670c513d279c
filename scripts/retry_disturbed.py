"""Measure again what was disturbed in a lap: at its end, at most twice, each time in a job like those of the lap.

A record that was measured undisturbed replaces the disturbed one. Any other is dropped, and the first one stays.
"""

import argparse
import functools
import json
import logging
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

# Where PYTHONSAFEPATH is set, Python leaves this folder out.
sys.path.insert(0, os.path.dirname(__file__))

from asrmeter import runtimes
from asrmeter.common.files import read_json, write_atomically
from asrmeter.common.typed_json import JsonObject
from asrmeter.common.vocabulary import MEASURED_STATUS
from asrmeter.machine.lock import shared_lock
from asrmeter.measure.launcher import die_with_parent
from asrmeter.records import disturbance, status
from asrmeter.records.header import RecordHeader
from asrmeter.runtimes.base import DEFAULT_ENVIRONMENT, RuntimeOptions
from asrmeter.study import grid
from asrmeter.study.fingerprints import Fingerprints, measure_options
from asrmeter.study.grid import Sitting
from asrmeter.workflow.cli import run

# The numbers of the tries after the first one, which the lap made.
ATTEMPTS = (2, 3)
# What disturbs so many tries in a row lasts, and the run would only take longer.
MOST_IN_VAIN = 3
BEGUN = "its job ended without a record"


class Lap:
    """The sittings of a lap on a device."""

    def __init__(self, args: argparse.Namespace, measure: list[str]) -> None:
        self._args, self._measure = args, measure
        self._study: JsonObject = read_json(args.study, alone=True, shape={})
        self._headers: list[RecordHeader] = []
        self._n_in_vain = 0
        self._began_s = time.monotonic()
        self.sittings: list[Sitting] = []
        # What disturbed each sitting at first, and what disturbs it still.
        self.at_first: dict[Sitting, str] = {}
        self.disturbed: dict[Sitting, str] = {}
        self.gave_up: str | None = None

    def record(self, sitting: Sitting) -> Path:
        """Return the path of a sitting's record."""
        return self._args.measurements / f"{sitting.id}.parquet"

    def folder(self, sitting: Sitting) -> Path:
        """Return the folder beside a record that is there for as long as it is measured again."""
        record = self.record(sitting)
        return record.with_name(f".retry-{record.stem}")

    def read(self) -> None:
        """Find the sittings of the lap, and what disturbed them: what is best is known from all laps so far."""
        found = {}
        for cell in grid.cells_of_saved(self._study):
            if cell.device == self._args.device:
                for lap, path in status.laps_of(self._args.measurements / cell.id).items():
                    if lap == self._args.lap:
                        # Of a job that was ended.
                        shutil.rmtree(self.folder(Sitting(cell, lap)), ignore_errors=True)
                    if header := status.header(path):
                        self._headers.append(header)
                        if lap == self._args.lap and self._variant(cell).environment == self._args.environment:
                            found[Sitting(cell, lap)] = header
        best = disturbance.best_controls(self._headers)
        self.sittings = sorted(found, key=lambda sitting: found[sitting].started_at_s or 0)
        whys = {sitting: disturbance.why(found[sitting], best) for sitting in self.sittings}
        self.at_first = {
            sitting: why for sitting, why in whys.items() if why and found[sitting].status in MEASURED_STATUS
        }
        self.disturbed = dict(self.at_first)

    def _variant(self, cell: grid.Cell) -> RuntimeOptions:
        return runtimes.variant_options(self._study["variants"][cell.variant])

    def retry(self) -> None:
        """Measure the disturbed sittings again, all of them once before any of them twice."""
        for attempt in ATTEMPTS:
            for sitting in list(self.disturbed):
                # An earlier start of this job may have made the try.
                if status.n_tries(self.record(sitting)) < attempt:
                    if self._is_over():
                        return
                    self._try(sitting, attempt)

    def _is_over(self) -> bool:
        passed_s = time.monotonic() - self._began_s
        if self._n_in_vain >= MOST_IN_VAIN:
            self.gave_up = f"{MOST_IN_VAIN} tries in a row were in vain: what disturbs this machine lasts"
        elif passed_s + self._args.timeout_s > self._args.time_s:
            self.gave_up = f"after {passed_s:.0f} s a try may take longer than this job has"
        return self.gave_up is not None

    def _try(self, sitting: Sitting, attempt: int) -> None:
        record, folder = self.record(sitting), self.folder(sitting)
        # Should this job be ended meanwhile, the next one does not make the try again.
        status.note_try(record, attempt, BEGUN)
        self._run(sitting, attempt, folder / record.name)
        why = self._fault(folder / record.name)
        if why is None:
            os.replace(folder / record.name, record)
            os.replace(status.json_of(folder / record.name), status.json_of(record))
            del self.disturbed[sitting]
        else:
            status.note_try(record, attempt, why)
            self.disturbed[sitting] = why
        self._n_in_vain = 0 if why is None else self._n_in_vain + 1
        shutil.rmtree(folder, ignore_errors=True)
        logging.info("%s: try %d: %s", sitting.id, attempt, why or "undisturbed")

    def _run(self, sitting: Sitting, attempt: int, output: Path) -> None:
        """Have a job measure a sitting: a process of its own, as its CPU time until the first pass counts."""
        options = {
            "model-folder": self._args.models / sitting.cell.model,
            "segments": self._args.segments,
            "timeout-s": self._args.timeout_s,
            "attempt-of-sitting": attempt,
            "output": output,
        }
        if conversion := self._variant(sitting.cell).conversion():
            options["converted-folder"] = self._args.converted / sitting.cell.model / conversion.format
        made_of = Fingerprints.from_json(self._args.fingerprints)
        command = [sys.executable, str(Path(__file__).with_name("measure.py"))]
        command += measure_options(self._study, sitting, made_of) + self._measure
        # That it fits is known: a record that does not say so is not disturbed.
        command += [*(f"--{name}={value}" for name, value in options.items()), "--larger-than-oom"]
        subprocess.run(command, preexec_fn=functools.partial(die_with_parent, os.getpid()), check=False)

    def _fault(self, record: Path) -> str | None:
        """Return why a try is no better than the first one; None if it is."""
        header = status.header(record)
        if header is None:
            return BEGUN
        if header.status not in MEASURED_STATUS:
            return f"{header.status}: {header.reason}"
        self._headers.append(header)
        return disturbance.why(header, disturbance.best_controls(self._headers))

    def told(self) -> dict[str, Any]:
        """Return what was tried, and what came of it."""
        tried = [
            {
                "sitting": sitting.id,
                "disturbance": why,
                "n_tries": status.n_tries(self.record(sitting)),
                "in_vain": status.tries(self.record(sitting)),
                "still_disturbed": sitting in self.disturbed,
            }
            for sitting, why in self.at_first.items()
        ]
        return {
            "device": self._args.device,
            "lap": self._args.lap,
            "n_sittings": len(self.sittings),
            "disturbed": tried,
            "gave_up": self.gave_up,
        }


def summary(told: JsonObject) -> str:
    """Return what came of a lap in a line, for the log."""
    n, n_still = len(told["disturbed"]), sum(entry["still_disturbed"] for entry in told["disturbed"])
    said = f"lap {told['lap']} on {told['device']}: {n} of {told['n_sittings']} were disturbed"
    if n:
        said += f"; {n - n_still} measured again undisturbed, {n_still} as before"
    return said + (f"; {told['gave_up']}" if told["gave_up"] else "")


def main(argv: list[str] | None = None) -> None:
    """Read the command line, measure again what was disturbed, and write down what came of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="other options are those of measure.py", allow_abbrev=False
    )
    parser.add_argument("--study", type=Path, required=True, help="the complete study, study.json")
    parser.add_argument("--fingerprints", required=True, help="what models and corpus are made of, as JSON")
    parser.add_argument("--measurements", type=Path, required=True, help="the folder of all records")
    parser.add_argument("--models", type=Path, required=True, help="the folder of all model folders")
    parser.add_argument("--converted", type=Path, required=True, help="the folder of all that conversions made of them")
    parser.add_argument("--segments", type=Path, required=True, help="the corpus' segments.json, beside its audio")
    parser.add_argument("--device", choices=["cpu", "cuda"], required=True, help="of which sittings")
    parser.add_argument(
        "--environment", default=DEFAULT_ENVIRONMENT, help="of the variants that run in this one of envs/"
    )
    parser.add_argument("--lap", type=int, required=True, help="of which lap")
    parser.add_argument("--timeout-s", type=float, required=True, help="the most that a try may take, in seconds")
    parser.add_argument("--time-s", type=float, required=True, help="the most that all of them may take together")
    parser.add_argument("--output", type=Path, required=True, help="the JSON file about the lap")
    args, measure = parser.parse_known_args(argv)
    lap = Lap(args, measure)
    with shared_lock():
        lap.read()
    if lap.disturbed:
        n = len(lap.disturbed)
        logging.info(
            "lap %d on %s: %d of %d were disturbed, now once more", args.lap, args.device, n, len(lap.sittings)
        )
    lap.retry()
    told = lap.told()
    write_atomically(args.output, json.dumps(told, indent=1) + "\n")
    logging.info("%s", summary(told))


if __name__ == "__main__":
    # Its jobs hold the machine themselves, one after another.
    run(main, measures=True)
