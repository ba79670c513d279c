"""What a report withholds is in none of the files that go out: found by searching all of them for words."""

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pandas as pd
import pytest

import asrmeter
import make_figures
import share as script
from asrmeter.analysis import dictionary
from asrmeter.analysis.bottlenecks import KEYS
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.paths import ROOT
from asrmeter.report.figure_registry import FIGURES
from asrmeter.report.html.page import linkable
from asrmeter.report.html.sources import report_of
from asrmeter.report.share import _sources, share
from asrmeter.study import ownership
from asrmeter.workflow import run_lock
from helpers.private_run import ELSE, PLACES, RESULTS, WORST, found_in, make, study

DRAWN = '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><text id="a">drawn</text></svg>'
SETTINGS = list(product(("all", "worst", "none"), (True, False)))
Make = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOGNAME", "wombatuser")
    return lambda **report: make(tmp_path, DRAWN, **report)


def test_a_shared_run_is_read_as_the_run_itself(make_run: Make) -> None:
    results = make_run(transcripts="all", paths=True)
    packed, whole = asrmeter.read_run(share(Path(RESULTS)).path), asrmeter.read_run(results)
    assert list(packed.tables) == [name for name in whole.tables if name in linkable(study(Path()))]
    for name, table in packed.tables.items():
        pd.testing.assert_frame_equal(table, whole.tables[name], obj=name)
    assert packed.study == whole.study
    with pytest.raises(asrmeter.AsrmeterError, match=r"share\.zip: has no provenance"):
        packed.provenance  # noqa: B018


def test_tables_that_were_withheld_are_named(make_run: Make) -> None:
    make_run(transcripts="none", paths=False)
    with pytest.raises(asrmeter.NoTableError, match=r"has no table transcripts: its study withholds it"):
        asrmeter.read_run(share(Path(RESULTS)).path).tables["transcripts"]


def report_in(results: Path) -> str:
    """Return the report as the run itself renders it."""
    return report_of(_sources(results, ownership.read(results / "study.json")))[0]


def files_of(path: Path) -> dict[str, str]:
    """Return what is in a zip, without its outermost folder."""
    with zipfile.ZipFile(path) as packed:
        return {name.partition("/")[2]: packed.read(name).decode() for name in packed.namelist()}


def links_of(page: str) -> set[str]:
    return {link for link in re.findall(r'href="([^"#]*)"', page) if not link.startswith("data:")}


@pytest.mark.parametrize(("transcripts", "paths"), SETTINGS)
def test_what_is_withheld_is_in_no_file(transcripts: str, paths: bool, make_run: Make) -> None:
    results = make_run(transcripts=transcripts, paths=paths)
    packed = files_of(share(Path(RESULTS)).path)
    pages = {"of the run": report_in(results), "packed": packed["report.html"]}
    everywhere = "\n".join([*pages.values(), *packed.values()])
    for name, text in {**packed, **pages}.items():
        if not paths:
            assert found_in(text, (*PLACES, str(Path.cwd()), str(ROOT))) == set(), name
        if transcripts != "all":
            assert found_in(text, ELSE) == set(), name
        if transcripts == "none":
            assert found_in(text, (*WORST, "grüße")) == set(), name
    # Nothing is withheld but what is asked for.
    if paths:
        assert found_in(everywhere, PLACES) == set(PLACES)
    if transcripts != "none":
        assert found_in(pages["packed"], WORST) == set(WORST)
    if transcripts == "all":
        assert found_in(everywhere, ELSE) == set(ELSE)


