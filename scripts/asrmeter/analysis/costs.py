"""The costs of an hour of audio: time, energy, and by the study's tariff CO2 and money."""

from dataclasses import dataclass

from asrmeter.analysis.results import CellResult
from asrmeter.common.stats import Estimate
from asrmeter.study.model import Tariff

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True)
class Costs:
    """The costs of an hour of audio; None where they were not measured or the study gives no tariff.

    `energy_j` is the energy of the device's own component. `money` is what that energy and the device's time
    cost, as far as the study prices them, in the tariff's currency.
    """

    seconds: Estimate
    energy_j: float | None
    co2_g: float | None
    money: float | None


def per_audio_hour(result: CellResult, tariff: Tariff) -> Costs:
    """Return the costs of an hour of audio; `tariff` is the study's `report.tariff`.

    seconds = 3600 / RTFx; joules = watt-hours * 3600; money = kWh * price of a kWh + hours * price of an hour of the
    device. A missing price counts as zero; without any price, or where the priced energy is not known, money is None.
    """
    seconds = SECONDS_PER_HOUR / result.rtfx
    kwh = result.energy.value / 1000 if result.energy else None
    return Costs(
        seconds=seconds,
        energy_j=None if kwh is None else kwh * 1000 * SECONDS_PER_HOUR,
        co2_g=None if kwh is None or tariff.co2_g_per_kwh is None else kwh * tariff.co2_g_per_kwh,
        money=_money(result, seconds.value / SECONDS_PER_HOUR, kwh, tariff),
    )


def _money(result: CellResult, hours: float, kwh: float | None, tariff: Tariff) -> float | None:
    per_kwh, per_hour = tariff.price_per_kwh, getattr(tariff.price_per_device_hour, result.device)
    if (per_kwh is None and per_hour is None) or (per_kwh is not None and kwh is None):
        return None
    return (kwh or 0.0) * (per_kwh or 0.0) + hours * (per_hour or 0.0)
