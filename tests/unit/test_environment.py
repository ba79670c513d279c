"""The environment of jobs, whatever that of Snakemake says; scripts are found in each."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from asrmeter.common.errors import AsrmeterError
from asrmeter.common.paths import SCRIPTS
from asrmeter.sources import packages
from asrmeter.workflow import environment

FOLDER = str(Path(sys.executable).parent)
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/usr/bin:/bin", f"{FOLDER}:/usr/bin:/bin"),
        ("", f"{FOLDER}:{os.defpath}"),
        (f"{FOLDER}:/bin", f"{FOLDER}:/bin"),
        (f"/bin:{FOLDER}", f"{FOLDER}:/bin:{FOLDER}"),
        ("/nowhere", f"{FOLDER}:/nowhere:{os.defpath}"),
    ],
)
def test_the_own_python_comes_first_and_bash_is_there(
    monkeypatch: pytest.MonkeyPatch, path: str, expected: str
) -> None:
    monkeypatch.setenv("PATH", path)
    for _ in range(2):
        environment.prepare()
        assert os.environ["PATH"] == expected


def test_without_a_path_the_system_is_still_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PATH")
    environment.prepare()
    assert os.environ["PATH"] == f"{FOLDER}:{os.defpath}"


def test_a_system_without_bash_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "defpath", "/nowhere")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(AsrmeterError, match=r"^bash is not on PATH and is needed to run the jobs; install it"):
        environment.prepare()


def test_jobs_read_names_as_utf8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONUTF8", raising=False)
    environment.prepare()
    assert "PYTHONUTF8" not in os.environ
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "ascii")
    monkeypatch.setenv("PYTHONUTF8", "0")
    environment.prepare()
    assert os.environ["PYTHONUTF8"] == "1"


def test_a_study_with_names_that_python_cannot_write_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    environment.check_names('{"path": "für"}', "a.yaml")
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "ascii")
    environment.check_names('{"path": "fur"}', "a.yaml")
    with pytest.raises(AsrmeterError, match=r"^a.yaml: contains '.xfc', and PYTHON.* as ascii; export PYTHONUTF8=1$"):
        environment.check_names('{"path": "für"}', "a.yaml")


@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("*.py")), ids=lambda path: path.name)
def test_a_script_finds_its_own_library_and_no_other(script: Path, tmp_path: Path) -> None:
    (tmp_path / "asrmeter").mkdir()
    (tmp_path / "asrmeter" / "__init__.py").write_text("raise SystemExit('another asrmeter')")
    odd = {"PYTHONSAFEPATH": "1", "PYTHONPATH": str(tmp_path), "PYTHONWARNDEFAULTENCODING": "1"} | ASCII
    command = [sys.executable, "-c", TRY, str(script)]
    done = subprocess.run(
        command, env=os.environ | odd, cwd=tmp_path, capture_output=True, encoding="utf-8", check=True
    )
    assert done.stdout == f"{SCRIPTS}\n" and "EncodingWarning" not in done.stderr


# Runs the beginning of a script: what it imports when it starts.
TRY = """
import ast, sys
path = sys.argv[1]
__file__ = path
tree = ast.parse(open(path, encoding="utf-8").read())
is_first = lambda node: isinstance(node, ast.Import) or "sys.path" in ast.unparse(node)
tree.body = [node for node in tree.body if is_first(node)]
exec(compile(tree, path, "exec"))
import asrmeter
print(asrmeter.__file__.rpartition("/asrmeter/")[0])
"""


def test_a_name_that_no_terminal_shows_does_not_end_a_script(tmp_path: Path) -> None:
    code = (
        "from asrmeter.workflow import cli\n"
        "cli.run(lambda: print(f'f{chr(252)}r') or open(f'f{chr(252)}r'), measures=True)"
    )
    odd = os.environ | ASCII | {"PYTHONPATH": str(SCRIPTS)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=odd, cwd=tmp_path, capture_output=True, encoding="utf-8")
    assert done.stdout == "f\\xfcr\n"
    assert done.stderr == "error: 'f\\xfcr' is not a valid name in ascii, which this Python uses; export PYTHONUTF8=1\n"
    assert done.returncode == 1


def test_a_python_without_pip_is_told(tmp_path: Path) -> None:
    packages.check_pip()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path)], check=True)
    python = tmp_path / "bin" / "python"
    command = [str(python), str(SCRIPTS / "download.py"), "--package=openai-whisper", f"--output={tmp_path / 'x'}"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert done.stderr == (
        f"error: this Python lacks pip, which downloads packages; run {python} -m ensurepip (or uv pip install pip, "
        "if uv made the environment)\n"
    )
    assert done.returncode == 1 and not (tmp_path / "x").exists()
