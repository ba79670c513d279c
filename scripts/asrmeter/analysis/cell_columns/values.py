"""Where the values of the table `cells` are taken from: functions of a measured cell."""

import datetime
import json
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from asrmeter.analysis.measured_cell import MeasuredCell
from asrmeter.common.typed_json import JsonObject
from asrmeter.records.events import Event

Value = Callable[[MeasuredCell], Any]
# What it says of itself, and its value of a cell.
CellColumn = tuple[pa.Field, Value]

NO_LATENCY = "the cell has no latency; `reason` says why"
NO_INTERVAL = "there is no interval; `interval_note` says why"
NOT_LOADED = "the model was not loaded"
NOT_TIMED = "no pass was timed"
OLD_RECORD = "the record does not say it"


def header(name: str) -> Value:
    """Return a function for a value of the record's header."""
    return lambda cell: getattr(cell.header, name)


def event(kind: type[Event], key: str) -> Value:
    """Return a function for what the worker reported under a key of an event."""
    return lambda cell: cell.main.event(kind, key)


def of_laps(kind: type[Event], key: str, summary: Callable[[Sequence[Any]], Any], least: int = 1) -> Value:
    """Return a function for a value of all laps, such as the largest; None where less than `least` laps have it."""

    def value(cell: MeasuredCell) -> Any:
        known = cell.of_laps(kind, key)
        return summary(known) if len(known) >= least else None

    return value


def fitted(name: str) -> Value:
    """Return a function for a part of the estimate of the latency."""
    return lambda cell: cell.fitted and getattr(cell.fitted, name)


def component(name: str) -> Value:
    """Return a function for how the latencies of the cell's group scatter."""
    return lambda cell: cell.fitted and getattr(cell.fitted.components, name)


def outcome(name: str) -> Value:
    """Return a function for how it went."""
    return lambda cell: getattr(cell.outcome, name)


def version(package: str) -> Value:
    """Return a function for the version of a package."""
    return lambda cell: cell.header.versions.get(package)


def audio_s(cell: MeasuredCell) -> float | None:
    """Return the seconds of audio in a pass, the mean of the batches."""
    return cell.content.per_pass(lambda entry: entry["audio_s"])


def utc(seconds: float | None) -> str | None:
    """Return seconds since the epoch as `measured_at` is written: UTC, to the second."""
    if seconds is None:
        return None
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")


def as_json(settings: JsonObject | None) -> str | None:
    """Return settings as a text."""
    return None if settings is None else json.dumps(settings, sort_keys=True)
