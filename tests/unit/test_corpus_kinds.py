"""The registry of corpus kinds: each class loads, and keeps the planner free of heavy libraries."""

import json
import subprocess
import sys
from typing import Any

import pytest

from asrmeter.common.paths import SCRIPTS
from asrmeter.corpora import kinds
from asrmeter.corpora.kinds.base import CorpusKind
from asrmeter.study import schema

OPTIONS: dict[str, dict[str, Any]] = {
    "packages": {"name": "quickstart"},
    "hub": {"id": "me/speech"},
    "gigaspeech": {},
}


@pytest.mark.parametrize("name", kinds.CLASSES)
def test_every_registered_kind_loads(name: str) -> None:
    assert issubclass(kinds.kind(name), CorpusKind)


def test_schema_has_a_branch_for_every_kind() -> None:
    made = schema.generate()
    branches = [made["$defs"][branch["$ref"].rpartition("/")[2]] for branch in made["properties"]["corpus"]["oneOf"]]
    assert [branch["properties"]["kind"]["const"] for branch in branches] == list(kinds.CLASSES)
    assert [branch["title"] for branch in branches] == list(kinds.CLASSES)


@pytest.mark.parametrize("name", OPTIONS)
def test_planner_gets_an_answer_to_every_question(name: str) -> None:
    corpus = kinds.kind(name)(kind=name, **OPTIONS[name])
    corpus.check()
    assert corpus.name
    assert bool(corpus.archives()) is (name == "packages")
    inputs = corpus.fingerprint_inputs()
    assert json.loads(json.dumps(inputs)) == inputs


@pytest.mark.parametrize("name", OPTIONS)
def test_job_reads_the_corpus_that_was_planned(name: str) -> None:
    corpus = kinds.kind(name)(kind=name, **OPTIONS[name])
    assert kinds.from_json(json.loads(json.dumps(corpus.as_json()))) == corpus


def test_name_that_follows_from_the_other_options_comes_last() -> None:
    hub = kinds.kind("hub")
    derived, given = hub(kind="hub", id="me/speech"), hub(kind="hub", id="me/speech", name="mine")
    assert (list(derived.as_json())[-1], list(given.as_json())[:2]) == ("name", ["kind", "name"])


def test_kinds_import_the_standard_library_only() -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); before = set(sys.modules)\n"
        "from asrmeter.corpora import kinds\n"
        "for name in kinds.CLASSES: kinds.kind(name)\n"
        "print({name.split('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names - {'asrmeter'})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
