"""The library can be installed as well: what pyproject.toml says of the package holds."""

import tomllib

from setuptools import find_packages

from asrmeter.common.paths import ROOT, SCRIPTS


def test_every_module_is_in_a_package_that_is_installed() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    (where,) = setuptools["packages"]["find"]["where"]
    folders = {path.parent.relative_to(SCRIPTS) for path in (SCRIPTS / "asrmeter").rglob("*.py")}
    assert ROOT / where == SCRIPTS
    assert set(find_packages(str(SCRIPTS))) == {".".join(folder.parts) for folder in folders}
    for package, files in setuptools["package-data"].items():
        assert all((SCRIPTS / package / file).is_file() for file in files)


def test_dependencies_are_the_list_that_environments_are_made_of() -> None:
    dynamic = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["dynamic"]
    assert dynamic["dependencies"]["file"] == ["requirements/run.in"]
    assert all((ROOT / file).is_file() for extra in dynamic["optional-dependencies"].values() for file in extra["file"])
