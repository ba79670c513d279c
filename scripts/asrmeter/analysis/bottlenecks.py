"""The tables of the bottleneck analysis as figures and report read them, and what both derive from tables."""

import contextlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from asrmeter.analysis.batch_scaling import SCALING
from asrmeter.analysis.edlm2025 import EDLM2025
from asrmeter.analysis.results import latency_of
from asrmeter.analysis.roofline import DECODER, ENCODER, LOSSES, PASS, ROOFLINE
from asrmeter.analysis.table_rows import (
    CELL_KEY,
    CELL_WORDS,
    Words,
    cell_of,
    checked_rows,
    read_rows,
    with_columns,
)
from asrmeter.common import parquet, typed_json
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.misfits import misfit
from asrmeter.common.stats import ratio_of
from asrmeter.common.table_types import Row
from asrmeter.common.vocabulary import MEASURED_STATUS, PROFILE_STAGES
from asrmeter.records import operator_rows
from asrmeter.records.flops_rows import FLOPS
from asrmeter.records.machine_peaks import PEAK_RATES, MachinePeaks
from asrmeter.records.operator_rows import ProfileHeader

# In the order of legends and tables.
GROUPS = (
    "matmul", "attention", "convolution", "normalisation", "activation", "memory", "synchronisation", "python", "other",
)  # fmt: skip

# A profile's record keeps its names, so that nothing is profiled again; the table has the field's.
_RENAMED = {"covered": "profile_coverage"}
OPERATORS = pa.schema([field.with_name(_RENAMED.get(field.name, field.name)) for field in operator_rows.OPERATORS])

SCHEMAS: dict[str, pa.Schema] = {
    "flops": FLOPS,
    "operators": OPERATORS,
    "ceilings": PEAK_RATES,
    "roofline": ROOFLINE,
    "scaling": SCALING,
    "edlm2025": EDLM2025,
}
# The columns without which a row of a table says nothing.
KEYS: dict[str, tuple[str, ...]] = {
    "flops": ("model", "duration_s", "batch_size"),
    "operators": CELL_KEY,
    # A device that failed has one row without a kind.
    "ceilings": ("machine_id", "device"),
    "roofline": (*CELL_KEY, "stage"),
    "scaling": ("model", "variant", "device", "duration_s"),
    "edlm2025": ("table", "metric"),
}


_BOUND = frozenset(LOSSES)
# The values that their columns of text can have.
WORDS: dict[str, Words] = {
    "flops": {},
    "operators": {**CELL_WORDS, "stage": frozenset(PROFILE_STAGES), "group": frozenset(GROUPS)},
    "ceilings": CELL_WORDS,
    "roofline": {**CELL_WORDS, "bound": _BOUND, "stage": frozenset({PASS, ENCODER, DECODER})},
    "scaling": {**CELL_WORDS, "bound": _BOUND},
    "edlm2025": {},
}


@dataclass(frozen=True)
class Bottlenecks:
    """The rows of each table; see the modules of these names."""

    flops: Sequence[Row] = ()
    operators: Sequence[Row] = ()
    ceilings: Sequence[Row] = ()
    roofline: Sequence[Row] = ()
    scaling: Sequence[Row] = ()
    edlm2025: Sequence[Row] = ()

    @classmethod
    def read(cls, paths: Mapping[str, Path]) -> "Bottlenecks":
        """Read those tables that have a path.

        Raises:
            AsrmeterError: a table is not there or lacks a column.
        """
        return cls(**{name: read_table(name, path) for name, path in paths.items()})

    def of(self, cells: Sequence[Row]) -> "Bottlenecks":
        """Return the tables with the rooflines of these cells and of no others."""
        names = {cell_of(row) for row in cells}
        return replace(self, roofline=[row for row in self.roofline if cell_of(row) in names])


@dataclass(frozen=True)
class Profile:
    """The profiled passes of one cell: `first` is its first row, for what is the same in all of them."""

    first: Row
    rows: tuple[Row, ...]

    @property
    def failed(self) -> bool:
        """Whether there is no profile; the first row's `reason` says why."""
        return all(row["operator"] is None for row in self.rows)

    @property
    def own_share(self) -> str:
        """The column of the device's own time: that of the GPU on cuda."""
        return "cuda_share" if self.first["device"] == "cuda" else "cpu_share"

    def mean(self, column: str) -> float | None:
        """Return the mean over the repeats of a column that is of a whole pass."""
        values = {row["repeat"]: row[column] for row in self.rows if row[column] is not None}
        return statistics.fmean(values.values()) if values else None

    def sums(self, key: Callable[[Row], Any], column: str) -> dict[Any, float]:
        """Return the mean over the repeats of the sum of a column, by what `key` gives; nothing where it is null."""
        known = [row for row in self.rows if row[column] is not None]
        n_repeats = len({row["repeat"] for row in known})
        found: dict[Any, float] = {}
        for row in known:
            found[key(row)] = found.get(key(row), 0.0) + row[column] / n_repeats
        return found

    def by_group(self, column: str) -> dict[str, float]:
        """Return the sum of a column for each group."""
        return self.sums(lambda row: row["group"], column)


