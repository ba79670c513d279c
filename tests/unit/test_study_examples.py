"""Examples of studies in the documentation: a study can say what they show, and the lists name every study."""

import re
from typing import Any

import pytest
import yaml

from asrmeter.common.paths import ROOT
from asrmeter.study.validation import from_json
from helpers.commands import DOCUMENTS

# What every study has to say.
_LEAST = {"name": "a", "models": {"whisper-base": {"weights": "packaged"}}}
_HERE = {"cuda_missing": "not asked"}


def examples() -> list[tuple[str, dict[str, Any]]]:
    """Return each example of a study, or of a part of one, with the name of its document."""
    return [
        (path.name, yaml.safe_load(re.sub(r"<[^>\n]*>", "a" * 40, block)))
        for path in DOCUMENTS
        for block in re.findall(r"^```yaml\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    ]


def corpora() -> list[dict[str, Any]]:
    """Return the kinds of speech that the page of studies shows."""
    page = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")
    return [yaml.safe_load(written) for written in re.findall(r"^\| `(\{kind: .*?\})` \|", page, re.MULTILINE)]


@pytest.mark.parametrize(("document", "example"), examples())
def test_a_study_can_say_what_a_page_shows(document: str, example: dict[str, Any]) -> None:
    from_json(_LEAST | example, document, _HERE)


@pytest.mark.parametrize("corpus", corpora(), ids=lambda corpus: corpus["kind"])
def test_a_study_can_say_each_kind_of_speech(corpus: dict[str, Any]) -> None:
    assert {one["kind"] for one in corpora()} == {"packages", "folder", "hub", "gigaspeech"}
    from_json(_LEAST | {"corpus": corpus}, "docs/studies.md", _HERE)


@pytest.mark.parametrize("page", ["studies/README.md", "docs/studies.md"])
def test_a_list_of_studies_names_every_one(page: str) -> None:
    linked = re.findall(r"^\| \[[^]]*\]\(([^)]*\.yaml)\)", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    named = {((ROOT / page).parent / target).resolve() for target in linked}
    assert named == {ROOT / "config.yaml", *(ROOT / "studies").glob("*.yaml")}


def test_the_readme_is_one_screen_and_a_half() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120
