"""What a public host reads of the repository: workflow, forms, hooks, catalog."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from asrmeter.common.paths import ROOT
from helpers.commands import ONLY_CHECKED

FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml"))


def read(path: Path | str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def test_the_workflow_runs_all_checks_with_few_rights() -> None:
    workflow = read(".github/workflows/ci.yml")
    job = workflow["jobs"]["test"]
    assert workflow["permissions"] == {"contents": "read"} and "permissions" not in job
    assert job["steps"][-1] == {"run": ".ci/run"} and job["timeout-minutes"] <= 60
    assert "secrets." not in (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert [step["uses"] for step in job["steps"] if "uses" in step] == ["actions/checkout@v5"]
    oldest = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    assert job["strategy"]["matrix"]["python"][0] == oldest.removeprefix(">=")


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_a_form_is_whole_and_asks_for_no_secret(form: Path) -> None:
    told = read(form)
    assert told.keys() <= {"name", "description", "labels", "body"} and told["name"] and told["description"]
    fields = [one for one in told["body"] if one["type"] != "markdown"]
    assert {one["type"] for one in told["body"]} <= {"markdown", "textarea", "input"}
    assert len({one["id"] for one in fields}) == len(fields) and all(one["attributes"]["label"] for one in fields)
    assert any(one.get("validations", {}).get("required") for one in fields)
    assert re.search(r"[Nn]ever (paste )?a token", form.read_text(encoding="utf-8"))


def test_a_fault_is_told_with_study_machine_and_tables() -> None:
    ids = {one.get("id") for one in read(".github/ISSUE_TEMPLATE/fault.yml")["body"]}
    assert {"study", "machine", "tables", "version"} <= ids


def test_hooks_are_the_tools_that_lint_runs() -> None:
    (local,) = read(".pre-commit-config.yaml")["repos"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    tools = {re.search(r"\.venv/bin/(\S+)", hook["entry"])[1] for hook in local["hooks"]}  # type: ignore[index]
    assert local["repo"] == "local" and tools == {"ruff", "snakefmt", "codespell", "lint-imports"}
    assert all(re.search(rf"^\t\$\(ACTIVATE\).*\b{tool}\b", makefile, re.MULTILINE) for tool in tools)


def test_a_misspelt_word_is_found_where_files_are_not_skipped(tmp_path: Path) -> None:
    word = "rec" + "ieved"
    (tmp_path / "a.md").write_text(f"the {word} text\n", encoding="utf-8")
    found = subprocess.run(
        [sys.executable, "-m", "codespell_lib", "--toml", str(ROOT / "pyproject.toml"), str(tmp_path)],
        capture_output=True,
    )
    assert f"{word} ==> received".encode() in found.stdout
    # A file that is skipped is there: else its mistakes would come back with another name.
    skipped = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["codespell"]["skip"]
    for pattern in re.findall(r"\*/(\w+\.(?:py|toml|json))", skipped):
        assert any([*(ROOT / folder).rglob(pattern)] for folder in ("scripts", "tests", "resources")), pattern


def test_the_catalog_is_told_options_that_a_run_takes() -> None:
    usage = read(".snakemake-workflow-catalog.yml")["usage"]
    assert usage.keys() == {"mandatory-flags", "software-stack-deployment"}
    assert {"conda", "apptainer", "apptainer+conda", "report"} == usage["software-stack-deployment"].keys()
    assert f"snakemake {usage['mandatory-flags']['flags']}" in " ".join(ONLY_CHECKED)


def test_links_of_the_files_for_people_lead_somewhere() -> None:
    for path in (*ROOT.glob("[A-Z]*.md"), ROOT / ".github" / "pull_request_template.md"):
        for link in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / link).exists(), (path.name, link)
