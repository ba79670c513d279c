"""What asrmeter asks of Snakemake beyond its interface for users."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from asrmeter.common.errors import AsrmeterError
from asrmeter.workflow import snakemake_api

FOLDER = str(Path(sys.executable).parent)


def workflow(**changes: Any) -> Any:
    return SimpleNamespace(
        **{"overwrite_configfiles": [], "config_settings": SimpleNamespace(config={}), "nodes": None}
        | {"is_main_process": True}
        | changes
    )


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/usr/bin:/bin", f"{FOLDER}:/usr/bin:/bin"),
        ("", FOLDER),
        (f"{FOLDER}:/bin", f"{FOLDER}:/bin"),
        (f"/bin:{FOLDER}", f"{FOLDER}:/bin:{FOLDER}"),
    ],
)
def test_the_own_python_comes_first_on_path(monkeypatch: pytest.MonkeyPatch, path: str, expected: str) -> None:
    monkeypatch.setenv("PATH", path)
    for _ in range(2):
        snakemake_api.put_own_python_first()
        assert os.environ["PATH"] == expected


def test_without_a_path_the_system_is_still_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PATH")
    snakemake_api.put_own_python_first()
    assert os.environ["PATH"] == f"{FOLDER}:{os.defpath}"


def test_an_error_for_people_ends_snakemake_in_one_line() -> None:
    def refuse(name: str) -> None:
        raise AsrmeterError(f"{name}: broken")

    with pytest.raises(SystemExit, match=r"^error: a.yaml: broken$"):
        snakemake_api.or_exit(refuse, "a.yaml")
    assert snakemake_api.or_exit(len, "four") == 4


def test_a_number_of_jobs_is_for_a_cluster() -> None:
    assert snakemake_api.runs_here(workflow())
    assert not snakemake_api.runs_here(workflow(nodes=100))
    assert not snakemake_api.runs_here(workflow(is_main_process=False))


def test_the_sources_of_a_study_are_named() -> None:
    assert snakemake_api.study_sources(workflow()) == "config.yaml"
    given = workflow(overwrite_configfiles=[str(Path("a.yaml").absolute())])
    assert snakemake_api.study_sources(given) == "a.yaml"
    more = workflow(config_settings=SimpleNamespace(config={"seed": 1}))
    assert snakemake_api.study_sources(more) == "config.yaml, --config"
