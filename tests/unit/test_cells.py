"""List cells by status, age and more; delete them so that they are measured again."""

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
from asrmeter.records import cell_record, query
from asrmeter.study import grid, ownership, validation
from helpers.records import header

NOW = datetime.datetime.now(datetime.UTC)


def write(results: Path, cell: str, status: str = "ok", age_h: float = 1, **changes: Any) -> Path:
    """Write the record of a cell as the measuring parent does."""
    measured_at = (NOW - datetime.timedelta(hours=age_h)).isoformat(timespec="seconds")
    told = {"machine_id": "0123456789ab", "cpu_name": "Example CPU", "measured_at": measured_at} | changes
    path = results / "measurements" / f"{cell}.parquet"
    cell_record.write(path, header(status=status, **told), [])
    return path


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Five cells of a study of six, and one that the study no longer has."""
    write(tmp_path, "whisper-base/fp32/cpu/5s-b1", age_h=200)
    write(tmp_path, "whisper-base/fp32/cpu/5s-b4", "oom", 3, reason="MemoryError: no room", node="node3")
    write(tmp_path, "whisper-base/fp32/cuda/5s-b1", age_h=0.01, events={"ready": {"gpu_name": "Example GPU"}})
    write(tmp_path, "whisper-base/fp32/cuda/5s-b4", "killed", protocol=2, machine_id="ba9876543210", reason="SIGKILL")
    broken = tmp_path / "measurements" / "whisper-base" / "fp32" / "cpu" / "5s-b16.parquet"
    broken.write_bytes(b"broken")
    write(tmp_path, "gone/fp32/cpu/5s-b1", "unconverged", age_h=30)
    asked = {"name": "t", "models": {"whisper-base": {}}, "devices": ["cpu", "cuda"], "durations_s": [5]}
    asked |= {"batch_sizes": [1, 4, 16], "protocol": {"aa_pairs": 0}}
    (tmp_path / "study.json").write_text(json.dumps(validation.with_defaults(asked, "t.yaml").as_json()))
    assert len(grid.execution_order(ownership.read(tmp_path / "study.json"))) == 6
    return tmp_path


def listed(capsys: pytest.CaptureFixture[str], results: Path, *options: str) -> list[str]:
    list_cells.main([str(results), "--files", *options])
    paths = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert all(path.is_file() for path in paths) or "--delete" in options
    return sorted("/".join(path.with_suffix("").parts[-3:]) for path in paths)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--status", "oom", "killed"], ["fp32/cpu/5s-b4", "fp32/cuda/5s-b4"]),
        (["--status", "failed"], ["fp32/cpu/5s-b16", "fp32/cpu/5s-b4", "fp32/cuda/5s-b4"]),
        (["--status", "unreadable"], ["fp32/cpu/5s-b16"]),
        (["--older-than", "7d"], ["fp32/cpu/5s-b1"]),
        (["--older-than", "2h", "--newer-than", "1w"], ["fp32/cpu/5s-b1", "fp32/cpu/5s-b4"]),
        (
            ["--newer-than", f"{NOW - datetime.timedelta(minutes=30):%Y-%m-%dT%H:%M%z}"],
            ["fp32/cpu/5s-b16", "fp32/cuda/5s-b1"],
        ),
        (["--machine", "ba9876543210"], ["fp32/cuda/5s-b4"]),
        (["--machine", "node3", "node4"], ["fp32/cpu/5s-b4"]),
        (["--protocol", "2"], ["fp32/cuda/5s-b4"]),
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
    assert counted == "6 of 6 cells"
    assert [row.split()[0] for row in rows[:3]] == [
        "whisper-base/fp32/cpu/5s-b1",
        "gone/fp32/cpu/5s-b1",
        "whisper-base/fp32/cpu/5s-b4",
    ]
    out_of_memory = next(row for row in rows if " oom " in row)
    for said in ("  3 h  ", "0123456789ab  node3  1 ", "Example CPU", "MemoryError: no room"):
        assert said in out_of_memory
    assert [row for row in rows if "Example GPU" in row and "cuda/5s-b1" in row]
    (broken,) = [row for row in rows if " unreadable " in row]
    assert "cannot be read as a cell (" in broken and broken.endswith("; delete it and run again")
    list_cells.main([str(results), "--model", "gone"])
    heading, *_, counted = capsys.readouterr().out.splitlines()
    assert "node" not in heading
    assert counted == "1 of 6 cells"


def test_delete_removes_the_listed_cells_and_failed_profiles(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for cell, status in (("cpu/5s-b4", "oom"), ("cuda/5s-b4", "ok"), ("cpu/5s-b1", "timeout")):
        profile = results / "profiles" / "whisper-base" / "fp32" / f"{cell}.parquet"
        profile.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"status": [status]}), profile)
        profile.with_suffix(".trace.json.gz").touch()
    before = {path for path in results.rglob("*") if path.is_file()}
    list_cells.main([str(results), "--status", "oom", "killed", "unconverged", "--delete"])
    gone = {str(path.relative_to(results)) for path in before if not path.exists()}
    records = ("whisper-base/fp32/cpu/5s-b4", "whisper-base/fp32/cuda/5s-b4", "gone/fp32/cpu/5s-b1")
    assert gone == {f"measurements/{cell}.{ending}" for cell in records for ending in ("parquet", "json")} | {
        "profiles/whisper-base/fp32/cpu/5s-b4.parquet",
        "profiles/whisper-base/fp32/cpu/5s-b4.trace.json.gz",
    }
    said = capsys.readouterr().out.splitlines()[-4:]
    assert said[0] == "3 of 6 cells"
    assert said[1].startswith("deleted: 3 cells, and the failed profiles of 1 of them; run the same command as before")
    assert said[2] == "snakemake --cores all --resources gpu=1"
    assert said[3] == "except for 1 that the study no longer has, such as gone/fp32/cpu/5s-b1"
    list_cells.main([str(results), "--status", "oom", "--delete"])
    assert capsys.readouterr().out == "0 of 3 cells\n"


def test_deleting_all_needs_the_option(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        list_cells.main([str(results), "--delete"])
    assert "without a filter would delete every cell; add --all" in capsys.readouterr().err
    assert len(listed(capsys, results)) == 6
    (results / "study.json").unlink()
    assert len(listed(capsys, results, "--delete", "--all")) == 6
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
    path = write(tmp_path, "m/fp32/cpu/5s-b1")
    table = pq.read_table(path)
    parquet.save(path, table, parquet.header_of(table) | changes)
    found = query.read_record(path)
    assert found.status == "unreadable"
    assert found.reason.startswith(reason)


def test_mistake_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AsrmeterError, match="has no measurements; name the results folder of a run"):
        list_cells.main([str(tmp_path)])
    with pytest.raises(SystemExit):
        list_cells.main([str(tmp_path), "--older-than", "soon"])
    assert "soon is neither an age (30m, 12h, 7d, 2w) nor a time" in capsys.readouterr().err
