"""The table of operators: its schema, and how a profile becomes rows."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from asrmeter.common.shared_columns import shared
from asrmeter.common.table_types import INTEGER, LABEL, MESSAGE, NUMBER, Kind, Source, column
from asrmeter.common.typed_json import JsonObject
from asrmeter.records.events import Event, Profile, Ready

Row = dict[str, Any]
_FAILED = "the cell has no profile; `reason` says why"
_NO_CUDA = "there is no CUDA time; `cuda_note` says why"


def _of_pass(name: str, unit: str, meaning: str, null_when: str = _FAILED) -> pa.Field:
    return column(name, NUMBER, meaning, Source.MEASURED, unit=unit, null_when=null_when)


def _of_operator(name: str, kind: Kind, unit: str, meaning: str, null_when: str = _FAILED) -> pa.Field:
    return column(name, kind, meaning, Source.MEASURED, unit=unit, null_when=null_when)


# One row for each operator of a stage in a profiled pass; a single row for a cell that failed.
_CELL_COLUMNS = [
    *map(shared, ("model", "weights", "variant", "attention", "device", "duration_s", "batch_size", "threads"))
]
_OPERATOR_COLUMNS = [
    column("repeat", INTEGER, "Number of the profiled pass of the cell.", Source.RECORDED, null_when=_FAILED),
    _of_operator("stage", LABEL, "", "Stage of the pass."),
    _of_operator("group", LABEL, "", "Kind of operator; `python` is the time between operators."),
    _of_operator("operator", LABEL, "", "Name of the operator in torch, or in the engine that timed it."),
    _of_operator("n_calls", INTEGER, "calls", "Number of calls.", f"it is not an operator, or {_FAILED}"),
    _of_operator("cpu_self_s", NUMBER, "s", "Own time on the main thread, without called operators."),
    _of_operator("cpu_share", NUMBER, "share", "`cpu_self_s` as a share of the profiled pass."),
    _of_operator("cuda_self_s", NUMBER, "s", "Device time of the kernels that it launched.", _NO_CUDA),
    _of_operator("cuda_share", NUMBER, "share", "`cuda_self_s` as a share of the device's busy time.", _NO_CUDA),
]
_PASS_COLUMNS = [
    _of_pass("pass_s", "s", "The profiled pass."),
    _of_pass("plain_pass_s", "s", "The previous pass without the profiler; for short passes the median of three."),
    _of_pass("overhead", "share", "Time added by profiling, as a share of the plain pass."),
    _of_pass("covered", "share", "Share of the profiled pass covered by operators and the time between them."),
    _of_pass("device_idle_share", "share", "Share of the profiled pass in which the device was idle.", _NO_CUDA),
    shared("disturbance"),
]
OPERATORS = pa.schema(
    [
        *_CELL_COLUMNS,
        *_OPERATOR_COLUMNS,
        *_PASS_COLUMNS,
        shared("status"),
        shared("reason"),
        column("cuda_note", MESSAGE, "Reason why there is no CUDA time.", Source.RECORDED, null_when="there is"),
        column(
            "trace",
            LABEL,
            "The file of the trace, below the results.",
            Source.RECORDED,
            null_when="none was kept",
        ),
        shared("machine_id"),
    ]
)


@dataclass(frozen=True, kw_only=True)
class ProfileHeader:
    """The header of a profile's file; see `records.cell_settings.CellSettings`. Older files have less or none of it."""

    model: str | None = None
    model_key: str | None = None
    corpus: str | None = None
    corpus_key: str | None = None
    variant: str | None = None
    options: JsonObject | None = None
    device: str | None = None
    duration_s: int | None = None
    batch_size: int | None = None
    threads: int | None = None
    seed: int | None = None
    profile_version: int | None = None


def rows_of(header: Row, events: Iterable[Event]) -> list[Row]:
    """Return the rows of a cell for the table `OPERATORS`, made from the worker's events.

    `header` has the cell's values, status, reason, trace and machine_id. A cell that failed has one row, of nulls.
    """
    events = list(events)
    cell = dict.fromkeys(OPERATORS.names) | header
    cell["attention"] = next((event.attention for event in events if isinstance(event, Ready)), None)
    profiles = [event for event in events if isinstance(event, Profile)] if header["status"] == "ok" else []
    if header["device"] == "cpu":
        cell["cuda_note"] = "a CPU cell has no CUDA time"
    elif not profiles:
        cell["cuda_note"] = header["status"]
    elif profiles[0].device_idle_share is None:
        cell["cuda_note"] = "the profiler saw no activity on the device; CUPTI may be forbidden here"
    rows = []
    for profile in profiles:
        busy_s = sum(row["cuda_self_s"] or 0 for row in profile.rows)
        of_pass = {name: getattr(profile, name) for name in (field.name for field in _PASS_COLUMNS)}
        for row in profile.rows:
            shares = {"cpu_share": row["cpu_self_s"] / profile.pass_s}
            if busy_s:
                shares["cuda_share"] = row["cuda_self_s"] / busy_s
            rows.append(cell | of_pass | {"repeat": profile.repeat} | dict(row) | shares)
    return rows or [cell]
