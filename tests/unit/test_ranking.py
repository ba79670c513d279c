"""Which model is recommended, on constructed tables."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from asrmeter.analysis.columns import CELLS
from asrmeter.analysis.hardware import noise_floors
from asrmeter.analysis.ranking import StudyRankings, comparison_duration, lowest_wer, rank_all
from asrmeter.analysis.results import CellResult, comparable_energy, results_of
from asrmeter.analysis.table_rows import cell_name, read_rows, with_columns
from asrmeter.analysis.unmeasured import unmeasured_of
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.stats import Estimate
from helpers.tables import cell, example_cells, failed, transcripts_of, write_tables


def ranked(cells: list[dict[str, Any]], texts: Iterable[dict[str, Any]] = ()) -> StudyRankings:
    """Return all rankings of constructed cells."""
    return rank_all(results_of(cells, texts), unmeasured_of(cells))


def scored(model: str, wer: float, spread: float = 0.02, **changes: Any) -> dict[str, Any]:
    """Return a cell with that WER and an interval of that half-width."""
    return cell(model, wer=wer, wer_ci_low=max(0.0, wer - spread), wer_ci_high=wer + spread, **changes)


def test_estimates_overlap_when_they_share_a_value():
    assert Estimate(1, 0.5, 1.5).overlaps(Estimate(2, 1.5, 2.5))
    assert not Estimate(1, 0.5, 1.4).overlaps(Estimate(2, 1.5, 2.5))
    assert not Estimate(1).overlaps(Estimate(9, 8, 10))


def test_without_an_interval_nothing_is_told_apart_nor_tied():
    assert not Estimate(1).differs_from(Estimate(9, 8, 10))
    assert Estimate(1, 0.5, 1.5).differs_from(Estimate(9, 8, 10))
    assert not Estimate(1, 0.5, 1.5).differs_from(Estimate(1.5, 1.0, 2.5))


def test_rtfx_interval_is_the_latency_interval_turned_over():
    row = cell(latency_s_median=2.0, latency_s_ci_low=1.6, latency_s_ci_high=2.5, rtfx=10.0)
    (result,) = results_of([row])
    assert (result.rtfx.low, result.rtfx.high) == (8.0, 12.5)


def test_energy_is_per_hour_of_real_audio():
    (result,) = results_of([cell(energy_j_per_sample=50.0, audio_s_mean=25.0)])
    assert result.energy and result.energy.value == 2.0


def test_failed_cells_are_no_settings_and_unconverged_ones_are():
    rows = [failed(cell(), "oom", "too large"), cell(batch_size=2, status="unconverged", reason="noisy")]
    (result,) = results_of(rows)
    assert (result.batch_size, result.converged) == (2, False)


def test_comparison_class_is_longest_usual_with_enough_segments() -> None:
    def results(n_segments: dict[int, int]) -> list[CellResult]:
        return results_of([cell(duration_s=duration_s, n_segments=n) for duration_s, n in n_segments.items()])

    assert comparison_duration(results({5: 9, 15: 6, 30: 5, 60: 9}), []) == 15
    assert comparison_duration(results({5: 9, 15: 6, 30: 6, 60: 9}), []) == 30
    assert comparison_duration(results({5: 3, 15: 2, 30: 2, 60: 9}), []) == 5
    assert comparison_duration(results({60: 1, 90: 1}), []) == 90
    assert comparison_duration([], []) is None


def test_models_are_compared_in_a_class_that_all_have() -> None:
    cells = [cell("whisper-base", duration_s=d) for d in (5, 30)] + [cell("whisper-tiny.en", duration_s=5)]
    assert {result.duration_s for result in ranked(cells).accuracies} == {5}
    nothing_shared = [cell("whisper-base", duration_s=5), cell("whisper-tiny.en", duration_s=30)]
    assert ranked(nothing_shared).accuracies == ()


def test_accuracies_are_at_the_smallest_common_batch() -> None:
    cells = [cell("whisper-base", batch_size=b) for b in (1, 2)] + [cell("whisper-tiny.en", batch_size=2)]
    cells.append(cell("whisper-tiny.en", "cuda", batch_size=2))
    found = ranked(cells).accuracies
    assert [result.cell for result in found] == ["whisper-base/fp32/cpu/30s-b2", "whisper-tiny.en/fp32/cpu/30s-b2"]


def test_overlapping_wers_tie_and_random_weights_have_none() -> None:
    cells = [scored("good", 0.05), scored("same", 0.08), scored("bad", 0.4), cell("wav2vec2-base-960h", wer=0.0)]
    found = ranked(cells)
    assert found.as_accurate == (("good", "fp32"), ("same", "fp32"))
    assert [result.model for result in found.accuracies] == ["good", "same", "bad"]
    assert found.accuracy_of(("wav2vec2-base-960h", "fp32")) is None


def test_most_accurate_is_the_fastest_of_indistinguishable_ones() -> None:
    cells = [scored("good", 0.05, rtfx=5.0), scored("same", 0.08, rtfx=8.0), scored("bad", 0.4, rtfx=50.0)]
    ranking = lowest_wer(results_of(cells))
    assert ranking and (ranking.first.model, ranking.runner_up and ranking.runner_up.model) == ("same", "good")
    alone = lowest_wer(results_of([cells[0], cells[2]]))
    assert alone and (alone.first.model, alone.runner_up and alone.runner_up.model) == ("good", "bad")
    assert lowest_wer(results_of([cell("wav2vec2-base-960h")])) is None


def test_only_the_fastest_of_all_may_have_random_weights() -> None:
    found = ranked(example_cells())
    assert found.fastest and found.fastest.first.model == "wav2vec2-base-960h"
    assert all(best.throughput.first.weights == "pretrained" for best in found.by_duration)


def test_accuracies_are_told_apart_by_the_same_segments() -> None:
    """Where one model makes an error more in each segment, its WER differs, though the intervals overlap widely."""

    def texts(model: str, errors: list[int]) -> list[dict[str, Any]]:
        rows = transcripts_of(cell(model), n_segments=len(errors))
        counts = [{"n_words": 50, "n_substitutions": n, "n_deletions": 0, "n_insertions": 0} for n in errors]
        return [row | count for row, count in zip(rows, counts, strict=True)]

    cells = [scored("good", 0.10, 0.09), scored("bad", 0.14, 0.09)]
    hard = [0, 1, 9, 2, 12, 0]
    apart = [*texts("good", hard), *texts("bad", [n + 2 for n in hard])]
    assert ranked(cells, apart).as_accurate == (("good", "fp32"),)
    assert ranked(cells).as_accurate == (("good", "fp32"), ("bad", "fp32"))
    mixed = [*texts("good", hard), *texts("bad", [5, 0, 4, 8, 12, 1])]
    assert len(ranked(cells, mixed).as_accurate) == 2
    # Of other segments nothing follows but what the intervals say.
    assert len(ranked(cells, [*texts("good", hard), *texts("bad", [9, 9])]).as_accurate) == 2


def test_overlapping_latencies_are_ties():
    one = cell("whisper-base", latency_s_median=1.0, latency_s_ci_low=0.9, latency_s_ci_high=1.1, rtfx=30.0)
    two = cell("whisper-tiny.en", latency_s_median=1.05, latency_s_ci_low=1.0, latency_s_ci_high=1.2, rtfx=28.6)
    found = ranked([one, two])
    assert found.fastest and found.fastest.runner_up_ties
    apart = ranked([one, two | {"latency_s_ci_low": 1.2, "latency_s_median": 1.3, "rtfx": 23.0}])
    assert apart.fastest and not apart.fastest.runner_up_ties


def timed(model: str, latency_s: float, spread: float = 0.001, **changes: Any) -> dict[str, Any]:
    """Return a cell with that latency and an interval of that relative half-width."""
    interval = {"latency_s_ci_low": latency_s * (1 - spread), "latency_s_ci_high": latency_s * (1 + spread)}
    return cell(model, latency_s_median=latency_s, rtfx=30 / latency_s, **interval, **changes)


@pytest.mark.parametrize(
    ("slower_by", "floors", "wins"),
    [
        (0.012, (0.02, 0.02), False),
        (0.03, (0.02, 0.02), True),
        (0.03, (0.02, 0.04), False),
        (0.03, (0.04, None), False),
        (0.012, (None, None), True),
    ],
)
def test_nobody_wins_by_less_than_the_larger_noise_floor(slower_by, floors, wins) -> None:
    cells = [
        timed(model, latency_s, noise_floor=floor)
        for model, latency_s, floor in zip(("quick", "slow"), (1.0, 1.0 + slower_by), floors, strict=True)
    ]
    found = ranked(cells)
    for ranking in (found.fastest, found.interactive, found.by_duration[0].latency, found.by_duration[0].throughput):
        assert ranking and ranking.first.model == "quick"
        assert ranking.runner_up_ties is not wins
        assert len(ranking.ties) == (not wins)
        assert not ranking.runner_up_undecided


def test_above_the_floor_a_ratio_that_may_be_one_still_ties() -> None:
    found = ranked([timed("quick", 1.0, 0.06), timed("slow", 1.06, 0.06)])
    assert found.fastest and found.fastest.runner_up_ties


def test_cells_of_the_same_laps_are_told_apart_by_own_scatter() -> None:
    """What is common to a lap widens both intervals, and is no reason to call two cells equal."""

    def ties(**changes: Any) -> bool:
        own = {"latency_own_se": 0.01, "latency_own_df": 40.0}
        found = ranked([timed("quick", 1.0, 0.2, **own), timed("slow", 1.1, 0.2, **own | changes)])
        assert found.fastest
        return found.fastest.runner_up_ties

    assert not ties()
    assert ties(laps="1 2")
    assert ties(machine_id="other")
    assert ties(latency_own_se=0.1)


def test_what_was_disturbed_in_every_lap_is_in_no_ranking() -> None:
    cells = [timed("quick", 1.0, disturbed=True, disturbance="others"), timed("slow", 2.0), timed("third", 3.0)]
    found = ranked(cells)
    for ranking in (found.fastest, found.interactive, found.by_duration[0].throughput):
        assert ranking and (ranking.first.model, ranking.runner_up and ranking.runner_up.model) == ("slow", "third")
    alone = ranked(cells[:1])
    assert (alone.fastest, alone.interactive, alone.by_duration) == (None, None, ())


def test_without_interval_large_differences_are_undecided() -> None:
    nothing = {"latency_s_ci_low": None, "latency_s_ci_high": None}
    large = ranked([timed("quick", 1.0), timed("slow", 1.3) | nothing]).fastest
    small = ranked([timed("quick", 1.0), timed("slow", 1.005) | nothing]).fastest
    assert large and (large.runner_up_ties, large.runner_up_undecided) == (False, True)
    assert small and (small.runner_up_ties, small.runner_up_undecided) == (True, False)


@given(st.floats(0.1, 10), st.floats(0.1, 10), st.floats(0, 1))
def test_seconds_and_their_reciprocals_are_told_apart_alike(one: float, other: float, floor: float) -> None:
    seconds = [Estimate(value, value, value, floor) for value in (one, other)]
    speeds = [Estimate(1 / value, 1 / value, 1 / value, floor) for value in (one, other)]
    assume(abs(abs(one - other) - floor * (one + other) / 2) > 1e-9)
    assert seconds[0].differs_from(seconds[1]) == speeds[0].differs_from(speeds[1])
    assert seconds[0].differs_from(seconds[1]) != seconds[0].ties_with(seconds[1])


def test_energy_wins_only_above_floor_and_range_of_windows() -> None:
    def least(difference: float, **changes: Any) -> bool:
        cells = [cell("less", device="cuda", energy_j_per_sample=10.0, **changes)]
        cells.append(cell("more", device="cuda", energy_j_per_sample=10.0 * (1 + difference), **changes))
        frugal = ranked(cells).frugal
        assert frugal and frugal.first.model == "less"
        return not frugal.runner_up_ties

    assert least(0.03, noise_floor=0.01, energy_range_rel=0.02)
    assert not least(0.03, noise_floor=0.01, energy_range_rel=0.05)
    assert not least(0.03, noise_floor=0.05, energy_range_rel=0.02)
    modelled = {"energy_method_gpu": "tdp_constant", "energy_range_rel": None}
    assert not least(0.03, noise_floor=0.05, **modelled)
    assert least(0.03, noise_floor=None, **modelled)


def test_the_largest_floor_of_a_device_is_told() -> None:
    cells = [cell(noise_floor=0.01), cell(batch_size=2, noise_floor=0.03), cell(device="cuda", noise_floor=None)]
    assert {device: row["noise_floor"] for device, row in noise_floors(cells).items()} == {"cpu": 0.03, "cuda": None}


def test_measured_energy_is_not_ranked_against_modelled():
    results = results_of([cell(device="cpu", energy_j_per_sample=1.0), cell(device="cuda", energy_j_per_sample=9.0)])
    assert [result.device for result in comparable_energy(results)] == ["cuda"]


def test_shortest_wait_is_compared_within_its_duration_class():
    cells = [cell("whisper-base", duration_s=5), cell("whisper-tiny.en", duration_s=30, latency_s_median=0.9)]
    found = ranked(cells)
    assert found.interactive and found.interactive.first.duration_s == 5
    assert found.interactive.runner_up is None


def test_each_class_has_its_own_advice():
    cells = example_cells()
    found = ranked(cells)
    assert [best.duration_s for best in found.by_duration] == [5, 15, 30, 60]
    assert [best.throughput.first.batch_size for best in found.by_duration] == [4, 4, 2, 1]
    assert {best.latency.first.batch_size for best in found.by_duration} == {1}


def test_cells_are_named_by_their_place():
    assert cell_name(cell("whisper-base", "cpu", 30, 4)) == "whisper-base/fp32/cpu/30s-b4"


def test_read_rows_turns_nan_into_none(tmp_path: Path):
    path, *_ = write_tables(tmp_path, [cell(energy_j_per_sample=float("nan")), cell(batch_size=2)], [])
    assert [row["energy_j_per_sample"] is None for row in read_rows(path, CELLS)] == [True, False]


def test_read_rows_names_what_is_lacking(tmp_path: Path):
    path, *_ = write_tables(tmp_path, [cell()], [])
    with pytest.raises(
        AsrmeterError,
        match=r"cells\.parquet: lacks the column colour, as an older version .* tables again, and measures",
    ):
        read_rows(path, CELLS, ["model", "colour"])
    (row,) = read_rows(path, CELLS)
    for asked in (row, with_columns(row, {"more": 1})):
        with pytest.raises(AsrmeterError, match=r"cells\.parquet: lacks the column colour"):
            asked["colour"]
    with pytest.raises(AsrmeterError, match="cannot be read"):
        read_rows(tmp_path / "nowhere.parquet", CELLS, ["model"])
