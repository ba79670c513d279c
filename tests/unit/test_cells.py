"""List cells, layouts and load tests by status, age and more; delete them so that they are measured again."""

import datetime
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import list_cells
from asrmeter.common import parquet
from asrmeter.common.errors import AsrmeterError
from asrmeter.records import cell_record, query, status
from asrmeter.records.layout_rows import LAYOUT_PASSES, LayoutHeader
from asrmeter.records.load_rows import RECORD, rows_of
from asrmeter.study import grid, ownership, validation
from helpers.capacity import load_header
from helpers.records import header

NOW = datetime.datetime.now(datetime.UTC)
DISTURBED = {"latency": {"disturbance": "others were busy"}}


def write(results: Path, sitting: str, status: str = "ok", age_h: float = 1, **changes: Any) -> Path:
    """Write the record of a sitting as the measuring parent does."""
    measured_at = (NOW - datetime.timedelta(hours=age_h)).isoformat(timespec="seconds")
    told = {"machine_id": "0123456789ab", "cpu_name": "Example CPU", "measured_at": measured_at} | changes
    path = results / "measurements" / f"{sitting}.parquet"
    cell_record.write(path, header(status=status, **told), [])
    return path


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Six sittings of a study of twelve, and one of a cell that the study no longer has."""
    write(tmp_path, "whisper-base/fp32/cpu/5s-b1/lap1", age_h=200)
    write(tmp_path, "whisper-base/fp32/cpu/5s-b1/lap2", age_h=190, events=DISTURBED)
    write(tmp_path, "whisper-base/fp32/cpu/5s-b4/lap1", "oom", 3, reason="MemoryError: no room", node="node3")
    write(tmp_path, "whisper-base/fp32/cuda/5s-b1/lap1", age_h=0.01, events={"ready": {"gpu_name": "Example GPU"}})
    write(tmp_path, "whisper-base/fp32/cuda/5s-b4/lap1", "killed", machine_id="ba9876543210", reason="SIGKILL")
    broken = tmp_path / "measurements" / "whisper-base" / "fp32" / "cpu" / "5s-b16" / "lap1.parquet"
    broken.parent.mkdir()
    broken.write_bytes(b"broken")
    write(tmp_path, "gone/fp32/cpu/5s-b1/lap1", age_h=30)
    asked = {"name": "t", "models": {"whisper-base": {}}, "devices": ["cpu", "cuda"], "durations_s": [5]}
    asked |= {"batch_sizes": [1, 4, 16], "protocol": {"laps": 2}}
    (tmp_path / "study.json").write_text(json.dumps(validation.with_defaults(asked, "t.yaml").as_json()))
    assert len(grid.execution_order(ownership.read(tmp_path / "study.json"))) == 12
    return tmp_path


def listed(capsys: pytest.CaptureFixture[str], results: Path, *options: str) -> list[str]:
    list_cells.main([str(results), "--files", *options])
    paths = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert all(path.is_file() for path in paths) or "--delete" in options
    return sorted("/".join(path.with_suffix("").parts[-4:]).removesuffix("/lap1") for path in paths)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--status", "oom", "killed"], ["fp32/cpu/5s-b4", "fp32/cuda/5s-b4"]),
        (["--status", "failed"], ["fp32/cpu/5s-b16", "fp32/cpu/5s-b4", "fp32/cuda/5s-b4"]),
        (["--status", "unreadable"], ["fp32/cpu/5s-b16"]),
        (["--status", "failed", "--lap", "2"], []),
        (["--lap", "2", "3"], ["fp32/cpu/5s-b1/lap2"]),
        (["--disturbed"], ["fp32/cpu/5s-b1/lap2"]),
        (["--older-than", "7d"], ["fp32/cpu/5s-b1", "fp32/cpu/5s-b1/lap2"]),
        (["--older-than", "2h", "--newer-than", "1w"], ["fp32/cpu/5s-b1", "fp32/cpu/5s-b4"]),
        (
            ["--newer-than", f"{NOW - datetime.timedelta(minutes=30):%Y-%m-%dT%H:%M%z}"],
            ["fp32/cpu/5s-b16", "fp32/cuda/5s-b1"],
        ),
        (["--machine", "ba9876543210"], ["fp32/cuda/5s-b4"]),
        (["--machine", "node3", "node4"], ["fp32/cpu/5s-b4"]),
        (["--protocol", "1"], []),
        (["--model", "whisper-base", "--variant", "fp32", "--device", "cuda"], ["fp32/cuda/5s-b1", "fp32/cuda/5s-b4"]),
        (["--reason", "NO ROOM"], ["fp32/cpu/5s-b4"]),
        (["--model", "nobody"], []),
    ],
)
def test_cell_has_to_match_every_filter(
    results: Path, capsys: pytest.CaptureFixture[str], options: list[str], found: list[str]
) -> None:
    assert listed(capsys, results, *options) == found


def test_table_shows_the_outcome_of_each_cell(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    list_cells.main([str(results)])
    heading, *rows, counted = capsys.readouterr().out.splitlines()
    assert heading.split() == [
        "cell",
        "lap",
        "status",
        "measured",
        "at",
        "age",
        "machine",
        "node",
        "protocol",
        "processor",
        "reason",
    ]
    assert counted == "7 of 7 measurements of 6 cells"
    assert [row.split()[:2] for row in rows[:4]] == [
        ["whisper-base/fp32/cpu/5s-b1", "1"],
        ["whisper-base/fp32/cpu/5s-b1", "2"],
        ["gone/fp32/cpu/5s-b1", "1"],
        ["whisper-base/fp32/cpu/5s-b4", "1"],
    ]
    assert rows[1].endswith("  disturbed: others were busy")
    out_of_memory = next(row for row in rows if " oom " in row)
    for said in ("  3 h  ", "0123456789ab  node3  2 ", "Example CPU", "MemoryError: no room"):
        assert said in out_of_memory
    assert [row for row in rows if "Example GPU" in row and "cuda/5s-b1" in row]
    (broken,) = [row for row in rows if " unreadable " in row]
    assert "cannot be read as a cell (" in broken and broken.endswith("; delete it and run again")
    list_cells.main([str(results), "--model", "gone"])
    heading, *_, counted = capsys.readouterr().out.splitlines()
    assert "node" not in heading and "tries" not in heading
    assert counted == "1 of 7 measurements of 6 cells"
    status.note_try(results / "measurements" / "whisper-base" / "fp32" / "cpu" / "5s-b1" / "lap2.parquet", 2, "as slow")
    list_cells.main([str(results), "--disturbed"])
    heading, row, _ = capsys.readouterr().out.splitlines()
    assert heading.split()[-2:] == ["tries", "reason"] and "  2      disturbed: " in row


def test_delete_removes_the_listed_cells_and_failed_profiles(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for cell, found in (("cpu/5s-b4", "oom"), ("cuda/5s-b4", "ok"), ("cpu/5s-b1", "timeout")):
        profile = results / "profiles" / "whisper-base" / "fp32" / f"{cell}.parquet"
        profile.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"status": [found]}), profile)
        profile.with_suffix(".trace.json.gz").touch()
    (results / "silence" / "whisper-base" / "fp32").mkdir(parents=True)
    for device, found in (("cpu", ["ok", "oom"]), ("cuda", ["ok", "ok"])):
        hearing = results / "silence" / "whisper-base" / "fp32" / f"{device}.parquet"
        pq.write_table(pa.table({"status": found}), hearing)
    before = {path for path in results.rglob("*") if path.is_file()}
    list_cells.main([str(results), "--status", "oom", "killed", "--delete"])
    list_cells.main([str(results), "--model", "gone", "--delete"])
    gone = {str(path.relative_to(results)) for path in before if not path.exists()}
    records = ("whisper-base/fp32/cpu/5s-b4/lap1", "whisper-base/fp32/cuda/5s-b4/lap1", "gone/fp32/cpu/5s-b1/lap1")
    assert gone == {f"measurements/{sitting}.{ending}" for sitting in records for ending in ("parquet", "json")} | {
        "profiles/whisper-base/fp32/cpu/5s-b4.parquet",
        "profiles/whisper-base/fp32/cpu/5s-b4.trace.json.gz",
        "silence/whisper-base/fp32/cpu.parquet",
    }
    said = [line for line in capsys.readouterr().out.splitlines() if "5s-b" not in line or "except" in line]
    _, counted, deleted, how, _, _, last, _, except_for = said
    assert counted == "2 of 7 measurements of 6 cells"
    assert deleted.startswith(
        "deleted: 2 measurements of 2 cells, and 1 failed hearing of silence, 1 failed profile of theirs; run the same"
    )
    assert how == "snakemake --cores all --resources gpu=1"
    assert last.startswith("deleted: 1 measurement of 1 cell; run the same command as before")
    assert except_for == "except for 1 that the study no longer has, such as gone/fp32/cpu/5s-b1/lap1"
    list_cells.main([str(results), "--status", "oom", "--delete"])
    assert capsys.readouterr().out == "0 of 4 measurements of 3 cells\n"


LAYOUT, LOAD = "whisper-base/fp32/cpu/2x1", "whisper-base/fp32/cpu"


def write_layout(results: Path, lap: int, **changes: Any) -> Path:
    """Write the record of a layout in a lap, without passes."""
    told: dict[str, Any] = {"status": "ok", "measured_at": NOW.isoformat(), "machine_id": "0123456789ab"} | changes
    model, variant, device, _ = LAYOUT.split("/")
    told |= {"model": model, "variant": variant, "device": device, "weights": "pretrained", "options": {}, "lap": lap}
    told |= {"duration_s": 5, "batch_size": 1, "processes": 2, "threads": 1, "seed": 42}
    path = results / "layouts" / LAYOUT / f"lap{lap}.parquet"
    parquet.save(path, pa.Table.from_pylist([], schema=LAYOUT_PASSES), vars(LayoutHeader(**told)))
    return path


def write_load(results: Path, **changes: Any) -> Path:
    """Write the record of a load test."""
    told = load_header(**{"measured_at": NOW.isoformat(), "machine_id": "0123456789ab"} | changes)
    path = results / "load" / f"{LOAD}.parquet"
    parquet.save(path, pa.Table.from_pylist(rows_of(vars(told), ()), schema=RECORD), vars(told))
    return path


@pytest.fixture
def further(results: Path) -> Path:
    """The results with a layout that failed in one of two laps, and a load test that found no capacity."""
    write_layout(results, 1)
    write_layout(results, 2, status="oom", reason="process 2 of 2: no room", node="node3")
    write_load(results, status="unconverged", reason="give load.minutes more")
    return results


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--what", "load"], ["load/whisper-base/fp32/cpu"]),
        (["--what", "layout", "load", "--status", "failed"], ["fp32/cpu/2x1/lap2"]),
        (["--what", "layout", "--lap", "1"], ["fp32/cpu/2x1"]),
        (["--status", "unconverged"], ["load/whisper-base/fp32/cpu"]),
        (["--status", "oom", "--machine", "node3"], ["fp32/cpu/2x1/lap2", "fp32/cpu/5s-b4"]),
        (["--what", "load", "--model", "gone"], []),
    ],
)
def test_layouts_and_load_tests_are_listed_too(
    further: Path, capsys: pytest.CaptureFixture[str], options: list[str], found: list[str]
) -> None:
    assert listed(capsys, further, *options) == found


def test_lines_say_whether_they_are_of_a_cell(further: Path, capsys: pytest.CaptureFixture[str]) -> None:
    list_cells.main([str(further)])
    heading, *rows, counted = capsys.readouterr().out.splitlines()
    assert heading.split()[:3] == ["what", "cell", "lap"]
    assert [row.split()[:4] for row in rows if not row.startswith("cell ")] == [
        ["load", LOAD, "unconverged", f"{NOW.astimezone():%Y-%m-%d}"],
        ["layout", LAYOUT, "1", "ok"],
        ["layout", LAYOUT, "2", "oom"],
    ]
    assert counted == "7 of 7 measurements of 6 cells; 2 of 2 measurements of 1 layout; 1 of 1 load test"


def test_deleting_layouts_and_load_tests_says_so(further: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = json.loads((further / "study.json").read_text())
    asked |= {"layouts": [{"processes": 2, "threads": 1, "devices": ["cpu"]}], "load": {}}
    (further / "study.json").write_text(json.dumps(validation.with_defaults(asked, "t.yaml").as_json()))
    before = sorted(further.rglob("*.parquet"))
    list_cells.main([str(further), "--what", "layout", "load", "--delete"])
    assert len(before) - len(list(further.rglob("*.parquet"))) == 3
    *_, deleted, command = capsys.readouterr().out.splitlines()
    assert deleted.startswith("deleted: 2 measurements of 1 layout, 1 load test; run the same command as before")
    assert command == list_cells.RERUN, "the study has all of them"


@pytest.mark.parametrize(("status", "stays"), [("oom", False), ("unreadable", False), ("unconverged", True)])
def test_a_cell_takes_what_else_has_failed_along(
    further: Path, capsys: pytest.CaptureFixture[str], status: str, stays: bool
) -> None:
    load = further / "load" / f"{LOAD}.parquet"
    if status == "unreadable":
        load.write_bytes(b"broken")
    else:
        write_load(further, status=status, reason="as its cell", measured_at=NOW.isoformat())
    list_cells.main([str(further), "--status", "oom", "--lap", "1", "--delete"])
    assert load.exists() is stays
    assert (further / "layouts" / LAYOUT / "lap1.parquet").exists()
    assert not (further / "layouts" / LAYOUT / "lap2.parquet").exists()
    failed = "1 failed layout" if stays else "1 failed layout, 1 failed load test"
    assert f"deleted: 1 measurement of 1 cell, and {failed} of theirs; run" in capsys.readouterr().out


def test_records_of_another_protocol_are_refused_by_name(results: Path) -> None:
    old = write(results, "whisper-base/fp32/cpu/5s-b1")
    with pytest.raises(AsrmeterError, match=rf"^{old}: was measured by protocol 1"):
        list_cells.main([str(results)])


def test_deleting_all_needs_the_option(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        list_cells.main([str(results), "--delete"])
    assert "without a filter would delete every measurement; add --all" in capsys.readouterr().err
    assert len(listed(capsys, results)) == 7
    (results / "study.json").unlink()
    assert len(listed(capsys, results, "--delete", "--all")) == 7
    assert listed(capsys, results) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"measured_at": "yesterday"}, 'cannot be used: measured_at is "yesterday", not a time; delete it and run'),
        ({"measured_at": None}, "its header does not say when it was measured; delete it and run again"),
        ({"batch_size": "two"}, 'cannot be used: batch_size is the text "two", not a whole number; delete it'),
    ],
)
def test_invalid_header_is_unreadable(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    path = write(tmp_path, "m/fp32/cpu/5s-b1/lap1")
    table = pq.read_table(path)
    parquet.save(path, table, parquet.header_of(table) | changes)
    (found,) = query.find_records(tmp_path)
    assert found.status == "unreadable"
    assert found.reason.startswith(reason)


def test_mistake_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AsrmeterError, match="has no measurements; give the results folder of a run"):
        list_cells.main([str(tmp_path)])
    with pytest.raises(SystemExit):
        list_cells.main([str(tmp_path), "--older-than", "soon"])
    assert "soon is neither an age (30m, 12h, 7d, 2w) nor a time" in capsys.readouterr().err
