"""A record with a value that nobody measured is named and left out; all other cells stay as they are."""

import copy
import json
import math
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_tables import FLOPS, PASSES, STUDY, a_header, a_pass, no_archive

import bottlenecks
from asrmeter.analysis import cells_table
from asrmeter.analysis.columns import CELLS
from asrmeter.analysis.table_rows import CELL_KEY
from asrmeter.common import parquet, quantities
from asrmeter.common.errors import AsrmeterError
from asrmeter.records import cell_record
from asrmeter.records.flops_rows import FLOPS as FLOPS_SCHEMA
from asrmeter.records.machine_peaks import PEAK_RATES
from asrmeter.records.operator_rows import OPERATORS
from asrmeter.study import grid

GOOD, OTHER = "whisper-base", "wav2vec2-base-960h"
JSON = a_header(
    GOOD,
    started_at_s=1.7e9,
    measured_at="2026-03-01T10:00:00+00:00",
    clock_jump_s=-0.1,
    check_cpu_s=0.1,
    memory_bytes=8 * 2**30,
    versions={"torch": "2.8.0"},
).to_json()
JSON["events"]["latency"] |= {"watch": {"mean": {"steal_share": 0.0}, "worst": {"n_throttle_events": 0}}}
JSON["events"]["ready"] |= {"decoding": {"num_beams": 1}, "threads": 2, "versions": {"torch": "2.8.0"}}
# What decides which study, corpus or model a record is of: another value is refused, as ever.
IDENTITY = {"model", "variant", "device", "duration_s", "batch_size", "threads", "seed", "protocol", "options"}
IDENTITY |= {
    "lap",
    "target",
    "max_passes",
    "budget_s",
    "minutes",
    "energy_window_s",
    "corpus",
    "model_key",
    "corpus_key",
}
IDENTITY |= {"corpus_sha256", "weights_sha256"}
REFUSED = ("belongs to another study", "were measured on different")


def path_of(measurements: Path, model: str = GOOD) -> Path:
    return measurements / f"{model}/fp32/cpu/5s-b2/lap1.parquet"


def written(measurements: Path, header: Any, passes: Any) -> Path:
    """Write both cells; the header and the passes of the first are as they are given, and sealed."""
    path = path_of(measurements)
    cell_record.write(path_of(measurements, OTHER), a_header(OTHER), PASSES)
    cell_record.write(path, a_header(GOOD), PASSES)
    table = passes if isinstance(passes, pa.Table) else pa.Table.from_pylist(passes, schema=cell_record.SCHEMA)
    parquet.save(path, table, header)
    return path


def rows_of(header: dict[str, Any], passes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{field.name: header.get(field.name) for field in cell_record.CELL_FIELDS} | entry for entry in passes]


def gathered(measurements: Path) -> list[dict[str, Any]]:
    made = cells_table.gather(STUDY, measurements, no_archive, FLOPS)
    assert {row["model"] for row in made["passes"].to_pylist()} <= {GOOD, OTHER}
    return [of_its_own(row) for row in made["cells"].to_pylist()]


def of_its_own(row: dict[str, Any]) -> dict[str, Any]:
    """Return a cell without what all cells of its device tell: how they scatter, and what follows from that."""
    shared = ("pass_scatter", "noise_floor", "common_scatter", "control_slope", "time_factor")
    return {name: value for name, value in row.items() if not name.startswith(shared)}


def changed(place: str, value: Any, content: Any = None) -> Any:
    """Return the header with another value in a place such as `events.ready`; a dict stays in what was made of it."""
    header = copy.deepcopy(JSON if content is None else content)
    *path, last = place.split(".")
    inner = header
    for key in path:
        inner = inner[int(key) if isinstance(inner, list) else key]
    inner[int(last) if isinstance(inner, list) else last] = value
    return header


def in_pass(name: str, value: Any) -> list[dict[str, Any]]:
    """Return the passes with another value in one of those that count."""
    return [entry | ({name: value} if place == 2 else {}) for place, entry in enumerate(PASSES)]


@pytest.fixture
def unharmed(tmp_path: Path) -> dict[str, Any]:
    written(tmp_path / "unharmed", JSON, rows_of(JSON, PASSES))
    other, good = gathered(tmp_path / "unharmed")
    assert (good["status"], other["status"]) == ("unconverged", "unconverged"), "one lap has no interval"
    return other


