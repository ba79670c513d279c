"""Studies that cannot be run, through Snakemake itself: an error in one line each, and nothing is written."""

import json
from pathlib import Path
from typing import Any

import pytest

from helpers.broken_studies import BROKEN, COMMAND_LINES, LEAST, UNREADABLE, Broken
from helpers.checkouts import Checkout, MakeCheckout, Ran

pytestmark = pytest.mark.pipeline
# What Snakemake itself says before it comes to the study.
_BEFORE = (
    "Using workflow specific profile profiles/default for setting default command line arguments.",
    "Config file config.yaml is extended by additional config specified via the command line.",
)
# Some of the table: tests/unit/test_study.py has every message, and all take the same way through Snakemake.
SOME = [*BROKEN[::4], *(one for one in BROKEN if isinstance(one.said, tuple) and one not in BROKEN[::4])]
SOME_AS_CONFIG, SOME_NAMED = UNREADABLE[::2], UNREADABLE[1::2]
_GOOD = "good.yaml"
_BEFORE_IT = "takes all following words: put targets before it (snakemake {} {} ...)"
# Targets that Snakemake takes for something else, or that are none.
MISPLACED = [
    *(
        (["--configfile", _GOOD, word], f"{word}: {why}; --configfile {_BEFORE_IT.format(word, '--configfile')}")
        for word, why in (
            ("fetch", "there is no such file"),
            ("results/report.html", "there is no such file"),
            ("results/measurements/whisper-base/fp32/cpu/5s-b1/lap1.parquet", "there is no such file"),
            ("rules", "is a folder; give the file of a study"),
            ("broken/study.json", "would be a second study"),
        )
    ),
    (["--configfile", "missing.yaml"], "missing.yaml: there is no such file"),
    (
        ["--config", "seed=1", "fetch"],
        f"--config: fetch is not KEY=VALUE; --config {_BEFORE_IT.format('fetch', '--config')}",
    ),
    (["--config", "fetch"], f"--config: fetch is not KEY=VALUE; --config {_BEFORE_IT.format('fetch', '--config')}"),
    (["--config", "1=2"], "--config: Invalid config definition: Config entry must start with a valid identifier; give"),
    (["fecth"], "fecth: there is no such target (did you mean fetch?); targets are study, corpus"),
    (["fetch", "results/reprot.html"], "results/reprot.html: there is no such target; targets are study, corpus"),
    (["results-mine/report.html"], "results-mine/report.html: there is no such target; targets are "),
    (
        ["results/measurements/none/fp32/cpu/5s-b1/lap1.parquet"],
        "results/measurements/none/fp32/cpu/5s-b1/lap1.parquet: there is",
    ),
    (["results/models/none"], "results/models/none: there is no such target; targets are study, corpus"),
    (
        ["results/measurements/whisper-base/fp32/cpu/7s-b1/lap1.parquet"],
        "whisper-base/fp32/cpu/7s-b1 is not a cell of the study mine; add its model, variant, device",
    ),
    (
        ["results/measurements/whisper-base/fp32/cpu/5s-b1/lap9.parquet"],
        "whisper-base/fp32/cpu/5s-b1/lap9 is not measured by the study mine; raise protocol.laps, which is 3",
    ),
]


def _file(broken: Broken) -> str:
    return f"broken/{broken.what.replace(' ', '-')}.yaml"


@pytest.fixture(scope="module")
def ran(make_checkout: MakeCheckout) -> dict[str, Ran]:
    """What became of a dry run of each, by what it is."""
    checkout = make_checkout("broken")
    (checkout.folder / "broken").mkdir()
    (checkout.folder / _GOOD).write_text(LEAST)
    (checkout.folder / "broken" / "study.json").write_text(LEAST)
    asked: dict[str, dict[str, Any]] = {}
    for broken in [*UNREADABLE, *SOME]:
        text = broken.text if isinstance(broken.text, bytes) else broken.text.encode()
        (checkout.folder / _file(broken)).write_bytes(text)
    for broken in SOME_AS_CONFIG:
        asked[broken.what] = {"config": _file(broken), "arguments": []}
    for broken in [*SOME_NAMED, *SOME]:
        asked[broken.what] = {"config": _GOOD, "arguments": ["--configfile", _file(broken)]}
    asked["no config.yaml"] = {"config": None, "arguments": []}
    for arguments, _ in COMMAND_LINES:
        asked[" ".join(arguments)] = {"config": _GOOD, "arguments": ["--config", *arguments]}
    for arguments, _ in MISPLACED:
        asked[" ".join(arguments)] = {"config": _GOOD, "arguments": arguments}
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
    done = checkout.step(str(Path(__file__).with_name("many_runs.py")), stdin="asked.jsonl", limit_s=300)
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


@pytest.mark.parametrize("broken", SOME_AS_CONFIG, ids=lambda broken: broken.what)
def test_a_file_that_is_no_study_is_refused_by_line(ran: dict[str, Ran], broken: Broken) -> None:
    _check(ran[broken.what], "config.yaml", broken.said)


@pytest.mark.parametrize(("arguments", "said"), MISPLACED, ids=[" ".join(words) for words, _ in MISPLACED])
def test_a_target_among_other_words_is_told_as_one(ran: dict[str, Ran], arguments: list[str], said: str) -> None:
    # What is no target shows only when Snakemake plans.
    one = ran[" ".join(arguments)]
    assert one.code == 1 and "Traceback" not in one.output
    assert one.output.splitlines()[-1].startswith(f"error: {said}")


@pytest.mark.parametrize("broken", [*SOME_NAMED, *SOME], ids=lambda broken: broken.what)
def test_a_broken_study_is_refused_in_one_line(ran: dict[str, Ran], broken: Broken) -> None:
    _check(ran[broken.what], _file(broken), broken.said)


@pytest.mark.parametrize(("arguments", "said"), COMMAND_LINES, ids=[" ".join(words) for words, _ in COMMAND_LINES])
def test_a_broken_command_line_is_refused_in_one_line(ran: dict[str, Ran], arguments: list[str], said: str) -> None:
    _check(ran[" ".join(arguments)], "config.yaml, --config", said)


def test_no_study_is_refused_in_one_line(ran: dict[str, Ran]) -> None:
    _check(ran["no config.yaml"], "config.yaml", ": there is no such file")


def test_what_refuses_these_takes_a_study(ran: dict[str, Ran]) -> None:
    assert ran["a study"].code == 0
    assert ran["a study"].jobs["measure_cpu"] == 4 * 2 * 3
