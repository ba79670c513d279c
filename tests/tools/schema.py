"""The JSON schema of a study for editors, in schemas/: made of the model. `--fix` writes it."""

import sys

from asrmeter.common.paths import SCHEMAS
from asrmeter.study import schema

PATH = SCHEMAS / "study.schema.json"


def text() -> str:
    """Return what the file must hold."""
    return schema.text()


if __name__ == "__main__" and sys.argv[1:] == ["--fix"]:
    PATH.write_text(text(), encoding="utf-8")
