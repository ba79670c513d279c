"""Pack report and tables of a finished run into a zip for others, without anything that its study withholds.

report.transcripts selects the texts of all segments, of the worst, or of none. report.paths: false removes the names
of recordings, folders and machines. After a change of these keys, run the study again first; nothing is measured.
"""

import argparse
import os
import sys
from pathlib import Path

# With PYTHONSAFEPATH set, Python does not search this folder.
sys.path.insert(0, os.path.dirname(__file__))

from asrmeter.report.share import NAME, Shared, share
from asrmeter.workflow.cli import run


def lines(shared: Shared) -> list[str]:
    """Return the contents of a zip, and what it withholds, for a terminal."""
    tables = f"{len(shared.tables)} tables (CSV)"
    held = f"{shared.path}: {shared.n_bytes / 1e6:.2f} MB; report.html, {tables}, study.json, columns.md"
    if not shared.privacy.withholds:
        return [held, "nothing is withheld: it contains texts and names of recordings (report.transcripts, .paths)"]
    report = shared.privacy.study.report
    withheld = [f"report.transcripts: {report.transcripts}"] if shared.privacy.withholds_texts else []
    withheld += ["report.paths: false"] if shared.privacy.withholds_paths else []
    tables = f"; left out: {', '.join(shared.left_out)}" if shared.left_out else ""
    return [held, f"withheld by {' and '.join(withheld)}{tables}"]


def main(argv: list[str] | None = None) -> None:
    """Read the command line, and pack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = f"results folder, in which {NAME} is written; default: results"
    parser.add_argument("results", type=Path, nargs="?", default=Path("results"), help=where)
    print("\n".join(lines(share(parser.parse_args(argv).results))), flush=True)


if __name__ == "__main__":
    run(main)
