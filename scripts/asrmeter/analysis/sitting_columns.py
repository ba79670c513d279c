"""The columns of the table `sittings`: one row a cell and lap. Adding a column is one entry here."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from asrmeter.analysis.cell_columns.values import NOT_TIMED, utc
from asrmeter.analysis.measured_sitting import WATCHED, MeasuredSitting
from asrmeter.analysis.table_rows import CELL_KEY
from asrmeter.common.shared_columns import shared
from asrmeter.common.table_types import FLAG, INTEGER, MESSAGE, NUMBER, Source, column
from asrmeter.records.disturbance import RATES
from asrmeter.records.events import Control, Latency, Ready, Warm

Value = Callable[[MeasuredSitting], Any]
# What it says of itself, and its value of a sitting.
SittingColumn = tuple[pa.Field, Value]

_NO_CONTROL = "no control kernel ran"
_UNREADABLE = "the record cannot be read"
_OF_RATE = {
    "matmul_flop_per_s": ("the control kernel's product of matrices", "FLOP/s"),
    "copy_bytes_per_s": ("the control kernel's copy", "bytes/s"),
}


def _header(name: str) -> Value:
    return lambda one: getattr(one.header, name)


def _latency(name: str) -> Value:
    return lambda one: one.event(Latency, name)


def _warm(name: str) -> Value:
    return lambda one: one.event(Warm, name)


def _control(when: str, rate: str) -> SittingColumn:
    what, unit = _OF_RATE[rate]
    meaning = f"The rate of {what} {when} the passes."
    return (
        column(f"control_{rate}_{when}", NUMBER, meaning, Source.MEASURED, unit=unit, null_when=_NO_CONTROL),
        lambda one: (one.event(Control, when) or {}).get(rate),
    )


# In the order of the table.
SITTING_COLUMNS: list[SittingColumn] = [
    *((shared(name), _header(name)) for name in CELL_KEY),
    (shared("lap"), _header("lap")),
    (shared("status"), _header("status")),
    (shared("reason"), _header("reason")),
    (
        column(
            "attempt",
            INTEGER,
            "Which try this record is, from 1: what is disturbed is measured again at the end of its lap.",
            Source.RECORDED,
            null_when=_UNREADABLE,
        ),
        _header("attempt"),
    ),
    (shared("n_tries"), lambda one: one.n_tries),
    (shared("started_at"), lambda one: utc(one.header.started_at_s)),
    (shared("measured_at"), _header("measured_at")),
    (shared("n_passes"), lambda one: len(one.timed)),
    (shared("n_rounds"), lambda one: one.n_rounds),
    (shared("n_batches"), lambda one: len(one.by_batch)),
    (
        column(
            "latency_s",
            NUMBER,
            "The latency in this lap: the mean over its batches of the median pass. Laps may have timed other batches.",
            Source.MEASURED,
            unit="s",
            null_when="the sitting was not measured; `reason` says why",
        ),
        lambda one: one.latency_s,
    ),
    (shared("disturbed"), lambda one: bool(one.disturbance) if one.timed else None),
    (shared("disturbance"), lambda one: one.disturbance),
    *(_control(when, rate) for rate in RATES for when in ("before", "after")),
    (
        column("control_s", NUMBER, "Time of both control kernels.", Source.MEASURED, unit="s", null_when=_NO_CONTROL),
        lambda one: one.event(Control, "seconds"),
    ),
    (shared("machine_speed"), lambda one: one.machine_speed),
    (shared("timed_s"), _latency("timed_s")),
    (
        column("budget_s", NUMBER, "Time available for timed passes.", Source.STUDY, unit="s", null_when=NOT_TIMED),
        _latency("budget_s"),
    ),
    (shared("job_s"), _header("job_s")),
    (
        column("ended_by", MESSAGE, "Reason why timing stopped.", Source.RECORDED, null_when=NOT_TIMED),
        _latency("reason"),
    ),
    *((watched.column, lambda one, watched=watched: one.watched(watched.when, watched.key)) for watched in WATCHED),
    (shared("node"), _header("node")),
    (shared("slurm_job_id"), _header("slurm_job_id")),
    (shared("machine_id"), _header("machine_id")),
    (shared("device_name"), lambda one: one.device_name),
    (shared("startup_cpu_s"), lambda one: one.event(Ready, "startup_cpu_s")),
    (shared("load_s"), lambda one: one.event(Ready, "load_s")),
    *((shared(name), _warm(name)) for name in ("first_pass_s", "compile_s", "n_compile_cache_hits")),
    (shared("busy_threads"), lambda one: one.busy_threads),
]
SITTINGS = pa.schema(
    [
        *(field for field, _ in SITTING_COLUMNS),
        # Whether it is in the estimate is the cell's to say.
        column("counts", FLAG, "Whether the lap is part of the cell's latency.", Source.COMPUTED),
    ]
)
