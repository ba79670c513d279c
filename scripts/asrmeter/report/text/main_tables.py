"""The main tables of a run for papers and pages: values with their intervals or ranges, in units of the dictionary."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from asrmeter.analysis.dictionary import describe
from asrmeter.analysis.results import energy_method
from asrmeter.analysis.table_rows import with_columns
from asrmeter.common.paths import ROOT
from asrmeter.common.table_types import Row
from asrmeter.common.vocabulary import MODELLED_METHODS
from asrmeter.report.catalogue import ORIGINAL, error_unit_of, load_texts
from asrmeter.report.formatting import number
from asrmeter.report.language_rows import worth_telling
from asrmeter.report.terms import CHARACTERS, WORDS, section_of, with_terms

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
            _with_interval("{error_rate}", "wer"),
            _with_interval("CER", "cer"),
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
            _with_interval("{error_rate}", "wer"),
            MainColumn("Counted", "error_unit"),
            MainColumn("CER", "cer"),
            MainColumn("Language found", "language_accuracy"),
            MainColumn("Said", "n_words"),
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

    `languages` are left out where they say no more than the cells.
    """
    rows = {
        "cells": [with_columns(row, _told(row)) for row in cells],
        "languages": languages if worth_telling(languages) else (),
        "scaling": scaling,
    }
    error_unit = error_unit_of(cells)
    terms = load_texts(ROOT / "report", ORIGINAL, error_unit)[section_of(error_unit)]
    return [
        _made(name, source, caption, note, columns, rows[source], terms)
        for name, source, caption, note, columns in _TABLES
        if rows[source]
    ]


def _told(row: Row) -> Row:
    """Return columns that say in a word what several say."""
    method = energy_method(row)
    basis = None if row["energy_j_per_sample"] is None else "modelled" if method in MODELLED_METHODS else "measured"
    status = f"{row['status']}, disturbed" if row["disturbed"] else row["status"]
    return {"energy_is": basis, "status": status}


def _made(
    name: str,
    source: str,
    caption: str,
    note: str,
    columns: Sequence[MainColumn],
    rows: Sequence[Row],
    terms: Mapping[str, str],
) -> MainTable:
    shown = [column for column in columns if _says_something(column, rows)]
    scaled = [_unit(source, column, rows) for column in shown]
    headings = [with_terms(one.heading, terms) for one in shown]
    return MainTable(
        name,
        caption,
        note,
        tuple(
            f"{one} ({terms['error_units'] if unit == WORDS else unit})" if unit else one
            for one, (_, unit) in zip(headings, scaled, strict=True)
        ),
        tuple(not any(isinstance(row[one.name], str) for row in rows) for one in shown),
        tuple(
            tuple(_field(row, column, scale) for column, (scale, _) in zip(shown, scaled, strict=True)) for row in rows
        ),
    )


def _says_something(column: MainColumn, rows: Sequence[Row]) -> bool:
    """Whether a column has a value, and what is counted differs or is not said by another column."""
    if column.name == "error_unit":
        return len({row["error_unit"] for row in rows}) > 1
    if column.name == "cer":
        rows = [row for row in rows if row.get("error_unit") != CHARACTERS]
    return any(row[column.name] is not None for row in rows)


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
