"""The table of operators: its schema, and how a profile becomes rows."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from asrmeter.common.typed_json import JsonObject
from asrmeter.records.events import Event, Profile, Ready

Row = dict[str, Any]
_TEXT, _INTEGER, _NUMBER = pa.string(), pa.int64(), pa.float64()

# One row for each operator of a stage in a profiled pass; a single row for a cell that failed.
_CELL_COLUMNS = [
    ("model", _TEXT),
    ("weights", _TEXT),
    ("variant", _TEXT),
    ("attention", _TEXT),
    ("device", _TEXT),
    ("duration_s", _INTEGER),
    ("batch_size", _INTEGER),
    ("threads", _INTEGER),
]
_OPERATOR_COLUMNS = [
    ("repeat", _INTEGER),
    ("stage", _TEXT),
    ("group", _TEXT),
    ("operator", _TEXT),
    ("n_calls", _INTEGER),
    ("cpu_self_s", _NUMBER),
    ("cpu_share", _NUMBER),  # of the pass
    ("cuda_self_s", _NUMBER),
    ("cuda_share", _NUMBER),  # of the device's busy time
]
_PASS_COLUMNS = [
    ("pass_s", _NUMBER),  # profiled
    ("plain_pass_s", _NUMBER),
    ("overhead", _NUMBER),
    ("covered", _NUMBER),
    ("device_idle_share", _NUMBER),
    ("disturbance", _TEXT),
]
OPERATORS = pa.schema(
    [
        *_CELL_COLUMNS,
        *_OPERATOR_COLUMNS,
        *_PASS_COLUMNS,
        ("status", _TEXT),
        ("reason", _TEXT),
        ("cuda_note", _TEXT),
        ("trace", _TEXT),
        ("machine_id", _TEXT),
    ]
)


@dataclass(frozen=True, kw_only=True)
class ProfileHeader:
    """What a profile is of, in its file; see `records.cell_settings.CellSettings`. Older files say less, or nothing."""

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
        cell["cuda_note"] = "the profiler saw nothing run on the device; CUPTI may not be permitted here"
    rows = []
    for profile in profiles:
        busy_s = sum(row["cuda_self_s"] or 0 for row in profile.rows)
        of_pass = {name: getattr(profile, name) for name, _ in _PASS_COLUMNS}
        for row in profile.rows:
            shares = {"cpu_share": row["cpu_self_s"] / profile.pass_s}
            if busy_s:
                shares["cuda_share"] = row["cuda_self_s"] / busy_s
            rows.append(cell | of_pass | {"repeat": profile.repeat} | dict(row) | shares)
    return rows or [cell]
