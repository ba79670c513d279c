"""Changes between two runs that are too large for scatter: found, shown first, and what may be why."""

import csv
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_compare import PLACES, compared, part, spoken, timed, timed_as

import compare as script
from asrmeter.analysis.comparison.guard import regressions
from asrmeter.analysis.comparison.large_changes import FACTOR, TIMES_EXPECTED, UNEXPECTED_FACTOR, LargeChange, is_large
from asrmeter.analysis.comparison.possible_causes import Cause, possible_causes
from asrmeter.analysis.comparison.rules import Verdict
from asrmeter.report.text.comparison import MOST_LARGE, NO_CAUSE, as_text
from helpers.tables import Cell, cell, failed, measured_again, write_tables

POSITIVE = st.floats(1e-6, 1e6)


def large_of(first: Cell, second: Cell, name: str = "latency") -> LargeChange | None:
    (pair,) = part(compared([first], [second]), name).pairs
    return pair.large


@given(value=POSITIVE, other=POSITIVE)
def test_a_factor_of_ten_is_large_both_ways_and_less_is_not(value: float, other: float) -> None:
    assert is_large(value, other) is is_large(other, value)
    factor = max(value / other, other / value)
    if not 0.999 < factor / FACTOR < 1.001:
        assert is_large(value, other) is (factor > FACTOR)


@given(half_width=st.floats(1.001, 3), factor=st.floats(1, 9.9), down=st.booleans())
def test_less_is_large_if_far_beyond_what_was_expected(half_width: float, factor: float, down: bool) -> None:
    expected = (1 / half_width, half_width)
    limit = max(UNEXPECTED_FACTOR, half_width**TIMES_EXPECTED)
    if not 0.999 < factor / limit < 1.001:
        assert is_large(1.0, 1 / factor if down else factor, expected) is (factor > limit)


def test_large_changes_are_found_whatever_the_verdict() -> None:
    usual, slow = timed(1.0), timed(11.2)
    disturbed = slow | {"disturbed": True, "disturbance": "other processes took 1.0 cores"}
    found = large_of(usual, disturbed)
    assert found and found.factor == pytest.approx(11.2)
    assert found.causes == (Cause("disturbance", "–", "other processes took 1.0 cores"),)
    down = large_of(disturbed, usual)
    assert down and (down.ratio, down.factor) == (pytest.approx(1 / 11.2), pytest.approx(11.2))
    assert large_of(usual, slow | {"corpus_sha256": "another"}) is not None
    assert large_of(usual, timed(1.9)) is None
    # Between two and ten the first run has to have expected another value.
    expecting = usual | {"latency_s_next_low": 0.9, "latency_s_next_high": 1.1}
    assert large_of(expecting, timed(2.2)) is not None
    silent = usual | {"latency_s_next_low": None, "latency_s_next_high": None}
    assert large_of(silent, timed(2.2)) is None
    assert large_of(usual, failed(slow, "oom", "too large")) is None


def test_modelled_energy_repeats_latency_and_is_left_out() -> None:
    comparison = compared([timed(1.0, energy_j_per_sample=1.0)], [timed(20.0, energy_j_per_sample=20.0)])
    assert {one.metric.name for one in comparison.by_metric} >= {"latency", "energy_modelled"}
    assert [metric.name for metric, *_ in comparison.large_changes] == ["latency"]


@pytest.mark.parametrize(("wers", "large"), [((0.02, 0.3), True), ((0.0, 0.3), True), ((0.0, 0.02), False)])
def test_a_wer_of_zero_counts_as_one_wrong_word(wers: tuple[float, float], large: bool) -> None:
    first, second = (cell(wer=wer, wer_words=60) for wer in wers)
    texts = spoken(first, [0, 0, 1]), spoken(second, [3, 4, 5])
    (pair,) = part(compared([first], [second], texts), "wer").pairs
    assert (pair.large is not None) is large


@pytest.mark.parametrize(
    ("changes", "name", "values"),
    [
        ({"machine_id": "other"}, "machine_id", ("a1b2c3", "other")),
        ({"device_name": "Slow CPU"}, "device_name", ("Example CPU @ 2.60GHz", "Slow CPU")),
        ({"threads": 1}, "threads", ("2", "1")),
        ({"torch_version": "2.9.0"}, "torch_version", ("2.8.0", "2.9.0")),
        ({"library_versions": '{"numpy": "1"}'}, "numpy", ("2", "1")),
        ({"n_tokens_mean": 400.0}, "n_tokens_mean", ("93", "400")),
        ({"corpus_sha256": "another"}, "corpus_sha256", ("5d41402abc4b", "another")),
        ({"audio_s_mean": 20.0}, "audio_s_mean", ("30", "20")),
        ({"dtype": "float16"}, "dtype", ("float32", "float16")),
        ({"attention": "eager"}, "attention", ("sdpa", "eager")),
        ({"weights_sha256": "f" * 64}, "weights", ("pretrained 7d793037a076", f"pretrained {'f' * 12}")),
        ({"control_matmul_flop_per_s": 1e10}, "control_gflop_per_s", ("100", "10")),
        ({"commit": "fedcba9"}, "commit", ("0123abc", "fedcba9")),
        ({"n_laps_disturbed": 1, "disturbance": "lap 2: steal 40 %"}, "disturbance", ("–", "lap 2: steal 40 %")),
    ],
)
def test_a_cause_is_looked_for_in_what_both_runs_recorded(changes: Cell, name: str, values: tuple[str, str]) -> None:
    known = {"dtype": "float32", "attention": "sdpa", "library_versions": '{"numpy": "2"}'}
    usual = cell(**known, control_matmul_flop_per_s=1e11)
    assert possible_causes(usual, usual | changes) == (Cause(name, *values),)