@pytest.mark.parametrize(("transcripts", "paths"), SETTINGS)
def test_a_report_links_to_tables_that_go_along_and_to_no_other(transcripts: str, paths: bool, make_run: Make) -> None:
    page = report_in(make_run(transcripts=transcripts, paths=paths))
    shared = share(Path(RESULTS))
    packed = files_of(shared.path)
    tables = {f"tables/{name}.csv" for name in linkable(study(Path())) if transcripts == "all" or name != "transcripts"}
    assert links_of(packed["report.html"]) == tables == {name for name in packed if name.startswith("tables/")}
    assert packed.keys() - tables == {"report.html", "study.json", "columns.md"}
    assert links_of(page) == (tables if (transcripts, paths) == ("all", True) else set())
    assert packed["columns.md"] == dictionary.as_markdown()


def test_tables_that_go_along_keep_their_figures(make_run: Make) -> None:
    results = make_run(transcripts="none", paths=False, study_2025=True)
    packed = files_of(share(Path(RESULTS)).path)
    for name in ("cells", "passes", *KEYS):
        assert packed[f"tables/{name}.csv"].count("\n") >= 2
    (heading, *_) = packed["tables/passes.csv"].splitlines()
    assert '"texts"' not in heading and '"segment_ids"' in heading and '"latency_s"' in heading
    cells = packed["tables/cells.csv"]
    # One machine and one job stay the same ones, and what every machine has stays.
    assert {"ID-1", "ID-2", "ID-3", "FILE-", "PATH", "FOLDER"} <= set(re.findall(r"ID-\d|FILE-|PATH|FOLDER", cells))
    assert "no package in /sys/class/powercap, nor in PATH" in cells
    assert (results / "tables" / "cells.parquet").stat().st_size


def test_another_machine_is_told_without_its_name(make_run: Make) -> None:
    make_run(paths=False)
    page = files_of(share(Path(RESULTS)).path)["report.html"]
    assert "node: ID-4 → ID-3" in re.sub(r"<[^>]+>", "", page)


def test_what_is_withheld_is_said(make_run: Make, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(transcripts="none", paths=False)
    script.main([RESULTS])
    first, second, *more = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        r"results-zulukappa/share.zip: 0\.\d\d MB; report.html, 13 tables \(CSV\), study.json, columns.md", first
    )
    assert second == "withheld by report.transcripts: none and report.paths: false; left out: transcripts"
    assert more == []
    page = files_of(Path(RESULTS) / "share.zip")["report.html"]
    assert "references and transcripts (<code>report.transcripts: none</code>), names of recordings" in page
    assert "python scripts/list_cells.py RESULTS --disturbed --delete" in page
    assert "FILE-" in page and "FOLDER" in page


def test_a_study_that_withholds_nothing_says_so(make_run: Make, capsys: pytest.CaptureFixture[str]) -> None:
    make_run()
    script.main([RESULTS])
    assert "nothing is withheld: it contains texts and names of recordings" in capsys.readouterr().out


def test_commands_work_as_they_are_printed(make_run: Make, tmp_path: Path) -> None:
    make_run(transcripts="none").rename("results")
    _study(results="results")
    for name in ("Makefile", "scripts", "report", "resources"):
        (tmp_path / name).symlink_to(ROOT / name)
    # What make would install is there.
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "run.stamp").touch()
    shell = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for command, said in (
        ("make share", "results/share.zip: 0."),
        ("python scripts/share.py results", "withheld by report.transcripts: none"),
        ("python scripts/share.py runs", "error: runs: holds no study.json"),
    ):
        ran = subprocess.run(command, shell=True, env=os.environ | shell, capture_output=True, text=True)
        assert said in ran.stdout + ran.stderr and "Traceback" not in ran.stderr, (ran.stdout, ran.stderr)
        assert (ran.returncode != 0) is said.startswith("error")


def test_a_packed_study_is_a_study(make_run: Make, tmp_path: Path) -> None:
    make_run(transcripts="worst", paths=False)
    share(Path(RESULTS))
    (tmp_path / "study.json").write_text(files_of(Path(RESULTS) / "share.zip")["study.json"])
    study = ownership.read(tmp_path / "study.json")
    assert (study.name, study.results, study.corpus.name) == ("shared", "RESULTS", "FOLDER")
    assert study.as_json()["corpus"]["path"] == "FOLDER" and study.models["whisper-base"].path == "MODEL"
    assert study.report.paths is False and study.protocol.laps == 3


