"""Costs of an hour of audio, for a recommended setting and for every cell, with what they include."""

from collections.abc import Sequence

from markupsafe import Markup

from asrmeter.analysis.costs import Costs, machine_price, per_audio_hour
from asrmeter.analysis.results import CellResult, energy_method
from asrmeter.common.stats import Estimate
from asrmeter.common.table_types import Row
from asrmeter.report.catalogue import Words
from asrmeter.report.formatting import NULL, energy_basis, interval, number, short_basis
from asrmeter.report.html.amounts import amount, span
from asrmeter.report.html.table_model import Column, Entry, name_columns, quantity, text_column, text_entry, with_note
from asrmeter.study.model import Tariff

_MONEY = (
    "cost_electricity_per_audio_hour",
    "cost_machine_per_audio_hour",
    "cost_per_audio_hour",
    "cost_electricity_per_1000_audio_hours",
    "cost_machine_per_1000_audio_hours",
    "cost_per_1000_audio_hours",
)
# The words of the component whose energy is known.
_PART = {"cpu": "part_cpu", "cuda": "part_cuda"}


def cost_lines(result: CellResult, tariff: Tariff, words: Words) -> list[list[Entry]]:
    """Return the costs of an hour of audio, one line per part: name, value, interval, and what it includes."""
    costs, say = per_audio_hour(result, tariff), words["cost"]
    part, basis = say[_PART[result.device]], energy_basis(result.energy_method, words)
    unknown = words["why_null"]["not_measured"]
    alone = say["alone"].format(basis=basis) if result.energy else ""
    lines = [
        _line("cost_seconds", costs.seconds, unknown, "", words),
        _line("cost_energy_wh", costs.energy_wh, unknown, alone, words, part=part),
    ]
    if tariff.co2_g_per_kwh is not None:
        note = say["co2_note"].format(co2_g_per_kwh=f"{tariff.co2_g_per_kwh:g}")
        lines.append(_line("cost_co2_g", costs.co2_g, unknown, note, words, part=part))
    return lines if tariff.currency is None else [*lines, *_money_lines(result, costs, tariff, alone, words)]


def _money_lines(
    result: CellResult, costs: Costs, tariff: Tariff, alone: Markup | str, words: Words
) -> list[list[Entry]]:
    """Return the costs of electricity and machine, separate and total, also for 1,000 hours of audio."""
    say, price = words["cost"], machine_price(result.device, tariff)
    names = {"currency": tariff.currency, "part": say[_PART[result.device]]}
    no_machine = say["no_machine_price"].format(device=result.device)

    def line(key: str, value: Estimate | None, why: Markup, note: Markup | str) -> list[Entry]:
        many = "" if value is None else say["of_1000"].format(value=number(1000 * value.value), **names)
        return _line(key, value, why, Markup("; ").join(filter(None, (many, note))), words, **names)

    of_machine = "" if price is None else say["machine_note"].format(price=f"{price:g}", **names)
    no_energy = words["why_null"]["not_measured"]
    lines = []
    if costs.is_electricity_priced:
        lines.append(line("cost_electricity", costs.electricity, no_energy, alone))
    lines.append(line("cost_machine", costs.machine, no_machine, of_machine))
    if costs.is_electricity_priced:
        lines.append(line("cost_total", costs.total, no_machine if price is None else no_energy, ""))
    return lines


def cost_sentence(result: CellResult, tariff: Tariff, words: Words) -> Markup:
    """Return the costs of an hour of audio in a sentence: electricity, machine, and what is not included."""
    say, costs = words["cost"], per_audio_hour(result, tariff)
    if tariff.currency is None:
        return say["no_prices"]
    price = machine_price(result.device, tariff)
    names = {"currency": tariff.currency, "part": say[_PART[result.device]]}

    def money(value: Estimate) -> Markup:
        ends = interval(value.low, value.high)
        key = "money" if ends == NULL or value.low == value.high else "money_interval"
        return say[key].format(value=number(value.value), interval=ends, **names)

    parts = []
    if costs.electricity:
        basis = short_basis(result, words)
        parts.append(say["part_electricity"].format(basis=basis, value=money(costs.electricity), **names))
    elif costs.is_electricity_priced:
        parts.append(say["part_no_electricity"].format(**names))
    if costs.machine:
        parts.append(say["part_machine"].format(price=f"{price:g}", value=money(costs.machine), **names))
    else:
        parts.append(say["part_no_machine"])
    return say["sentence"].format(parts=Markup("; ").join(parts))


def _line(
    key: str, value: Estimate | None, why: str, note: Markup | str, words: Words, **names: str | None
) -> list[Entry]:
    name = text_entry(words["cost"][key].format(**names))
    if value is None:
        return [name, Entry(with_note(NULL, why), ""), text_entry(""), text_entry(note)]
    shown = Entry(amount(key, value.value, words), repr(value.value))
    return [name, shown, text_entry("" if value.low == value.high else span(key, value, words)), text_entry(note)]


def currency_of(cells: Sequence[Row]) -> str | None:
    """Return the currency of the study's prices; None if it has none."""
    return next((row["cost_currency"] for row in cells if row["cost_currency"]), None)


def cost_columns(cells: Sequence[Row], words: Words) -> list[Column[Row]]:
    """Return the cost columns of each cell; money only for parts with a price in the study."""
    missing = words["why_null"]

    def why_energy(row: Row) -> str:
        return row["energy_note"] or missing["method"].format(method=energy_method(row))

    def why_machine(row: Row) -> str:
        return words["cost"]["no_machine_price"].format(device=row["device"]).striptags()

    def why(name: str, row: Row) -> str:
        machine_is_known = row["cost_machine_per_audio_hour"] is not None
        return why_energy(row) if name.startswith("cost_electricity") or machine_is_known else why_machine(row)

    def money(name: str) -> Column[Row]:
        return quantity(name, lambda row: why(name, row))

    priced = [name for name in _MONEY if any(row[name] is not None for row in cells)]
    return [
        *name_columns(),
        quantity("energy_wh_per_audio_hour", why_energy),
        text_column("energy_basis", lambda row: energy_basis(energy_method(row), words), "energy_method_cpu"),
        *(
            [quantity("co2_g_per_audio_hour", why_energy)]
            if any(row["co2_g_per_audio_hour"] is not None for row in cells)
            else []
        ),
        *map(money, priced),
    ]
