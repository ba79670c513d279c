"""The first screen of the report, and its small picture, on constructed tables."""

import re
from typing import Any

import pytest
from test_report import rendered, text_of

from asrmeter.analysis.alternatives import MOST, Alternative, Standing, alternatives
from asrmeter.analysis.results import results_of
from asrmeter.analysis.scenarios import recommend, recommend_first
from asrmeter.analysis.unmeasured import unmeasured_of
from asrmeter.report.catalogue import load_words
from asrmeter.report.html.first_screen import MOST_OTHERS, FirstScreen, alternatives_takeaway, first_screen
from asrmeter.report.html.takeaways import TakeawayContext
from asrmeter.report.text.answer import answer_text
from helpers.pages import HOSTILE, TEMPLATES
from helpers.tables import Cell, cell, example_study, failed, without_interval

WORDS = load_words(TEMPLATES, "en")
OWN = {"latency_own_se": 0.01, "latency_own_df": 100.0, "runtime": "transformers"}
PRODUCTION = {"max_wer": 0.15, "max_latency_s_median": 1.0}
NOTHING: dict[str, Any] = {}
PRICES = {"currency": "EUR", "price_per_kwh": 0.4, "price_per_device_hour": {"cpu": 0.1}}


def quick(**changes: Any) -> Cell:
    return cell("quick", **{"wer": 0.1, "wer_ci_low": 0.09, "wer_ci_high": 0.12, **OWN, **changes})


def slow(**changes: Any) -> Cell:
    times = {"latency_s_median": 0.9, "latency_s_ci_low": 0.88, "latency_s_ci_high": 0.92, "rtfx": 33.3}
    return cell("slow", **{"wer": 0.05, "wer_ci_low": 0.04, "wer_ci_high": 0.06, **times, **OWN, **changes})


def disturbed(row: Cell) -> Cell:
    return without_interval(row) | {"disturbed": True, "disturbance": "lap 1: others", "n_laps": 0, "laps": ""}


QUICK = {"latency_s_median": 0.5, "latency_s_ci_low": 0.49, "latency_s_ci_high": 0.51, "rtfx": 60.0}


def screen(cells: list[Cell], scenarios: dict[str, Any] | None = None, **report: Any) -> FirstScreen | None:
    study = example_study({"scenarios": {"mine": PRODUCTION} if scenarios is None else scenarios, **report})
    found = recommend(results_of(cells), unmeasured_of(cells), study)
    return first_screen(found, cells, study.report.tariff, WORDS)


def answered(cells: list[Cell], scenarios: dict[str, Any] | None = None, **report: Any) -> FirstScreen:
    found = screen(cells, scenarios, **report)
    assert found is not None
    return found


def said(*parts: str) -> str:
    return " ".join(re.sub("<[^>]+>", "", " ".join(parts)).replace("\u202f", " ").replace("\xa0", " ").split())


def tiles(found: FirstScreen) -> dict[str, str]:
    return {said(tile.name): said(tile.value, *tile.notes) for tile in found.tiles}


def test_a_pick_has_number_engine_and_figures_with_intervals() -> None:
    found = answered([quick(**QUICK, peak_rss_bytes=1.3e9, peak_rss_bytes_min=1.2e9), slow()])
    assert said(found.asked) == "mine: WER ≤ 15 %, median ≤ 1 s, then most throughput. Requests of 30.0 s."
    assert said(found.headline) == "Run quick 60.0 times real time"
    assert said(found.setting) == "transformers on cpu, batch 1."
    assert said(found.chance) == "Sure: more than 99 % likely to be the best that meets the limits."
    assert tiles(found) == {
        "Word error rate": "10.0 % 9.00 – 12.0 % meets ≤ 15 %",
        "Request, median": "0.500 s 0.490 – 0.510 s meets ≤ 1 s",
        "Throughput": "60.0 × 58.8 – 61.2 ×",
        "Energy, modelled": "0.899 Wh an hour of audio no interval",
        "Peak memory": "1.30 GB 1.20 – 1.30 GB over laps",
        "Meet the limits": "2 of 2 settings",
    }
    assert found.is_answered and not found.nearest and not found.unknown


