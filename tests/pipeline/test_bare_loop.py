"""The checks from outside: asrmeter beside a bare loop, and a study's time beside that of its passes."""

import json
from typing import Any

import pytest

from check import bare_loop, wall_time
from check.bare_loop import STAGE_TIMING, measure_pairs, ratio_of
from checkouts import CELLS, Checkout, Ran

pytestmark = pytest.mark.alone


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ([1.01, 0.99, 1.0, 1.02, 0.98, 1.0], "within"),
        ([1.06, 1.05, 1.04, 1.07, 1.05, 1.06], "outside"),
        ([0.94, 0.95, 0.96, 0.93, 0.95, 0.94], "outside"),
        ([1.01, 0.99, 1.0, 1.02, 0.9, 1.0], "undecided"),
        ([1.0] * 5, "undecided"),
        # One pair in twelve that a neighbour has spoiled is no reason to doubt.
        ([*[1.01, 0.99, 1.0, 1.02, 0.98] * 2, 1.0, 7.0], "within"),
    ],
)
def test_the_verdict_is_that_of_the_interval(ratios: list[float], verdict: str) -> None:
    assert ratio_of(ratios, within=0.03).verdict == verdict


def test_the_interval_is_that_of_the_signed_rank_test() -> None:
    # Critical values of Wilcoxon's test, two-sided at 5 %: none for 5 pairs, 0 for 6, 8 for 10, 52 for 20.
    for n, critical in ((5, None), (6, 0), (10, 8), (20, 52)):
        ratios = [1 + i / 1000 for i in range(n)]
        found = ratio_of(ratios, within=0.03)
        if critical is None:
            assert (found.low, found.high) == (None, None)
        else:
            means = sorted((a * b) ** 0.5 for i, a in enumerate(ratios) for b in ratios[i:])
            assert (found.low, found.high) == pytest.approx((means[critical], means[-1 - critical]))


def test_pairs_go_forwards_and_backwards_until_it_is_decided() -> None:
    order: list[str] = []

    def side(name: str, *seconds: float) -> bare_loop.Measure:
        values = iter(seconds)
        return lambda: order.append(name) or next(values)  # type: ignore[func-returns-value]

    sides = {"direct": side("direct", 1.0, 1.2, *[1.0] * 20), "bare": side("bare", *[1.0] * 22)}
    pairs, ratios = measure_pairs(sides, least_pairs=6, limit_s=60, within=0.03)
    assert order[:6] == ["direct", "bare", "bare", "direct", "direct", "bare"]
    # Six pairs with a spoiled one among them decide nothing.
    assert len(pairs) > 6 and ratios["direct"].verdict == "within"


def test_the_time_ends_what_cannot_be_decided() -> None:
    pairs, ratios = measure_pairs({"direct": lambda: 1.0, "bare": lambda: 1.0}, least_pairs=6, limit_s=0, within=0.03)
    assert len(pairs) == 1 and ratios["direct"].verdict == "undecided"


@pytest.fixture(scope="module")
def compared(finished: Checkout) -> tuple[Ran, dict[str, Any]]:
    """What the check printed and wrote; forked workers are what a run has."""
    options = [
        "--cell",
        CELLS[0],
        "--workers",
        "forked",
        "--budget-s",
        "2",
        "--limit-s",
        "40",
        "--json",
        "compared.json",
    ]
    # It ends by itself with the pair in which its limit is reached; a busy machine makes that a long one.
    ran = finished.step("tests/check/bare_loop.py", *options, limit_s=300)
    assert ran.code in bare_loop.EXIT_CODES.values() and (finished.folder / "compared.json").is_file(), ran.output
    print(ran.output)
    return ran, json.loads((finished.folder / "compared.json").read_text())


@pytest.mark.pipeline
def test_passes_take_as_long_as_those_of_a_bare_loop(compared: tuple[Ran, dict[str, Any]]) -> None:
    ran, found = compared
    # Turn by turn in one process. A noisy machine leaves it undecided, but does not move it out of the bound.
    ratio = found["ratios"][STAGE_TIMING]
    assert ratio["verdict"] != "outside", f"not within 1 ± {found['within']}:\n{ran.output}"
    assert 0.9 < ratio["ratio"] < 1.1, ran.output


@pytest.mark.pipeline
def test_a_forked_worker_measures_what_a_process_of_its_own_does(compared: tuple[Ran, dict[str, Any]]) -> None:
    ran, found = compared
    # Whole processes scatter by a tenth on a shared machine: less than a minute of pairs tells no less than this.
    assert 0.7 < found["ratios"]["forked"]["ratio"] < 1.4, ran.output


@pytest.mark.pipeline
def test_the_exit_code_is_that_of_the_worst_ratio(compared: tuple[Ran, dict[str, Any]]) -> None:
    ran, found = compared
    verdicts = {ratio["verdict"] for ratio in found["ratios"].values()}
    assert ran.code == (1 if "outside" in verdicts else 3 if "undecided" in verdicts else 0)
    assert found["stage_marks_s"] > 0


@pytest.mark.pipeline
def test_where_the_time_of_a_study_goes_adds_up(finished: Checkout) -> None:
    cells = wall_time.read(finished.results)
    assert {cell.header["model"] for cell in cells} == {"whisper-tiny.en", "wav2vec2-base-960h"}
    for cell in cells:
        assert cell.inside_s + sum(cell.outside_s.values()) == pytest.approx(cell.wall_s)
        assert all(seconds > -0.01 for seconds in cell.outside_s.values())
        metered = cell.header["events"]["energy"]["windows"]
        assert len(cell.batches) == len(cell.passes) + sum(window["n_passes"] for window in metered)
    whole_s = wall_time.whole_run_s(finished.folder / ".snakemake", cells)
    assert whole_s is not None and whole_s > sum(cell.wall_s for cell in cells)


@pytest.mark.pipeline
def test_a_share_of_a_study_is_set_beside_a_loop(finished: Checkout) -> None:
    ran = finished.step("tests/check/wall_time.py", "results", "--share", "5", limit_s=90)
    assert ran.code == 0, ran.output
    assert "measuring 1 of them" in ran.output and "ratio of the two times" in ran.output
