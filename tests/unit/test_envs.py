"""The lock and the environments say the same."""

import re
from pathlib import Path

import pytest
import yaml
from rattler import MatchSpec

from envs import locked, pinned

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = sorted((ROOT / "envs").glob("*.yaml"))


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.name)
def test_versions_are_those_of_the_lock(path: Path) -> None:
    assert path.read_text() == pinned(path.read_text(), locked()), "run: make lock"


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.name)
def test_environments_are_exact_and_name_themselves(path: Path) -> None:
    environment = yaml.safe_load(path.read_text())
    assert environment["name"] == f"asrmeter-{path.stem}"
    assert environment["channels"][-1] == "nodefaults"
    *conda, pip = environment["dependencies"]
    for spec in conda:
        MatchSpec(spec, strict=True)
        assert "=" in spec
    assert all(re.fullmatch(r"[A-Za-z0-9-]+==\S+", pin) for pin in pip["pip"])


def test_every_rule_names_an_environment() -> None:
    for path in (ROOT / "rules").glob("*.smk"):
        for rule in re.split(r"^(?=rule )", path.read_text(), flags=re.MULTILINE)[1:]:
            assert re.search(r'conda:\s+"\.\./envs/(\w+)\.yaml"', rule), rule.splitlines()[0]


def test_both_locks_agree() -> None:
    dev = dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", (ROOT / "requirements" / "dev.lock").read_text(), re.MULTILINE))
    assert {name: dev.get(name) for name in locked()} == locked()
