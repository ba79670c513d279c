"""The library can be installed as well: what pyproject.toml says of the package holds."""

import re
import tomllib

import yaml
from setuptools import find_packages
from setuptools.config import expand

from asrmeter import __version__
from asrmeter.common.paths import ROOT, SCRIPTS


def test_every_module_is_in_a_package_that_is_installed() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    (where,) = setuptools["packages"]["find"]["where"]
    folders = {path.parent.relative_to(SCRIPTS) for path in SCRIPTS.rglob("*/*.py")}
    assert ROOT / where == SCRIPTS
    assert set(find_packages(str(SCRIPTS))) == {".".join(folder.parts) for folder in folders}
    for package, files in setuptools["package-data"].items():
        assert all((SCRIPTS / package / file).is_file() for file in files)


def test_dependencies_are_the_list_that_environments_are_made_of() -> None:
    dynamic = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["dynamic"]
    assert dynamic["dependencies"]["file"] == ["requirements/run.in"]
    assert all((ROOT / file).is_file() for extra in dynamic["optional-dependencies"].values() for file in extra["file"])


def test_the_version_is_in_one_place() -> None:
    tables = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" not in tables["project"]
    assert expand.read_attr(tables["tool"]["setuptools"]["dynamic"]["version"]["attr"], {"": "scripts"}) == __version__
    (newest, *_) = re.findall(r"^## (\d\S*) - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest == __version__
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__
    assert f'org.opencontainers.image.version="{__version__}"' in (ROOT / "envs" / "Containerfile").read_text()
