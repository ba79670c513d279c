"""Names of tests: short enough to read in a list, and found by their words."""

import re

from asrmeter.common.paths import ROOT


def test_names_of_tests_have_at_most_60_characters() -> None:
    names = [
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        if "node_modules" not in path.parts
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    ]
    assert len(names) > 500
    assert [name for name in names if len(name) > 60] == []