def test_a_variant_a_batch_and_another_engine_are_named() -> None:
    reference = quick(variant="fp32", latency_s_median=0.9, rtfx=33.0)
    found = answered([reference, quick(**QUICK, variant="int8", runtime="own.py", batch_size=2)])
    assert said(found.headline).endswith("quick (int8) 60.0 times real time")
    assert said(found.setting) == "own.py on cpu, batch 2."
    assert "Batch 2, median" in tiles(found)
    # An old record does not say what ran it.
    assert said(answered([quick(runtime=None)]).setting) == "On cpu, batch 1."


@pytest.mark.parametrize(
    ("prefer", "headline", "value"),
    [
        ("throughput", "60.0 times real time", "60.0 times real time (58.8\u2009–\u200961.2)"),
        ("latency", "0.500 s a pass", "0.500 s a pass (0.490\u2009–\u20090.510 s)"),
        ("accuracy", "10.0 % of the words wrong", "WER 10.0 % (9.00\u2009–\u200912.0 %)"),
    ],
)
def test_the_number_is_that_which_decides(prefer: str, headline: str, value: str) -> None:
    scenarios = {"mine": {"prefer": prefer}, "other": {"prefer": prefer}}
    found = answered([quick(**QUICK)], scenarios)
    assert said(found.headline).endswith(headline)
    assert (found.others[0].name, said(found.others[0].pick)) == ("other", "quick, cpu, batch 1")
    assert said(found.others[0].value) == said(value)
    assert said(found.others[0].chance) == "more than 99 % likely"


def test_a_tie_is_not_sure_and_names_its_rival() -> None:
    found = answered([quick(**QUICK), cell("alike", wer=0.1, **QUICK, **OWN)])
    assert "Tied with" in said(found.setting) and said(found.chance).startswith("Not sure: ")
    assert not said(found.headline).startswith("Run ")


def test_what_could_win_is_named_with_a_link_to_what_it_takes() -> None:
    found = answered([slow(), disturbed(quick(**QUICK)), failed(cell("broken"), "error", "out of memory")])
    assert said(found.headline) == "slow 33.3 times real time"
    assert said(found.chance) == "Of those known, more than 99 % likely to be the best."
    assert said(found.unknown) == "Unknown, and possibly better: quick, broken."
    assert tiles(found)["Meet the limits"] == "1 of 3 2 unknown"
    html = rendered([slow(), disturbed(quick(**QUICK))], report={"scenarios": {"mine": PRODUCTION}})
    assert '<a href="#for-mine">How to find out</a>' in html and 'id="for-mine"' in html


def test_models_that_lack_the_class_are_named() -> None:
    found = answered([slow(), quick(duration_s=5)], {"mine": {**PRODUCTION, "duration_s": 30}})
    assert "Not compared, because they were not measured with segments of 30 s: quick." in said(found.unknown)
    assert said(found.chance).startswith("Not sure: ")


def test_where_none_meets_the_nearest_is_named_as_such() -> None:
    found = answered([quick(wer=0.3, **QUICK), slow(wer=0.4)])
    assert said(found.headline) == "None of 2 settings meets all limits."
    assert said(found.nearest) == "The closest is quick on cpu at batch 1, but its WER is 30 % and the limit is 15 %."
    assert tiles(found)["Word error rate"].endswith("misses ≤ 15 %")
    assert not found.is_answered and not found.setting and not found.chance
    text = text_of(rendered([quick(wer=0.3), slow(wer=0.4)], report={"scenarios": {"mine": PRODUCTION}}))
    assert "Figures of the closest setting:" in text


def test_where_all_is_unknown_nothing_is_a_figure_of_the_answer() -> None:
    found = answered([disturbed(quick())])
    assert "disturbed in every lap" in said(found.headline)
    assert said(found.unknown) == "Unknown, and possibly better: quick."
    assert not found.tiles and not found.cost


