"""The environments agree with the lock, and each lists exactly what its rules import."""

import re

import pytest
import yaml
from packaging.requirements import Requirement
from rattler import MatchSpec

from tools import envs
from tools.envs import FILES, OF_RUNTIMES, ROOT, UNTOLD, complaints, listed, locked, pinned, rules, scripts_of

each = pytest.mark.parametrize("name", FILES)
# No rule's command needs it.
NOT_IN_A_RULE = {"snakemake", "pandas"}


@each
def test_versions_are_those_of_the_lock(name: str) -> None:
    text = FILES[name].read_text()
    assert text == pinned(text, locked()), "run: make lock"


@each
def test_environments_are_exact_and_name_themselves(name: str) -> None:
    environment = yaml.safe_load(FILES[name].read_text())
    assert environment["name"] == f"asrmeter-{name}"
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    *conda, pip = environment["dependencies"]
    assert [MatchSpec(spec, strict=True).name.normalized for spec in conda] == ["python", "pip"]
    assert all(re.fullmatch(r"[a-z]+ =\d+\.\d+", spec) for spec in conda)
    for pin in pip["pip"]:
        requirement = Requirement(pin)
        (version,) = requirement.specifier
        assert version.operator == "==" and "*" not in version.version
        assert not requirement.extras and not requirement.url and requirement.marker is None


def test_every_rule_has_an_environment_and_every_one_is_used() -> None:
    assert frozenset().union(*(rule.environments for rule in rules().values())) == set(FILES)
    assert all(rule.environments for rule in rules().values())
    assert all(rule.scripts for rule in rules().values())


def test_locks_agree() -> None:
    dev = locked(ROOT, "dev.lock")
    assert {name: dev.get(name) for name in locked()} == locked()
    usual, optional = locked(ROOT, "run.lock"), locked(ROOT, "runtimes.lock")
    assert {name: optional.get(name) for name in usual} == usual


def test_run_in_lists_what_all_environments_list() -> None:
    text = (ROOT / "requirements" / "run.in").read_text()
    wanted = {Requirement(line).name for line in text.splitlines() if not line.startswith("#")}
    usual = {*FILES} - {*OF_RUNTIMES}
    together = set().union(*(listed(FILES[name].read_text()) for name in usual))
    assert wanted == together | {"pip"} | NOT_IN_A_RULE


def test_optional_runtimes_have_environment_and_requirements() -> None:
    assert {*OF_RUNTIMES} <= {*FILES}
    named = (ROOT / "requirements" / "runtimes.in").read_text().split()
    assert {name.removesuffix(".in") for name in named if name.endswith(".in")} == {"run", *OF_RUNTIMES}


@each
def test_environment_lists_exactly_what_its_rules_import(name: str) -> None:
    assert complaints(FILES[name].read_text(), scripts_of(name), name) == []


@pytest.mark.parametrize(
    ("name", "package"),
    [(name, package) for name, path in FILES.items() for package in listed(path.read_text()) if package not in UNTOLD],
)
def test_a_package_that_is_removed_is_missed(name: str, package: str) -> None:
    without = re.sub(rf"^ +- {package}==.*\n", "", FILES[name].read_text(), flags=re.MULTILINE)
    said = complaints(without, scripts_of(name), name)
    # A package may have several modules.
    assert said and all(line.startswith(f"it lacks {package}: ") for line in said)


def test_a_package_that_nothing_imports_is_noticed() -> None:
    text = f"{FILES['report'].read_text()}      - fvcore==1\n"
    assert complaints(text, scripts_of("report"), "report") == ["nothing of ours imports fvcore"]


@pytest.mark.parametrize(
    ("script", "environment", "lacking"),
    [
        # Imported at the head of its own file; in a function of a module that it imports.
        ("make_figures.py", "analysis", "matplotlib"),
        ("make_tables.py", "corpus", "jiwer"),
        # In a module that is loaded by name, for speech from the Hub only.
        ("build_corpus.py", "report", "datasets"),
        # In a process of its own, by `python -m`, and in the runtime that it loads.
        ("measure.py", "flops", "soundfile"),
        ("measure.py", "analysis", "tokenizers"),
    ],
)
def test_a_script_does_not_fit_another_environment(script: str, environment: str, lacking: str) -> None:
    said = complaints(FILES[environment].read_text(), frozenset({script}))
    assert any(line.startswith(f"it lacks {lacking}: ") for line in said)


def test_versions_are_set_where_they_differ() -> None:
    text = "  - python =3.11\n  - pip =1.0\n  - pip:\n      - numpy==1.0\n"
    assert envs.pinned(text, {"pip": "2.0", "numpy": "3.0.1"}) == (
        "  - python =3.11\n  - pip =2.0\n  - pip:\n      - numpy==3.0.1\n"
    )
