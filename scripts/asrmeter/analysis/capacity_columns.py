"""The columns of the tables `loads` and `capacities`: measured and modelled stand apart."""

from pathlib import Path

import pyarrow as pa

from asrmeter.analysis.columns import CELLS
from asrmeter.analysis.table_rows import CELL_WORDS, read_rows
from asrmeter.common.shared_columns import shared
from asrmeter.common.table_types import INTEGER, LABEL, MESSAGE, NUMBER, Row, Source, column
from asrmeter.records import load_rows
from asrmeter.records.load_rows import PERCENTILES

MEASURED, MODELLED = "measured", "modelled"
KEY = ("model", "variant", "device")
WORDS = {**CELL_WORDS, "source": frozenset({MEASURED, MODELLED})}

_NO_MODEL = "no cell of the class was measured; `reason_modelled` says why"
_NOT_TESTED = "it was not load-tested, or no rate was valid; `reason` says why"
_NO_INTERVAL = f"a cell has no interval; or {_NO_MODEL}"
_NO_PRICE = "the study has no price of the machine, or `machines_for_100` is null"
OF_MODELLED = {share: f"latency_s_p{round(100 * share)}_modelled" for share in PERCENTILES}

LOADS = pa.schema(
    [
        *(load_rows.LOADS.field(name) for name in ("model", "variant", "device", "duration_s")),
        column("source", LABEL, "`measured`, or `modelled`: a point of the simulated curve.", Source.COMPUTED),
        *(field for field in load_rows.LOADS if field.name not in ("model", "variant", "device", "duration_s")),
        *(
            column(
                name,
                NUMBER,
                f"What the simulated queue says of `latency_s_p{round(100 * share)}` at the rate that was offered.",
                Source.MODELLED,
                unit="s",
                null_when=f"no rate was tried; or {_NO_MODEL}",
            )
            for share, name in OF_MODELLED.items()
        ),
    ]
)


def _modelled(name: str, unit: str, meaning: str, null_when: str = _NO_MODEL) -> pa.Field:
    return column(name, NUMBER, meaning, Source.MODELLED, unit=unit, null_when=null_when)


def _measured(name: str, unit: str, meaning: str, null_when: str = _NOT_TESTED) -> pa.Field:
    return column(name, NUMBER, meaning, Source.MEASURED, unit=unit, null_when=null_when)


CAPACITIES = pa.schema(
    [
        *map(shared, ("model", "weights", "variant", "device", "duration_s")),
        column("audio_s_mean", NUMBER, "The mean length of the segments.", Source.STUDY, unit="s", null_when=_NO_MODEL),
        column("max_batch", INTEGER, "The most requests of a batch.", Source.STUDY, unit="segments"),
        column(
            "max_batch_modelled",
            INTEGER,
            "The largest batch that the model forms: `max_batch`, or the largest that was measured.",
            Source.COMPUTED,
            unit="segments",
            null_when=_NO_MODEL,
        ),
        column("target_latency_s", NUMBER, "The limit of the latency.", Source.STUDY, unit="s"),
        column("percentile", NUMBER, "The share of requests that must keep the limit.", Source.STUDY, unit="share"),
        column("source", LABEL, "Whether the capacity is `measured`, or only `modelled`.", Source.COMPUTED),
        _measured("capacity_per_s", "1/s", "The highest rate of requests, as they came, that LoadGen called valid."),
        column(
            "capacity_per_s_low",
            NUMBER,
            "The lower end of the interval of what load tests of this length find: by the simulation 95 of 100 lie in "
            "it, and the search's bracket does.",
            Source.COMPUTED,
            unit="1/s",
            null_when=_NOT_TESTED,
        ),
        column(
            "capacity_per_s_high",
            NUMBER,
            "The upper end of the interval of what load tests of this length find.",
            Source.COMPUTED,
            unit="1/s",
            null_when=f"no rate was invalid in the time; or {_NOT_TESTED}",
        ),
        _modelled(
            "capacity_per_s_modelled", "1/s", "The highest rate at which the simulated queue keeps the limit; 0: none."
        ),
        _modelled(
            "capacity_per_s_modelled_low",
            "1/s",
            "`capacity_per_s_modelled` where each batch takes as long as the interval of its cell allows.",
            _NO_INTERVAL,
        ),
        _modelled(
            "capacity_per_s_modelled_high",
            "1/s",
            "`capacity_per_s_modelled` where each batch takes as little as the interval of its cell allows.",
            _NO_INTERVAL,
        ),
        _modelled(
            "load_test_per_s_modelled",
            "1/s",
            "The rate that half of the load tests of this length would call valid, by the simulation; 0: none. LoadGen "
            "has to be sure, so that it is the lower the fewer requests a test has.",
        ),
        column(
            "model_error",
            NUMBER,
            "`load_test_per_s_modelled` over `capacity_per_s`, less 1: how far the model is off.",
            Source.COMPUTED,
            unit="share",
            null_when=f"{_NOT_TESTED}; or {_NO_MODEL}",
        ),
        column(
            "speakers",
            NUMBER,
            "How many people who speak all the time one machine carries: capacity, measured if it was, times "
            "`audio_s_mean`.",
            Source.COMPUTED,
            unit="speakers",
            null_when=f"{_NOT_TESTED}; and {_NO_MODEL}",
        ),
        column(
            "machines_for_100",
            INTEGER,
            "How many such machines, at one queue, carry 100 people who speak all the time.",
            Source.MODELLED,
            unit="machines",
            null_when=f"no number of machines keeps the limit; or {_NO_MODEL}",
        ),
        column(
            "machines_for_100_low",
            INTEGER,
            "`machines_for_100` at `capacity_per_s_modelled_high`.",
            Source.MODELLED,
            unit="machines",
            null_when=_NO_INTERVAL,
        ),
        column(
            "machines_for_100_high",
            INTEGER,
            "`machines_for_100` at `capacity_per_s_modelled_low`.",
            Source.MODELLED,
            unit="machines",
            null_when=_NO_INTERVAL,
        ),
        *(
            column(
                f"cost_per_audio_hour{end}",
                NUMBER,
                f"What an hour of audio costs at `machines_for_100{end}`: their price an hour by the study's tariff, "
                "over 100 hours of audio. Electricity is not counted.",
                Source.COMPUTED,
                unit="that of `cost_currency`",
                null_when=_NO_PRICE,
            )
            for end in ("", "_low", "_high")
        ),
        CELLS.field("cost_currency"),
        column(
            "status",
            LABEL,
            "The `status` of the load test: `ok`; `unconverged`: its bracket is wide; or why there is none.",
            Source.RECORDED,
            null_when="it was not load-tested",
        ),
        column(
            "reason",
            MESSAGE,
            "Why there is no measured capacity, or no narrow one.",
            Source.RECORDED,
            null_when="nothing",
        ),
        column(
            "reason_modelled",
            MESSAGE,
            "Why there is no modelled capacity, or what it lacks.",
            Source.COMPUTED,
            null_when="nothing",
        ),
    ]
)


TABLES = {"loads": LOADS, "capacities": CAPACITIES}


def read(name: str, path: Path) -> list[Row]:
    """Read one of both tables.

    Raises:
        AsrmeterError: it is not there, or lacks a column.
    """
    return read_rows(path, TABLES[name], KEY, WORDS)
