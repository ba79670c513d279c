"""The registry of corpus kinds: each class loads, and keeps the planner free of heavy libraries."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from asrmeter.common.paths import SCRIPTS
from asrmeter.corpora import kinds
from asrmeter.corpora.kinds.base import CorpusKind
from asrmeter.corpora.kinds.hub import HubCorpus
from asrmeter.study import schema

OPTIONS: dict[str, dict[str, Any]] = {
    "packages": {"name": "quickstart"},
    "hub": {"id": "me/speech"},
    "gigaspeech": {},
}


MODULES = sorted(
    path.stem for path in Path(kinds.__file__).parent.glob("*.py") if path.stem not in ("__init__", "base")
)


def corpus_of(kind: str) -> CorpusKind:
    return kinds.from_json({"kind": kind} | OPTIONS[kind])


def test_every_module_of_a_kind_is_registered_and_loads() -> None:
    assert sorted(corpus_class.__module__.rpartition(".")[2] for corpus_class in kinds.CLASSES) == MODULES
    assert all(callable(importlib.import_module(f"{kinds.__name__}.{name}").load) for name in MODULES)


def test_schema_has_a_branch_for_every_kind() -> None:
    made = schema.generate()
    branches = [made["$defs"][branch["$ref"].rpartition("/")[2]] for branch in made["properties"]["corpus"]["oneOf"]]
    assert sorted(branch["properties"]["kind"]["const"] for branch in branches) == MODULES
    assert sorted(branch["title"] for branch in branches) == MODULES


@pytest.mark.parametrize("name", OPTIONS)
def test_planner_gets_an_answer_to_every_question(name: str) -> None:
    corpus = corpus_of(name)
    corpus.check()
    assert corpus.name
    assert bool(corpus.archives()) is (name == "packages")
    inputs = corpus.fingerprint_inputs()
    assert json.loads(json.dumps(inputs)) == inputs


@pytest.mark.parametrize("name", OPTIONS)
def test_job_reads_the_corpus_that_was_planned(name: str) -> None:
    corpus = corpus_of(name)
    assert kinds.from_json(json.loads(json.dumps(corpus.as_json()))) == corpus


def test_name_that_follows_from_the_other_options_comes_last() -> None:
    derived, given = (HubCorpus(kind="hub", id="me/speech", **named) for named in ({}, {"name": "mine"}))
    assert (list(derived.as_json())[-1], list(given.as_json())[:2]) == ("name", ["kind", "name"])


def test_kinds_import_the_standard_library_only() -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); before = set(sys.modules)\n"
        "from asrmeter.corpora import kinds\n"
        "print({name.split('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names - {'asrmeter'})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
