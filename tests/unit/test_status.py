"""What the files beside records say: status, tries, batches that ran out of memory, records of an older protocol."""

import json
from pathlib import Path
from typing import Any

import pytest

from asrmeter.common.errors import AsrmeterError
from asrmeter.records import cell_record, status
from helpers.records import header


def written(folder: Path, sitting: str, **changes: Any) -> Path:
    path = folder / f"{sitting}.parquet"
    cell_record.write(path, header(**changes), [])
    return path


def test_laps_are_found_in_their_order(tmp_path: Path) -> None:
    paths = {lap: written(tmp_path, f"5s-b1/lap{lap}") for lap in (3, 1)}
    for name in ("lap2.json", "lap10.parquet", "lap1.parquet.part", "other.parquet"):
        (tmp_path / "5s-b1" / name).touch()
    written(tmp_path, "5s-b1/.retry/lap2")
    assert status.laps_of(tmp_path / "5s-b1") == {1: paths[1], 3: paths[3]}
    assert list(status.laps_of(tmp_path / "5s-b1")) == [1, 3]
    assert status.laps_of(tmp_path / "5s-b2") == {}


def test_a_smaller_batch_without_memory_is_found_in_any_lap(tmp_path: Path) -> None:
    def smaller(sitting: str) -> int | None:
        return status.smaller_out_of_memory(tmp_path / f"{sitting}.parquet")

    assert smaller("5s-b4/lap1") is None
    written(tmp_path, "5s-b2/lap1", status="ok")
    written(tmp_path, "5s-b1/lap1", status="killed")
    written(tmp_path, "15s-b1/lap1", status="oom")
    assert smaller("5s-b4/lap1") is None
    written(tmp_path, "5s-b2/lap2", status="oom")
    written(tmp_path, "5s-b8/lap1", status="oom")
    assert (smaller("5s-b4/lap1"), smaller("5s-b16/lap3")) == (2, 2)
    assert smaller("5s-b2/lap1") is smaller("5s-b1/lap2") is None


@pytest.mark.parametrize("harm", [lambda content: b"", lambda content: content[:-1], lambda content: content + b"x"])
def test_a_damaged_sibling_has_no_status(tmp_path: Path, harm: Any) -> None:
    path = written(tmp_path, "5s-b2/lap1", status="oom")
    path.write_bytes(harm(path.read_bytes()))
    assert status.status(path) is None and status.n_tries(path) == 0
    assert status.smaller_out_of_memory(tmp_path / "5s-b4" / "lap1.parquet") is None


def test_tries_stay_with_the_record_that_they_left(tmp_path: Path) -> None:
    path = written(tmp_path, "5s-b2/lap1")
    before = path.read_bytes()
    assert (status.n_tries(path), status.tries(path)) == (1, {})
    status.note_try(path, 2, "begun")
    status.note_try(path, 2, "as slow")
    status.note_try(path, 3, "as slow as well")
    assert (status.n_tries(path), status.tries(path)) == (3, {"2": "as slow", "3": "as slow as well"})
    assert path.read_bytes() == before and status.status(path) == "ok"
    written(tmp_path, "5s-b2/lap1", seed=7)
    assert (status.n_tries(path), status.tries(path)) == (1, {})


def test_a_record_says_which_try_it_is(tmp_path: Path) -> None:
    path = written(tmp_path, "5s-b2/lap1")
    beside = json.loads(status.json_of(path).read_text())
    status.json_of(path).write_text(json.dumps(beside | {"header": beside["header"] | {"attempt": 2}}))
    assert status.n_tries(path) == 2
    status.note_try(path, 3, "as slow")
    assert status.n_tries(path) == 3


@pytest.mark.parametrize("told", [{"tries": 5}, {"tries": None}, {"header": []}, {"header": {"attempt": "two"}}])
def test_tries_of_anybody_are_none(tmp_path: Path, told: dict[str, Any]) -> None:
    path = written(tmp_path, "5s-b2/lap1")
    beside = json.loads(status.json_of(path).read_text())
    status.json_of(path).write_text(json.dumps(beside | told))
    assert status.n_tries(path) in (0, 1) and status.tries(path) == {}


def test_of_a_damaged_record_no_try_is_noted(tmp_path: Path) -> None:
    path = written(tmp_path, "5s-b2/lap1")
    path.write_bytes(b"damaged")
    before = status.json_of(path).read_bytes()
    status.note_try(path, 2, "as slow")
    assert status.json_of(path).read_bytes() == before
    status.note_try(tmp_path / "none.parquet", 2, "as slow")
    assert not status.json_of(tmp_path / "none.parquet").exists()


@pytest.mark.parametrize("name", ["5s-b1", "30s-b16-again"])
def test_records_of_protocol_1_are_refused_by_name(tmp_path: Path, name: str) -> None:
    results = tmp_path / "results"
    status.check_protocol(results)
    written(results / "measurements" / "m" / "fp32" / "cpu", "5s-b1/lap1")
    status.check_protocol(results)
    old = written(results / "measurements" / "m" / "fp32" / "cpu", name)
    with pytest.raises(AsrmeterError) as caught:
        status.check_protocol(results)
    assert str(caught.value) == (
        f"{old}: was measured by protocol 1, and this version measures in laps; delete {results}/measurements and run "
        f"again, or keep it and give the study another folder (results: {results}-2)"
    )
