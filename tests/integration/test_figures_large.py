"""Figures of a study that is too large to be drawn whole."""

import random
import time
from itertools import product

import pytest
from test_figures import context, labels

from asrmeter.analysis.bottlenecks import Bottlenecks
from asrmeter.analysis.ranking import highest_rtfx
from asrmeter.analysis.results import results_of
from asrmeter.report.figure_registry import FIGURES
from asrmeter.report.figures.bottlenecks import MOST_BARS, operators_figure, stages_figure
from asrmeter.report.figures.cells import latency_figure
from asrmeter.report.figures.context import MOST_CANDIDATES, MOST_CLASSES, spread
from asrmeter.report.figures.render import figure_svg
from helpers.bottlenecks import ceiling_rows, profile_rows, scaling_row, stage_rows
from helpers.tables import cell

MODELS = [f"organisation/a-model-with-a-name-{i:02}" for i in range(25)]
VARIANTS = ("fp32", "bf16", "int8", "compiled")
DURATIONS_S = (2, 5, 8, 10, 12, 15, 20, 30, 45, 60)
BATCH_SIZES = (1, 2, 4, 8, 16)


def a_model(place: int, name: str, variant: str, device: str, duration_s: int, batch_size: int):
    dice = random.Random(f"{name}{variant}")
    slowness, wer = dice.uniform(0.3, 8), dice.uniform(0.03, 0.3)
    plain = cell(name, device, duration_s, batch_size, variant=variant)
    times = [column for column in plain if "_s_" in column and plain[column] is not None]
    return (
        plain
        | {column: plain[column] * slowness for column in times if column != "audio_s_mean"}
        | {
            "rtfx": plain["rtfx"] / slowness,
            "samples_per_s": plain["samples_per_s"] / slowness,
            "energy_j_per_sample": plain["energy_j_per_sample"] * slowness,
            "energy_net_j_per_sample": plain["energy_j_per_sample"] * slowness * 0.7 if device == "cuda" else None,
            "status": "ok" if place % 5 else "unconverged",
            "disturbed": place % 11 == 0,
            "wer": wer,
            "wer_ci_low": wer * 0.9,
            "wer_ci_high": wer * 1.1,
        }
    )


@pytest.fixture(scope="module")
def large():
    grid = product(MODELS, VARIANTS, ("cpu", "cuda"), DURATIONS_S, BATCH_SIZES)
    cells = [a_model(place, *one) for place, one in enumerate(grid)]
    assert len(cells) == 10_000
    profiled = [row for row in cells if row["duration_s"] == 30 and row["batch_size"] in (1, 16)]
    tables = Bottlenecks(
        operators=[part for row in profiled for part in profile_rows(row)],
        ceilings=[row for device in ("cpu", "cuda") for row in ceiling_rows(device)],
        roofline=[part for row in cells for part in stage_rows(row)],
        scaling=[scaling_row(row, 8) for row in cells if row["batch_size"] == 1],
    )
    return context(cells, tables)


def test_all_figures_are_small_and_quickly_drawn(large) -> None:
    started_s = time.process_time()
    sizes = {name: len(figure_svg(name, large)) for name in FIGURES}
    assert time.process_time() - started_s < 60
    assert sum(sizes.values()) < 1_200_000, sizes


def test_what_is_left_out_is_said_with_where_it_is(large) -> None:
    note = latency_figure(large).get_supxlabel()
    assert "12 of 100 models and variants" in note
    assert "6 of 10 duration classes" in " ".join(note.split())
    assert "tables/cells.csv" in note
    assert "batch sizes" not in note
    assert context([cell()]).left_out == ""


def test_large_study_draws_fastest_front_and_most_accurate(large) -> None:
    assert len(large.candidates) == MOST_CANDIDATES
    results = results_of(large.cells)
    fastest = highest_rtfx(results)
    best = min((one for one in results if one.wer), key=lambda one: one.wer.value)
    accurate = highest_rtfx([one for one in results if one.wer and not one.wer.differs_from(best.wer)])
    assert fastest and accurate
    assert {fastest.first.candidate, best.candidate, accurate.first.candidate} <= set(large.candidates)


def test_every_drawn_model_looks_different_without_colour(large) -> None:
    models = {model for model, _ in large.candidates}
    assert len({large.marker(model) for model in models}) == len(models)
    assert len({large.line(variant) for variant in large.variants}) == len(large.variants) == 4
    assert len(labels(latency_figure(large))) < 25


def test_bars_are_few_and_say_which_they_are(large) -> None:
    for draw in (stages_figure, operators_figure):
        figure = draw(large)
        assert sum(len(axes.get_yticks()) for axes in figure.axes) <= MOST_BARS
        assert "of 30 s at the smallest batches" in " ".join(figure.get_supxlabel().split())


def test_classes_are_spread_from_the_first_to_the_last() -> None:
    assert spread([1, 2, 4]) == [1, 2, 4]
    found = spread(list(range(0, 100, 7)), 49)
    assert len(found) == MOST_CLASSES and {0, 49, 98} <= set(found) and found == sorted(found)
    assert spread(list(DURATIONS_S), 30) == sorted(spread(list(DURATIONS_S), 30))
