"""Which model is recommended, on constructed tables."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tables_for_tests import cell, example_cells, example_transcripts, failed, transcripts_of, write_tables

from asrmeter.errors import AsrmeterError
from asrmeter.recommend import pooled_accuracies, recommend, wer_estimate
from asrmeter.settings import CELL_COLUMNS, cell_name, comparable_energy, noise_floors, read_rows, settings_of
from asrmeter.stats import Estimate

SEED = 42


def with_wer(model, errors_of_segments, n_words=20, **place):
    """Return a cell and its transcripts with so many errors per segment."""
    row = cell(model, **place)
    texts = transcripts_of(row, n_segments=len(errors_of_segments))
    for text, errors in zip(texts, errors_of_segments, strict=True):
        text |= {"n_words": n_words, "n_substitutions": errors, "n_deletions": 0, "n_insertions": 0}
    return row, texts


def test_estimates_overlap_when_they_share_a_value():
    assert Estimate(1, 0.5, 1.5).overlaps(Estimate(2, 1.5, 2.5))
    assert not Estimate(1, 0.5, 1.4).overlaps(Estimate(2, 1.5, 2.5))
    assert not Estimate(1).overlaps(Estimate(9, 8, 10))


def test_without_an_interval_nothing_is_told_apart_nor_tied():
    assert not Estimate(1).differs_from(Estimate(9, 8, 10))
    assert Estimate(1, 0.5, 1.5).differs_from(Estimate(9, 8, 10))
    assert not Estimate(1, 0.5, 1.5).differs_from(Estimate(2, 1.5, 2.5))


def test_wer_is_all_errors_over_all_words_and_not_a_mean_of_segments():
    estimate = wer_estimate([5, 0], [10, 90], SEED)
    assert estimate.value == pytest.approx(0.05)
    assert estimate.low == 0
    assert estimate.high == pytest.approx(0.5)


def test_one_segment_carries_no_interval():
    assert wer_estimate([1], [10], SEED) == Estimate(0.1)


def test_the_interval_depends_on_the_seed_alone():
    errors, words = [0, 1, 2, 3, 0, 4], [10, 12, 9, 11, 10, 13]
    assert wer_estimate(errors, words, SEED) == wer_estimate(errors, words, SEED)


def test_rtfx_interval_is_the_latency_interval_turned_over():
    row = cell(latency_s_median=2.0, latency_s_ci_low=1.6, latency_s_ci_high=2.5, rtfx=10.0)
    (setting,) = settings_of([row])
    assert (setting.rtfx.low, setting.rtfx.high) == (8.0, 12.5)


def test_energy_is_per_hour_of_real_audio():
    (setting,) = settings_of([cell(energy_j_per_sample=50.0, audio_s_mean=25.0)])
    assert setting.energy and setting.energy.value == 2.0


def test_failed_cells_are_no_settings_and_unconverged_ones_are():
    rows = [failed(cell(), "oom", "too large"), cell(batch_size=2, status="unconverged", reason="noisy")]
    (setting,) = settings_of(rows)
    assert (setting.batch_size, setting.converged) == (2, False)


def test_only_classes_that_all_models_share_are_pooled():
    cells = [cell("whisper-base", duration_s=d) for d in (5, 30)] + [cell("whisper-tiny.en", duration_s=30)]
    pooled = pooled_accuracies(cells, example_transcripts(cells), SEED)
    assert [accuracy.durations_s for accuracy in pooled] == [(30,), (30,)]


def test_the_smallest_batch_that_all_share_is_pooled():
    cells = [cell("whisper-base", batch_size=b) for b in (1, 2)] + [cell("whisper-tiny.en", batch_size=2)]
    assert {one.batch_size for one in pooled_accuracies(cells, example_transcripts(cells), SEED)} == {2}


def test_devices_are_not_counted_twice():
    cells = [cell(device="cpu"), cell(device="cuda")]
    (accuracy,) = pooled_accuracies(cells, example_transcripts(cells), SEED)
    assert accuracy.cells == ("whisper-base/fp32/cpu/30s-b1",)
    assert accuracy.n_segments == 8


def test_the_fastest_of_the_most_accurate_is_recommended():
    good, good_texts = with_wer("good", [1, 0, 2, 1, 0, 1])
    same, same_texts = with_wer("same", [1, 1, 2, 1, 0, 1])
    bad, bad_texts = with_wer("bad", [9, 8, 9, 10, 9, 9])
    cells = [good | {"rtfx": 5.0}, same | {"rtfx": 8.0}, bad | {"rtfx": 50.0}]
    found = recommend(cells, good_texts + same_texts + bad_texts, SEED)
    assert found.as_accurate == (("good", "fp32"), ("same", "fp32"))
    assert found.best and found.best.setting.model == "same"
    assert found.best.runner_up and found.best.runner_up.model == "good"
    assert found.fastest and found.fastest.setting.model == "bad"


def test_a_lone_winner_has_the_next_most_accurate_as_runner_up():
    good, good_texts = with_wer("good", [0, 0, 1, 0, 0, 1])
    bad, bad_texts = with_wer("bad", [9, 8, 9, 10, 9, 9])
    found = recommend([good, bad], good_texts + bad_texts, SEED)
    assert found.best and found.best.setting.model == "good"
    assert found.best.runner_up and found.best.runner_up.model == "bad"


def test_overlapping_latencies_are_ties():
    one = cell("whisper-base", latency_s_median=1.0, latency_s_ci_low=0.9, latency_s_ci_high=1.1, rtfx=30.0)
    two = cell("whisper-tiny.en", latency_s_median=1.05, latency_s_ci_low=1.0, latency_s_ci_high=1.2, rtfx=28.6)
    found = recommend([one, two], [], SEED)
    assert found.fastest and found.fastest.runner_up_ties
    apart = recommend([one, two | {"latency_s_ci_low": 1.2, "latency_s_median": 1.3, "rtfx": 23.0}], [], SEED)
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
    found = recommend(cells, [], SEED)
    for pick in (found.fastest, found.interactive, found.by_duration[0].latency, found.by_duration[0].throughput):
        assert pick and pick.setting.model == "quick"
        assert pick.runner_up_ties is not wins
        assert len(pick.ties) == (not wins)
        assert not pick.runner_up_unclear


def test_above_the_floor_overlapping_intervals_still_tie() -> None:
    found = recommend([timed("quick", 1.0, 0.04), timed("slow", 1.06, 0.04)], [], SEED)
    assert found.fastest and found.fastest.runner_up_ties


def test_without_an_interval_a_large_difference_is_unclear_and_one_within_the_floor_a_tie() -> None:
    nothing = {"latency_s_ci_low": None, "latency_s_ci_high": None}
    large = recommend([timed("quick", 1.0), timed("slow", 1.3) | nothing], [], SEED).fastest
    small = recommend([timed("quick", 1.0), timed("slow", 1.005) | nothing], [], SEED).fastest
    assert large and (large.runner_up_ties, large.runner_up_unclear) == (False, True)
    assert small and (small.runner_up_ties, small.runner_up_unclear) == (True, False)


@given(st.floats(0.1, 10), st.floats(0.1, 10), st.floats(0, 1))
def test_seconds_and_their_reciprocals_are_told_apart_alike(one: float, other: float, floor: float) -> None:
    seconds = [Estimate(value, value, value, floor) for value in (one, other)]
    speeds = [Estimate(1 / value, 1 / value, 1 / value, floor) for value in (one, other)]
    assume(abs(abs(one - other) - floor * (one + other) / 2) > 1e-9)
    assert seconds[0].differs_from(seconds[1]) == speeds[0].differs_from(speeds[1])
    assert seconds[0].differs_from(seconds[1]) != seconds[0].ties_with(seconds[1])


def test_energy_wins_only_above_the_floor_and_the_range_of_its_windows() -> None:
    def least(difference: float, **changes: Any) -> bool:
        cells = [cell("less", device="cuda", energy_j_per_sample=10.0, **changes)]
        cells.append(cell("more", device="cuda", energy_j_per_sample=10.0 * (1 + difference), **changes))
        frugal = recommend(cells, [], SEED).frugal
        assert frugal and frugal.setting.model == "less"
        return not frugal.runner_up_ties

    assert least(0.03, noise_floor=0.01, energy_spread=0.02)
    assert not least(0.03, noise_floor=0.01, energy_spread=0.05)
    assert not least(0.03, noise_floor=0.05, energy_spread=0.02)
    modelled = {"energy_method_gpu": "tdp_constant", "energy_spread": None}
    assert not least(0.03, noise_floor=0.05, **modelled)
    assert least(0.03, noise_floor=None, **modelled)


def test_the_largest_floor_of_a_device_is_told() -> None:
    cells = [cell(noise_floor=0.01), cell(batch_size=2, noise_floor=0.03), cell(device="cuda", noise_floor=None)]
    assert {device: row["noise_floor"] for device, row in noise_floors(cells).items()} == {"cpu": 0.03, "cuda": None}


def test_random_weights_are_never_recommended_for_accuracy():
    cells = example_cells()
    found = recommend(cells, example_transcripts(cells), SEED)
    assert found.best and found.best.setting.weights == "pretrained"
    assert found.fastest and found.fastest.setting.model == "wav2vec2-base-960h"
    assert all(advice.throughput.setting.weights == "pretrained" for advice in found.by_duration)


def test_scores_of_random_weights_do_not_count():
    row, texts = with_wer("wav2vec2-base-960h", [])
    texts = transcripts_of(row | {"wer": 0.0})
    assert recommend([row], texts, SEED).missing == "all_random"


@pytest.mark.parametrize(
    ("cells", "missing"),
    [
        ([], "nothing_measured"),
        ([failed(cell(), "timeout", "600 s")], "nothing_measured"),
        ([cell("wav2vec2-base-960h")], "all_random"),
        ([cell(wer=None)], "nothing_scored"),
        ([cell("whisper-base", duration_s=5), cell("whisper-tiny.en", duration_s=30)], "nothing_in_common"),
    ],
)
def test_no_recommendation_says_why(cells, missing):
    found = recommend(cells, example_transcripts(cells), SEED)
    assert (found.best, found.missing) == (None, missing)


def test_measured_energy_is_not_ranked_against_modelled():
    settings = settings_of([cell(device="cpu", energy_j_per_sample=1.0), cell(device="cuda", energy_j_per_sample=9.0)])
    assert [setting.device for setting in comparable_energy(settings)] == ["cuda"]


def test_shortest_wait_is_compared_within_its_duration_class():
    cells = [cell("whisper-base", duration_s=5), cell("whisper-tiny.en", duration_s=30, latency_s_median=0.9)]
    found = recommend(cells, [], SEED)
    assert found.interactive and found.interactive.setting.duration_s == 5
    assert found.interactive.runner_up is None


def test_each_class_has_its_own_advice():
    cells = example_cells()
    found = recommend(cells, example_transcripts(cells), SEED)
    assert [advice.duration_s for advice in found.by_duration] == [5, 15, 30, 60]
    assert [advice.throughput.setting.batch_size for advice in found.by_duration] == [4, 4, 2, 1]
    assert {advice.latency.setting.batch_size for advice in found.by_duration} == {1}


def test_cells_are_named_by_their_place():
    assert cell_name(cell("whisper-base", "cpu", 30, 4)) == "whisper-base/fp32/cpu/30s-b4"


def test_read_rows_turns_nan_into_none(tmp_path: Path):
    path, *_ = write_tables(tmp_path, [cell(energy_j_per_sample=float("nan")), cell(batch_size=2)], [])
    assert [row["energy_j_per_sample"] is None for row in read_rows(path, CELL_COLUMNS)] == [True, False]


def test_read_rows_names_what_is_lacking(tmp_path: Path):
    path, *_ = write_tables(tmp_path, [cell()], [])
    with pytest.raises(AsrmeterError, match="lacks colour"):
        read_rows(path, ["model", "colour"])
    with pytest.raises(AsrmeterError, match="cannot be read"):
        read_rows(tmp_path / "nowhere.parquet", ["model"])


def test_models_are_compared_on_the_class_that_says_most():
    def speech(duration_s: int, n_segments: int, n_words: int, model: str) -> list[dict[str, Any]]:
        name = {"model": model, "variant": "fp32", "device": "cpu", "duration_s": duration_s, "batch_size": 1}
        errors = {"n_words": n_words, "n_substitutions": 1, "n_deletions": 0, "n_insertions": 0}
        return [name | errors | {"segment_id": f"{duration_s}-{i}"} for i in range(n_segments)]

    rows = [cell(model="whisper-base", duration_s=duration_s, batch_size=1) for duration_s in (5, 30, 60)]
    texts = [*speech(5, 9, 8, "whisper-base"), *speech(30, 5, 50, "whisper-base"), *speech(60, 3, 100, "whisper-base")]
    (accuracy,) = pooled_accuracies(rows, texts, SEED)
    assert accuracy.durations_s == (30,)
    assert (accuracy.n_segments, accuracy.n_words, accuracy.n_errors) == (5, 250, 5)
