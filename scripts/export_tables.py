"""Print the main tables of a run as Markdown or LaTeX, with intervals and units."""

import argparse
import os
import sys
from pathlib import Path

# With PYTHONSAFEPATH set, Python does not search this folder.
sys.path.insert(0, os.path.dirname(__file__))

from asrmeter.analysis import languages_table
from asrmeter.analysis.bottlenecks import read_table
from asrmeter.analysis.columns import CELLS
from asrmeter.analysis.table_rows import cell_of, read_rows
from asrmeter.common.files import write_atomically
from asrmeter.records.run_folders import tables_of
from asrmeter.report.text.export import FORMATS
from asrmeter.report.text.main_tables import main_tables
from asrmeter.workflow.cli import run


def main(argv: list[str] | None = None) -> None:
    """Read the command line and print the tables, or write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="results folder or tables folder of a finished run")
    parser.add_argument(
        "--format", choices=sorted(FORMATS), default="markdown", help="output format; default: markdown"
    )
    parser.add_argument("--output", type=Path, help="file to write to instead of the terminal")
    arguments = parser.parse_args(argv)

    path, _ = tables_of(arguments.results)
    cells = sorted(read_rows(path, CELLS), key=cell_of)
    scaling = read_table("scaling", path.with_name("scaling.parquet"))
    by_language = path.with_name("languages.parquet")
    # Runs of earlier versions have none.
    languages = languages_table.read(by_language) if by_language.is_file() else []
    text = FORMATS[arguments.format](main_tables(cells, scaling, languages))
    if arguments.output:
        write_atomically(arguments.output, text.encode())
    else:
        print(text, end="", flush=True)


if __name__ == "__main__":
    run(main)
