"""The check from outside: asrmeter beside a bare loop."""

import json
from typing import Any

import pytest

from check import bare_loop
from check.bare_loop import STAGE_TIMING, measure_pairs, ratio_of
from helpers.checkouts import CELLS, MakeCheckout, Ran, one_cell

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
def compared(make_checkout: MakeCheckout) -> tuple[Ran, dict[str, Any]]:
    """What the check printed and wrote; forked workers are what a run has."""
    checkout = make_checkout("bare-loop")
    checkout.write(one_cell())
    checkout.run(f"results/measurements/{CELLS[0]}/lap1.parquet")
    options = [
        "--cell",
        CELLS[0],
        "--workers",
        "forked",
        "--budget-s",
        "2",
        "--limit-s",
        "24",
        "--json",
        "compared.json",
    ]
    # It ends by itself with the pair in which its limit is reached; a busy machine makes that a long one.
    ran = checkout.step("tests/check/bare_loop.py", *options, limit_s=300)
    assert ran.code in bare_loop.EXIT_CODES.values() and (checkout.folder / "compared.json").is_file(), ran.output
    print(ran.output)
    return ran, json.loads((checkout.folder / "compared.json").read_text())


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
