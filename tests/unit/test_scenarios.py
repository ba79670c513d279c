"""What is recommended for a purpose, on constructed tables: limits bind, ties are ties, no data gives no advice."""

from typing import Any

import pytest

from asrmeter.analysis.cell_parts.accuracy import NO_WORDS
from asrmeter.analysis.limits import GATE, LIMITS, Outcome, word_accuracy_kept
from asrmeter.analysis.results import results_of
from asrmeter.analysis.scenarios import NoRecommendation, Recommendation, recommend
from asrmeter.analysis.unknowns import Why
from asrmeter.analysis.unmeasured import unmeasured_of
from asrmeter.study.model import Scenario
from helpers.tables import cell, example_study, failed


def asked(**limits: Any) -> Recommendation:
    """Return what a scenario with those limits comes to, on three models."""
    return of(CELLS, **limits)


def of(cells: list[dict[str, Any]], **limits: Any) -> Recommendation:
    """Return what a scenario with those limits comes to, on those cells."""
    (recommendation,) = recommend(
        results_of(cells), unmeasured_of(cells), example_study({"scenarios": {"mine": limits}})
    )
    return recommendation


def model(name: str, latency_s: float, wer: float, **changes: Any) -> dict[str, Any]:
    """Return a cell of 30 s with narrow intervals around its latency and its WER."""
    known = {
        "latency_s_median": latency_s,
        "latency_s_ci_low": latency_s * 0.99,
        "latency_s_ci_high": latency_s * 1.01,
        "latency_s_p95": latency_s * 1.1,
        "rtfx": 30 / latency_s,
        "energy_j_per_sample": 40 * latency_s,
        "wer": wer,
        "wer_ci_low": wer * 0.9,
        "wer_ci_high": wer * 1.1,
        "n_segments": 8,
        "peak_rss_bytes": 1e9 * latency_s,
    }
    return cell(name, **known | changes)


# The faster, the worse: with narrow intervals, so that all differences are sure.
CELLS = [model("small", 0.5, 0.20), model("middle", 1.0, 0.10), model("large", 3.0, 0.05)]


def chosen(recommendation: Recommendation) -> str | None:
    return recommendation.ranking.first.model if recommendation.ranking else None


@pytest.mark.parametrize(
    ("limits", "model_name"),
    [
        ({}, "small"),
        ({"prefer": "throughput"}, "small"),
        ({"prefer": "latency"}, "small"),
        ({"prefer": "energy"}, "small"),
        ({"prefer": "accuracy"}, "large"),
        ({"max_wer": 0.15}, "middle"),
        ({"max_wer": 0.06}, "large"),
        ({"max_latency_s_median": 2, "prefer": "accuracy"}, "middle"),
        ({"max_latency_s_p95": 1.05, "prefer": "accuracy"}, "small"),
        ({"min_rtfx": 20, "prefer": "accuracy"}, "middle"),
        ({"max_memory_gb": 0.7, "prefer": "accuracy"}, "small"),
        ({"max_wer": 0.15, "max_latency_s_median": 0.9}, None),
    ],
)
def test_each_limit_binds_and_each_preference_decides(limits: dict[str, Any], model_name: str | None) -> None:
    assert chosen(asked(**limits)) == model_name


def test_every_limit_of_the_schema_is_one() -> None:
    keys = set(Scenario.model_fields)
    assert keys == {*LIMITS, "description", "devices", "duration_s", "prefer"}


def test_only_devices_that_are_allowed_are_looked_at() -> None:
    cells = [*CELLS, model("large", 0.1, 0.05, device="cuda")]
    assert (chosen(of(cells)), chosen(of(cells, devices=["cpu"]))) == ("large", "small")
    nobody = of(CELLS, devices=["cuda"])
    assert (nobody.ranking, nobody.missing) == (None, NoRecommendation.NOTHING_MEASURED)


