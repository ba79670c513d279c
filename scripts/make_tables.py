"""Score every transcript and collect all cells of a study into tidy tables."""

import argparse
import logging
import os
import sys
from collections import Counter
from pathlib import Path

# With PYTHONSAFEPATH set, Python does not search this folder.
sys.path.insert(0, os.path.dirname(__file__))

from asrmeter.analysis import languages_table, layouts, optimisations, silence, start_table
from asrmeter.analysis.cells_table import gather
from asrmeter.analysis.normalisers import normalisers
from asrmeter.common.parquet import read, write
from asrmeter.common.vocabulary import ENDINGS
from asrmeter.sources.packages import Archives
from asrmeter.study import ownership
from asrmeter.study.fingerprints import NO_FINGERPRINTS, Fingerprints
from asrmeter.workflow.cli import run


def main(argv: list[str] | None = None) -> None:
    """Read the command line and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=Path, required=True, help="the complete study, study.json")
    parser.add_argument("--measurements", type=Path, required=True, help="folder of the cells' files")
    parser.add_argument("--layouts", type=Path, required=True, help="folder of the layouts' files")
    parser.add_argument("--downloads", type=Path, required=True, help="folder of the downloaded archives")
    parser.add_argument("--flops", type=Path, required=True, help="flops table (Parquet)")
    parser.add_argument(
        "--silence", type=Path, nargs="*", default=[], help="transcripts of clips without speech (Parquet)"
    )
    parser.add_argument(
        "--fingerprints", type=Fingerprints.from_json, default=NO_FINGERPRINTS, help=f"as JSON: {Fingerprints.__doc__}"
    )
    parser.add_argument("--output-folder", type=Path, required=True, help="folder of the tables")
    args = parser.parse_args(argv)

    study = ownership.read(args.study)
    scored_by = normalisers(Archives(args.downloads), study.corpus.kind)
    tables = gather(study, args.measurements, scored_by, read(args.flops).to_pylist(), args.fingerprints)
    tables["optimisations"] = optimisations.table(study, tables)
    tables["languages"] = languages_table.table(tables)
    tables["start"] = start_table.table(tables)
    tables |= silence.tables(study, args.silence, args.fingerprints)
    tables["layouts"] = layouts.table(study, layouts.read_all(study, args.layouts, args.fingerprints))
    write(tables, args.output_folder)
    counts = Counter(tables["cells"]["status"].to_pylist())
    logging.info("%d cells: %s", counts.total(), ", ".join(f"{n} {status}" for status, n in counts.most_common()))
    used = {ending: tables["transcripts"][f"normaliser{ending}"].unique().to_pylist() for ending in ENDINGS}
    logging.info("scored by %s", " and ".join(name for names in used.values() for name in names if name) or "nothing")


if __name__ == "__main__":
    run(main)