HEADERS = [
    ("started_at_s", math.nan),
    ("started_at_s", 1e300),
    ("started_at_s", "early"),
    ("measured_at", "yesterday"),
    ("measured_at", "2026-03-01T10:00:00"),
    ("memory_bytes", 10**30),
    ("memory_bytes", "much"),
    ("memory_bytes", -5),
    ("memory_bytes", True),
    ("clock_jump_s", math.inf),
    ("segments", None),
    ("segments", [{"segment_id": "a"}]),
    ("segments.0.text", None),
    ("segments.0.audio_s", -4.0),
    ("segments.1.segment_id", "a"),
    ("events", "a text"),
    ("events", [1]),
    ("events.energy.windows.0.n_passes", 0),
    ("events.energy.windows.0.cpu_j", -1e9),
    ("events.energy.windows.0.cpu_j", math.nan),
    ("events.energy.windows", 5),
    ("events.energy.windows.0", "window"),
    ("events.memory.peak_rss_bytes", "large"),
    ("events.memory.peak_rss_bytes", 1.5),
    ("events.ready.startup_cpu_s", -math.inf),
    ("events.ready.decoding.num_beams", math.nan),
    ("events.latency.n_rounds", "two"),
    ("events.latency.watch.mean", [0.1]),
    ("events.latency.watch.worst.n_throttle_events", 0.5),
    ("status", "<script>alert(1)</script>"),
    ("status", "measured"),
    ("status", None),
    ("weights", "stolen"),
    ("family", 5),
    ("before", None),
    ("versions", {"torch": 2}),
    ("reason", ["late"]),
]
PASSED = [
    ("latency_s", math.nan),
    ("latency_s", math.inf),
    ("latency_s", 0.0),
    ("latency_s", -1.0),
    ("latency_s", 1e308),
    ("latency_s", 5e-324),
    ("latency_s", None),
    ("audio_s", 0.0),
    ("audio_s", math.nan),
    ("encoder_s", -0.1),
    ("decoder_s", math.inf),
    ("texts", None),
    ("texts", ["five", None]),
    ("texts", ["five"]),
    ("n_tokens", [-5, 1]),
    ("n_tokens", [1]),
    ("processed_s", [math.nan, 1.0]),
    ("n_decoder_runs", -1),
    ("segment_ids", None),
    ("segment_ids", ["a", "5s-003"]),
    ("segment_ids", ["a", None]),
    ("round", None),
    ("batch", None),
    ("phase", None),
    ("started_at_s", 1e300),
]


def assert_left_out(path: Path, field: str, unharmed: dict[str, Any]) -> None:
    other, good = gathered(path.parents[4])
    assert other == unharmed
    assert good["status"] == "unreadable"
    assert str(path) in good["reason"] and field in good["reason"]
    assert good["reason"].endswith("delete it and run again")
    filled = {name for name, value in good.items() if value is not None}
    assert filled == {*IDENTITY & {"model", "variant", "device", "duration_s", "batch_size"}, "study", "weights"} | {
        "status",
        "reason",
    }


@pytest.mark.parametrize(("place", "value"), HEADERS)
def test_a_header_with_a_value_that_cannot_be_is_left_out(
    tmp_path: Path, unharmed: dict[str, Any], place: str, value: Any
) -> None:
    header = changed(place, value)
    passes = rows_of(header, PASSES) if place not in ("status", "reason", "weights") else rows_of(JSON, PASSES)
    path = written(tmp_path, header, passes)
    assert_left_out(path, place.rpartition(".")[2] if not place[-1].isdigit() else place.split(".")[-2], unharmed)


@pytest.mark.parametrize(("name", "value"), PASSED)
def test_a_pass_with_a_value_that_cannot_be_is_left_out(
    tmp_path: Path, unharmed: dict[str, Any], name: str, value: Any
) -> None:
    assert_left_out(written(tmp_path, JSON, rows_of(JSON, in_pass(name, value))), name, unharmed)


def of_nothing_timed() -> tuple[Any, Any]:
    return JSON, rows_of(JSON, PASSES[:1])


def of_another_cell() -> tuple[Any, Any]:
    return JSON, rows_of(JSON | {"model": "another"}, PASSES)


def with_text_for_a_number() -> tuple[Any, Any]:
    table = pa.Table.from_pylist(rows_of(JSON, PASSES), schema=cell_record.SCHEMA)
    place = table.column_names.index("latency_s")
    return JSON, table.set_column(place, "latency_s", pa.array(["1.0"] * len(PASSES)))


def without_a_column() -> tuple[Any, Any]:
    table = pa.Table.from_pylist(rows_of(JSON, PASSES), schema=cell_record.SCHEMA)
    return JSON, table.drop_columns(["audio_s"])


def nested() -> tuple[Any, Any]:
    inner: list[Any] = []
    for _ in range(500):
        inner = [inner]
    return changed("events.ready.decoding", {"deep": inner}), rows_of(JSON, PASSES)


