"""What a runtime is beside what a study asks for, and what it costs until a first text is there."""

import statistics

from asrmeter.analysis.cell_columns.values import NOT_LOADED, OLD_RECORD, CellColumn, Value, event, header, of_laps
from asrmeter.analysis.measured_cell import MeasuredCell
from asrmeter.common.shared_columns import shared
from asrmeter.common.table_types import FLAG, INTEGER, LABEL, LABELS, MESSAGE, NUMBER, Source, column
from asrmeter.common.vocabulary import DIFFERENCES
from asrmeter.records.events import Event, Ready, Warm

_NO_CONVERSION = "the runtime loads the model folder as it is"


def _median(kind: type[Event], key: str) -> Value:
    """Return a function for the median over the laps that count; over all where none has a latency."""

    def value(cell: MeasuredCell) -> float | None:
        known = [one.event(kind, key) for one in cell.counted or cell.sittings]
        return _middle([seconds for seconds in known if seconds is not None])

    return value


def _compile_s(from_cache: bool) -> Value:
    """Return a function for what compiling took in the laps that had parts in a cache, or in those that had none.

    The two are no scatter of one figure: the first lap fills the cache for the others.
    """

    def value(cell: MeasuredCell) -> float | None:
        events = [found for one in cell.sittings if (found := one.header.last(Warm))]
        alike = [found.compile_s for found in events if bool(found.n_compile_cache_hits) is from_cache]
        return _middle([seconds for seconds in alike if seconds is not None])

    return value


def _middle(values: list[float]) -> float | None:
    return statistics.median(values) if values else None


def _conversion(key: str) -> Value:
    return lambda cell: (cell.header.conversion or {}).get(key)


def _differences(cell: MeasuredCell) -> list[str] | None:
    found = cell.main.event(Ready, "differences")
    # What a runtime of the user's own says need not be one of our words.
    return None if found is None else [one for one in found if one in DIFFERENCES]


def _busy_threads(cell: MeasuredCell) -> float | None:
    known = [busy for one in cell.counted if (busy := one.busy_threads) is not None]
    return statistics.fmean(known) if known else None


EFFECTIVE: list[CellColumn] = [
    (
        column(
            "instructions",
            MESSAGE,
            "The instruction set that the library computes with, such as `AVX2`.",
            Source.RECORDED,
            null_when="the library does not say it, or the model was not loaded",
        ),
        event(Ready, "instructions"),
    ),
    (
        column(
            "emulated",
            FLAG,
            "Whether the processor has no instructions for the number format, so that it is emulated.",
            Source.MACHINE,
            null_when="it is not known, or the model was not loaded",
        ),
        event(Ready, "emulated"),
    ),
    (
        column(
            "equal_settings",
            FLAG,
            "Whether the variant decodes as fp32 does: greedily, with the same prompt, leaving nothing out.",
            Source.STUDY,
            null_when="the record cannot be read",
        ),
        lambda cell: cell.equal_settings,
    ),
    (
        column(
            "differences",
            LABELS,
            "Inherent differences between the runtime and transformers in float32, such as `features` or `beam`.",
            Source.RECORDED,
            null_when=f"{NOT_LOADED}, or the record does not say it",
        ),
        _differences,
    ),
    (shared("busy_threads"), _busy_threads),
]
START: list[CellColumn] = [
    (shared("load_s"), _median(Ready, "load_s")),
    (shared("first_pass_s"), _median(Warm, "first_pass_s")),
    (shared("compile_s"), _compile_s(from_cache=False)),
    (
        column(
            "compile_cached_s",
            NUMBER,
            "Median time of compilation in the laps that found compiled parts in a cache.",
            Source.MEASURED,
            unit="s",
            null_when="nothing is compiled, or no lap had anything in a cache",
        ),
        _compile_s(from_cache=True),
    ),
    (shared("n_compile_cache_hits"), of_laps(Warm, "n_compile_cache_hits", max)),
    (
        column(
            "conversion_format",
            LABEL,
            "Format of the converted model, such as `ctranslate2-int8`.",
            Source.STUDY,
            null_when=_NO_CONVERSION,
        ),
        _conversion("format"),
    ),
    (
        column(
            "conversion_s",
            NUMBER,
            "The wall time of the conversion, once for all cells of the model and format.",
            Source.MEASURED,
            unit="s",
            null_when=_NO_CONVERSION,
        ),
        _conversion("conversion_s"),
    ),
    (
        column(
            "model_bytes",
            INTEGER,
            "Size on disk of the weights that the runtime loads, from the model folder or a conversion.",
            Source.MEASURED,
            unit="bytes",
            null_when=OLD_RECORD,
        ),
        header("model_bytes"),
    ),
]
