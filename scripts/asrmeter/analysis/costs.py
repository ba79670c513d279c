"""The costs of an hour of audio: time and energy; by the study's tariff CO2, and money for electricity and machine."""

from dataclasses import dataclass, replace

from asrmeter.analysis.results import CellResult
from asrmeter.common.stats import Estimate
from asrmeter.study.model import Tariff

SECONDS_PER_HOUR = 3600.0
# What nobody measured, and no electricity here holds.
NOT_COUNTED = "RAM, disks, network and cooling are not counted"


@dataclass(frozen=True)
class Costs:
    """The costs of an hour of audio; None where they were not measured, or the study gives no price.

    `energy_wh` is the energy of the device's own component (the CPU or the GPU), `modelled` says whether a model gave
    it; `co2_g` and `electricity` are that energy times the tariff's. Neither holds RAM, disks, network or cooling.
    `machine` is the price of the time that the machine is held. Money is in the tariff's currency.
    """

    seconds: Estimate
    energy_wh: Estimate | None
    modelled: bool
    co2_g: Estimate | None
    electricity: Estimate | None
    machine: Estimate | None
    # Whether the study says what a kilowatt-hour costs.
    is_electricity_priced: bool

    @property
    def total(self) -> Estimate | None:
        """Electricity and machine together; the machine alone where electricity has no price, as in a rent.

        None without a price of the machine: the electricity of one component is not what an hour of audio costs.
        """
        if self.machine is None or not self.is_electricity_priced:
            return self.machine
        return None if self.electricity is None else _sum(self.electricity, self.machine)


def per_audio_hour(result: CellResult, tariff: Tariff) -> Costs:
    """Return the costs of an hour of audio at a setting; `tariff` is the study's `report.tariff`."""
    return costs_of(result.device, SECONDS_PER_HOUR / result.rtfx, result.energy, result.energy_is_modelled, tariff)


def costs_of(device: str, seconds: Estimate, energy_wh: Estimate | None, modelled: bool, tariff: Tariff) -> Costs:
    """Return the costs of an hour of audio that takes so many seconds of a device, and so many watt-hours."""

    def priced(price: float | None) -> Estimate | None:
        return None if energy_wh is None or price is None else _times(energy_wh, price / 1000)

    per_hour = machine_price(device, tariff)
    return Costs(
        seconds=seconds,
        energy_wh=energy_wh,
        modelled=modelled,
        co2_g=priced(tariff.co2_g_per_kwh),
        electricity=priced(tariff.price_per_kwh),
        machine=None if per_hour is None else _times(seconds, per_hour / SECONDS_PER_HOUR),
        is_electricity_priced=tariff.price_per_kwh is not None,
    )


def machine_price(device: str, tariff: Tariff) -> float | None:
    """Return what an hour of the machine costs that has a device; None if the study does not say it."""
    price: float | None = getattr(tariff.price_per_device_hour, device)
    return price


def _times(one: Estimate, factor: float) -> Estimate:
    low, high = (None if end is None else end * factor for end in (one.low, one.high))
    return replace(one, value=one.value * factor, low=low, high=high)


def _sum(one: Estimate, other: Estimate) -> Estimate:
    """Return the sum of two that follow the same latency: their ends add up."""
    low, high = (
        None if None in ends else sum(end for end in ends if end is not None)
        for ends in ((one.low, other.low), (one.high, other.high))
    )
    return Estimate(one.value + other.value, low, high)
