"""What it costs until a first text is there: the columns of cells and sittings, and the table `start`."""

from typing import Any

import pyarrow as pa
import pytest

from asrmeter.analysis import start_table
from asrmeter.analysis.columns import CELL_COLUMNS, CELLS
from asrmeter.analysis.sitting_columns import SITTING_COLUMNS
from asrmeter.common import parquet
from helpers.records import Record, header, measured
from helpers.tables import Cell, cell, failed

PASS = {"phase": "latency", "round": 0, "batch": 0, "latency_s": 1.0, "segment_ids": ["a"], "texts": ["one"]}
PASS |= {"audio_s": 5.0}


def lap(
    number: int, load_s: float | None = 1.0, warm: dict[str, Any] | None = None, timed: bool = True, **told: Any
) -> Record:
    """Return the record of a lap: its model took so long to load, and `warm` is what its warm-up told."""
    ready = {"load_s": load_s, "differences": ["features", "made up"], "instructions": "AVX2", "emulated": False}
    events: dict[str, Any] = {"ready": ready if load_s else {}}
    events |= {"warm": {"first_pass_s": 0.5} | warm} if warm is not None else {}
    events |= {"latency": {"own_cpu_s": 2.0 * number, "wall_s": 2.0}} if timed else {}
    told |= {"status": "ok"} if timed else {"status": "oom", "reason": "no room"}
    return header(lap=number, n_laps=3, events=events, **told), [PASS] if timed else []


def of_cell(name: str, *records: Record, **told: Any) -> Any:
    (value,) = (value for field, value in CELL_COLUMNS if field.name == name)
    return value(measured(*records, **told))


def test_what_laps_took_is_put_together_by_the_median() -> None:
    laps = [lap(one, load_s, {"first_pass_s": load_s / 10}) for one, load_s in ((1, 9.0), (2, 1.0), (3, 2.0))]
    assert of_cell("load_s", *laps) == 2.0
    assert of_cell("first_pass_s", *laps) == pytest.approx(0.2)
    # Threads: 1, 2 and 3.
    assert of_cell("busy_threads", *laps) == pytest.approx(2)


def test_a_lap_that_does_not_count_has_no_part_in_what_it_took() -> None:
    laps = [lap(1, 1.0), lap(2, 3.0), lap(3, 100.0, timed=False)]
    assert of_cell("load_s", *laps) == 2.0
    assert of_cell("load_s", *(lap(one, one, timed=False) for one in (1, 2, 3))) == 2


def test_compiling_with_a_cache_is_a_figure_of_its_own() -> None:
    cold = lap(1, warm={"compile_s": 60.0, "n_compile_cache_hits": 0})
    warm = [lap(one, warm={"compile_s": 2.0 * one, "n_compile_cache_hits": one}) for one in (2, 3)]
    assert of_cell("compile_s", cold, *warm) == 60.0
    assert of_cell("compile_cached_s", cold, *warm) == 5.0
    assert of_cell("n_compile_cache_hits", cold, *warm) == 3
    # Whether anything was in a cache need not be known.
    unknown = lap(1, warm={"compile_s": 7.0})
    assert (of_cell("compile_s", unknown), of_cell("compile_cached_s", unknown)) == (7.0, None)
    assert of_cell("compile_s", *warm) is None


def test_older_records_say_nothing_of_it() -> None:
    old = header(), [PASS]
    names = ("load_s", "first_pass_s", "compile_s", "compile_cached_s", "n_compile_cache_hits", "busy_threads")
    names += ("conversion_format", "conversion_s", "model_bytes", "instructions", "emulated", "differences")
    assert {name: of_cell(name, old) for name in names} == dict.fromkeys(names)


def test_of_a_conversion_there_is_one_record() -> None:
    made = {"format": "ctranslate2-int8", "conversion_s": 8.5, "bytes": 75, "versions": {}}
    laps = [lap(one, conversion=made, model_bytes=75) for one in (1, 2)]
    assert of_cell("conversion_format", *laps) == "ctranslate2-int8"
    assert (of_cell("conversion_s", *laps), of_cell("model_bytes", *laps)) == (8.5, 75)


