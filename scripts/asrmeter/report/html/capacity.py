"""The section on capacity: sentences for deployment, and the tables behind them."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from asrmeter.analysis.capacity_columns import KEY, MEASURED
from asrmeter.analysis.capacity_tables import SPEAKERS
from asrmeter.common.table_types import Row
from asrmeter.report.catalogue import Words
from asrmeter.report.formatting import FEW, format_count, number, percent
from asrmeter.report.html.table_model import (
    Column,
    Entry,
    Table,
    full_precision,
    interval_column,
    number_entry,
    quantity,
    table_of,
    text_column,
)
from asrmeter.report.html.takeaways import Takeaway, TakeawayContext

# A generator that takes more of a core takes it from the model.
MOST_OF_A_CORE = 0.02


@dataclass(frozen=True)
class CapacitySection:
    """The content of the section besides its figure; `probes` are the tested rates, None without any."""

    headlines: tuple[Markup, ...]
    sentences: tuple[Markup, ...]
    capacities: Table
    probes: Table | None
    rule: Markup


def capacity_section(loads: Sequence[Row], capacities: Sequence[Row], words: Words) -> CapacitySection | None:
    """Return the section from the rows of both tables; None if the study has no load."""
    if not capacities:
        return None
    say, first = words["capacity"], capacities[0]
    probes = [row for row in loads if row["source"] == MEASURED and row["probe"] is not None]
    return CapacitySection(
        headlines=tuple(_headlines(capacities, words)),
        sentences=tuple(_sentences(probes, capacities, words)),
        capacities=_capacities_table(capacities, words),
        probes=_probes_table(probes, words) if probes else None,
        rule=say["rule"].format(
            share=f"{100 * first['percentile']:g}", target=f"{first['target_latency_s']:g}", batch=first["max_batch"]
        ),
    )


def capacity_takeaway(of: TakeawayContext) -> Takeaway | None:
    """Describe the measured capacities, or say that all are modelled; None if the study has no load."""
    if not of.capacities:
        return None
    off = [
        row["latency_s_p95_modelled"] / row["latency_s_p95"] - 1
        for row in of.loads
        if row["is_valid"] and row["latency_s_p95"] and row["latency_s_p95_modelled"]
    ]
    say = of.words["capacity"]
    if not off:
        return say["all_modelled"], []
    return say["curve"].format(n=len(off), off=percent(statistics.median(map(abs, off)))), []


def _headlines(capacities: Sequence[Row], words: Words) -> Iterator[Markup]:
    """Yield the number of machines for 100 people, for each device with its best model and variant."""
    say = words["capacity"]
    devices = dict.fromkeys(row["device"] for row in capacities)
    for device in devices:
        known = [row for row in capacities if row["device"] == device and row["machines_for_100"] is not None]
        if not known:
            yield say["none"].format(device=device, speakers=SPEAKERS)
            continue
        best = min(known, key=lambda row: (row["machines_for_100"], -row["capacity_per_s_modelled"]))
        low, high, n = (best[f"machines_for_100{end}"] for end in ("_low", "_high", ""))
        yield say["machine" if n == 1 else "machines"].format(
            speakers=SPEAKERS,
            n=n,
            interval=_between(low, high, format_count, words),
            cost=_cost(best, words),
            model=best["model"],
            variant=best["variant"],
            device=device,
        )


def _cost(row: Row, words: Words) -> Markup:
    value, low, high = (row[f"cost_per_audio_hour{end}"] for end in ("", "_low", "_high"))
    if value is None:
        return Markup()
    return words["capacity"]["cost"].format(
        value=number(value), currency=row["cost_currency"], interval=_between(low, high, number, words)
    )


def _between(low: float | None, high: float | None, show: Callable[[float | None], str], words: Words) -> Markup:
    """Return an interval in parentheses; nothing if there is none or it has no width."""
    if low is None or high is None or low == high:
        return Markup()
    return words["capacity"]["interval"].format(low=show(low), high=show(high))


def _sentences(probes: Sequence[Row], capacities: Sequence[Row], words: Words) -> Iterator[Markup]:
    say = words["capacity"]
    measured = [row for row in capacities if row["source"] == MEASURED]
    yield from (_measured(row, words) for row in measured[:FEW])
    if len(measured) > FEW:
        yield say["more"].format(n=len(measured) - FEW)
    share = max((row["generator_cpu_share"] for row in probes), default=None)
    if share is not None:
        key = "generator_busy" if share > MOST_OF_A_CORE else "generator"
        yield say[key].format(share=percent(share))


def _measured(row: Row, words: Words) -> Markup:
    """Return the measured capacity of a machine, and the error of the model."""
    say = words["capacity"]
    low, high = row["capacity_per_s_low"], row["capacity_per_s_high"]
    error = row["model_error"]
    return say["measured"].format(
        model=row["model"],
        variant=row["variant"],
        device=row["device"],
        capacity=number(row["capacity_per_s"]),
        interval=say["no_upper"] if high is None else _between(low, high, number, words),
        share=f"{100 * row['percentile']:g}",
        target=f"{row['target_latency_s']:g}",
        speakers=Markup() if row["speakers"] is None else say["speakers"].format(n=format_count(row["speakers"])),
        error=Markup()
        if error is None
        else say["error"].format(
            modelled=number(row["load_test_per_s_modelled"]),
            error=f"{100 * error:+.1f}",
            long_run=say["long_run"].format(capacity=number(row["capacity_per_s_modelled"])),
        ),
    )


def _capacities_table(rows: Sequence[Row], words: Words) -> Table:
    say, missing = words["capacity"], words["why_null"]

    def not_modelled(row: Row) -> str:
        return row["reason_modelled"] or missing["not_measured"]

    def not_tested(row: Row) -> str:
        return row["reason"] or missing["not_load_tested"]

    def value(key: str, why: Callable[[Row], str], scale: float = 1.0) -> Column[Row]:
        return Column(key, lambda row: number_entry(row[key], why(row), scale), about=(key,))

    def between(key: str, first: str, last: str, why: Callable[[Row], str]) -> Column[Row]:
        column = interval_column(key, first, last, why)
        return Column(key, lambda row: column.entry({**row, "status": "ok"}), about=(first, last))

    def count(key: str) -> Column[Row]:
        return Column(key, lambda row: number_entry(row[key], not_modelled(row), digits=format_count), about=(key,))

    def cost(row: Row) -> Entry:
        if (price := row["cost_per_audio_hour"]) is None:
            return number_entry(None, missing["no_machine_price"])
        return Entry(f"{number(price)} {row['cost_currency']}", full_precision([price]))

    columns: list[Column[Row]] = [
        *map(_plain, KEY),
        value("capacity_per_s", not_tested),
        between("capacity_interval", "capacity_per_s_low", "capacity_per_s_high", not_tested),
        value("capacity_per_s_modelled", not_modelled),
        between(
            "capacity_modelled_interval", "capacity_per_s_modelled_low", "capacity_per_s_modelled_high", not_modelled
        ),
        value("model_error", not_tested, 100),
        value("speakers", not_modelled),
        count("machines_for_100"),
        *([Column("capacity_cost", cost, about=("cost_per_audio_hour",))] if _any(rows, "cost_per_audio_hour") else []),
        text_column("capacity_note", _notes, "reason", "reason_modelled"),
    ]
    return table_of("capacities", say["caption"], columns, rows, words, "capacities")


def _notes(row: Row) -> str | None:
    return "; ".join(filter(None, (row["reason"], row["reason_modelled"]))) or None


def _any(rows: Sequence[Row], key: str) -> bool:
    return any(row[key] is not None for row in rows)


def _plain(key: str) -> Column[Row]:
    return text_column(key, lambda row: row[key], key)


def _probes_table(probes: Sequence[Row], words: Words) -> Table:
    say, missing = words["capacity"], words["why_null"]

    def few(row: Row) -> str:
        return row["percentile_note"] or missing["not_measured"]

    def verdict(row: Row) -> str:
        return say["gave_up" if row["gave_up"] else "valid" if row["is_valid"] else "invalid"]

    def no_energy(row: Row) -> str:
        return row["energy_note"] or missing["not_measured"]

    columns: list[Column[Row]] = [
        *map(_plain, KEY),
        quantity("offered_per_s", few),
        text_column("load_verdict", verdict, "is_valid"),
        *(quantity(key, few) for key in ("latency_s_p50", "latency_s_p95", "latency_s_p99")),
        quantity("latency_s_p95_modelled", lambda row: missing["not_measured"]),
        quantity("batch_size_mean", lambda row: missing["not_measured"]),
        quantity("n_requests", few, digits=format_count),
        quantity("generator_cpu_share", few, 100),
        quantity("energy_j", no_energy),
    ]
    ordered = sorted(probes, key=lambda row: (row["model"], row["variant"], row["device"], row["offered_per_s"]))
    # A load test that is not converged has rates that were measured all the same.
    shown = [{**row, "status": "ok"} for row in ordered]
    return table_of("loads", say["probes_caption"], columns, shown, words, "loads")
