"""Predict how many requests per second a model carries on a device: simulate a queue with the passes of its cells."""

import argparse
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

# With PYTHONSAFEPATH set, Python does not search this folder.
sys.path.insert(0, os.path.dirname(__file__))

from asrmeter.analysis.capacity_model import Modelled, Target
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.files import write_atomically
from asrmeter.common.vocabulary import MEASURED_STATUS, UNREADABLE
from asrmeter.records import cell_record
from asrmeter.workflow.cli import run


def predict(records: list[Path], target: Target) -> dict[str, Any]:
    """Return the rate (1/s) at which a search starts, and the modelled capacity; without passes, status and reason."""
    passes_s: dict[int, list[float]] = {}
    failures: list[tuple[str, str]] = []
    for path in records:
        try:
            header, passes = cell_record.read(path)
        except AsrmeterError as error:
            failures.append((UNREADABLE, str(error)))
            continue
        if header.status not in MEASURED_STATUS:
            failures.append((header.status, f"the cell could not be measured: {path} says why"))
        timed = [one["latency_s"] for one in passes if one["phase"] == "latency"]
        if timed and header.status in MEASURED_STATUS:
            passes_s.setdefault(header.batch_size, []).extend(timed)
    if not passes_s:
        status, reason = next(iter(failures), ("error", "no cell has a pass"))
        return {"start_per_s": None, "capacity_per_s": None, "status": status, "reason": reason}
    modelled = Modelled(passes_s, target)
    return {
        "start_per_s": modelled.start_per_s,
        "capacity_per_s": modelled.capacity_per_s,
        "status": "ok",
        "reason": None,
    }


def main(argv: list[str] | None = None) -> None:
    """Read the command line and write the prediction."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=Path, nargs="+", required=True, help="records of the cells of the class")
    parser.add_argument("--load", type=json.loads, required=True, help="`load` of the study, as JSON")
    parser.add_argument("--output", type=Path, required=True, help="the prediction, a JSON file")
    args = parser.parse_args(argv)
    found = predict(args.records, Target.of(args.load))
    write_atomically(args.output, json.dumps(found))
    rate = found["capacity_per_s"]
    logging.info("%s", f"{rate:.3g} requests a second" if rate is not None else f"{found['status']}: {found['reason']}")


if __name__ == "__main__":
    run(main)