def test_what_one_run_did_not_record_or_scatters_is_no_cause() -> None:
    usual = cell(dtype="float32", control_matmul_flop_per_s=1e11, library_versions="{}")
    for changes in (
        {"dtype": None},
        {"control_matmul_flop_per_s": 1.05e11},
        {"n_tokens_mean": 95.0},
        {"library_versions": "no JSON"},
        {"library_versions": "[1]"},
        {"load_1min_before": 3.0},
    ):
        assert possible_causes(usual, usual | changes) == possible_causes(usual | changes, usual) == ()


def test_they_are_printed_before_all_else_with_their_causes() -> None:
    first = [timed(1.0), timed(1.0, duration_s=5)]
    second = [timed(20.0, duration_s=5), timed(0.05, threads=1)]
    lines = as_text(compared(first, second)).splitlines()
    assert lines[2] == "changed by a factor of 10, or far more than expected: 2"
    assert lines[3:7] == [
        "  whisper-base/fp32/cpu/5s-b1: latency 1.00 s -> 20.0 s, up by a factor of 20.0",
        f"    {NO_CAUSE}",
        "  whisper-base/fp32/cpu/30s-b1: latency 1.00 s -> 0.0500 s, down by a factor of 20.0",
        "    possible cause: threads: 2 -> 1",
    ]
    many = [timed(1.0, batch_size=1 + n) for n in range(MOST_LARGE + 3)]
    text = as_text(compared(many, [row | timed_as(row, 12) for row in many]))
    assert text.count(NO_CAUSE) == MOST_LARGE and "  and 3 more; the whole comparison: python" in text
    assert "changed by a factor" not in as_text(compared(first, first))


def test_a_cell_that_is_surely_worse_by_far_is_a_regression() -> None:
    first = [timed(1.0, duration_s=d, batch_size=b) for d, b in PLACES]
    second = [timed(12.0, duration_s=5), *first[1:]]
    assert regressions(compared(first, second)) == ["latency: whisper-base/fp32/cpu/5s-b1 by a factor of 12 slower"]
    assert regressions(compared(second, first)) == []
    disturbed = [second[0] | {"disturbed": True, "disturbance": "steal 90 %"}, *first[1:]]
    assert regressions(compared(first, disturbed)) == []
    # What is explained by the machine's speed is none of the cell's.
    rates = [{f"control_{name}": speed for name in ("matmul_flop_per_s", "copy_bytes_per_s")} for speed in (12e9, 1e9)]
    slow = [row | timed_as(row, 12) | rates[1] for row in first]
    (pair, *_) = (explained := part(compared([row | rates[0] for row in first], slow), "latency")).pairs
    assert pair.large and {one.verdict for one in explained.pairs} == {Verdict.SAME}
    assert regressions(compared([row | rates[0] for row in first], slow)) == []
    # One cell has a little left of it.
    slow[0] |= timed_as(slow[0], 1.2)
    (pair, *_) = part(left := compared([row | rates[0] for row in first], slow), "latency").pairs
    assert pair.large and pair.verdict is Verdict.SLOWER and regressions(left) == []


def test_csv_has_the_ratio_and_its_possible_causes_first(tmp_path: Path, capsys: Any) -> None:
    first = [timed(1.0, duration_s=d, batch_size=b) for d, b in PLACES]
    second = measured_again([*first[:-1], timed(15.0, duration_s=60, threads=1, dtype="float16")])
    for name, rows in (("a", first), ("b", second)):
        write_tables(tmp_path / name, [row | {"dtype": row["dtype"] or "float32"} for row in rows], [])
    script.main([str(tmp_path / "a"), str(tmp_path / "b"), "--csv", str(tmp_path / "all.csv")])
    with open(tmp_path / "all.csv", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["metric"] == "latency"]
    assert (rows[0]["duration_s"], float(rows[0]["large_change_ratio"])) == ("60", 15.0)
    assert rows[0]["possible_causes"] == "threads: 2 -> 1; dtype: float32 -> float16"
    assert {row["large_change_ratio"] for row in rows[1:]} == {""}
