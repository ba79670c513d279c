"""The record of a load test, a row for each rate that was tried, and how a worker's events become rows."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from asrmeter.common import parquet, typed_json
from asrmeter.common.errors import AsrmeterError, one_line
from asrmeter.common.misfits import misfit
from asrmeter.common.order_statistics import least_n, order_interval
from asrmeter.common.quantities import fault_of
from asrmeter.common.shared_columns import shared
from asrmeter.common.table_types import FLAG, INTEGER, LABEL, MESSAGE, NUMBER, Kind, Source, column
from asrmeter.common.typed_json import JsonObject
from asrmeter.common.vocabulary import DEVICES, STATUSES
from asrmeter.records.events import Event, Probe, Searched

Row = dict[str, Any]
PERCENTILES = (0.5, 0.95, 0.99)
# A search that begins well takes as many.
_PROBES = 6
_FAILED = "no rate was tried; `reason` says why"
_FEW = "there are too few requests, or the server gave up; `percentile_note` says which"


def _of_probe(name: str, kind: Kind, unit: str, meaning: str, null_when: str = _FAILED) -> pa.Field:
    return column(name, kind, meaning, Source.MEASURED, unit=unit, null_when=null_when)


LOADS = pa.schema(
    [
        *map(shared, ("model", "variant", "device", "duration_s", "threads")),
        column("max_batch", INTEGER, "Maximum number of requests in a batch.", Source.STUDY, unit="segments"),
        column(
            "max_wait_s",
            NUMBER,
            "Maximum wait of the first request of a batch for others.",
            Source.STUDY,
            unit="s",
        ),
        column("target_latency_s", NUMBER, "Limit of the latency.", Source.STUDY, unit="s"),
        column("percentile", NUMBER, "Share of requests that must keep the limit.", Source.STUDY, unit="share"),
        column(
            "probe",
            INTEGER,
            "Number of the rate in the search, from 1.",
            Source.RECORDED,
            unit="rates",
            null_when=_FAILED,
        ),
        _of_probe("target_per_s", NUMBER, "1/s", "Requested rate of LoadGen."),
        _of_probe(
            "offered_per_s",
            NUMBER,
            "1/s",
            "True rate of requests. It differs from the target because requests come at random times.",
        ),
        _of_probe("completed_per_s", NUMBER, "1/s", "Answered requests divided by the total time."),
        _of_probe("n_requests", INTEGER, "segments", "Number of requests, each for one segment."),
        _of_probe("n_answered", INTEGER, "segments", "Number of requests that were answered with a text."),
        _of_probe("is_valid", FLAG, "", "Whether LoadGen calls the run valid, by its own early stopping."),
        _of_probe(
            "gave_up",
            FLAG,
            "",
            "Whether a request waited ten times the limit. The load then exceeded the capacity and was not served.",
        ),
        *(
            _of_probe(
                f"latency_s_p{round(100 * share)}",
                NUMBER,
                "s",
                f"{round(100 * share)} of 100 requests had at most this latency, from arrival to text.",
                f"{_FAILED}; or {_FEW}",
            )
            for share in PERCENTILES
        ),
        column(
            "percentile_note",
            MESSAGE,
            "Missing percentiles, with the reason.",
            Source.RECORDED,
            null_when="none is missing",
        ),
        _of_probe("batch_size_mean", NUMBER, "segments", "The mean size of the batches.", f"{_FAILED}; or none formed"),
        _of_probe("batch_size_max", INTEGER, "segments", "The largest batch.", f"{_FAILED}; or none formed"),
        _of_probe("busy_share", NUMBER, "share", "Share of the time in which the model was busy."),
        _of_probe("generator_cpu_share", NUMBER, "share", "CPU time of the load generator, as a share of a core."),
        column(
            "energy_j",
            NUMBER,
            "Energy of the cell's own device over the whole run of the rate, including waiting.",
            Source.MEASURED_OR_MODELLED,
            unit="J",
            null_when=f"{_FAILED}; or there is no meter, as `energy_note` says",
        ),
        column("energy_method", LABEL, "Source of the energy value.", Source.RECORDED, null_when=_FAILED),
        column("energy_note", MESSAGE, "Reason why there is no counter value.", Source.RECORDED, null_when="there is"),
        shared("disturbance"),
        shared("status"),
        shared("reason"),
        shared("machine_id"),
    ]
)
# What the record has beside: each latency in seconds, each batch's size, and LoadGen's own words.
_RAW = [
    pa.field("latencies_s", pa.list_(pa.float64())),
    pa.field("batch_sizes", pa.list_(pa.int64())),
    pa.field("summary", pa.string()),
]
RECORD = pa.schema([*(field.remove_metadata() for field in LOADS), *_RAW])


@dataclass(frozen=True, kw_only=True)
class LoadHeader:
    """The header of a load test, with the bounds (1/s) of the capacity; see `CellSettings` and `events.Searched`.

    `predicted_per_s` is the rate that the search began at. `versions` are those of the runtime's packages.
    """

    model: str
    model_key: str | None = None
    corpus: str | None = None
    corpus_key: str | None = None
    conversion_key: str | None = None
    variant: str
    options: JsonObject | None = None
    device: str
    duration_s: int
    batch_size: int
    threads: int | None = None
    seed: int | None = None
    load_version: int
    load: JsonObject
    status: str
    reason: str | None = None
    predicted_per_s: float | None = None
    low_per_s: float | None = None
    high_per_s: float | None = None
    machine_id: str | None = None
    node: str | None = None
    measured_at: str | None = None


def outcome_of(status: str, events: Iterable[Event], judged: int, target_latency_s: float) -> tuple[str, str | None]:
    """Return status and reason of a load test whose worker ended well: `unconverged` without a narrow bracket.

    LoadGen judges `judged` requests at least, of which the rate's percentile must keep the limit.
    """
    events = list(events)
    found = next((event for event in events if isinstance(event, Searched)), Searched())
    if found.is_narrow:
        return status, None
    probes = [event for event in events if isinstance(event, Probe)]
    if found.low_per_s is None and probes:
        return "unconverged", _why_none(min(probes, key=lambda probe: probe.target_per_s), judged, target_latency_s)
    ends = [f"{rate:.3g}" if rate else "?" for rate in (found.low_per_s, found.high_per_s)]
    return "unconverged", f"the capacity is between {' and '.join(ends)} per second; increase load.minutes"


def _why_none(lowest: Probe, judged: int, target_latency_s: float) -> str:
    """Return why no rate was valid, by the lowest that was tried."""
    rate = f"{lowest.target_per_s:.3g} per second"
    if lowest.gave_up:
        return f"over capacity at every tested rate, down to {rate}; increase load.minutes"
    if lowest.latencies_s and (half_s := statistics.median(lowest.latencies_s)) > target_latency_s:
        return (
            f"over capacity: even at {rate} half of the requests took more than {half_s:.3g} s, and the limit is "
            f"{target_latency_s:g} s; increase load.target_latency_s"
        )
    if lowest.n_requests < judged:
        return (
            f"{lowest.n_requests} requests came at {rate}, and LoadGen needs at least {judged}; set load.minutes to "
            f"{math.ceil(_PROBES * judged / lowest.target_per_s / 60)} or more"
        )
    return f"no rate down to {rate} was valid in the time; increase load.minutes"


def rows_of(common: Row, events: Iterable[Event]) -> list[Row]:
    """Return the rows of a record, made from the worker's events: a row for each rate, or a single one of nulls.

    `common` has what is the same in all rows.
    """
    events = list(events)
    empty = dict.fromkeys(RECORD.names) | {name: common.get(name) for name in RECORD.names if name in common}
    searched = next((event for event in events if isinstance(event, Searched)), None)
    empty["disturbance"] = searched.disturbance if searched else None
    return [empty | _of(probe, common["device"]) for probe in events if isinstance(probe, Probe)] or [empty]


def _of(probe: Probe, device: str) -> Row:
    part = "gpu" if device == "cuda" else "cpu"
    told, note = _percentiles(probe)
    sizes = probe.batch_sizes
    return {
        **{name: getattr(probe, name) for name in RECORD.names if hasattr(probe, name)},
        **told,
        "probe": probe.number,
        "n_answered": len(probe.latencies_s),
        "percentile_note": note,
        "batch_size_mean": statistics.fmean(sizes) if sizes else None,
        "batch_size_max": max(sizes, default=None),
        "busy_share": min(probe.busy_s / probe.took_s, 1.0),
        "generator_cpu_share": probe.generator_cpu_s / probe.took_s,
        "energy_j": probe.window and probe.window[f"{part}_j"],  # type: ignore[literal-required]
        "energy_method": probe.method_gpu if part == "gpu" else probe.method_cpu,
    }


def _percentiles(probe: Probe) -> tuple[Row, str | None]:
    """Return the percentiles that the requests of a probe carry, and which of them they do not."""
    names = {share: f"latency_s_p{round(100 * share)}" for share in PERCENTILES}
    if probe.gave_up:
        return dict.fromkeys(names.values()), "the server gave up: the latency would grow without limit"
    ordered = sorted(probe.latencies_s)
    carried = [share for share in PERCENTILES if order_interval(len(ordered), share)]
    few = [
        f"the {round(100 * share)}th percentile needs {least_n(share)}" for share in PERCENTILES if share not in carried
    ]
    told = {name: quantile(ordered, share) if share in carried else None for share, name in names.items()}
    return told, f"{len(ordered)} requests are too few: {', '.join(few)}" if few else None


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the value that a share of some values, which are in their order, do not exceed."""
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def read(path: Path) -> tuple[LoadHeader, list[Row]]:
    """Return the header and the rows of a load test's record.

    Raises:
        AsrmeterError: it is missing or damaged, holds something else, or has an impossible value.
    """
    table = parquet.read(path)
    try:
        header = typed_json.from_json(LoadHeader, parquet.header_of(table))
        columns = parquet.columns_of(table, RECORD)
    except (KeyError, TypeError, ValueError) as error:
        raise AsrmeterError(f"{path}: is not a load test ({one_line(error)}); delete it and run again") from error
    columns = {name: columns.get(name) or [None] * table.num_rows for name in RECORD.names}
    fault = misfit(header) or fault_of(columns, parquet.numbers_of(RECORD)) or _odd(header, table.num_rows)
    if fault:
        raise AsrmeterError(f"{path}: cannot be used: {fault}; delete it and run again")
    return header, [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _odd(header: LoadHeader, n_rows: int) -> str | None:
    for name, allowed in (("status", STATUSES), ("device", DEVICES)):
        if (value := getattr(header, name)) not in allowed:
            return f'{name} is "{value[:60]}", not one of {", ".join(sorted(allowed))}'
    return None if n_rows else "it has no row"