def test_the_class_is_the_usual_one_or_that_which_is_asked_for() -> None:
    cells = [*CELLS, model("large", 0.1, 0.05, duration_s=5)]
    assert (of(cells).duration_s, of(cells, duration_s=5).duration_s) == (30, 5)
    assert chosen(of(cells, duration_s=5)) == "large"
    assert of(cells, duration_s=15).missing is NoRecommendation.NOTHING_MEASURED


def test_memory_is_that_of_the_device() -> None:
    on_gpu = model("small", 0.5, 0.2, device="cuda", peak_rss_bytes=9e9, peak_device_bytes=1e9)
    assert chosen(of([on_gpu], max_memory_gb=2)) == "small"
    assert of([on_gpu | {"peak_device_bytes": 3e9}], max_memory_gb=2).missing is NoRecommendation.NONE_MEETS


@pytest.mark.parametrize(
    ("cells", "missing"),
    [
        ([], NoRecommendation.NOTHING_MEASURED),
        ([failed(cell(), "oom", "too large")], NoRecommendation.NOTHING_MEASURED),
        ([cell("wav2vec2-base-960h", wer=0.1)], NoRecommendation.ALL_RANDOM),
        ([cell(wer=None)], NoRecommendation.NOTHING_SCORED),
        ([cell(wer=None), cell("wav2vec2-base-960h")], NoRecommendation.NOTHING_SCORED),
        ([cell(wer=None, wer_note=NO_WORDS)], NoRecommendation.NOTHING_SCORED),
        ([model("small", 1, 0.1, n_segments=5)], NoRecommendation.TOO_FEW_SEGMENTS),
        ([model("small", 1, 0.1, wer_ci_low=None, wer_ci_high=None)], NoRecommendation.TOO_FEW_SEGMENTS),
    ],
)
def test_without_data_nothing_is_recommended_and_it_is_said_why(
    cells: list[dict[str, Any]], missing: NoRecommendation
) -> None:
    recommendation = of(cells, max_wer=0.5)
    assert (recommendation.ranking, recommendation.missing) == (None, missing)


def test_who_asks_nothing_of_accuracy_needs_no_texts() -> None:
    silent = [row | {"wer": None, "wer_ci_low": None, "wer_ci_high": None} for row in CELLS]
    assert chosen(of(silent, min_rtfx=1, prefer="latency")) == "small"
    # What writes no words is no answer, however fast.
    assert chosen(of([*silent, model("sounds", 0.1, 0.1) | {"wer": None, "wer_note": NO_WORDS}])) == "small"
    assert of(silent, prefer="accuracy").missing is NoRecommendation.NOTHING_SCORED


def test_random_weights_are_never_recommended() -> None:
    assert chosen(of([*CELLS, cell("wav2vec2-base-960h", rtfx=9e9)])) == "small"


def test_energy_decides_only_where_it_is_known() -> None:
    cells = [row | {"energy_j_per_sample": None} for row in CELLS]
    assert of(cells, prefer="energy").missing is NoRecommendation.NO_ENERGY
    assert chosen(of(cells, prefer="latency")) == "small"


def test_what_was_not_measured_neither_meets_nor_misses_a_limit() -> None:
    cells = [CELLS[0] | {"latency_s_p95": None}, CELLS[1]]
    recommendation = of(cells, max_latency_s_p95=9)
    assert chosen(recommendation) == "middle" and not recommendation.ruled_out and not recommendation.nearest
    assert (recommendation.n_meeting, recommendation.n_missing_limit, recommendation.n_unknown) == (1, 0, 1)


def test_recommendation_has_counts_by_limit_and_the_nearest() -> None:
    recommendation = asked(max_wer=0.15, max_latency_s_median=0.9)
    assert (recommendation.n_considered, recommendation.n_meeting) == (3, 0)
    assert recommendation.ruled_out == {"max_wer": 1, "max_latency_s_median": 2}
    assert recommendation.missing is NoRecommendation.NONE_MEETS
    # Small and middle fail one limit each; of these small is the faster one.
    assert recommendation.nearest and recommendation.nearest[0].model == "small"


