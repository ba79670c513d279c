"""What figure and tables of what would make it faster have in common: rows of the table `optimisations`."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import TypeVar

from asrmeter.common.table_types import Row

W = TypeVar("W", bound=str)


def measured(rows: Iterable[Row]) -> list[Row]:
    """Return the rows that have figures."""
    return [row for row in rows if row["speed_ratio"] is not None]


def by_model_and_device(rows: Iterable[Row]) -> dict[tuple[str, str], list[Row]]:
    """Return rows by model and device, sorted by these; the rows of each are in the order of the table."""

    def way(row: Row) -> tuple[str, str]:
        return row["model"], row["device"]

    return {key: list(own) for key, own in groupby(sorted(rows, key=way), key=way)}


def have_several_devices(rows: Iterable[Row]) -> bool:
    """Tell whether rows are of several devices, so that each has to say its own."""
    return len({row["device"] for row in rows}) > 1


def name_of(row: Row, words: Mapping[str, Mapping[str, W]]) -> W | str:
    """Return the short name of a proposal; of a variant that nobody proposes its own."""
    name: W | str = words["proposal_name"].get(row["proposal"], row["variant"])
    return name
