"""The report's section on what machines carry."""

import re

import pytest

from asrmeter.common.paths import ROOT
from asrmeter.report.catalogue import load_texts, load_words
from asrmeter.report.figures.capacity import capacity_figure
from asrmeter.report.figures.context import FigureContext
from asrmeter.report.html.capacity import CapacitySection, capacity_section
from helpers.capacity import example_capacities, load_study
from helpers.tables import Cell

TEMPLATES = ROOT / "report"
TARIFF = {"currency": "EUR", "price_per_device_hour": {"cpu": 1.5}}
WORDS = load_words(TEMPLATES, "en")


@pytest.fixture(scope="module")
def rows() -> tuple[list[Cell], list[Cell]]:
    return example_capacities(load_study(report={"tariff": TARIFF}))


def section(loads: list[Cell], capacities: list[Cell]) -> CapacitySection:
    found = capacity_section(loads, capacities, WORDS)
    assert found
    return found


def plain(text: str) -> str:
    return re.sub(r"<[^>]+>", "", text).replace("\u202f", " ").replace("\xa0", " ")


def test_the_sentence_says_machines_and_money(rows: tuple[list[Cell], list[Cell]]) -> None:
    [headline] = map(plain, section(*rows).headlines)
    assert headline == (
        "For 100 people who speak at the same time you need 2 such machines, at 0.0300 EUR an hour of audio: "
        "whisper-tiny.en by fp32 on cpu (modelled)."
    )
    wide = [row | {"machines_for_100_high": 3, "cost_per_audio_hour_high": 0.045} for row in rows[1]]
    assert "2 such machines (2 to 3), at 0.0300 EUR an hour of audio (0.0300 to 0.0450): whisper" in plain(
        section(rows[0], wide).headlines[0]
    )
    one = [row | {"machines_for_100": 1, "machines_for_100_low": 1, "machines_for_100_high": 2} for row in rows[1]]
    assert "you need one such machine (1 to 2), at" in plain(section(rows[0], one).headlines[0])


def test_a_share_is_said_as_the_study_has_it(rows: tuple[list[Cell], list[Cell]]) -> None:
    strict = [row | {"percentile": 0.999} for row in rows[1]]
    found = section(rows[0], strict)
    assert "with 99.9 of 100 answered within 1 s" in plain(found.sentences[0])
    assert "at which a server answers 99.9 % of them within 1 s" in plain(found.rule)


def test_measured_and_modelled_stand_side_by_side(rows: tuple[list[Cell], list[Cell]]) -> None:
    found = section(*rows)
    measured, generator = map(plain, found.sentences)
    assert "carries 13.9 requests per second (11.9 to 14.9) with 95 of 100 answered within 1 s" in measured
    assert "55 people" in measured
    told = r"The model predicts 14\.\d for such a load test \([+-]\d\.\d %\), and 14\.\d in the long run"
    assert re.search(told, measured)
    assert generator == "The load generator used 0.500 % of a core at most."
    first, second = (dict(zip(found.capacities.headings, line.entries, strict=True)) for line in found.capacities.lines)
    assert first["Measured (1/s)"].text == "13.9" and first["Machines for 100"].text == "2"
    assert second["Measured (1/s)"].note == "it was not load-tested" and second["Modelled (1/s)"].sort


def test_rates_say_what_became_of_them(rows: tuple[list[Cell], list[Cell]]) -> None:
    table = section(*rows).probes
    assert table
    verdicts = [line.entries[table.headings.index("LoadGen verdict")].text for line in table.lines]
    assert verdicts == ["valid", "valid", "not valid", "over capacity"]
    p99 = [line.entries[table.headings.index("p99 (s)")] for line in table.lines]
    assert "50 requests are too few" in p99[0].note and "gave up" in p99[-1].note


def test_a_generator_that_takes_much_is_said(rows: tuple[list[Cell], list[Cell]]) -> None:
    busy = [row | {"generator_cpu_share": row["probe"] and 0.04} for row in rows[0]]
    assert "more than the 2 %" in plain(section(busy, rows[1]).sentences[-1])


def test_there_is_none_without_a_load() -> None:
    assert capacity_section([], [], WORDS) is None


def test_nobody_who_keeps_the_limit_is_said(rows: tuple[list[Cell], list[Cell]]) -> None:
    none = [row | {"machines_for_100": None, "cost_per_audio_hour": None} for row in rows[1]]
    assert "no number of machines on cpu keeps the limit" in plain(section(rows[0], none).headlines[0])


def test_it_is_said_in_russian(rows: tuple[list[Cell], list[Cell]]) -> None:
    found = capacity_section(*rows, load_words(TEMPLATES, "ru"))
    assert found and "таких машин нужно 2" in plain(found.headlines[0])


def test_the_figure_has_a_panel_for_each_way(rows: tuple[list[Cell], list[Cell]]) -> None:
    study = load_study()
    context = FigureContext([], None, load_texts(TEMPLATES, "en"), loads=rows[0])  # type: ignore[arg-type]
    figure = capacity_figure(context)
    assert [panel.get_title() for panel in figure.axes] == [
        f"whisper-tiny.en · {variant} · cpu" for variant in study.variants
    ]
    tested, modelled = figure.axes
    has_markers = [any(line.get_marker() in ("o", "s", "^") for line in panel.lines) for panel in (tested, modelled)]
    assert has_markers == [True, False]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"p50", "p95", "p99", "modelled", "measured, valid", "measured, over capacity", "the limit"} <= {*labels}