@pytest.mark.parametrize(
    ("limit", "outcome"),
    [(0.12, Outcome.MET), (0.11, Outcome.MET), (0.105, Outcome.LIKELY), (0.1, Outcome.LIKELY), (0.099, Outcome.MISSED)],
)
def test_a_limit_inside_the_interval_is_only_likely_met(limit: float, outcome: Outcome) -> None:
    row = model("middle", 1.0, 0.10, wer_ci_high=0.11)
    recommendation = of([row], max_wer=limit)
    checks = (
        recommendation.checks if recommendation.ranking else recommendation.nearest[1] if recommendation.nearest else ()
    )
    assert {check.key: check.outcome for check in checks}["max_wer"] is outcome
    assert (recommendation.ranking is None) is (outcome is Outcome.MISSED)


def test_without_an_interval_a_limit_is_only_likely_met() -> None:
    row = CELLS[0] | {"latency_s_ci_low": None, "latency_s_ci_high": None}
    assert {check.key: check.outcome for check in of([row], max_latency_s_median=9).checks} == {
        "max_latency_s_median": Outcome.LIKELY,
        GATE: Outcome.MET,
    }


@pytest.mark.parametrize(("floor", "ties"), [(0.02, False), (0.2, True)])
def test_a_lead_inside_the_noise_floor_is_a_tie(floor: float, ties: bool) -> None:
    cells = [model("one", 1.0, 0.1, noise_floor=floor), model("two", 1.1, 0.1, noise_floor=floor)]
    ranking = of(cells).ranking
    assert ranking and ranking.runner_up and ranking.runner_up.model == "two"
    assert ranking.runner_up_ties is ties


def test_overlapping_intervals_of_latency_tie_whatever_the_floor() -> None:
    wide = {"latency_s_ci_low": 0.5, "latency_s_ci_high": 1.5, "noise_floor": 0.0}
    ranking = of([model("one", 1.0, 0.1, **wide), model("two", 1.1, 0.1, **wide)]).ranking
    assert ranking and ranking.runner_up_ties


def test_accuracy_prefers_the_fastest_of_indistinguishable_wers() -> None:
    cells = [model("slow", 3.0, 0.050), model("quick", 1.0, 0.052), model("bad", 0.1, 0.3)]
    recommendation = of(cells, prefer="accuracy")
    assert chosen(recommendation) == "quick"
    assert (
        recommendation.ranking and recommendation.ranking.runner_up and recommendation.ranking.runner_up.model == "slow"
    )


def test_variant_must_keep_its_share_of_fp32_word_accuracy() -> None:
    def with_int8(wer: float, **more: Any) -> list[dict[str, Any]]:
        return [model("middle", 1.0, 0.10), model("middle", 0.5, wer, variant="int8"), *more.values()]

    def variant(cells: list[dict[str, Any]], gate: float | None = 0.99) -> str | None:
        variants = {row["variant"]: {} for row in cells} if cells else {}
        study = example_study({"scenarios": {"mine": {}}, "accuracy_gate": gate}, variants=variants)
        (recommendation,) = recommend(results_of(cells), unmeasured_of(cells), study)
        return recommendation.ranking.first.variant if recommendation.ranking else None

    # 0.99 of a word accuracy of 0.9 is 0.891.
    assert variant(with_int8(0.108)) == "int8"
    assert variant(with_int8(0.110)) == "fp32"
    assert variant(with_int8(0.110), gate=None) == "int8"
    assert variant(with_int8(0.110), gate=0.98) == "int8"
    # Of another model's fp32 nothing follows; where no fp32 was run at all, there is nothing to hold it against.
    others = [model("large", 3.0, 0.05), model("middle", 0.5, 0.1, variant="int8")]
    assert variant(others) == "fp32"
    assert variant([others[1]]) == "int8"


