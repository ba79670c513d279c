"""Commands that the documentation and messages print: each is run somewhere, and its words are there."""

import functools
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import snakemake.cli

from asrmeter.common.paths import ROOT
from helpers.commands import ONLY_CHECKED, RUN, RUN_ELSEWHERE, printed, script_of, told, words

COMMANDS = sorted({*printed(), *told()})


def test_every_command_of_the_documentation_is_run_or_checked() -> None:
    listed = [*RUN, *RUN_ELSEWHERE, *ONLY_CHECKED]
    assert len(set(listed)) == len(listed)
    assert {*printed()} == {*listed}, "a new command: have a test run it, and list it in tests/helpers/commands.py"


@pytest.mark.parametrize("command", RUN_ELSEWHERE)
def test_the_test_that_runs_a_command_has_its_words(command: str) -> None:
    file, said = RUN_ELSEWHERE[command]
    assert said in (ROOT / "tests" / file).read_text()


@functools.cache
def snakemake_options() -> set[str]:
    parser = snakemake.cli.get_argument_parser()
    return {option for action in parser._actions for option in action.option_strings}


@functools.cache
def rules() -> set[str]:
    texts = [path.read_text() for path in (ROOT / "Snakefile", *(ROOT / "rules").glob("*.smk"))]
    return {name for text in texts for name in re.findall(r"^rule (\w+):", text, re.MULTILINE)}


@pytest.mark.parametrize("command", [one for one in COMMANDS if re.search(r"(^|[ /])snakemake ", one)])
def test_options_and_targets_of_snakemake_exist(command: str) -> None:
    own = words(command.partition("snakemake")[2])
    options = {word.partition("=")[0] for word in own if word.startswith("-")}
    assert options <= snakemake_options()
    # What stands first, or after an option's value, and is no value itself.
    values = {own[at + 1] for at, word in enumerate(own[:-1]) if word.startswith("-")}
    targets = [word for word in own if not word.startswith("-") and word not in values and "/" not in word]
    assert {*targets} <= rules()
    for option in ("--config", "--configfile"):
        # They take all words that follow.
        assert option not in own or not rules() & {*own[own.index(option) + 1 :]}
    for path in [word for word in own if word.startswith("profiles/")]:
        assert (ROOT / path).is_dir()
    # Without cores Snakemake runs nothing.
    assert {"--cores", "--profile", "-n", "--unlock"} & options, "it cannot be given as it is printed"


@functools.cache
def options_of(script: Path) -> set[str]:
    """Return the options that a script's help has. None is started that reads no options."""
    assert "argparse" in script.read_text()
    done = subprocess.run(
        [sys.executable, str(script), "--help"], capture_output=True, text=True, check=True, timeout=60
    )
    return {*re.findall(r"(?<![\w-])--?[a-z][\w-]*", done.stdout)}


@pytest.mark.parametrize("command", [one for one in COMMANDS if script_of(one)])
def test_a_script_exists_and_has_the_options(command: str) -> None:
    script = script_of(command)
    assert script is not None and script.is_file()
    options = {word for word in words(command) if word.startswith("-")}
    assert not options or options <= options_of(script)


@pytest.mark.parametrize("command", [one for one in COMMANDS if one.startswith("make ") and one in ONLY_CHECKED])
def test_a_target_of_make_exists(command: str) -> None:
    _, target, *variables = shlex.split(command)
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    for variable in variables:
        assert re.search(rf"^{variable.partition('=')[0]} \?=", makefile, re.MULTILINE)


@pytest.mark.parametrize("command", [one for one in COMMANDS if one.startswith("pytest ")])
def test_pytest_finds_what_a_command_asks_for(command: str, pytestconfig: pytest.Config) -> None:
    own = words(command)
    assert all((ROOT / word).exists() for word in own if word.startswith("tests"))
    asked = own[own.index("-m") + 1].split() if "-m" in own else []
    assert {*asked} - {"not"} <= {line.partition(":")[0] for line in pytestconfig.getini("markers")}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_valid_shell(command: str) -> None:
    subprocess.run(["bash", "-n", "-c", command], check=True)
