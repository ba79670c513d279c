"""What an hour of audio costs: energy, and by the study's tariff CO2 and money."""

from collections.abc import Callable

from asrmeter.analysis.cell_columns.values import CellColumn, Value
from asrmeter.analysis.costs import NOT_COUNTED, SECONDS_PER_HOUR, Costs, costs_of, machine_price
from asrmeter.analysis.measured_cell import MeasuredCell
from asrmeter.common.stats import Estimate, ratio
from asrmeter.common.table_types import LABEL, MESSAGE, NUMBER, Source, column
from asrmeter.common.vocabulary import MODELLED_METHODS

_NO_ENERGY = "energy is unknown"
_IN = "Electricity of the device's own component (the CPU or the GPU) alone, not of RAM, disks, network or cooling"
_PARTS: tuple[tuple[str, str, Callable[[Costs], Estimate | None], str], ...] = (
    (
        "cost_electricity",
        f"{_IN}, for",
        lambda costs: costs.electricity,
        f"the study has no `price_per_kwh`, or {_NO_ENERGY}",
    ),
    (
        "cost_machine",
        "The machine, at the study's hourly price and for the time in use, for",
        lambda costs: costs.machine,
        "the study has no `price_per_device_hour` of the device, or the cell has no latency",
    ),
    (
        "cost",
        "Electricity and machine together (the machine alone where electricity has no price), for",
        lambda costs: costs.total,
        "the machine has no price, or a part that has one is not known",
    ),
)


def _costs(cell: MeasuredCell) -> Costs | None:
    """Return the costs of an hour of audio; None without a latency."""
    latency_s, tariff = cell.timing.latency_s, cell.tariff
    audio_s = ratio(cell.content.per_pass(lambda entry: entry["audio_s"]), cell.header.batch_size)
    seconds = ratio(latency_s, cell.header.batch_size)
    if seconds is None or not audio_s or tariff is None:
        return None
    joules = cell.energy.j_per_sample()
    return costs_of(
        cell.header.device,
        Estimate(SECONDS_PER_HOUR * seconds / audio_s),
        Estimate(joules / audio_s) if joules else None,
        cell.energy.method(cell.main.part) in MODELLED_METHODS,
        tariff,
    )


def _value(part: Callable[[Costs], Estimate | None], hours: int = 1) -> Value:
    def value(cell: MeasuredCell) -> float | None:
        costs = _costs(cell)
        found = part(costs) if costs else None
        return None if found is None else hours * found.value

    return value


def _money(hours: int, ending: str, words: str) -> list[CellColumn]:
    return [
        (
            column(
                f"{name}_per_{ending}",
                NUMBER,
                f"{meaning} {words}.",
                Source.MEASURED_OR_MODELLED if name == "cost_electricity" else Source.COMPUTED,
                unit="that of `cost_currency`",
                null_when=null_when,
            ),
            _value(part, hours),
        )
        for name, meaning, part, null_when in _PARTS
    ]


def _note(cell: MeasuredCell) -> str | None:
    """Return what is in the costs, and what is not."""
    costs, tariff = _costs(cell), cell.tariff
    if costs is None or tariff is None:
        return None
    method = cell.energy.method(cell.main.part)
    of = cell.main.part.upper()
    kind = "modelled" if costs.modelled else "measured"
    notes = [f"energy of the {of} alone, {kind} ({method}); {NOT_COUNTED}" if costs.energy_wh else _NO_ENERGY]
    if tariff.currency:
        price = machine_price(cell.header.device, tariff)
        notes.append(
            "the machine has no price" if price is None else f"the machine at {price:g} {tariff.currency} an hour"
        )
        if tariff.price_per_kwh is None:
            notes.append("electricity has no price")
    return "; ".join(notes)


COSTS: list[CellColumn] = [
    (
        column(
            "energy_wh_per_audio_hour",
            NUMBER,
            "The energy of an hour of audio: `energy_j_per_sample` over `audio_s_mean`.",
            Source.MEASURED_OR_MODELLED,
            unit="Wh",
            null_when=_NO_ENERGY,
        ),
        _value(lambda costs: costs.energy_wh),
    ),
    (
        column(
            "co2_g_per_audio_hour",
            NUMBER,
            "CO2 equivalent of that energy, by the study's `co2_g_per_kwh`.",
            Source.MEASURED_OR_MODELLED,
            unit="g",
            null_when=f"the study does not give it, or {_NO_ENERGY}",
        ),
        _value(lambda costs: costs.co2_g),
    ),
    (
        column("cost_currency", LABEL, "The currency of the study's prices.", Source.STUDY, null_when="it has none"),
        lambda cell: cell.tariff and cell.tariff.currency,
    ),
    *_money(1, "audio_hour", "an hour of audio"),
    *_money(1000, "1000_audio_hours", "1,000 hours of audio"),
    (
        column(
            "cost_note",
            MESSAGE,
            "What energy and costs include and exclude.",
            Source.RECORDED,
            null_when="the cell has no latency",
        ),
        _note,
    ),
]