def test_without_texts_speed_is_answered_accuracy_is_not_known() -> None:
    none: dict[str, Any] = dict.fromkeys(("wer", "wer_ci_low", "wer_ci_high", "wer_words"))
    cells = [quick(**QUICK, **none) | {"wer_note": "no text"}, slow(**none) | {"wer_note": "no text"}]
    found = answered(cells, {"fast": {"prefer": "latency"}, "good": {"max_wer": 0.1}})
    assert said(found.headline) == "Run quick 0.500 s a pass"
    assert tiles(found)["Word error rate"] == "– no text"
    assert said(found.others[0].pick) == "No recommendation" and not found.others[0].value
    assert drawn_of(cells, {"fast": {"prefer": "latency"}}) == []


def test_random_weights_alone_are_no_answer() -> None:
    found = answered([cell("wav2vec2-base-960h")], {"mine": PRODUCTION, "other": NOTHING})
    assert said(found.headline).startswith("All models have random weights")
    assert said(found.others[0].pick) == "No recommendation"
    assert not found.tiles


def test_what_other_purposes_come_to_is_told_apart() -> None:
    cells = [slow(), disturbed(quick(**QUICK))]
    found = answered(cells, {"mine": PRODUCTION, "none": {"max_wer": 0.01}, "p95": {"max_latency_s_p95": 1.0}})
    assert [said(other.pick) for other in found.others] == [
        "No setting meets every limit",
        "No setting is known to meet every limit",
    ]


def test_without_energy_and_prices_that_is_said() -> None:
    found = answered([quick(energy_j_per_sample=None)])
    assert tiles(found)["Energy"] == "– an hour of audio not measured"
    assert said(found.cost) == ("The cost of an hour of audio is unknown: the study gives no prices (report.tariff).")
    found = answered([quick(energy_j_per_sample=None)], tariff=PRICES)
    assert "electricity of the processor: unknown, because its energy was not measured" in said(found.cost)


def test_money_says_what_it_is_for_and_what_it_is_not() -> None:
    cost = said(answered([quick(**QUICK)], tariff=PRICES).cost)
    assert cost.startswith("An hour of audio costs: electricity of the processor, modelled: 0.000")
    assert "; the machine itself at 0.1 EUR an hour: 0.00167 EUR (0.00163 – 0.00170). RAM, disks" in cost
    alone = said(answered([quick()], tariff={"currency": "EUR", "price_per_kwh": 0.4}).cost)
    assert "the machine itself: no price in the study" in alone


def test_a_limit_on_p95_has_its_figure() -> None:
    few = answered([quick(latency_s_p95_ci_low=2.0)], {"mine": {"max_latency_s_p95": 1.0}})
    assert tiles(few)["Request, p95"].startswith("– fewer than 59 different requests")
    p95 = {"latency_s_p95": 0.6, "latency_s_p95_ci_low": 0.55, "latency_s_p95_ci_high": 0.7}
    known = answered([quick(**QUICK, **p95)], {"mine": {"max_latency_s_p95": 1.0}})
    assert tiles(known)["Request, p95"] == "0.600 s 0.550 – 0.700 s meets ≤ 1 s"


def test_of_twelve_purposes_the_next_have_a_line_and_all_a_card() -> None:
    scenarios = {f"purpose-{index}": PRODUCTION for index in range(12)}
    found = answered([quick()], scenarios)
    assert [other.name for other in found.others] == [f"purpose-{index + 1}" for index in range(MOST_OTHERS)]
    html = rendered([quick()], report={"scenarios": scenarios})
    assert '<a href="#purposes">All 12 purposes</a>' in html
    assert all(f'id="for-{name}"' in html for name in scenarios)
    assert "purposes</a>" not in rendered([quick()], report={"scenarios": {"mine": PRODUCTION}})


def test_a_study_without_purposes_has_no_empty_boxes() -> None:
    assert screen([quick()], {}) is None
    html = rendered([quick()], report={"scenarios": {}})
    assert "The study defines no scenario" in html and 'class="first"' not in html
    assert 'id="figure-alternatives"' not in html