def test_a_zip_is_the_same_whenever_it_is_made(make_run: Make) -> None:
    make_run(transcripts="worst")
    first = share(Path(RESULTS)).path.read_bytes()
    assert share(Path(RESULTS)).path.read_bytes() == first
    with zipfile.ZipFile(Path(RESULTS) / "share.zip") as packed:
        names = packed.namelist()
        assert names == sorted(names) and all(name.startswith("shared/") for name in names)
        assert {entry.date_time for entry in packed.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def _link(path: str) -> None:
    place = Path(RESULTS) / path
    place.rename("elsewhere")
    place.symlink_to(Path("elsewhere").absolute())


def _study(**changes: object) -> None:
    path = Path(str(changes.get("results", RESULTS))) / "study.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


FAULTS: dict[str, tuple[Callable[[], object], str]] = {
    "no study": (lambda: Path(RESULTS, "study.json").unlink(), "holds no study.json; name the results folder"),
    "no report": (lambda: Path(RESULTS, "report.html").unlink(), "has no report.html; finish the run first"),
    "no table": (lambda: Path(RESULTS, "tables/passes.parquet").unlink(), "has no tables/passes.parquet; finish"),
    "a link": (lambda: _link("tables/cells.parquet"), "tables/cells.parquet: is a link, which may lead anywhere"),
    "a folder of links": (lambda: _link("figures"), "results-zulukappa/figures: is a link"),
    "another study": (lambda: _study(name="other"), "is of the study shared, and not of other; finish the run"),
    "another grid": (
        lambda: _study(batch_sizes=[1, 2, 4]),
        "is not of the cells of results-zulukappa/study.json, which differ in whisper-base/fp32/cpu/30s-b4",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_no_finished_run_of_the_study_is_named(fault: str, make_run: Make) -> None:
    make_run(transcripts="none")
    breaks, message = FAULTS[fault]
    breaks()
    with pytest.raises(AsrmeterError, match=re.escape(message)):
        share(Path(RESULTS))
    assert not Path(RESULTS, "share.zip").exists()


def test_a_run_that_goes_on_is_waited_for_by_its_user(make_run: Make) -> None:
    make_run()
    holder = "import sys, time; from pathlib import Path; from asrmeter.workflow import run_lock\n"
    holder += f"run_lock.hold(Path({RESULTS!r})); print('held', flush=True); time.sleep(60)"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "scripts")}
    with subprocess.Popen([sys.executable, "-c", holder], stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        with pytest.raises(AsrmeterError, match="another run is active here"):
            share(Path(RESULTS))
        process.kill()
    assert run_lock.FILE not in files_of(share(Path(RESULTS)).path)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    here = tmp_path_factory.mktemp("drawn")
    before = Path.cwd()
    os.chdir(here)
    results = make(here, DRAWN)
    tables = {
        name: results / "tables" / f"{name}.parquet"
        for name in (
            "cells",
            "transcripts",
            "optimisations",
            "silence",
            "loads",
            "capacities",
            "layouts",
            *make_figures.TABLES,
        )
    }
    options = tables | {
        "study": results / "study.json",
        "template-folder": ROOT / "report",
        "output-folder": results / "figures",
    }
    make_figures.main([part for key, value in options.items() for part in (f"--{key}", str(value))])
    yield results / "figures"
    os.chdir(before)


@pytest.mark.parametrize("name", FIGURES)
def test_figures_have_nothing_that_could_be_withheld(name: str, drawn: Path) -> None:
    svg = (drawn / f"{name}.svg").read_text()
    assert svg != DRAWN and found_in(svg, (*PLACES, *WORST, *ELSE)) == set()
