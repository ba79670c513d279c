"""Measure the disturbed sittings of a lap again, at its end and at most twice, in jobs like those of the lap.

An undisturbed record replaces the disturbed one. Any other record is dropped, and the first one stays.
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

# With PYTHONSAFEPATH set, Python does not search this folder.
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

# Numbers of the tries. The lap itself made the first one.
ATTEMPTS = (2, 3)
# After so many disturbed tries in a row the cause persists, and more tries would only prolong the run.
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
        # What disturbed each sitting at first, and what still disturbs it.
        self.at_first: dict[Sitting, str] = {}
        self.disturbed: dict[Sitting, str] = {}
        self.gave_up: str | None = None

    def record(self, sitting: Sitting) -> Path:
        """Return the path of a sitting's record."""
        return self._args.measurements / f"{sitting.id}.parquet"

    def folder(self, sitting: Sitting) -> Path:
        """Return the folder beside a record that exists while it is measured again."""
        record = self.record(sitting)
        return record.with_name(f".retry-{record.stem}")

    def read(self) -> None:
        """Find the sittings of the lap and their disturbances, judged by the best speed of all laps so far."""
        found = {}
        for cell in grid.cells_of_saved(self._study):
            if cell.device == self._args.device:
                for lap, path in status.laps_of(self._args.measurements / cell.id).items():
                    if lap == self._args.lap:
                        # Left by a job that was ended.
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
        """Measure the disturbed sittings again: all of them once before any of them twice."""
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
            self.gave_up = f"{MOST_IN_VAIN} tries in a row were disturbed too: the disturbance of this machine persists"
        elif passed_s + self._args.timeout_s > self._args.time_s:
            self.gave_up = f"after {passed_s:.0f} s another try may exceed the time of this job"
        return self.gave_up is not None

    def _try(self, sitting: Sitting, attempt: int) -> None:
        record, folder = self.record(sitting), self.folder(sitting)
        # If this job is ended during the try, the next job does not repeat it.
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
        """Measure a sitting in its own process, because its CPU time until the first pass counts."""
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
        # The cell is known to fit: a record without this information is not disturbed.
        command += [*(f"--{name}={value}" for name, value in options.items()), "--larger-than-oom"]
        subprocess.run(command, preexec_fn=functools.partial(die_with_parent, os.getpid()), check=False)

    def _fault(self, record: Path) -> str | None:
        """Return why a try does not replace the first one; None if it does."""
        header = status.header(record)
        if header is None:
            return BEGUN
        if header.status not in MEASURED_STATUS:
            return f"{header.status}: {header.reason}"
        self._headers.append(header)
        return disturbance.why(header, disturbance.best_controls(self._headers))

    def told(self) -> dict[str, Any]:
        """Return the tries and their outcomes."""
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
    """Return the outcome of a lap as one line for the log."""
    n, n_still = len(told["disturbed"]), sum(entry["still_disturbed"] for entry in told["disturbed"])
    said = f"lap {told['lap']} on {told['device']}: {n} of {told['n_sittings']} were disturbed"
    if n:
        said += f"; {n - n_still} measured again undisturbed, {n_still} as before"
    return said + (f"; {told['gave_up']}" if told["gave_up"] else "")


def main(argv: list[str] | None = None) -> None:
    """Read the command line, measure the disturbed sittings again, and write the outcome."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="Other options are passed on to measure.py.", allow_abbrev=False
    )
    parser.add_argument("--study", type=Path, required=True, help="the complete study, study.json")
    parser.add_argument("--fingerprints", required=True, help="fingerprints of models and corpus, as JSON")
    parser.add_argument("--measurements", type=Path, required=True, help="folder of all records")
    parser.add_argument("--models", type=Path, required=True, help="folder of all model folders")
    parser.add_argument("--converted", type=Path, required=True, help="folder of all converted models")
    parser.add_argument("--segments", type=Path, required=True, help="the corpus' segments.json, beside its audio")
    parser.add_argument("--device", choices=["cpu", "cuda"], required=True, help="device of the sittings")
    parser.add_argument(
        "--environment", default=DEFAULT_ENVIRONMENT, help="environment of the variants, a name in envs/"
    )
    parser.add_argument("--lap", type=int, required=True, help="number of the lap")
    parser.add_argument("--timeout-s", type=float, required=True, help="maximum time of a try, in seconds")
    parser.add_argument("--time-s", type=float, required=True, help="maximum time of all tries together, in seconds")
    parser.add_argument("--output", type=Path, required=True, help="JSON file with the outcome of the lap")
    args, measure = parser.parse_known_args(argv)
    lap = Lap(args, measure)
    with shared_lock():
        lap.read()
    if lap.disturbed:
        n = len(lap.disturbed)
        logging.info(
            "lap %d on %s: %d of %d were disturbed and are measured again", args.lap, args.device, n, len(lap.sittings)
        )
    lap.retry()
    told = lap.told()
    write_atomically(args.output, json.dumps(told, indent=1) + "\n")
    logging.info("%s", summary(told))


if __name__ == "__main__":
    # Each of its jobs holds the machine itself.
    run(main, measures=True)
