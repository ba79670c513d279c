"""The noise floor: the difference between two measurements of the same cell (A/A). No result wins by less."""

from collections.abc import Sequence
from typing import Any

from asrmeter.analysis.table_rows import CELL_KEY
from asrmeter.common.stats import Estimate
from asrmeter.common.table_types import Row

LATENCY = ("latency_s_median", "latency_s_ci_low", "latency_s_ci_high")
HARDWARE = ("machine_id", "device_name")
# The columns of `cells` that a pair is compared by.
CELL_COLUMNS = (*CELL_KEY, *HARDWARE, "status", "reason", *LATENCY)


def pair(first: Row, again: Row) -> dict[str, Any]:
    """Return the row of a pair in the table `repeatability`, given `CELL_COLUMNS` of both measurements.

    `relative_difference` is that of the medians over their mean; `overlap` says whether the intervals do. Both are None
    where `note` says why.
    """
    row = {name: first[name] for name in (*CELL_KEY, *HARDWARE, *LATENCY)}
    row |= {f"{name}_again": again[name] for name in LATENCY}
    a, b = (Estimate(*(cell[name] for name in LATENCY)) for cell in (first, again))
    if None not in (a.value, b.value) and any(first[name] != again[name] for name in HARDWARE):
        return row | {
            "relative_difference": None,
            "overlap": None,
            "note": "the two were measured on different hardware",
        }
    return row | {
        "relative_difference": None if None in (a.value, b.value) else a.relative_difference(b),
        "overlap": None if None in (a.low, b.low) else a.overlaps(b),
        "note": "; ".join(
            f"the {which} measurement has no latency ({cell['status']}: {cell['reason']})"
            for which, cell in (("first", first), ("second", again))
            if cell["latency_s_median"] is None
        )
        or None,
    }


def floor(pairs: Sequence[Row], cell: Row) -> dict[str, Any]:
    """Return the noise floor of a cell, `floor`, as a part of its latency; or None with the reason in `note`.

    It is that of the device and hardware that the cell was measured on: `cell` has the columns `device` and `HARDWARE`.
    """
    own = [row for row in pairs if row["device"] == cell["device"]]
    known = [row for row in own if row["relative_difference"] is not None]
    here = [row["relative_difference"] for row in known if all(row[name] == cell[name] for name in HARDWARE)]
    if here:
        return {"floor": max(here), "note": None}
    if known:
        return {"floor": None, "note": "no cell was measured twice on its hardware"}
    return {"floor": None, "note": own[0]["note"] if own else "protocol.aa_pairs is 0: no cell was measured twice"}
