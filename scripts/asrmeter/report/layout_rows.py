"""What figure, table and sentences of layouts have in common: rows of the table `layouts`."""

from collections.abc import Iterable, Sequence

from asrmeter.common.table_types import Row

# Model, variant and device.
Way = tuple[str, str, str]


def by_way(rows: Iterable[Row]) -> dict[Way, list[Row]]:
    """Return rows by model, variant and device, in their order."""
    found: dict[Way, list[Row]] = {}
    for row in rows:
        found.setdefault((row["model"], row["variant"], row["device"]), []).append(row)
    return found


def is_measured(row: Row) -> bool:
    """Whether the layout has a figure."""
    return row["samples_per_s"] is not None


def layout_name(row: Row) -> str:
    """Return the name of a layout: processes times threads."""
    return f"{row['processes']}\u00a0×\u00a0{row['threads']}"


def best_of(rows: Sequence[Row]) -> tuple[Row, Row] | None:
    """Return the first layout of a model, variant and device, and the other one that does most beside it.

    None where there are not two to compare.
    """
    first, *others = rows
    compared = [row for row in others if row["ratio_to_first"] is not None]
    if first["ratio_to_first"] is None or not compared:
        return None
    return first, max(compared, key=lambda row: row["ratio_to_first"])