def test_word_accuracy_reference_prefers_the_same_device() -> None:
    cells = [
        model("middle", 1.0, 0.10),
        model("middle", 1.0, 0.20, device="cuda"),
        model("middle", 1.0, 0.28, device="cuda", variant="int8"),
    ]
    results = results_of(cells)
    int8 = next(result for result in results if result.variant == "int8")
    assert word_accuracy_kept(int8, results) == pytest.approx(0.72 / 0.80)
    assert word_accuracy_kept(int8, [int8]) is None


def test_the_order_of_cells_does_not_matter() -> None:
    assert of(CELLS, max_wer=0.15) == of(CELLS[::-1], max_wer=0.15)


@pytest.mark.parametrize(
    ("changes", "sure"),
    [
        ({}, True),
        ({"latency_s_ci_low": 0.4, "latency_s_ci_high": 2.5}, False),
        ({"latency_s_ci_low": None, "latency_s_ci_high": None}, False),
        # Wider than the target, and still far enough from the rival.
        ({"status": "unconverged", "reason": "noisy", "latency_s_ci_low": 0.9, "latency_s_ci_high": 1.1}, True),
        ({"wer_ci_low": 0.05, "wer_ci_high": 0.35}, False),
        ({"noise_floor": 0.9}, False),
    ],
)
def test_advice_is_sure_only_if_all_that_it_rests_on_is(changes: dict[str, Any], sure: bool) -> None:
    cells = [model("quick", 1.0, 0.2) | changes, model("slow", 2.0, 0.2)]
    recommendation = of(cells, max_wer=0.3)
    assert chosen(recommendation) == "quick" and recommendation.is_sure is sure


def test_who_is_surely_more_accurate_is_so_however_fast() -> None:
    cells = [model("good", 3.0, 0.05, noise_floor=9.0), model("bad", 0.1, 0.3, noise_floor=9.0)]
    assert of(cells, prefer="accuracy").is_sure
    assert not of([cells[0], model("same", 3.0, 0.05, noise_floor=9.0)], prefer="accuracy").is_sure
    assert not of([], prefer="accuracy").is_sure


def test_results_with_indistinguishable_wer_tie_by_accuracy() -> None:
    exact = {"wer_ci_low": 0.049, "wer_ci_high": 0.051}
    wide = {"wer_ci_low": 0.048, "wer_ci_high": 0.065, "batch_size": 4}
    cells = [
        model("a", 1.0, 0.050, **exact),
        model("a", 0.5, 0.052, **wide),
        model("b", 0.2, 0.060, wer_ci_low=0.055, wer_ci_high=0.065),
    ]
    recommendation = of(cells, prefer="accuracy")
    assert (
        chosen(recommendation) == "a"
        and recommendation.ranking
        and [tie.model for tie in recommendation.ranking.ties] == ["b"]
    )
    assert not recommendation.is_sure


def test_twice_the_errors_inside_the_intervals_are_no_sure_win() -> None:
    cells = [
        model("careful", 1.0, 0.050, wer_ci_low=0.02, wer_ci_high=0.10),
        model("quick", 0.1, 0.095, wer_ci_low=0.06, wer_ci_high=0.14),
    ]
    recommendation = of(cells, prefer="accuracy")
    assert chosen(recommendation) == "quick" and not recommendation.is_sure


def test_nothing_is_sure_while_a_rival_ties_or_is_undecided() -> None:
    cells = [model("a", 1.0, 0.1), model("b", 1.1, 0.1)]
    assert of(cells).is_sure
    wide = {"latency_s_ci_low": 0.9, "latency_s_ci_high": 1.4}
    assert not of([*cells, model("c", 1.15, 0.1, **wide)]).is_sure
    unknown = {"latency_s_ci_low": None, "latency_s_ci_high": None}
    assert not of([*cells, model("c", 1.5, 0.1, **unknown)]).is_sure


