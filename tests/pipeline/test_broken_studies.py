"""Studies that cannot be run, through Snakemake itself: an error in one line each, and nothing is written."""

import json
from pathlib import Path
from typing import Any

import pytest
from snakemake.common.configfile import load_configfile

from helpers.broken_studies import BROKEN, COMMAND_LINES, LEAST, UNREADABLE, Broken
from helpers.checkouts import Checkout, MakeCheckout, Ran

pytestmark = pytest.mark.pipeline
# What Snakemake itself says before it comes to the study.
_BEFORE = (
    "Using workflow specific profile profiles/default for setting default command line arguments.",
    "Config file config.yaml is extended by additional config specified via the command line.",
)
_GOOD = "good.yaml"


def _file(broken: Broken) -> str:
    return f"broken/{broken.what.replace(' ', '-')}.yaml"


@pytest.fixture(scope="module")
def ran(make_checkout: MakeCheckout) -> dict[str, Ran]:
    """What became of a dry run of each, by what it is."""
    checkout = make_checkout("broken")
    (checkout.folder / "broken").mkdir()
    (checkout.folder / _GOOD).write_text(LEAST)
    asked: dict[str, dict[str, Any]] = {}
    for broken in [*UNREADABLE, *BROKEN]:
        text = broken.text if isinstance(broken.text, bytes) else broken.text.encode()
        (checkout.folder / _file(broken)).write_bytes(text)
    for broken in UNREADABLE:
        asked[broken.what] = {"config": _file(broken), "arguments": []}
        asked[_file(broken)] = {"config": _GOOD, "arguments": ["--configfile", _file(broken)]}
    for broken in BROKEN:
        asked[broken.what] = {"config": _GOOD, "arguments": ["--configfile", _file(broken)]}
    asked["no config.yaml"] = {"config": None, "arguments": []}
    for arguments, _ in COMMAND_LINES:
        asked[" ".join(arguments)] = {"config": _GOOD, "arguments": ["--config", *arguments]}
    asked["a study"] = {"config": _GOOD, "arguments": []}
    return _run(checkout, asked)


def _run(checkout: Checkout, asked: dict[str, dict[str, Any]]) -> dict[str, Ran]:
    outputs = [checkout.folder.with_name(f"broken-{number}.txt") for number in range(len(asked))]
    lines = []
    for one, output in zip(asked.values(), outputs, strict=True):
        arguments = ["--dry-run", "--cores", "1", *one["arguments"]]
        lines.append(json.dumps(one | {"arguments": arguments, "output": str(output)}))
    (checkout.folder / "asked.jsonl").write_text("\n".join(lines))
    before = _files(checkout)
    done = checkout.step(str(Path(__file__).with_name("many_runs.py")), stdin="asked.jsonl")
    assert done.code == 0, done.output
    assert _files(checkout) == before
    codes = [int(line) for line in done.output.splitlines()]
    said = [output.read_text() for output in outputs]
    return {what: Ran(code, text, 0, 0) for what, code, text in zip(asked, codes, said, strict=True)}


def _files(checkout: Checkout) -> list[str]:
    """Return every file of the checkout and beside it, but for what Snakemake notes for itself."""
    found = [path for path in checkout.folder.rglob("*") if not {".snakemake", "__pycache__"} & set(path.parts)]
    return sorted(str(path) for path in [*found, *checkout.folder.parent.glob("*/")] if path.name != "config.yaml")


def _check(ran: Ran, source: str, said: str | tuple[str, ...]) -> None:
    lines = [line for line in ran.output.splitlines() if line not in _BEFORE]
    wanted = (said,) if isinstance(said, str) else said
    assert ran.code == 1
    assert len(lines) == len(wanted), ran.output
    for number, (line, begin) in enumerate(zip(lines, wanted, strict=True)):
        assert line.startswith(f"{'' if number else 'error: '}{source}{begin}")


@pytest.mark.parametrize("broken", UNREADABLE, ids=lambda broken: broken.what)
def test_a_file_that_is_no_study_is_refused_by_line(ran: dict[str, Ran], broken: Broken) -> None:
    _check(ran[broken.what], "config.yaml", broken.said)


@pytest.mark.parametrize("broken", UNREADABLE, ids=lambda broken: broken.what)
def test_so_is_one_that_is_named(ran: dict[str, Ran], broken: Broken, tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_bytes(broken.text if isinstance(broken.text, bytes) else broken.text.encode())
    try:
        load_configfile(path)
    except Exception:
        # Snakemake reads the file before any rule of ours, and names no line: scripts/check_study.py does.
        assert ran[_file(broken)].code != 0
    else:
        _check(ran[_file(broken)], _file(broken), broken.said)


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.what)
def test_a_broken_study_is_refused_in_one_line(ran: dict[str, Ran], broken: Broken) -> None:
    _check(ran[broken.what], _file(broken), broken.said)


@pytest.mark.parametrize(("arguments", "said"), COMMAND_LINES, ids=[" ".join(words) for words, _ in COMMAND_LINES])
def test_a_broken_command_line_is_refused_in_one_line(ran: dict[str, Ran], arguments: list[str], said: str) -> None:
    _check(ran[" ".join(arguments)], "config.yaml, --config", said)


def test_no_study_is_refused_in_one_line(ran: dict[str, Ran]) -> None:
    _check(ran["no config.yaml"], "config.yaml", ": there is no such file")


def test_what_refuses_these_takes_a_study(ran: dict[str, Ran]) -> None:
    assert ran["a study"].code == 0
    assert ran["a study"].jobs["measure_cpu"] == 4 * 2 + 1
