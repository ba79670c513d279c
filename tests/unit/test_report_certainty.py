"""How the report says that an answer is sure, on constructed tables."""

import re

import pytest
from test_report import rendered, text_of
from test_scenarios import model

from asrmeter.analysis.certainty import TurningPoint
from asrmeter.analysis.results import results_of
from asrmeter.report.catalogue import load_words
from asrmeter.report.html.certainty import chance, what_would_change
from helpers.pages import TEMPLATES
from helpers.tables import cell, transcripts_of

WORDS = load_words(TEMPLATES, "en")
MINE = {"scenarios": {"mine": {"prefer": "latency"}}}
OWN = {"latency_own_se": 0.01, "latency_own_df": 100.0}


@pytest.mark.parametrize(
    ("probability", "said"),
    [
        (1.0, "more than 99 %"),
        (0.99, "99 %"),
        (0.9499, "94 %"),
        (0.95, "95 %"),
        (0.29, "29 %"),
        (0.01, "1 %"),
        (0.004, "less than 1 %"),
        (0.0, "less than 1 %"),
    ],
)
def test_a_probability_is_never_told_higher_than_it_is(probability: float, said: str) -> None:
    assert chance(probability, WORDS).replace("\u202f", " ") == said


def test_sure_answers_are_given_without_reserve() -> None:
    cells = [model("quick", 1.0, 0.1, **OWN), model("slow", 2.0, 0.1, **OWN)]
    text = text_of(rendered(cells, report=MINE))
    assert "Run quick 1.00 s a pass" in text
    assert "Sure: more than 99 % likely to be the best that meets the limits." in text
    assert "is more than 99 % likely to be the best of those that meet the limits." in text
    assert "the latency of slow on cpu at batch 1 is 2 s. At 1 s that setting would be recommended." in text


def test_each_answer_is_as_sure_as_it_is() -> None:
    cells = [model("quick", 1.0, 0.1, **OWN), model("slow", 1.01, 0.1, **OWN), model("late", 3.0, 0.05, **OWN)]
    scenarios = {"toss-up": {"prefer": "latency"}, "far": {"max_wer": 0.08}}
    text = text_of(rendered(cells, [], report={"scenarios": scenarios}))
    assert "Run quick" not in text and "Tied with slow ." in text
    assert re.search(r"Not sure: 7\d % likely to be the best that meets the limits\.", text)
    assert re.search(r"far late , cpu, batch 1: [^·]+ more than 99 % likely", text)
    assert "Tied with it: slow/fp32/cpu/30s-b1" in text


def test_without_an_interval_there_is_no_probability() -> None:
    unknown = {"latency_s_ci_low": None, "latency_s_ci_high": None}
    text = text_of(rendered([model("a", 1.0, 0.1, **unknown), model("b", 2.0, 0.1, **unknown)], report=MINE))
    assert "The probability that a is the best is unknown, because an interval is missing." in text
    assert "Not sure: the probability that it is the best is unknown, because an interval is missing." in text
    assert "Its latency has no interval, so a difference from others may be chance." in text


def test_settings_of_one_model_are_told_apart_from_the_model() -> None:
    cells = [model("a", 1.0, 0.1, **OWN, batch_size=batch) for batch in (1, 2)] + [model("b", 3.0, 0.1, **OWN)]
    text = text_of(rendered(cells, report=MINE))
    assert "more than 99 % likely" in text
    assert "With exactly this device and batch size: " in text


@pytest.mark.parametrize(
    ("point", "said"),
    [
        (
            ("rival", "latency", 2.0, 1.0, "rival"),
            "the latency of <b>rival</b> on cpu at batch 1 is 2 s. At 1 s that",
        ),
        (
            ("rival", "max_wer", 0.16, 0.15, "rival"),
            "the WER of <b>rival</b> on cpu at batch 1 is 16 %. At 15 % that",
        ),
        (("rival", "accuracy", 0.05, None, "rival"), "is 5 %. It is no worse by value, and the two tie."),
        (
            ("first", "min_rtfx", 30.0, 29.0, "rival"),
            "the RTFx of <b>first</b> is 30 ×. Past the limit of 29 ×, <b>rival</b> would",
        ),
        (
            ("first", "min_rtfx", 30.0, 29.0, None),
            "the RTFx of <b>first</b> is 30 ×. Past the limit of 29 ×, nothing",
        ),
    ],
)
def test_the_number_that_would_change_an_answer_is_named(
    point: tuple[str, str, float, float | None, str | None], said: str
) -> None:
    results = {one.model: one for one in results_of([cell("first"), cell("rival")])}
    whose, measure, value, becomes, answer = point
    turning = TurningPoint(results[whose], measure, value, becomes, results[answer] if answer else None)
    told = what_would_change(turning, results["first"], WORDS).replace("\xa0", " ").replace("\u202f", " ")
    assert told.startswith("Turning point: ") and said in told


def test_accuracy_is_as_likely_as_its_segments_say() -> None:
    cells = [cell("a", wer=0.1, **OWN), cell("b", wer=0.1, **OWN)]
    texts = [text for row in cells for text in transcripts_of(row, n_segments=8)]
    text = text_of(rendered(cells, texts, report={"scenarios": {"mine": {"prefer": "accuracy"}}}))
    assert "likely to be the best of those that meet the limits" in text