@pytest.mark.parametrize("changes", [{"machine_id": "other"}, {"disturbed": True, "disturbance": "others"}])
def test_disturbed_or_foreign_runner_up_is_not_surely_beaten(changes: dict[str, Any]) -> None:
    assert not of([model("a", 1.0, 0.1), model("b", 1.1, 0.1, **changes)]).is_sure


@pytest.mark.parametrize("prefer", ["throughput", "latency", "energy", "accuracy"])
def test_what_was_disturbed_in_every_lap_wins_and_loses_nothing(prefer: str) -> None:
    disturbed = {"disturbed": True, "disturbance": "others", "energy_method_cpu": "rapl", "energy_range_rel": 0.01}
    quick = model("quick", 0.1, 0.01, **disturbed)
    slow = model("slow", 2.0, 0.2, energy_method_cpu="rapl", energy_range_rel=0.01)
    found = of([quick, slow], prefer=prefer)
    assert chosen(found) == "slow" and found.ranking
    assert not found.ranking.runner_up and not found.ranking.ties
    assert (found.n_considered, found.n_unknown, found.is_sure) == (2, 1, False)
    assert [(one.cell, one.why) for one in found.unknowns] == [("quick/fp32/cpu/30s-b1", Why.DISTURBED)]
    nothing = of([quick], prefer=prefer)
    assert (nothing.ranking, nothing.missing) == (None, NoRecommendation.ALL_DISTURBED)


def test_the_gate_stands_where_fp32_was_to_be_run_and_failed() -> None:
    study = example_study({"scenarios": {"mine": {}}}, variants={"fp32": {}, "int8": {}})
    cells = [model("a", 1.0, 0.9, variant="int8"), failed(model("a", 2.0, 0.05), "oom", "too large")]
    (recommendation,) = recommend(results_of(cells), unmeasured_of(cells), study)
    assert recommendation.missing is NoRecommendation.NOT_KNOWN and recommendation.ruled_out == {}
    (unknown,) = recommendation.unknowns
    assert (unknown.variant, unknown.why, unknown.measure) == ("int8", Why.NO_WER, GATE)
    assert [one.cell for one in recommendation.does_not_run] == ["a/fp32/cpu/30s-b1"]


def test_energy_that_cannot_be_compared_is_said_to_be_left_out() -> None:
    measured = model("on-gpu", 0.1, 0.1, device="cuda", energy_method_gpu="nvml_counter", energy_range_rel=0.01)
    modelled = model("on-cpu", 1.0, 0.1, energy_j_per_sample=0.1)
    recommendation = of([measured, modelled], prefer="energy")
    assert (chosen(recommendation), recommendation.n_unranked, recommendation.is_sure) == ("on-gpu", 1, False)
    nothing = of([CELLS[0] | {"energy_j_per_sample": 0.0}, CELLS[1]], prefer="energy")
    assert (chosen(nothing), nothing.n_unranked) == ("middle", 1)


def test_modelled_energy_tells_nothing_apart() -> None:
    cells = [model("a", 1.0, 0.1, energy_j_per_sample=10.0), model("b", 1.0, 0.1, energy_j_per_sample=20.0)]
    recommendation = of(cells, prefer="energy")
    assert recommendation.ranking and recommendation.ranking.runner_up_undecided and not recommendation.is_sure


def test_model_without_the_class_is_named_and_blocks_nothing() -> None:
    short = {"duration_s": 5, "n_segments": 2}
    cells = [*CELLS, *(model(name, 0.1, 0.1, **short) for name in ("small", "middle", "large", "only-short"))]
    recommendation = of(cells)
    assert recommendation.duration_s == 30 and chosen(recommendation) == "small"
    assert recommendation.left_out == (("only-short", "fp32"),) and not recommendation.is_sure
