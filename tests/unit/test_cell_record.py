"""The record of a sitting: what it keeps, and which it refuses."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from asrmeter.common import parquet
from asrmeter.common.errors import AsrmeterError
from asrmeter.records import cell_record
from asrmeter.records.events import Control, Latency, Speed, Spent
from helpers.records import header

SEGMENT = {"segment_id": "a", "audio_s": 5.0, "text": "x"}
LISTS = {"segment_ids": ["a"], "texts": ["x"], "n_tokens": [1], "n_windows": [1], "processed_s": [30.0]}
TIMED = {"phase": "latency", "round": 0, "batch": 0, "latency_s": 1.0, "audio_s": 5.0, **LISTS}
WARM_UP = {"phase": "warmup", "latency_s": 1.0, "audio_s": 5.0, **{name: [] for name in LISTS}}


def written(path: Path, passes: list[dict[str, Any]], **changes: Any) -> Path:
    cell_record.write(path, header(segments=[SEGMENT], **changes), passes)
    return path


def test_a_sitting_is_read_as_it_was_written(tmp_path: Path) -> None:
    speed = Speed(matmul_flop_per_s=1e11, copy_bytes_per_s=1e10)
    events = {
        "control": Control(library="torch 2", device="cpu", n_threads=2, before=speed, after=None, seconds=0.2),
        "latency": Latency(reason="no further round fits into 3 s", n_rounds=1, timed_s=1.0, budget_s=3),
        "spent": Spent(seconds={"load": 0.3, "rounds": 1.0}),
    }
    told = {name: event.to_json() for name, event in events.items()}
    path = written(tmp_path / "lap2.parquet", [WARM_UP, TIMED], lap=2, n_laps=3, attempt=2, job_s=3.0, events=told)
    found, (warm_up, timed) = cell_record.read(path)
    assert found.events == events
    assert (found.lap, found.n_laps, found.attempt, found.job_s) == (2, 3, 2, 3.0)
    assert (warm_up["segment_ids"], warm_up["texts"], warm_up["lap"]) == ([], [], 2)
    assert (timed["segment_ids"], timed["lap"]) == (["a"], 2)


def test_a_record_of_protocol_1_is_refused_by_name(tmp_path: Path) -> None:
    old = header().to_json() | {
        "protocol": 1,
        "stop_rule": {"budget_s": 3},
        "events": {"disturbed": {"converged": True}},
    }
    path = tmp_path / "5s-b1.parquet"
    parquet.save(path, pa.table({"phase": pa.array([None], pa.string())}), old)
    said = f"{path}: was measured by protocol 1, .* reads protocol 2; delete the folder measurements .*results: "
    for read in (cell_record.read, cell_record.read_header):
        with pytest.raises(AsrmeterError, match=said):
            read(path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lap": 0}, "lap is 0, which is impossible"),
        ({"attempt": "two"}, 'attempt is the text "two", not a whole number'),
        ({"events": {"control": {"library": "x", "device": "cpu", "n_threads": 1, "before": {}}}}, "is missing"),
        ({"events": {"latency": {"n_rounds": -1}}}, "n_rounds is -1, which is impossible"),
        ({"events": {"spent": {"seconds": {"load": -2.0}}}}, "load is -2.0, which is impossible"),
    ],
)
def test_what_cannot_be_is_named(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(AsrmeterError, match=said):
        cell_record.read(written(tmp_path / "lap1.parquet", [TIMED], **changes))


def test_the_lap_of_a_pass_is_that_of_its_sitting(tmp_path: Path) -> None:
    path = written(tmp_path / "lap1.parquet", [TIMED])
    table = parquet.opened(path).read()
    at = table.column_names.index("lap")
    other = table.set_column(at, "lap", pa.array([2], pa.int32()))
    parquet.save(path, other, parquet.header_of(table))
    with pytest.raises(AsrmeterError, match="lap is another in its passes than in its header"):
        cell_record.read(path)
