"""The columns of the table `sittings`: one row a cell and lap. Adding a column is one line here."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from asrmeter.analysis.columns import CELLS, utc
from asrmeter.analysis.measured_sitting import WATCHED, MeasuredSitting
from asrmeter.analysis.table_rows import CELL_KEY
from asrmeter.common.table_types import FLAG, INTEGER, NUMBER, TEXT
from asrmeter.records.disturbance import RATES
from asrmeter.records.events import Control, Latency, Ready

# Name, type, and the value of a sitting.
SittingColumn = tuple[str, pa.DataType, Callable[[MeasuredSitting], Any]]


def _header(name: str) -> Callable[[MeasuredSitting], Any]:
    return lambda one: getattr(one.header, name)


def _latency(name: str) -> Callable[[MeasuredSitting], Any]:
    return lambda one: one.event(Latency, name)


def _control(when: str, rate: str) -> Callable[[MeasuredSitting], Any]:
    return lambda one: (one.event(Control, when) or {}).get(rate)


def _watched(when: str, key: str) -> Callable[[MeasuredSitting], Any]:
    return lambda one: one.watched(when, key)


# In the order of the table.
SITTING_COLUMNS: list[SittingColumn] = [
    *((name, CELLS.field(name).type, _header(name)) for name in CELL_KEY),
    ("lap", INTEGER, _header("lap")),
    ("status", TEXT, _header("status")),
    ("reason", TEXT, _header("reason")),
    ("attempt", INTEGER, _header("attempt")),
    ("n_tries", INTEGER, lambda one: one.n_tries),
    ("started_at", TEXT, lambda one: utc(one.header.started_at_s)),
    ("measured_at", TEXT, _header("measured_at")),
    ("n_passes", INTEGER, lambda one: len(one.timed)),
    ("n_rounds", INTEGER, lambda one: one.n_rounds),
    ("n_batches", INTEGER, lambda one: len(one.by_batch)),
    ("latency_s", NUMBER, lambda one: one.latency_s),
    ("disturbed", FLAG, lambda one: bool(one.disturbance) if one.timed else None),
    ("disturbance", TEXT, lambda one: one.disturbance),
    *((f"control_{rate}_{when}", NUMBER, _control(when, rate)) for rate in RATES for when in ("before", "after")),
    ("control_s", NUMBER, lambda one: one.event(Control, "seconds")),
    ("machine_speed", NUMBER, lambda one: one.machine_speed),
    ("timed_s", NUMBER, _latency("timed_s")),
    ("budget_s", NUMBER, _latency("budget_s")),
    ("job_s", NUMBER, _header("job_s")),
    ("ended_by", TEXT, _latency("reason")),
    *((column, kind, _watched(when, key)) for column, kind, when, key in WATCHED),
    ("node", TEXT, _header("node")),
    ("slurm_job_id", TEXT, _header("slurm_job_id")),
    ("machine_id", TEXT, _header("machine_id")),
    ("device_name", TEXT, lambda one: one.device_name),
    ("startup_cpu_s", NUMBER, lambda one: one.event(Ready, "startup_cpu_s")),
]
# Whether it is in the estimate is the cell's to say.
SITTINGS = pa.schema([*((name, kind) for name, kind, _ in SITTING_COLUMNS), ("counts", FLAG)])
