"""The container's recipe, checked without building it."""

import re
import subprocess

import pytest
import yaml

from tools.envs import FILES, ROOT

RECIPE = ROOT / "envs" / "Containerfile"
PAGE = (ROOT / "docs" / "environments.md").read_text(encoding="utf-8")


def instructions() -> list[tuple[str, str]]:
    """Return the recipe's instructions with their arguments; any other line fails."""
    lines = [line for line in RECIPE.read_text().splitlines() if line and not line.startswith("#")]
    text = "\n".join(lines).replace("\\\n", "")
    found = [re.fullmatch(r"(FROM|RUN|ARG|COPY|ENV|LABEL) (\S.*)", line) for line in text.splitlines()]
    assert all(found), text
    return [(one[1], one[2]) for one in found if one]


def arguments(instruction: str) -> list[str]:
    return [rest for name, rest in instructions() if name == instruction]


def test_base_image_has_the_python_of_the_environments() -> None:
    assert instructions()[0][0] == "FROM"
    (base,) = arguments("FROM")
    pythons = {yaml.safe_load(path.read_text())["dependencies"][0] for path in FILES.values()}
    (python,) = pythons
    series = re.escape(python.removeprefix("python ="))
    assert re.fullmatch(rf"docker\.io/library/python:{series}\.\d+-slim-[a-z]+", base)


def test_copied_file_is_in_the_build_context() -> None:
    (built,) = re.findall(r"(podman build .*)", RECIPE.read_text())
    assert built in PAGE
    file, context = re.fullmatch(r"podman build --tag asrmeter --file (\S+) (\S+)", built).groups()  # type: ignore[union-attr]
    assert ROOT / file == RECIPE
    (copied,) = arguments("COPY")
    source, target = copied.split()
    assert (ROOT / context / source).is_file()
    # And exactly that is installed.
    (install,) = [rest for rest in arguments("RUN") if "pip install" in rest]
    assert install.endswith(f" --requirement {target}{source}")
    assert source == "run.lock"


@pytest.mark.parametrize("command", arguments("RUN"))
def test_commands_are_valid_shell(command: str) -> None:
    subprocess.run(["sh", "-n", "-c", command], check=True)