def test_names_from_outside_stay_text() -> None:
    hostile = [quick(), disturbed(slow())]
    hostile = [row | {"model": f"{HOSTILE}{row['model']}", "runtime": HOSTILE} for row in hostile]
    found = answered(hostile, {"mine": PRODUCTION, "other": PRODUCTION}, tariff=PRICES | {"currency": "<b>"})
    parts = (found.headline, found.setting, found.unknown, found.cost, found.others[0].pick)
    assert all("&lt;" in part and "<script" not in part for part in parts)
    noted = quick(wer=None) | {"wer_note": HOSTILE}
    assert "&lt;script" in str(answered([noted], {"mine": {"prefer": "latency"}}).tiles)


def drawn_of(cells: list[Cell], scenarios: dict[str, Any]) -> list[Alternative]:
    found = recommend_first(results_of(cells), unmeasured_of(cells), example_study({"scenarios": scenarios}))
    assert found is not None
    return alternatives(found)


def test_the_answer_as_text_is_what_the_first_screen_says() -> None:
    text = answer_text(answered([quick(**QUICK), slow()]), WORDS)
    assert text.replace("\u202f", " ").replace("\xa0", " ").splitlines() == [
        "Run quick: 60.0 times real time. transformers on cpu, batch 1.",
        "mine: WER ≤ 15 %, median ≤ 1 s, then most throughput. Requests of 30.0 s.",
        "Sure: more than 99 % likely to be the best that meets the limits.",
    ]


def test_the_text_says_why_there_is_no_answer() -> None:
    found = answered([quick(wer=0.4), slow(wer=0.3)])
    first, asked, nearest = answer_text(found, WORDS).splitlines()
    assert first == said(found.headline) and asked.startswith("mine: ") and nearest.startswith("The closest is ")
    assert answer_text(screen([quick()], {}), WORDS) == said(WORDS["answer"]["no_scenarios"]) + "\n"


def test_the_text_has_no_marks_and_nothing_unseen() -> None:
    odd = cell(f"{HOSTILE}\x1b[2J", **{"wer": 0.1, "wer_ci_low": 0.09, "wer_ci_high": 0.12, **OWN, **QUICK})
    text = answer_text(answered([odd, slow()]), WORDS)
    assert HOSTILE in text and "\x1b" not in text and "&lt;" not in text and "<span>" not in text


def test_of_each_model_and_standing_the_best_is_drawn() -> None:
    cells = [
        quick(**QUICK),
        quick(batch_size=2, rtfx=50.0),
        quick(batch_size=4, rtfx=40.0),
        disturbed(quick(batch_size=8, rtfx=90.0)),
        slow(wer=0.3),
        slow(wer=0.3, batch_size=2, rtfx=20.0),
    ]
    drawn = drawn_of(cells, {"mine": {"max_wer": 0.15}})
    assert [(one.result.model, one.result.batch_size, one.standing) for one in drawn] == [
        ("quick", 1, Standing.CHOSEN),
        ("quick", 2, Standing.MEETS),
        ("quick", 8, Standing.UNKNOWN),
        ("slow", 1, Standing.MISSES),
    ]


def test_nothing_to_choose_between_is_no_picture() -> None:
    assert drawn_of([quick()], {"mine": PRODUCTION}) == []
    many = [cell(f"model-{index}", wer=0.1, **OWN) for index in range(MOST + 5)]
    assert len(drawn_of(many, {"mine": PRODUCTION})) == MOST


@pytest.mark.parametrize(
    ("rivals", "legend"),
    [
        ([slow()], "Lines: 95 % intervals."),
        ([slow(wer=0.3)], "Pale: misses, lines: 95 % intervals."),
        ([disturbed(slow())], "Hollow: unknown, lines: 95 % intervals."),
    ],
)
def test_the_legend_has_only_what_is_drawn(rivals: list[Cell], legend: str) -> None:
    cells = [quick(**QUICK), *rivals]
    found = recommend_first(results_of(cells), unmeasured_of(cells), example_study({"scenarios": {"a": PRODUCTION}}))
    context: Any = TakeawayContext(cells, None, None, WORDS, found)  # type: ignore[arg-type]  # takes no part
    takeaway = alternatives_takeaway(context)
    assert takeaway and said(takeaway[0]) == legend
