"""How sure an answer is, and what would change it, on constructed tables."""

import time
from typing import Any

import numpy as np
import pytest
from test_scenarios import model

from asrmeter.analysis.certainty import SURE, Certainty, TurningPoint
from asrmeter.analysis.results import results_of
from asrmeter.analysis.scenarios import Recommendation, recommend
from asrmeter.analysis.unmeasured import unmeasured_of
from asrmeter.analysis.wer_draws import wer_draws
from helpers.tables import example_study, transcripts_of


def of(cells: list[dict[str, Any]], texts: list[dict[str, Any]] | None = None, **limits: Any) -> Recommendation:
    (found,) = recommend(
        results_of(cells, texts or []), unmeasured_of(cells), example_study({"scenarios": {"mine": limits}})
    )
    return found


def certain(cells: list[dict[str, Any]], texts: list[dict[str, Any]] | None = None, **limits: Any) -> Certainty:
    found = of(cells, texts, **limits).certainty
    assert found is not None
    return found


def turning(cells: list[dict[str, Any]], **limits: Any) -> TurningPoint:
    found = certain(cells, **limits).turning_point
    assert found is not None
    return found


def lapped(name: str, latency_s: float, own_se: float, wer: float = 0.1, **changes: Any) -> dict[str, Any]:
    """Return a cell whose laps scatter by so much, with what is common to laps at 10 % to either side."""
    ends = {"latency_s_ci_low": latency_s * 0.9, "latency_s_ci_high": latency_s * 1.1, "noise_floor": 0.0}
    return model(name, latency_s, wer, **ends, latency_own_se=own_se, latency_own_df=200.0, **changes)


def errors(name: str, wrong: list[int], n_words: int = 50) -> list[dict[str, Any]]:
    rows = transcripts_of(model(name, 1.0, 0.1), n_segments=len(wrong))
    none = {"n_deletions": 0, "n_insertions": 0}
    return [row | none | {"n_words": n_words, "n_substitutions": n} for row, n in zip(rows, wrong, strict=True)]


def test_far_ahead_is_certain_and_equals_are_a_toss_up() -> None:
    far = certain([lapped("a", 1.0, 0.02), lapped("b", 1.5, 0.02)])
    assert far.probability == 1.0 and far.is_sure
    even = certain([lapped("a", 1.0, 0.02), lapped("b", 1.0, 0.02)])
    assert even.probability == pytest.approx(0.5, abs=0.06) and not even.is_sure


def test_the_probability_is_that_of_the_difference() -> None:
    """Two values that lie 1.645 standard errors of their difference apart: the first wins 95 % of the draws."""
    own_se = 0.02
    apart = float(np.exp(1.645 * own_se * np.sqrt(2)))
    found = certain([lapped("a", 1.0, own_se), lapped("b", apart, own_se)])
    assert found.probability == pytest.approx(0.95, abs=0.02)


def test_what_laps_share_counts_against_limits_not_rivals() -> None:
    cells = [lapped("a", 1.0, 0.001), lapped("b", 1.02, 0.001)]
    assert certain(cells).probability == 1.0
    assert 0.4 < (certain(cells, max_latency_s_median=1.0).probability or 0) < 0.6
    assert certain(cells, max_latency_s_median=2.0).probability == 1.0
    # Of other laps, or another device, what they have in common is not known to be the same.
    elsewhere = certain([cells[0], cells[1] | {"laps": "1 2"}]).probability
    assert elsewhere is not None and elsewhere < 0.9


def test_settings_of_one_model_are_one_answer() -> None:
    cells = [lapped("a", 1.0, 0.05, batch_size=1), lapped("a", 1.0, 0.05, batch_size=2), lapped("b", 3.0, 0.05)]
    found = certain(cells)
    assert found.probability == 1.0 and found.of_setting == pytest.approx(0.5, abs=0.1)


def test_settings_of_the_same_wer_are_told_apart_by_speed() -> None:
    cells = [lapped("a", 2.0, 0.3, batch_size=1), lapped("a", 1.0, 0.3, batch_size=2)]
    texts = [text | {"batch_size": batch} for batch in (1, 2) for text in errors("a", [1, 2, 3, 4, 5, 6, 7, 8])]
    found = certain([row | {"latency_own_df": 1.0} for row in cells], texts, prefer="accuracy")
    assert found.probability == 1.0 and found.of_setting is not None and 0.6 < found.of_setting < 0.95


def test_a_limit_of_wer_is_as_sure_as_the_segments_say() -> None:
    cells = [lapped("a", 1.0, 0.01), lapped("b", 2.0, 0.01)]
    hard = [0, 0, 2, 20, 0, 1, 15, 2]
    texts = [*errors("a", hard), *errors("b", [1] * 8)]
    rate = sum(hard) / 400
    loose = certain([cells[0] | {"wer": rate}, cells[1] | {"wer": 0.02}], texts, max_wer=0.5)
    tight = certain([cells[0] | {"wer": rate}, cells[1] | {"wer": 0.02}], texts, max_wer=rate + 0.005)
    assert loose.probability == 1.0
    assert tight.probability is not None and 0.4 < tight.probability < 0.8
    point = tight.turning_point
    assert point and (point.result.model, point.measure, point.becomes) == ("a", "max_wer", pytest.approx(rate + 0.005))
    assert point.value == pytest.approx(rate) and point.answer and point.answer.model == "b"


