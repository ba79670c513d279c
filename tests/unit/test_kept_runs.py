"""Runs that are kept under a name: whole or not there, listed, compared by name, removed."""

import datetime
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_integrity import mounted

import compare as compare_script
import runs as script
from asrmeter.analysis import kept_runs
from asrmeter.common import parquet
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.paths import ROOT
from asrmeter.records import cell_record, run_folders
from asrmeter.study import validation
from asrmeter.study.model import Compare
from asrmeter.study.ownership import check_results_owner
from asrmeter.workflow import run_lock
from helpers.records import header
from helpers.tables import cell, example_cells, example_transcripts, failed, measured_again, write_tables

COPIED = [
    "corpus/quickstart/selection.json",
    "kept.json",
    "models/whisper-base/provenance.json",
    "study.json",
    "tables/capacities.parquet",
    "tables/cells.csv",
    *(
        f"tables/{name}.parquet"
        for name in (
            "cells",
            "languages",
            "layouts",
            "loads",
            "optimisations",
            "silence",
            "silence_models",
            "sittings",
            "start",
            "transcripts",
        )
    ),
]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of its own, with a finished run in `results`."""
    monkeypatch.chdir(tmp_path)
    make_results("results", [*example_cells(), failed(cell(batch_size=8), "oom", "too large")])
    return tmp_path


def make_results(name: str, cells: list[dict[str, Any]]) -> Path:
    """Make what a run leaves, audio and weights too."""
    results = Path(name)
    write_tables(results / "tables", [row | {"study": "quickstart"} for row in cells], example_transcripts(cells[:-1]))
    for path, content in {
        "study.json": '{"name": "quickstart"}',
        "tables/cells.csv": "model\n",
        "corpus/quickstart/selection.json": "{}",
        "corpus/quickstart/audio/5s-001.flac": "fLaC",
        "corpus/quickstart/segments.json": "[]",
        "models/whisper-base/provenance.json": "{}",
        "models/whisper-base/model.safetensors": "weights",
        "report.html": "<html>",
    }.items():
        (results / path).parent.mkdir(parents=True, exist_ok=True)
        (results / path).write_text(content)
    return results


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def test_tables_study_provenance_are_copied_no_audio_no_weights(here: Path) -> None:
    script.main(["keep", "before"])
    assert files_in(Path("runs/before")) == COPIED
    for name in COPIED:
        if name != "kept.json":
            kept, original = Path("runs/before") / name, Path("results") / name
            assert kept.read_bytes() == original.read_bytes() and not kept.samefile(original)
    kept_at = json.loads(Path("runs/before/kept.json").read_text())["kept_at"]
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(kept_at)
    assert datetime.timedelta(seconds=-1) < age < datetime.timedelta(minutes=1)
    assert os.listdir("runs") == ["before"]


def test_what_is_kept_stays_when_results_change(here: Path) -> None:
    script.main(["keep", "before"])
    was = Path("runs/before/tables/cells.parquet").read_bytes()
    Path("results/tables/cells.parquet").write_bytes(b"")
    assert Path("runs/before/tables/cells.parquet").read_bytes() == was


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "a/b", "../a", "/a", "-a", ".a", "_a", "1", "2026-11-28", "a b", "a\n", "a\0", "ä", "a\udcff"),
        *("null", "True", "no", "Y", "a" * 101, "a:b", "a*", "$(id)", "a'"),
    ],
)
def test_a_bad_name_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(AsrmeterError, match="is not a name for a run") as refused:
        kept_runs.keep(name, Path("results"))
    assert len(str(refused.value).splitlines()) == 1 and str(refused.value).isprintable()
    assert not Path("runs").exists()


@given(st.from_regex(run_folders._NAME, fullmatch=True))
def test_a_good_name_is_text_for_yaml_and_the_shell(name: str) -> None:
    written = validation.with_defaults(
        {"name": "mine", "models": {"whisper-base": {}}, "compare": {"first": name}}, "mine.yaml"
    )
    assert written.compare.first == name
    assert re.fullmatch(r"[\w.-]+", name, re.ASCII) and not name.startswith("-") and Path("runs", name).name == name


@pytest.mark.parametrize("taken", ["runs/before", "before", "results"])
def test_a_name_that_is_taken_is_refused_and_what_has_it_stays(taken: str) -> None:
    Path(taken).mkdir(parents=True, exist_ok=True)
    (Path(taken) / "mine").write_text("mine")
    with pytest.raises(AsrmeterError, match=r"already exists; give another name|is also a file or folder here"):
        script.main(["keep", Path(taken).name])
    assert (Path(taken) / "mine").read_text() == "mine"


def test_of_two_that_keep_one_name_the_first_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    copy, done = kept_runs._copy, []

    def copy_while_another_does(source: Path, target: Path) -> None:
        if not done:
            done.append(True)
            Path("runs/before").mkdir()
        copy(source, target)

    monkeypatch.setattr(kept_runs, "_copy", copy_while_another_does)
    with pytest.raises(AsrmeterError, match="runs/before already exists"):
        script.main(["keep", "before"])
    assert os.listdir("runs") == ["before"] and os.listdir("runs/before") == []


def damage(path: Path) -> None:
    """Change a byte of a table that carries a checksum."""
    parquet.save(path, parquet.read(path))
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


BREAK: dict[str, tuple[Callable[[], object], str]] = {
    "no results": (lambda: Path("results").rename("other"), "results: neither a results folder nor"),
    "no table": (lambda: Path("results/tables/transcripts.parquet").unlink(), "holds no cells.parquet and transcripts"),
    "no study": (lambda: Path("results/study.json").unlink(), "results/study.json: cannot be read"),
    "a broken study": (lambda: Path("results/study.json").write_text("{"), "results/study.json: cannot be read"),
    "a study of another form": (lambda: Path("results/study.json").write_text("[]"), "results/study.json: the content"),
    "a damaged table": (lambda: damage(Path("results/tables/cells.parquet")), "results/tables/cells.parquet: "),
    "another damaged one": (lambda: damage(Path("results/tables/sittings.parquet")), "results/tables/sittings.parq"),
    "a cut table": (
        lambda: os.truncate("results/tables/cells.parquet", 999),
        "results/tables/cells.parquet: cannot be",
    ),
    "an empty table": (lambda: os.truncate("results/tables/sittings.parquet", 0), "results/tables/sittings.parquet: "),
    "a pipe": (lambda: os.mkfifo("results/tables/passes.csv"), "results/tables/passes.csv: is a pipe"),
    "a broken link": (lambda: os.symlink("nowhere", "results/tables/passes.csv"), "results/tables/passes.csv"),
    "a file for runs": (lambda: Path("runs").write_text(""), "runs/before"),
}


@pytest.mark.parametrize("broken", BREAK)
def test_what_is_not_whole_is_not_kept(broken: str) -> None:
    act, said = BREAK[broken]
    act()
    with pytest.raises(AsrmeterError) as refused:
        script.main(["keep", "before"])
    (line,) = str(refused.value).splitlines()
    assert said in line and "/.before" not in line
    assert not Path("runs").is_dir() or os.listdir("runs") == []


def test_nothing_is_left_on_a_full_disk(here: Path) -> None:
    for disk in mounted(here / "runs", "-o", "size=48k"):
        with pytest.raises(AsrmeterError, match=r"runs/before: no space left on the disk; .* no partial file was l"):
            script.main(["keep", "before"])
        assert list(disk.iterdir()) == []


def test_tables_alone_are_no_run_to_keep() -> None:
    with pytest.raises(AsrmeterError, match="results/tables: holds tables alone; name the results folder"):
        script.main(["keep", "before", "results/tables"])


def test_a_run_that_goes_on_is_not_kept(here: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from asrmeter.workflow import run_lock; run_lock.hold(Path('results'))"
    )
    wait = "; print('in', flush=True); sys.stdin.readline()"
    environment = os.environ | {"PYTHONPATH": str(Path(script.__file__).parent)}
    command = [sys.executable, "-c", code + wait]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout and running.stdout.readline() == "in\n"
        with pytest.raises(AsrmeterError, match="results/: another run is active here, process"):
            script.main(["keep", "before"])
        running.communicate("\n")
    script.main(["keep", "before"])
    run_lock.check_free(Path("nowhere"))


def test_runs_are_listed_with_what_is_read_from_their_tables(capsys: Any) -> None:
    script.main(["list"])
    assert capsys.readouterr().out == "there are no kept runs\n"
    script.main(["keep", "before"])
    other = [row | {"machine_id": "later", "commit": "fedcba9"} for row in measured_again([cell(), cell(batch_size=2)])]
    make_results("results-b", other)
    script.main(["keep", "a-second", "results-b"])
    capsys.readouterr()
    Path("runs/notes").mkdir()
    script.main(["list"])
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split("  ")[0] == "name" and [row.split()[0] for row in rows] == ["before", "a-second"]
    n = len(example_cells()) + 1
    assert f"{n - 2} of {n} measured" in rows[0] and "a1b2c3" in rows[0] and "0123abc" in rows[0]
    assert "quickstart" in rows[1] and "2 of 2 measured" in rows[1] and "later" in rows[1] and "fedcba9" in rows[1]


def test_a_damaged_run_is_listed_with_its_fault_and_removed(capsys: Any) -> None:
    for name in ("whole", "broken", "undated"):
        script.main(["keep", name])
    damage(Path("runs/broken/tables/cells.parquet"))
    Path("runs/undated/kept.json").write_text('{"kept_at": "yesterday"}')
    capsys.readouterr()
    script.main(["list"])
    rows = capsys.readouterr().out.splitlines()[1:]
    assert sorted(row.split()[0] for row in rows) == ["broken", "undated", "whole"]
    (broken,) = (row for row in rows if row.startswith("broken"))
    assert "runs/broken/tables/cells.parquet: " in broken and "run again" not in broken
    assert "python scripts/runs.py remove broken" in broken
    with pytest.raises(AsrmeterError, match=r"runs/broken/tables/cells.parquet: .*; python scripts/runs.py remove bro"):
        compare_script.main(["broken", "whole"])
    script.main(["remove", "broken"])
    assert sorted(os.listdir("runs")) == ["undated", "whole"]


@pytest.mark.parametrize("name", ["nothing", "../results", "results", "", ".", "notes", "link", "a\udcff"])
def test_only_a_kept_run_is_removed(name: str, here: Path) -> None:
    script.main(["keep", "before"])
    Path("runs/notes").mkdir()
    Path("runs/link").symlink_to("before")
    was = files_in(here)
    with pytest.raises(AsrmeterError, match="is not a kept run; kept runs: before"):
        script.main(["remove", name])
    assert files_in(here) == was


def test_a_removed_run_is_gone_and_its_name_free() -> None:
    script.main(["keep", "before"])
    script.main(["remove", "before"])
    assert os.listdir("runs") == []
    script.main(["keep", "before"])


def test_runs_are_compared_by_name(capsys: Any) -> None:
    script.main(["keep", "before"])
    make_results("results", measured_again(example_cells()))
    compare_script.main(["before", "results"])
    lines = capsys.readouterr().out.splitlines()
    assert {"first:  before", "second: results"} <= {*lines}
    assert lines[-1].startswith("verdict: latency: no model changed")
    script.main(["keep", "after"])
    compare_script.main(["before", "after"])
    with pytest.raises(AsrmeterError, match="are the same run"):
        compare_script.main(["before", "runs/before"])
    with pytest.raises(AsrmeterError, match=r"befor: neither .*; kept runs: after, before \(did you mean before\?\)"):
        compare_script.main(["befor", "results"])


def test_commands_work_as_they_are_printed(here: Path) -> None:
    for name in ("Makefile", "scripts"):
        (here / name).symlink_to(ROOT / name)
    # What make would install is there.
    (here / ".venv").mkdir()
    (here / ".venv" / "run.stamp").touch()
    shell = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for command, said in (
        ("make keep NAME=before", "later: python scripts/compare.py before results"),
        ("python scripts/runs.py list", "quickstart"),
        ("python scripts/compare.py before results", "not measured again"),
        ("python scripts/runs.py remove before", "removed: before"),
        ("python scripts/runs.py keep before", "later: python scripts/compare.py before results"),
        ("python scripts/runs.py keep before", "error: runs/before already exists"),
        ("make keep", 'error: "" is not a name for a run'),
    ):
        ran = subprocess.run(command, shell=True, env=os.environ | shell, capture_output=True, text=True)
        assert said in ran.stdout + ran.stderr and "Traceback" not in ran.stderr, (ran.stdout, ran.stderr)
        assert (ran.returncode != 0) is said.startswith("error")


def test_nothing_is_measured_into_a_kept_run() -> None:
    script.main(["keep", "before"])
    study = validation.with_defaults({"name": "quickstart", "models": {"whisper-base": {}}}, "mine")
    with pytest.raises(AsrmeterError, match=r"results: runs/before/ is a kept run and must not change; give this"):
        check_results_owner(study.model_copy(update={"results": "runs/before"}))


def test_a_name_that_could_mean_either_is_refused() -> None:
    script.main(["keep", "before"])
    make_results("before", example_cells())
    with pytest.raises(AsrmeterError, match=r"is a kept run and a folder with tables; write runs/before or \./before"):
        compare_script.main(["before", "results"])
    make_results("results", measured_again(example_cells()))
    compare_script.main(["runs/before", "./before"])


def test_a_study_names_a_kept_run() -> None:
    script.main(["keep", "before"])
    make_results("results", measured_again(example_cells()))
    study = validation.with_defaults(
        {"name": "quickstart", "models": {"whisper-base": {}}, "compare": {"first": "before"}}, "mine"
    )
    assert run_folders.compared(study) == ("before", "results")
    tables = [f"runs/before/tables/{name}" for name in run_folders.TABLES]
    assert run_folders.of_report(study) == (["before"], tables)
    lost = study.model_copy(update={"compare": Compare(first="a\0b")})
    with pytest.raises(AsrmeterError, match=r"compare\.first: a\\x00b: neither .*kept runs: before"):
        run_folders.of_report(lost)


def test_a_run_of_protocol_1_has_nothing_to_judge(capsys: Any) -> None:
    of_today = ["laps", "latency_own_se", "latency_s_next_low", "machine_speed", "control_matmul_flop_per_s", "dtype"]
    for name in ("results", "results-b"):
        path = make_results(name, [row | {"protocol": 1} for row in example_cells()]) / "tables" / "cells.parquet"
        pd.read_parquet(path).drop(columns=of_today).to_parquet(path)
    script.main(["keep", "old"])
    make_results("results", measured_again(example_cells()))
    for pair, why in (
        (("old", "results"), "another protocol"),
        (("results", "old"), "another protocol"),
        (("old", "results-b"), "both: protocol 1, which this version does not compare"),
    ):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            compare_script.main([*pair, "--guard"])
        assert (ended.value.code, capsys.readouterr().err) == (3, f"NOTHING TO JUDGE: latency, wer: {why}\n")


def test_measurements_later_than_the_tables_are_told(capsys: Any) -> None:
    folder = Path("results/measurements/m/fp32/cpu/5s-b2")
    for lap, second in ((1, 0), (2, 1)):
        told = header(measured_at=f"2026-03-01T10:00:0{second}+00:00", lap=lap, n_laps=2)
        cell_record.write(folder / f"lap{lap}.parquet", told, [])
    (folder / "lap3.parquet").write_bytes(b"damaged")
    script.main(["keep", "before"])
    assert "1 measurements are newer than the tables and not in them; run snak" in capsys.readouterr().out
