"""The main tables of a run for papers and pages: values with their intervals or ranges, in units of the dictionary."""

from collections.abc import Sequence
from dataclasses import dataclass

from asrmeter.analysis.dictionary import describe
from asrmeter.analysis.results import energy_method
from asrmeter.analysis.table_rows import with_columns
from asrmeter.common.table_types import Row
from asrmeter.common.vocabulary import MODELLED_METHODS
from asrmeter.report.formatting import number

MISSING = "–"
# Units that nobody reads as they are stored.
_READABLE = {"share": (100.0, "%"), "bytes": (1e-9, "GB")}
_CURRENCY = "that of `cost_currency`"


@dataclass(frozen=True)
class MainColumn:
    """A column: its heading, the column of the run's table, and those of its interval or range."""

    heading: str
    name: str
    low: str = ""
    high: str = ""


@dataclass(frozen=True)
class MainTable:
    """A table as it is written: `note` says what stands in brackets."""

    name: str
    caption: str
    note: str
    headings: tuple[str, ...]
    numeric: tuple[bool, ...]
    lines: tuple[tuple[str, ...], ...]


def _with_interval(heading: str, name: str) -> MainColumn:
    stem = name.removesuffix("_median")
    return MainColumn(heading, name, f"{stem}_ci_low", f"{stem}_ci_high")


def _with_range(heading: str, name: str, largest: str) -> MainColumn:
    return MainColumn(heading, name, f"{name}_min", largest)


_SETTING = tuple(
    MainColumn(heading, name)
    for heading, name in (
        ("Model", "model"),
        ("Variant", "variant"),
        ("Device", "device"),
        ("Audio", "duration_s"),
        ("Batch", "batch_size"),
    )
)
_INTERVAL = "In brackets: 95 % interval."
_TABLES: tuple[tuple[str, str, str, str, tuple[MainColumn, ...]], ...] = (
    (
        "speed",
        "cells",
        "Latency of a pass over one batch, over requests, and throughput",
        _INTERVAL,
        (
            *_SETTING,
            _with_interval("Latency", "latency_s_median"),
            _with_interval("p95 over requests", "latency_s_p95"),
            _with_interval("RTFx", "rtfx"),
            _with_interval("Throughput", "samples_per_s"),
            MainColumn("Status", "status"),
        ),
    ),
    (
        "costs",
        "cells",
        "Energy of the device's own component (RAM, disks, network and cooling are not counted), memory, and what an "
        "hour of audio costs",
        "In brackets: range over laps.",
        (
            *_SETTING,
            _with_range("Energy of a segment", "energy_j_per_sample", "energy_j_per_sample_max"),
            MainColumn("Energy is", "energy_is"),
            MainColumn("Energy of an hour of audio", "energy_wh_per_audio_hour"),
            MainColumn("Electricity of the device", "cost_electricity_per_audio_hour"),
            MainColumn("Machine", "cost_machine_per_audio_hour"),
            MainColumn("Together", "cost_per_audio_hour"),
            _with_range("Peak memory", "peak_rss_bytes", "peak_rss_bytes"),
            _with_range("Peak device memory", "peak_device_bytes", "peak_device_bytes"),
        ),
    ),
    (
        "accuracy",
        "cells",
        "Word and character error rates",
        _INTERVAL,
        (
            *_SETTING,
            MainColumn("Weights", "weights"),
            _with_interval("WER", "wer"),
            _with_interval("CER", "cer"),
            MainColumn("WER counts", "counted"),
            MainColumn("Said", "wer_words"),
            MainColumn("In", "n_segments"),
        ),
    ),
    (
        "languages",
        "languages",
        "Error rates by language",
        _INTERVAL,
        (
            *_SETTING,
            MainColumn("Language", "language"),
            _with_interval("WER", "wer"),
            MainColumn("WER counts", "error_unit"),
            MainColumn("CER", "cer"),
            MainColumn("Language found", "language_accuracy"),
            MainColumn("In", "n_segments"),
        ),
    ),
    (
        "scaling",
        "scaling",
        "Batch size from which on larger ones bring no more, against the smallest",
        _INTERVAL,
        (
            *_SETTING[:4],
            MainColumn("Saturates at", "saturation_batch"),
            MainColumn("Throughput there", "samples_per_s"),
            MainColumn("Speed-up", "speedup_over_smallest", "speedup_ci_low", "speedup_ci_high"),
            MainColumn("Energy saving", "energy_saving_over_smallest"),
            MainColumn("Held back by", "bound"),
        ),
    ),
)


def main_tables(cells: Sequence[Row], scaling: Sequence[Row], languages: Sequence[Row] = ()) -> list[MainTable]:
    """Return the main tables of a run; columns without a value, and tables without a row, are left out.

    Where there is one language, `languages` would say again what `accuracy` does.
    """
    several = languages if len({row["language"] for row in languages}) > 1 else ()
    rows = {"cells": [with_columns(row, _told(row)) for row in cells], "scaling": scaling, "languages": several}
    return [
        _made(name, source, caption, note, columns, rows[source])
        for name, source, caption, note, columns in _TABLES
        if rows[source]
    ]


def _told(row: Row) -> Row:
    """Return columns that say in a word what several say."""
    method = energy_method(row)
    basis = None if row["energy_j_per_sample"] is None else "modelled" if method in MODELLED_METHODS else "measured"
    status = f"{row['status']}, disturbed" if row["disturbed"] else row["status"]
    # Older tables do not say it: all was English.
    unit = row.get("error_unit")
    counted = None if unit == "words" else unit
    return {"energy_is": basis, "status": status, "counted": counted}


def _made(
    name: str, source: str, caption: str, note: str, columns: Sequence[MainColumn], rows: Sequence[Row]
) -> MainTable:
    shown = [column for column in columns if any(row[column.name] is not None for row in rows)]
    scaled = [_unit(source, column, rows) for column in shown]
    return MainTable(
        name,
        caption,
        note,
        tuple(f"{one.heading} ({unit})" if unit else one.heading for one, (_, unit) in zip(shown, scaled, strict=True)),
        tuple(not any(isinstance(row[one.name], str) for row in rows) for one in shown),
        tuple(
            tuple(_field(row, column, scale) for column, (scale, _) in zip(shown, scaled, strict=True)) for row in rows
        ),
    )


def _unit(source: str, column: MainColumn, rows: Sequence[Row]) -> tuple[float, str]:
    """Return what values are multiplied with, and the unit that they then have."""
    told = describe(source, column.name)
    unit = told.unit if told else ""
    if unit == _CURRENCY:
        return 1.0, next(row["cost_currency"] for row in rows if row["cost_currency"])
    return _READABLE.get(unit, (1.0, unit))


def _field(row: Row, column: MainColumn, scale: float) -> str:
    value = row[column.name]
    if value is None or isinstance(value, str):
        return value or MISSING
    if isinstance(value, int) and scale == 1:
        return str(value)
    shown = number(scale * value)
    low, high = (row[column.low], row[column.high]) if column.low else (None, None)
    return shown if low is None or high is None else f"{shown} [{number(scale * low)}, {number(scale * high)}]"
