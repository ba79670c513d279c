"""The dictionary of columns in docs/: made of what the columns say of themselves. `--fix` writes it."""

import sys

from asrmeter.analysis import dictionary
from asrmeter.common.paths import ROOT

PATH = ROOT / "docs" / "columns.md"


if __name__ == "__main__" and sys.argv[1:] == ["--fix"]:
    PATH.write_text(dictionary.as_markdown(), encoding="utf-8")
