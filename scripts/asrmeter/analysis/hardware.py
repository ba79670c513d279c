"""The hardware that cells were measured on: which cells can be compared, and the noise floor of each device."""

from collections import Counter
from collections.abc import Iterable, Sequence

from asrmeter.analysis.table_rows import cell_of
from asrmeter.common.table_types import Row
from asrmeter.common.vocabulary import MEASURED_STATUS

# The kind of machine, the device's name, and the threads that the CPU was measured with.
Hardware = tuple[str | None, str | None, int | None]


def hardware_of(row: Row) -> Hardware:
    """Return what a cell was measured on; nodes of a cluster that are alike are the same."""
    return row["machine_id"], row["device_name"], row["threads"] if row["device"] == "cpu" else None


def split_by_hardware(cells: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Return the cells that can be compared, and those that were measured on other hardware.

    For each device only the cells on its most common hardware can be compared, so that a slower node is not mistaken
    for a slower model. Cells that were not measured say nothing about a machine and stay.
    """
    measured = [row for row in cells if row["status"] in MEASURED_STATUS]
    counts = Counter((row["device"], hardware_of(row)) for row in measured)
    chosen: dict[str, Hardware] = {}
    for (device, hardware), _ in sorted(counts.items(), key=lambda item: (-item[1], str(item[0]))):
        chosen.setdefault(device, hardware)
    elsewhere = [row for row in measured if hardware_of(row) != chosen[row["device"]]]
    names = {cell_of(row) for row in elsewhere}
    return [row for row in cells if cell_of(row) not in names], elsewhere


def noise_floors(cells: Iterable[Row]) -> dict[str, Row]:
    """Return for each device a row that tells its `noise_floor`, the largest if there are several, or why it has none.

    Devices are sorted by name.
    """
    of_device: dict[str, Row] = {}
    for row in sorted(cells, key=lambda row: (row["device"], -(row["noise_floor"] or 0.0))):
        of_device.setdefault(row["device"], row)
    return of_device
