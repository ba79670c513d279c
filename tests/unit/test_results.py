"""Rows of the cells table as settings."""

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from asrmeter.analysis.columns import CELLS, TRANSCRIPTS
from asrmeter.analysis.hardware import split_by_hardware
from asrmeter.analysis.results import results_of
from asrmeter.analysis.table_rows import TRANSCRIPT_KEY, read_rows
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.stats import Estimate
from helpers.tables import CELL_COLUMNS, cell, transcripts_of, write_tables


def test_result_has_a_wer_unless_random_or_not_scored() -> None:
    one = cell(wer=0.06, wer_ci_low=0.05, wer_ci_high=0.08)
    assert results_of([one])[0].wer == Estimate(0.06, 0.05, 0.08)
    assert results_of([one | {"weights": "random"}])[0].wer is None
    assert results_of([cell(wer=None)])[0].wer is None
    assert results_of([cell(wer=0.0, wer_ci_low=None, wer_ci_high=None)])[0].wer == Estimate(0.0)


def test_the_memory_of_a_setting_is_that_of_its_device() -> None:
    on_cpu = cell(peak_rss_bytes=2e9, peak_device_bytes=None)
    on_cuda = cell(device="cuda", peak_rss_bytes=2e9, peak_device_bytes=3e9)
    assert [result.memory_bytes for result in results_of([on_cpu, on_cuda])] == [2_000_000_000, 3_000_000_000]
    assert results_of([cell(device="cuda", peak_device_bytes=None)])[0].memory_bytes is None


def test_what_is_no_finite_number_was_not_measured(tmp_path: Path) -> None:
    found = [cell(rtfx=value, batch_size=n) for n, value in enumerate((math.inf, -math.inf, math.nan, 2.0), 1)]
    rows = read_rows(write_tables(tmp_path, found, [])[0], CELLS)
    assert [row["rtfx"] for row in rows] == [None, None, None, 2.0]


@pytest.mark.parametrize("content", [b"", b"no table\x00\n", b"PAR1\x07\n\x00garbagePAR1"])
def test_a_file_that_is_no_table_is_named_in_one_printable_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "cells.parquet").write_bytes(content)
    with pytest.raises(AsrmeterError, match=r"cells\.parquet: cannot be read as a table") as caught:
        read_rows(tmp_path / "cells.parquet", CELLS, ["model"])
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device": None}, "device is missing in a row"),
        ({"duration_s": None}, "duration_s is missing in a row"),
    ],
)
def test_a_row_without_its_name_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "cells.parquet"
    pd.DataFrame([cell() | changes], columns=CELL_COLUMNS).to_parquet(path)
    with pytest.raises(AsrmeterError) as caught:
        read_rows(path, CELLS)
    assert str(caught.value).startswith(f"{path}: {message}") and str(caught.value).isprintable()


def test_a_transcript_has_its_counts(tmp_path: Path) -> None:
    rows = transcripts_of(cell())
    rows[0]["n_words"] = None
    with pytest.raises(AsrmeterError, match=r"transcripts\.parquet: n_words is missing in a row"):
        read_rows(write_tables(tmp_path, [cell()], rows)[1], TRANSCRIPTS, TRANSCRIPT_KEY)


def test_split_by_hardware_keeps_the_commonest_of_each_device() -> None:
    many = [cell(batch_size=size, machine_id="a") for size in (1, 2)]
    few = cell(batch_size=4, machine_id="b")
    on_gpu = cell(device="cuda", machine_id="b", device_name="GPU")
    failed = cell(batch_size=8, machine_id="c", status="oom")
    kept, elsewhere = split_by_hardware([*many, few, on_gpu, failed])
    assert kept == [*many, on_gpu, failed] and elsewhere == [few]
    assert split_by_hardware([]) == ([], [])
    # As many here as there: the same are chosen whatever the order.
    even = [many[0], few]
    assert split_by_hardware(even)[1] == split_by_hardware(even[::-1])[1]
    other_gpu = cell(device="cuda", batch_size=2, machine_id="b", device_name="another GPU")
    assert len(split_by_hardware([on_gpu, other_gpu])[1]) == 1
