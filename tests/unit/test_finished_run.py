"""`asrmeter.read_run`: a finished run as pandas tables, and the page that shows how."""

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

import asrmeter
from asrmeter.analysis import dictionary, kept_runs
from asrmeter.common import parquet
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.paths import ROOT, SCRIPTS
from asrmeter.common.table_types import LABELS, NUMBER, Source, column
from helpers.tables import cell, example_cells, example_study, example_transcripts, failed, measured_again, write_tables

PAGE = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")


def make_run(name: str, cells: list[dict[str, Any]]) -> None:
    results = Path(name)
    write_tables(results / "tables", cells, example_transcripts(cells))
    for path, content in {
        "study.json": example_study().as_json(),
        "corpus/quickstart/selection.json": {"seed": 42},
        "models/whisper-base/provenance.json": {"commit": "0123abc"},
        "models/.whisper-tiny.1-2.x/provenance.json": {"half": "written"},
    }.items():
        (results / path).parent.mkdir(parents=True, exist_ok=True)
        (results / path).write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of its own, with a finished run in `results`."""
    monkeypatch.chdir(tmp_path)
    make_run("results", [*example_cells(), failed(cell(batch_size=8), "oom", "too large")])
    return tmp_path


def refused(run: str) -> str:
    with pytest.raises(AsrmeterError) as error:
        asrmeter.read_run(run)
    (line,) = str(error.value).splitlines()
    return line


def test_import_of_the_package_imports_no_library() -> None:
    code = "import sys, asrmeter; print({'pandas', 'numpy', 'pyarrow', 'asrmeter.common'} & {*sys.modules})"
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_what_is_public_is_there_and_nothing_else() -> None:
    assert all(getattr(asrmeter, name) for name in asrmeter.__all__)
    with pytest.raises(AttributeError, match="no attribute 'read_rum'"):
        asrmeter.read_rum  # noqa: B018


def test_a_run_has_its_cells_with_missing_values_missing() -> None:
    cells = asrmeter.read_run("results").cells
    lost = cells[cells["status"] == "oom"].iloc[0]
    assert len(cells) == len(example_cells()) + 1
    assert pd.isna(lost["rtfx"]) and lost["converged"] is pd.NA and lost["n_segments"] is pd.NA
    assert lost["n_passes"] == 0 and cells["n_segments"].dtype == "Int64" and cells["converged"].dtype == "boolean"
    assert cells["rtfx"].notna().sum() == sum(row["rtfx"] is not None for row in example_cells())


def test_columns_have_the_units_of_the_dictionary() -> None:
    run = asrmeter.read_run("results")
    for name in run.tables:
        columns = run.columns(name)
        assert list(columns.index) == list(run.tables[name].columns)
        for told in columns.itertuples():
            assert told.meaning == dictionary.describe(name, told.Index).meaning
    assert run.columns("cells").loc["latency_s_median", "unit"] == "s"
    assert run.columns("cells").loc["rtfx", "source"] == "computed"


def test_study_and_provenance_are_read() -> None:
    run = asrmeter.read_run("results")
    assert run.study == json.loads(json.dumps(example_study().as_json()))
    assert run.provenance == {
        "corpus": {"quickstart": {"seed": 42}},
        "models": {"whisper-base": {"commit": "0123abc"}},
    }
    (Path("results") / "study.json").unlink()
    with pytest.raises(AsrmeterError, match=r"results/study\.json: there is no such file"):
        asrmeter.read_run("results").study  # noqa: B018


def test_a_table_that_was_not_asked_for_is_not_there() -> None:
    tables = asrmeter.read_run("results").tables
    assert list(tables) == ["cells", "sittings", "transcripts", "languages", "start"] and len(tables) == 5
    assert "loads" not in tables and tables.get("layouts") is None
    for name, said in {
        "loads": r"results: has no table loads: its study does not ask for it \(load\)",
        "silence": r"does not ask for it \(robustness\.silence\)",
        "passes": "has no table passes: the run is not finished",
        "transcript": r"there is no such table; .* \(did you mean transcripts\?\)",
    }.items():
        with pytest.raises(asrmeter.NoTableError, match=said):
            tables[name]


def test_a_kept_run_is_read_by_its_name_and_its_folder() -> None:
    kept_runs.keep("before", Path("results"))
    was = asrmeter.read_run("results").cells
    for name in ("before", "runs/before", "results/tables"):
        assert asrmeter.read_run(name).cells.equals(was)
    assert "kept runs: before (did you mean before?)" in refused("befor")


def damage(path: Path) -> None:
    parquet.save(path, parquet.read(path))
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


def change(name: str, values: Any) -> None:
    path = Path("results/tables/cells.parquet")
    pd.read_parquet(path).assign(**{name: values}).to_parquet(path)


BREAK: dict[str, tuple[Callable[[], object], str]] = {
    "no folder": (lambda: Path("results").rename("other"), "results: there is no such folder, zip or kept run"),
    "no tables": (
        lambda: Path("results/tables").rename("tables"),
        "results: has no tables yet; finish the run first",
    ),
    "another folder": (
        lambda: (Path("results").rename("other"), Path("results").mkdir()),
        "results: neither a results folder nor",
    ),
    "a damaged table": (
        lambda: damage(Path("results/tables/cells.parquet")),
        "results/tables/cells.parquet: ",
    ),
    "another protocol": (lambda: change("protocol", 1), "results: was measured by protocol 1, and this version"),
    "another type": (lambda: change("model", 7), "results: table cells: model has values of the type int64"),
    "other columns": (
        lambda: pd.DataFrame({"a": [1]}).to_parquet("results/tables/cells.parquet"),
        "results: its table cells lacks model, variant, device, duration_s, batch_size, and 1 more: another version",
    ),
}


@pytest.mark.parametrize("broken", BREAK)
def test_what_is_no_run_of_this_version_is_refused(broken: str) -> None:
    act, said = BREAK[broken]
    act()
    assert said in refused("results")


def packed(files: dict[str, bytes]) -> str:
    with zipfile.ZipFile("share.zip", "w") as written:
        for name, content in files.items():
            written.writestr(name, content)
    return "share.zip"


def test_a_file_that_is_not_a_shared_zip_is_refused() -> None:
    Path("notes.txt").write_text("notes", encoding="utf-8")
    for name in ("notes.txt", "results/tables/cells.parquet", packed({"a/b.txt": b""})):
        assert f"{name}: is not a zip of `make share`" in refused(name)
    study = {"t/study.json": b"{}"}
    assert "share.zip: has no table cells: its study withholds it" in refused(packed(study))
    cells = Path("results/tables/cells.parquet")
    for content, said in (
        (b"model,n_laps\nwhisper-base,many\n", "table cells: In CSV column"),
        (b"model\nwhisper-base\n", "its table cells lacks variant, device"),
        (cells.read_bytes(), "table cells: "),
    ):
        assert said in refused(packed(study | {"t/tables/cells.csv": content}))


def test_a_zip_with_a_damaged_file_is_refused() -> None:
    path = Path(packed({"t/study.json": b"{}", "t/tables/cells.csv": b"model,variant\nwhisper-base,fp32\n"}))
    path.write_bytes(path.read_bytes().replace(b"whisper-base", b"whisper-tiny"))
    assert "share.zip: tables/cells.csv cannot be read (Bad CRC-32" in refused("share.zip")


def test_tables_are_the_same_from_csv_as_from_parquet() -> None:
    schema = pa.schema([column("n", NUMBER, "A number.", Source.COUNTED), column("t", LABELS, "Texts.", Source.STUDY)])
    table = pa.table({"n": [0.1, None, 1e300], "t": [["a", 'b"\n'], [], None]}, schema=schema)
    assert parquet.from_csv(parquet.as_csv(table), schema).equals(table)
    for name in ("cells", "transcripts", "sittings", "start"):
        _, own = dictionary.TABLES[name]
        whole = parquet.in_types(parquet.read(Path(f"results/tables/{name}.parquet")), own)
        assert parquet.from_csv(parquet.as_csv(whole), own).equals(whole)
        assert parquet.from_csv(parquet.as_csv(whole.slice(0, 0)), own).equals(whole.slice(0, 0))


def test_the_page_runs_as_it_is_printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    make_run("results-a", example_cells())
    make_run("results-b", measured_again(example_cells()))
    found: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        exec(block, found)
    best = found["best"].iloc[0]
    ok = [row for row in example_cells() if row["status"] == "ok" and row["duration_s"] == 30]
    ok = [row for row in ok if row["wer"] and row["wer_ci_high"] <= 0.10]
    assert (best["model"], best["batch_size"]) == max((row["rtfx"], (row["model"], row["batch_size"])) for row in ok)[1]
    assert len(found["worst"]) == 3 and {*found["worst"]["model"]} == {best["model"]}
    assert Path("latency.png").stat().st_size > 1000
    assert {*found["both"].index.get_level_values("run")} == {"results-a", "results-b"}
    assert "times real time" in capsys.readouterr().out


def test_the_page_names_the_columns_of_each_table() -> None:
    for names, told in re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (.*`.*) \|$", PAGE, re.MULTILINE):
        key = set(re.findall(r"`(\w+)`", told))
        for name in re.findall(r"\w+", names):
            assert key <= {*dictionary.TABLES[name][1].names}
