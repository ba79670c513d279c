"""What an hour of audio costs, and stars, on constructed settings."""

from typing import Any

import pytest
from test_scenarios import model
from test_tables import a_header, a_round

from asrmeter.analysis.cell_columns.costs import COSTS
from asrmeter.analysis.costs import Costs, per_audio_hour
from asrmeter.analysis.results import results_of
from asrmeter.analysis.star_rating import stars
from helpers.records import measured
from helpers.tables import cell, example_study


def costs(row: dict[str, Any], **tariff: Any) -> Costs:
    (result,) = results_of([row])
    return per_audio_hour(result, example_study({"tariff": tariff}).report.tariff)


PRICES = {"currency": "EUR", "price_per_kwh": 0.5, "price_per_device_hour": {"cpu": 1.5, "cuda": 9}}


def test_an_hour_of_audio_takes_time_and_energy() -> None:
    # 30 s of audio in 2 s and with 60 J: an hour takes 120 times that.
    found = costs(model("one", 2.0, 0.1, energy_j_per_sample=60.0))
    assert found.seconds.value == pytest.approx(240)
    assert (found.seconds.low, found.seconds.high) == (pytest.approx(237.6), pytest.approx(242.4))
    assert found.energy_wh and found.energy_wh.value == pytest.approx(2)
    assert found.modelled
    assert (found.co2_g, found.electricity, found.machine, found.total) == (None, None, None, None)


def test_electricity_and_machine_are_told_apart() -> None:
    # 7200 J are 0.002 kWh, 240 s are a fifteenth of an hour.
    row = model("one", 2.0, 0.1, energy_j_per_sample=60.0)
    found = costs(row, **PRICES)
    assert found.electricity and found.machine and found.total
    assert found.electricity.value == pytest.approx(0.001)
    assert found.machine.value == pytest.approx(0.1)
    # The time of the machine has the interval of the latency; modelled electricity has none, and so has their sum.
    assert (found.machine.low, found.machine.high) == (pytest.approx(0.099), pytest.approx(0.101))
    assert (found.total.value, found.total.low) == (pytest.approx(0.101), None)
    co2 = costs(row, co2_g_per_kwh=400).co2_g
    assert co2 and co2.value == pytest.approx(0.8)


def test_the_sum_of_what_is_measured_has_an_interval() -> None:
    measured = {"energy_method_cpu": "rapl", "energy_range_rel": 0.01}
    found = costs(model("one", 2.0, 0.1, energy_j_per_sample=60.0, **measured), **PRICES).total
    assert found and (found.low, found.high) == (pytest.approx(0.09999), pytest.approx(0.10201))


def test_electricity_alone_is_no_price_of_an_hour() -> None:
    row = model("one", 2.0, 0.1, energy_j_per_sample=60.0)
    without = costs(row, **PRICES | {"price_per_device_hour": {"cuda": 9}})
    assert without.electricity and (without.machine, without.total) == (None, None)
    rented = costs(row, currency="EUR", price_per_device_hour={"cpu": 1.5})
    assert (rented.electricity, rented.total) == (None, rented.machine)


def test_what_is_not_known_is_not_priced() -> None:
    found = costs(cell(energy_j_per_sample=None), **PRICES, co2_g_per_kwh=400)
    assert (found.energy_wh, found.co2_g, found.electricity, found.total) == (None, None, None, None)
    assert found.machine


def priced(events: dict[str, Any], **tariff: Any) -> dict[str, Any]:
    """Return the cost columns of a cell of 7 s of audio in 2 segments, in 1.4 s."""
    told = example_study({"tariff": tariff}).report.tariff
    one = measured((a_header("whisper-base", events=events), a_round(0, 1.4)), tariff=told)
    return {field.name: value(one) for field, value in COSTS}


def test_every_cell_has_its_costs() -> None:
    window = {"n_passes": 5, "seconds": 5.0, "cpu_j": 50.0, "gpu_j": None, "ram_j": 1.0}
    energy = {"method_cpu": "cpu_load_model", "method_gpu": "none", "note": "", "windows": [window], "idle": []}
    row = priced({"energy": energy}, **PRICES)
    # 10 W for a fifth of an hour; the machine for as long.
    assert row["energy_wh_per_audio_hour"] == pytest.approx(2)
    assert row["cost_electricity_per_audio_hour"] == pytest.approx(0.001)
    assert row["cost_machine_per_audio_hour"] == pytest.approx(0.3)
    assert row["cost_per_audio_hour"] == pytest.approx(0.301)
    assert row["cost_per_1000_audio_hours"] == pytest.approx(301)
    assert (row["cost_currency"], row["co2_g_per_audio_hour"]) == ("EUR", None)
    assert row["cost_note"] == (
        "energy of the CPU alone, modelled (cpu_load_model); RAM, disks, network and cooling are not counted; "
        "the machine at 1.5 EUR an hour"
    )
    without = priced({"energy": energy}, co2_g_per_kwh=400)
    assert without["co2_g_per_audio_hour"] == pytest.approx(0.8)
    assert {without[name] for name in without if name.startswith("cost") and name != "cost_note"} == {None}
    unknown = priced({}, currency="EUR", price_per_kwh=0.5)
    assert unknown["cost_note"] == "energy is unknown; the machine has no price"
    assert {value for name, value in unknown.items() if name not in ("cost_note", "cost_currency")} == {None}


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
