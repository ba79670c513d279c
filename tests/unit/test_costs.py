"""What an hour of audio costs, and stars, on constructed settings."""

from typing import Any

import pytest
from test_scenarios import model

from asrmeter.analysis.costs import Costs, per_audio_hour
from asrmeter.analysis.results import results_of
from asrmeter.analysis.star_rating import stars
from helpers.tables import cell, example_study


def costs(row: dict[str, Any], **tariff: Any) -> Costs:
    (result,) = results_of([row])
    return per_audio_hour(result, example_study({"tariff": tariff}).report.tariff)


def test_an_hour_of_audio_takes_time_and_energy() -> None:
    # 30 s of audio in 2 s and with 60 J: an hour takes 120 times that.
    found = costs(model("one", 2.0, 0.1, energy_j_per_sample=60.0))
    assert found.seconds.value == pytest.approx(240)
    assert (found.seconds.low, found.seconds.high) == (pytest.approx(237.6), pytest.approx(242.4))
    assert found.energy_j == pytest.approx(7200)
    assert (found.co2_g, found.money) == (None, None)


def test_money_is_that_of_energy_and_of_the_device() -> None:
    row = model("one", 2.0, 0.1, energy_j_per_sample=60.0)
    # 7200 J are 0.002 kWh, 240 s are a fifteenth of an hour.
    assert costs(row, currency="EUR", price_per_kwh=0.5).money == pytest.approx(0.001)
    assert costs(row, currency="EUR", price_per_device_hour={"cpu": 1.5}).money == pytest.approx(0.1)
    both = costs(row, currency="EUR", price_per_kwh=0.5, price_per_device_hour={"cpu": 1.5, "cuda": 9})
    assert both.money == pytest.approx(0.101)
    assert costs(row, currency="EUR", price_per_device_hour={"cuda": 9}).money is None
    assert costs(row, co2_g_per_kwh=400).co2_g == pytest.approx(0.8)


def test_what_is_not_known_is_not_priced() -> None:
    row = cell(energy_j_per_sample=None)
    prices = {"currency": "EUR", "price_per_kwh": 0.5, "price_per_device_hour": {"cpu": 1.5}, "co2_g_per_kwh": 400}
    assert (costs(row, **prices).money, costs(row, **prices).co2_g, costs(row, **prices).energy_j) == (None, None, None)


def test_each_doubling_costs_a_star_and_a_tie_with_the_best_none() -> None:
    cells = [model(str(factor), 1.0 * factor, 0.01 * factor) for factor in (1, 1.005, 1.4, 1.5, 4.1, 8.1, 16.1, 64)]
    given = stars(results_of(cells))
    by_speed = {name: given[name, "fp32"]["speed"] for name in ("1", "1.005", "1.4", "1.5", "4.1", "8.1", "16.1")}
    assert list(by_speed.values()) == [5, 5, 5, 4, 3, 2, 1]
    assert set(given["64", "fp32"].values()) == {1}


def test_stars_are_of_the_best_result_null_if_not_measured() -> None:
    cells = [model("one", 1.0, 0.1), model("one", 9.0, 0.1, batch_size=2), cell("wav2vec2-base-960h", rtfx=1.0)]
    given = stars(results_of(cells))
    assert given["one", "fp32"]["speed"] == 5
    assert given["wav2vec2-base-960h", "fp32"]["accuracy"] is None
    assert stars([]) == {}
