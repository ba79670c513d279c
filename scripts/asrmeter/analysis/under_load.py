"""What settings do under load: the capacity of their model, variant and device, and the waiting time at a rate."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from asrmeter.analysis.capacity_columns import KEY, MEASURED
from asrmeter.analysis.results import CellResult
from asrmeter.common.stats import Estimate
from asrmeter.common.table_types import Row

# Fewer rates make no curve.
_LEAST_POINTS = 3


def with_capacities(results: Iterable[CellResult], loads: Sequence[Row], capacities: Sequence[Row]) -> list[CellResult]:
    """Return results with the capacity and the curve that the rows of both tables tell of them.

    They hold for every batch size: the server forms batches itself. Measured ones go before modelled ones.
    """
    by_way = {_way(row): row for row in capacities}
    return [
        replace(result, capacity=_capacity(row), load_curve=_curve(row, loads))
        if (row := by_way.get((result.model, result.variant, result.device, result.duration_s)))
        else result
        for result in results
    ]


def p95_at(result: CellResult, rate_per_s: float) -> Estimate | None:
    """Return the 95th percentile of the waiting time (s) at a rate; None above all rates that are known."""
    rates, waits_s = zip(*result.load_curve, strict=True) if result.load_curve else ((), ())
    if not rates or rate_per_s > rates[-1]:
        return None
    return Estimate(float(np.interp(rate_per_s, rates, waits_s)))


def _way(row: Row) -> tuple[object, ...]:
    return tuple(row[name] for name in (*KEY, "duration_s"))


def _capacity(row: Row) -> Estimate | None:
    """Return a capacity with its interval; none where nothing keeps the limit, or it is not known."""
    if row["capacity_per_s"] is not None:
        return Estimate(row["capacity_per_s"], row["capacity_per_s_low"], row["capacity_per_s_high"])
    if not row["capacity_per_s_modelled"]:
        return None
    low, high = (row[f"capacity_per_s_modelled{end}"] for end in ("_low", "_high"))
    return Estimate(row["capacity_per_s_modelled"], low, high)


def _curve(capacity: Row, loads: Sequence[Row]) -> tuple[tuple[float, float], ...]:
    own = [row for row in loads if _way(row) == _way(capacity) and row["offered_per_s"] is not None]
    measured = _points(own, MEASURED, "latency_s_p95")
    return measured if len(measured) >= _LEAST_POINTS else _points(own, "modelled", "latency_s_p95_modelled")


def _points(rows: Sequence[Row], source: str, column: str) -> tuple[tuple[float, float], ...]:
    known = [(row["offered_per_s"], row[column]) for row in rows if row["source"] == source and row[column] is not None]
    return tuple(sorted(known))