def without_a_round() -> tuple[Any, Any]:
    uneven = [a_pass(1.0, ["a", "b"], ["x", "y"]) | {"round": n, "batch": n} for n in range(3)]
    return JSON, rows_of(JSON, uneven)


@pytest.mark.parametrize(
    ("made", "field"),
    [
        (of_nothing_timed, "no round of passes was timed"),
        (without_a_round, "no round of passes was timed"),
        (of_another_cell, "model is another in its passes"),
        (with_text_for_a_number, "latency_s has values of the type string"),
        (without_a_column, "audio_s is null"),
        (nested, "nested too deeply"),
        (lambda: ([1, 2], rows_of(JSON, PASSES)), "cannot be read as a cell"),
        (lambda: ({}, rows_of(JSON, PASSES)), "not that of a cell"),
        (lambda: (JSON, pa.table({"x": [1]})), "another in its passes"),
    ],
)
def test_a_record_that_does_not_hold_together_is_left_out(
    tmp_path: Path, unharmed: dict[str, Any], made: Callable[[], tuple[Any, Any]], field: str
) -> None:
    assert_left_out(written(tmp_path, *made()), field, unharmed)


def damaged(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replaced_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("harm", [damaged, emptied, piped, replaced_by_folder])
def test_a_file_that_cannot_be_read_is_left_out_and_named(
    tmp_path: Path, unharmed: dict[str, Any], harm: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    path = written(tmp_path, JSON, rows_of(JSON, PASSES))
    harm(path)
    other, good = gathered(tmp_path)
    assert (other, good["status"]) == (unharmed, "unreadable")
    assert good["reason"].startswith(f"{path}: ")
    assert caplog.messages == [f"left out: {good['reason']}"]


def test_a_record_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    written(tmp_path, JSON, rows_of(JSON, PASSES)).unlink()
    with pytest.raises(AsrmeterError, match="No such file"):
        gathered(tmp_path)


# Profiles and the rates of machines

CELL = grid.Cell(GOOD, "fp32", "cpu", 5, 2)


def profile_row(**changes: Any) -> dict[str, Any]:
    named = {name: getattr(CELL, name) for name in CELL_KEY} | {"weights": "pretrained", "status": "ok"}
    told = {"repeat": 0, "stage": "encoder", "group": "matmul", "operator": "addmm", "n_calls": 3, "cpu_share": 0.5}
    times = {"cpu_self_s": 0.5, "pass_s": 1.0, "plain_pass_s": 0.9, "overhead": 0.1, "covered": 0.99}
    return dict.fromkeys(OPERATORS.names) | named | told | times | changes


@pytest.mark.parametrize(
    ("changes", "header", "field"),
    [
        ({"cpu_share": -1.0}, {}, "cpu_share is -1.0"),
        ({"cpu_share": 2.0}, {}, "cpu_share is 2.0"),
        ({"pass_s": math.nan}, {}, "pass_s is nan"),
        ({"n_calls": -3}, {}, "n_calls is -3"),
        ({"group": "<script>"}, {}, 'group is "<script>", which is not known'),
        ({"status": "fine"}, {}, 'status is "fine"'),
        ({}, {"seed": "early"}, 'seed is the text "early", not a whole number'),
        (None, {}, "it has no row"),
    ],
)
def test_a_profile_with_a_value_that_cannot_be_is_left_out(
    tmp_path: Path, changes: dict[str, Any] | None, header: dict[str, Any], field: str
) -> None:
    good, bad = (tmp_path / "profiles" / f"{GOOD}/fp32/cpu/{name}.parquet" for name in ("5s-b1", "5s-b2"))
    parquet.save(good, pa.Table.from_pylist([profile_row(batch_size=1)], schema=OPERATORS))
    rows = [] if changes is None else [profile_row(**changes)]
    parquet.save(bad, pa.Table.from_pylist(rows, schema=OPERATORS), header)
    headers, (kept, lost) = bottlenecks.read_profiles([good, bad], [CELL, replace(CELL, batch_size=1)])
    assert list(headers) == [good] and (kept["operator"], kept["profile_coverage"]) == ("addmm", 0.99)
    assert (lost["status"], lost["batch_size"], lost["operator"]) == ("unreadable", 2, None)
    assert str(bad) in lost["reason"] and field in lost["reason"]


@pytest.mark.parametrize("changes", [{"flop_per_s": 0.0}, {"flop_per_s": math.inf}, {"status": "x"}, {"threads": 0}])
def test_rates_with_a_value_that_cannot_be_are_left_out(tmp_path: Path, changes: dict[str, Any]) -> None:
    row = dict.fromkeys(PEAK_RATES.names) | {"machine_id": "m", "device": "cpu", "status": "ok", "flop_per_s": 1e9}
    parquet.save(tmp_path / "a" / "cpu.parquet", pa.Table.from_pylist([row], schema=PEAK_RATES))
    parquet.save(tmp_path / "b" / "cpu.parquet", pa.Table.from_pylist([row | changes], schema=PEAK_RATES))
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "cuda.parquet").write_bytes(b"no")
    kept, lost, damaged_one = bottlenecks.read_ceilings(tmp_path)
    assert kept == row
    assert (lost["status"], lost["machine_id"], lost["flop_per_s"]) == ("unreadable", "b", None)
    assert next(iter(changes)) in lost["reason"]
    assert (damaged_one["status"], damaged_one["device"]) == ("unreadable", "cuda")


# Any value in any place


def places(content: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in inner:
        yield (*place, str(key))
        yield from places(value, (*place, str(key)))


EXTREMES = st.sampled_from(
    [
        *(math.nan, math.inf, -math.inf, 0, 0.0, -1, -1e9, 1e308, 5e-324, 10**30, 2**63, 1e-3, 3, True, None, ""),
        *("x", "\x1b\u202e", "\ud800", "x" * 100_000, [], [None], {"a": math.nan}, [[[]]], ["a"] * 50, {"path": "x"}),
    ]
)
HEADER_PLACES = [place for place in places(JSON) if place[0] not in IDENTITY]
COLUMNS = [field.name for field in cell_record.PASS_FIELDS]


def arrays(name: str, value: Any) -> pa.Table | None:
    """Return the passes with a value in one row of a column, or in all rows if its type cannot have it."""
    try:
        return pa.Table.from_pylist(rows_of(JSON, in_pass(name, value)), schema=cell_record.SCHEMA)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        table = pa.Table.from_pylist(rows_of(JSON, PASSES), schema=cell_record.SCHEMA)
    try:
        return table.set_column(table.column_names.index(name), name, pa.array([value] * len(PASSES)))
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return None


def assert_sound(measurements: Path, unharmed: dict[str, Any]) -> None:
    """Assert that the other cell is as it was, and that no figure of this one is a number that cannot be."""
    try:
        made = cells_table.gather(STUDY, measurements, no_archive, FLOPS)
    except AsrmeterError as error:
        assert any(said in str(error) for said in REFUSED)
        return
    other, good = made["cells"].to_pylist()
    assert of_its_own(other) == unharmed
    for name in parquet.numbers_of(CELLS):
        assert quantities.impossible(name, [good[name]]) is None, (name, good[name])
    if good["status"] == "unreadable":
        return
    parquet.write(made, measurements / "tables")
    study, flops = measurements / "study.json", measurements / "flops.parquet"
    study.write_text(json.dumps(STUDY.as_json()))
    (measurements / "ceilings").mkdir(exist_ok=True)
    cells = measurements / "tables" / "cells.parquet"
    parquet.save(flops, pa.Table.from_pylist(FLOPS, schema=FLOPS_SCHEMA))
    folders = ["--ceilings", str(measurements / "ceilings"), "--output-folder", str(measurements / "tables")]
    bottlenecks.main(["--study", str(study), "--cells", str(cells), "--flops", str(flops), *folders])


ANY = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)


@ANY
@given(place=st.sampled_from(HEADER_PLACES), value=EXTREMES)
def test_any_value_in_a_header_harms_no_other_cell(
    tmp_path: Path, unharmed: dict[str, Any], place: tuple[str, ...], value: Any
) -> None:
    header = changed(".".join(place), value)
    written(tmp_path, header, rows_of(JSON, PASSES))
    assert_sound(tmp_path, unharmed)


@ANY
@given(name=st.sampled_from(COLUMNS), value=EXTREMES)
def test_any_value_in_any_pass_harms_no_other_cell(
    tmp_path: Path, unharmed: dict[str, Any], name: str, value: Any
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of arithmetic
        if (table := arrays(name, value)) is not None:
            written(tmp_path, JSON, table)
            assert_sound(tmp_path, unharmed)


def test_what_utf_8_cannot_store_is_escaped_in_a_record(tmp_path: Path) -> None:
    header = a_header(GOOD, reason="caf\udce9.wav \ud83d", started_at_s=1.7e9)
    path = tmp_path / "5s-b2.parquet"
    cell_record.write(path, header, [a_pass(1.0, ["a", "b"], ["one \ud800", "naïve 👍"])])
    read, (entry,) = cell_record.read(path)
    assert read.reason == "caf\\udce9.wav \\ud83d"
    assert entry["texts"] == ["one \\ud800", "naïve 👍"]