def read_table(name: str, path: Path) -> list[Row]:
    """Return the rows of one of the tables; see `table_rows.read_rows`."""
    return read_rows(path, SCHEMAS[name], KEYS[name], WORDS[name])


def read_profile(path: Path) -> tuple[ProfileHeader, list[Row]]:
    """Return what the file of a profile is of, and its rows in the columns of the table `operators`.

    Raises:
        AsrmeterError: it is missing or damaged, holds something else, or has an impossible value.
    """
    table = parquet.read(path)
    rows = checked_rows(path, table, operator_rows.OPERATORS, WORDS["operators"])
    if len({cell_of(row) for row in rows}) != 1:
        raise AsrmeterError(f"{path}: cannot be used: its rows are not those of one cell; delete it and run again")
    told = dict(rows[0])
    with contextlib.suppress(KeyError):  # older ones have no header
        told |= parquet.header_of(table)
    header = typed_json.from_json(ProfileHeader, told)
    if fault := misfit(header):
        raise AsrmeterError(f"{path}: cannot be used: {fault}; delete it and run again")
    return header, [{_RENAMED.get(name, name): value for name, value in row.items()} for row in rows]


def read_peaks(path: Path) -> list[Row]:
    """Return the rows of the file of a machine's peak rates.

    Raises:
        AsrmeterError: it is missing or damaged, holds something else, or has an impossible value.
    """
    return checked_rows(path, parquet.read(path), PEAK_RATES, WORDS["ceilings"])


def profiles(operators: Sequence[Row]) -> list[Profile]:
    """Return the profiles of all cells, sorted by cell."""
    of_cell: dict[Any, list[Row]] = {}
    for row in operators:
        if row["operator"] is not None and None in (row["stage"], row["group"]):
            continue
        of_cell.setdefault(cell_of(row), []).append(row)
    return [Profile(rows[0], tuple(rows)) for _, rows in sorted(of_cell.items())]


def working_sets(ceilings: MachinePeaks) -> list[int]:
    """Return the sizes (bytes) of the smallest and the largest working set whose memory rate counts as a ceiling."""
    sizes = sorted({size for size, _ in ceilings.memory})
    return sorted({*sizes[:1], *sizes[-1:]})


def roofline_points(roofline: Sequence[Row]) -> list[Row]:
    """Return the stages that have a place in a roofline: their operations, their time and their traffic are known."""
    return [row for row in roofline if row["stage"] != PASS and row["flop_per_byte"] and row["gflop_per_s"]]


def over_cpu(cells: Sequence[Row]) -> list[Row]:
    """Return the cells of other devices whose like was measured on the CPU too, with the CPU's latency over theirs.

    `over_cpu_low` and `over_cpu_high` are the 95 % interval of that ratio, `devices` the two; `told_apart` asks the
    noise floor too. A pair is unconverged, or disturbed, if one of the two is.
    """
    measured = [row for row in cells if row["status"] in MEASURED_STATUS and row["latency_s_median"]]
    on_cpu = {_place(row): row for row in measured if row["device"] == "cpu"}
    pairs = [(on_cpu[_place(row)], row) for row in measured if row["device"] != "cpu" and _place(row) in on_cpu]
    return [_over_cpu(cpu, row) for cpu, row in pairs]


def _over_cpu(cpu: Row, row: Row) -> Row:
    disturbed = bool(cpu["disturbed"] or row["disturbed"])
    on_cpu, here = latency_of(cpu), latency_of(row)
    over = ratio_of(on_cpu, here)
    assert over is not None
    return with_columns(
        row,
        {
            "device": f"{row['device']} / cpu",
            "devices": (cpu["device"], row["device"]),
            "status": "ok" if cpu["status"] == row["status"] == "ok" else "unconverged",
            "disturbed": disturbed,
            "told_apart": not disturbed and on_cpu.differs_from(here),
            "over_cpu": over.value,
            "over_cpu_low": over.low,
            "over_cpu_high": over.high,
        },
    )


def _place(row: Row) -> tuple[object, ...]:
    return row["model"], row["variant"], row["duration_s"], row["batch_size"]