def test_all_models_hear_the_same_resample() -> None:
    """One that makes an error more in each segment is worse in every draw, however hard segments are."""
    hard = [0, 9, 1, 20, 3, 0, 12, 2]
    cells = [lapped("a", 1.0, 0.01, wer=sum(hard) / 400), lapped("b", 0.5, 0.01, wer=(sum(hard) + 8) / 400)]
    texts = [*errors("a", hard), *errors("b", [n + 1 for n in hard])]
    drawn = wer_draws(results_of(cells, texts), 500)
    assert np.allclose(drawn[:, 1] - drawn[:, 0], 1 / 50) and drawn[:, 0].std() > 0.01
    found = of(cells, texts, prefer="accuracy")
    assert found.ranking and found.ranking.first.model == "a"
    assert found.certainty and found.certainty.probability == 1.0 and found.is_sure


def test_without_an_interval_the_probability_is_not_known() -> None:
    bare = {"latency_s_ci_low": None, "latency_s_ci_high": None, "latency_own_se": None}
    cells = [lapped("a", 1.0, 0.01), lapped("b", 2.0, 0.01) | bare]
    found = certain(cells)
    assert (found.probability, found.of_setting, found.is_sure) == (None, None, False)
    assert found.turning_point and found.turning_point.result.model == "b"
    # What misses the limits anyway decides nothing, and speed decides no accuracy.
    assert certain([cells[0], cells[1] | {"wer": 0.5}], max_wer=0.2).probability == 1.0
    told = [*errors("a", [1, 2, 1, 3, 1, 2]), *errors("b", [9, 9, 8, 9, 9, 9])]
    heard = [row | {"wer": wer} for row, wer in zip(cells, (0.03, 0.18), strict=True)]
    assert certain(heard, told, prefer="accuracy").probability == 1.0
    modelled = certain([lapped("a", 1.0, 0.01), lapped("b", 2.0, 0.01)], prefer="energy")
    assert modelled.probability is None


@pytest.mark.parametrize("prefer", ["throughput", "latency"])
def test_the_rival_that_would_change_the_answer_is_named(prefer: str) -> None:
    value = {"throughput": lambda latency_s: 30 / latency_s, "latency": lambda latency_s: latency_s}[prefer]
    for rivals in ((1.05, 2.0), (1.5, 2.0)):
        cells = [lapped("a", 1.0, 0.02), *(lapped(f"at {one}", one, 0.02) for one in rivals)]
        point = turning(cells, prefer=prefer)
        assert (point.result.model, point.measure) == (f"at {rivals[0]}", prefer)
        assert (point.value, point.becomes) == (pytest.approx(value(rivals[0])), pytest.approx(value(1.0)))
        assert point.answer == point.result


def test_a_rival_that_may_come_within_a_limit_is_named_with_it() -> None:
    cells = [lapped("good", 2.0, 0.01, wer=0.05), lapped("quick", 1.0, 0.01, wer=0.105)]
    point = turning(cells, max_wer=0.1)
    assert (point.result.model, point.measure, point.value, point.becomes) == ("quick", "max_wer", 0.105, 0.1)
    assert point.answer and point.answer.model == "quick"


def test_alone_only_a_limit_can_change_the_answer() -> None:
    alone = [lapped("a", 1.0, 0.01)]
    assert certain(alone) == Certainty(1.0, 1.0, None)
    point = turning(alone, max_latency_s_median=1.2, min_rtfx=1)
    assert (point.measure, point.becomes, point.answer) == ("max_latency_s_median", 1.2, None)


def test_nobody_within_the_limits_counts_against_the_answer() -> None:
    found = certain([lapped("a", 1.0, 0.001)], max_latency_s_median=1.001)
    assert found.probability is not None and found.probability < 0.7 < SURE
    assert found.turning_point and found.turning_point.answer is None


def test_the_same_question_gets_the_same_answer() -> None:
    cells = [lapped("a", 1.0, 0.02), lapped("b", 1.03, 0.02)]
    assert certain(cells) == certain(cells[::-1])


def test_a_large_study_takes_no_time() -> None:
    cells = [
        lapped(f"m{place}", 1 + place / 100, 0.02, batch_size=batch) for place in range(250) for batch in (1, 2, 4, 8)
    ]
    results = results_of(cells)
    study = example_study({"scenarios": {"mine": {"max_wer": 0.2, "min_rtfx": 1}}})
    begun_s = time.perf_counter()
    recommend(results, [], study)
    assert time.perf_counter() - begun_s < 3
