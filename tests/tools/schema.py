"""The JSON schema of a study for editors, in schemas/: made of the types in the code. `--fix` writes it."""

import json
import sys

from asrmeter.common.paths import SCHEMAS
from asrmeter.study import schema

PATH = SCHEMAS / "study.schema.json"


def text() -> str:
    """Return what the file must hold."""
    return json.dumps(schema.generate(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__" and sys.argv[1:] == ["--fix"]:
    PATH.write_text(text(), encoding="utf-8")
