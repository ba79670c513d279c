"""The registry of corpus kinds: each class loads, and keeps the planner free of heavy libraries."""

import json
import subprocess
import sys
from typing import Any

import pytest

from asrmeter.common.paths import SCRIPTS
from asrmeter.corpora import kinds
from asrmeter.corpora.kinds.base import CorpusKind
from asrmeter.study import json_schema

OPTIONS: dict[str, dict[str, Any]] = {
    "packages": {"name": "quickstart"},
    "hub": {"id": "me/speech", "config": None, "split": "test", "text": "text", "audio": "audio"},
    "gigaspeech": {},
}


@pytest.mark.parametrize("name", kinds.CLASSES)
def test_every_registered_kind_loads(name: str) -> None:
    assert isinstance(kinds.kind(name), CorpusKind)


def test_schema_has_a_branch_for_every_kind() -> None:
    branches = json_schema.load()["properties"]["corpus"]["oneOf"]
    assert sorted(json_schema.kinds_of(branches)) == sorted(kinds.CLASSES)


@pytest.mark.parametrize("name", OPTIONS)
def test_planner_gets_an_answer_to_every_question(name: str) -> None:
    kind, options = kinds.kind(name), OPTIONS[name]
    kind.check(options)
    assert kind.default_name(options)
    assert bool(kind.archives(options)) is (name == "packages")
    inputs = kind.fingerprint_inputs(options)
    assert json.loads(json.dumps(inputs)) == inputs


def test_kinds_import_the_standard_library_only() -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); before = set(sys.modules)\n"
        "from asrmeter.corpora import kinds\n"
        "for name in kinds.CLASSES: kinds.kind(name)\n"
        "print({name.split('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names - {'asrmeter'})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