def test_what_differs_is_said_in_our_words_alone() -> None:
    assert of_cell("differences", lap(1)) == ["features"]
    assert (of_cell("instructions", lap(1)), of_cell("emulated", lap(1))) == ("AVX2", False)
    assert of_cell("equal_settings", lap(1), equal_settings=False) is False


def test_a_sitting_has_its_own() -> None:
    one = measured(lap(2, 4.0, {"compile_s": 3.0, "n_compile_cache_hits": 1})).sittings[0]
    told = {field.name: value(one) for field, value in SITTING_COLUMNS}
    wanted = {"load_s": 4.0, "first_pass_s": 0.5, "compile_s": 3.0, "n_compile_cache_hits": 1, "busy_threads": 2.0}
    assert wanted.items() <= told.items()


def starting(variant: str = "fp32", load_s: float | None = 1.0, **changes: Any) -> Cell:
    told = {"variant": variant, "load_s": load_s, "first_pass_s": 0.25, "fork_server_import_cpu_s": 4.0}
    return cell(**told | {"duration_s": 5, "model_bytes": 290_000_000} | changes)


def rows(*cells: Cell) -> list[dict[str, Any]]:
    return [dict(row) for row in start_table.rows(cells)]


def test_imports_loading_and_a_first_pass_make_a_sum() -> None:
    (row,) = rows(starting(compile_s=0.1, conversion_s=30.0))
    assert (row["imports_cpu_s"], row["load_s"], row["first_pass_s"]) == (4.0, 1.0, 0.25)
    # Compiling is part of the first pass, and converting is done once.
    assert row["first_text_s"] == 5.25
    assert (row["model_bytes"], row["peak_rss_bytes"], row["reason"]) == (290_000_000, cell()["peak_rss_bytes"], None)


def test_without_a_fork_server_loading_holds_the_imports() -> None:
    (row,) = rows(starting(load_s=5.0, fork_server_import_cpu_s=None))
    assert (row["imports_cpu_s"], row["first_text_s"]) == (None, 5.25)


def test_what_an_older_record_does_not_say_makes_no_sum() -> None:
    (row,) = rows(starting(load_s=None))
    assert (row["load_s"], row["first_text_s"]) == (None, None)


def test_variants_are_told_by_their_smallest_common_cell() -> None:
    cells = [starting(duration_s=5, batch_size=1), starting(duration_s=30, batch_size=1, load_s=2.0)]
    cells += [starting("ct2-int8", duration_s=30, batch_size=1), starting("ct2-int8", duration_s=5, batch_size=4)]
    cells += [starting("ct2-int8", duration_s=30, batch_size=4), starting(duration_s=30, batch_size=4)]
    places = [(row["variant"], row["duration_s"], row["batch_size"]) for row in rows(*cells)]
    assert places == [("ct2-int8", 30, 1), ("fp32", 30, 1)]
    assert rows(*cells)[1]["load_s"] == 2.0
    # With nothing in common each is told by its own.
    places = [(row["variant"], row["duration_s"]) for row in rows(cells[0], cells[2])]
    assert places == [("ct2-int8", 30), ("fp32", 5)]


def test_what_was_not_measured_says_why_and_holds_nobody_back() -> None:
    lost = [failed(starting("fp16", duration_s=one), "unsupported", "no float16 on this processor") for one in (5, 30)]
    told = rows(starting(), *lost)
    assert [(row["variant"], row["duration_s"], row["reason"]) for row in told] == [
        ("fp16", None, "no float16 on this processor"),
        ("fp32", 5, None),
    ]
    assert told[0]["first_text_s"] is None


def test_another_machine_is_not_compared() -> None:
    cells = [starting(), starting(duration_s=30), starting("ct2-int8", machine_id="other", load_s=9.0)]
    (row,) = (row for row in rows(*cells) if row["variant"] == "ct2-int8")
    assert (row["load_s"], row["reason"]) == (None, "measured on other hardware")


def test_the_table_is_read_as_it_was_written(tmp_path: Any) -> None:
    cells = pa.Table.from_pylist([starting(), starting("ct2-int8")], schema=CELLS)
    parquet.write({"start": start_table.table({"cells": cells})}, tmp_path)
    read = start_table.read(tmp_path / "start.parquet")
    assert [dict(row) for row in read] == start_table.rows(cells.to_pylist())
