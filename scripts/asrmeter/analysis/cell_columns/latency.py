"""How long a pass takes, and how that scatters."""

from asrmeter.analysis.cell_columns.requests import REQUESTS
from asrmeter.analysis.cell_columns.values import (
    NO_INTERVAL,
    NO_LATENCY,
    NOT_TIMED,
    CellColumn,
    component,
    event,
    fitted,
    outcome,
)
from asrmeter.common.table_types import FLAG, MESSAGE, NUMBER, Source, column
from asrmeter.common.vocabulary import STAGES
from asrmeter.records.events import Latency

_NO_SCATTER = "nothing was repeated"
_OF_STAGE = {
    "features": "feature extraction",
    "encoder": "the encoder",
    "decoder": "the decoder (the output layer of a CTC model)",
    "text": "text from tokens",
}


def _latency(name: str, meaning: str, part: str, null_when: str = NO_INTERVAL) -> CellColumn:
    return column(name, NUMBER, meaning, Source.COMPUTED, unit="s", null_when=null_when), fitted(part)


def _stage(name: str) -> CellColumn:
    meaning = f"The part of `latency_s_median` for {_OF_STAGE[name]}: its share of the passes times the latency."
    null_when = "no pass was timed, or the runtime does not mark its stages"
    return (
        column(f"{name}_s_median", NUMBER, meaning, Source.MEASURED, unit="s", null_when=null_when),
        lambda cell: cell.timing.of_class(f"{name}_s"),
    )


def _scatter(name: str, meaning: str, part: str, df: str) -> list[CellColumn]:
    told = f"Degrees of freedom of `{name}`."
    unit = "share of the latency"
    return [
        (column(name, NUMBER, meaning, Source.COMPUTED, unit=unit, null_when=_NO_SCATTER), component(part)),
        (
            column(f"{name}_df", NUMBER, told, Source.COMPUTED, unit="degrees of freedom", null_when=NO_LATENCY),
            component(df),
        ),
    ]


LATENCY: list[CellColumn] = [
    (
        column(
            "converged",
            FLAG,
            "Whether the interval of the latency is within `protocol.target` on both sides.",
            Source.COMPUTED,
            null_when=NO_LATENCY,
        ),
        outcome("converged"),
    ),
    _latency(
        "latency_s_median",
        "The wall time of one pass over a batch: the mean over the batches of the class; of each, the mean over laps "
        "(on the scale of logarithms) of the median pass.",
        "value",
        NO_LATENCY,
    ),
    _latency(
        "latency_s_ci_low",
        "The lower end of the 95 % interval in which the latency of the cell lies in the long run on this machine.",
        "low",
    ),
    _latency(
        "latency_s_ci_high",
        "The upper end of the 95 % interval in which the latency of the cell lies in the long run on this machine.",
        "high",
    ),
    _latency(
        "latency_s_next_low",
        "The lower end of the 95 % interval in which the same study would find the latency the next time.",
        "next_low",
    ),
    _latency(
        "latency_s_next_high",
        "The upper end of the 95 % interval in which the same study would find the latency the next time.",
        "next_high",
    ),
    (
        column(
            "latency_own_se",
            NUMBER,
            "The standard error of the logarithm of the latency, without what all cells of a lap share: for ratios of "
            "cells of the same laps.",
            Source.COMPUTED,
            unit="share of the latency",
            null_when=NO_INTERVAL,
        ),
        fitted("own_se"),
    ),
    (
        column(
            "latency_own_df",
            NUMBER,
            "Degrees of freedom of `latency_own_se`.",
            Source.COMPUTED,
            unit="degrees of freedom",
            null_when=NO_INTERVAL,
        ),
        lambda cell: cell.own_df,
    ),
    (
        column("interval_note", MESSAGE, "Reason why there is no interval.", Source.RECORDED, null_when="there is one"),
        fitted("note"),
    ),
    (
        column(
            "time_factor_for_target",
            NUMBER,
            "Factor of measuring time that would bring most cells of this kind within the target; 1 if they are.",
            Source.COMPUTED,
            unit="times",
            null_when="no amount of time would be enough, or the scatter of laps is unknown",
        ),
        outcome("time_factor"),
    ),
    (
        column(
            "lap_scatter",
            NUMBER,
            "Standard deviation of the cell's own latency from lap to lap, moderated by all cells.",
            Source.COMPUTED,
            unit="share of the latency",
            null_when=NO_INTERVAL,
        ),
        fitted("lap_scatter"),
    ),
    *REQUESTS,
    *map(_stage, STAGES),
    (
        column(
            "stage_coverage",
            NUMBER,
            "Sum of the stages divided by the latency, median over passes; 1 if there is no time between stages.",
            Source.MEASURED,
            unit="share",
            null_when="no stage was marked",
        ),
        lambda cell: cell.timing.stage_coverage,
    ),
    (
        column(
            "stage_timer_overhead_s",
            NUMBER,
            "Time that the stage timers add to a pass.",
            Source.MEASURED,
            unit="s",
            null_when=NOT_TIMED,
        ),
        event(Latency, "stage_marks_s"),
    ),
    *_scatter("pass_scatter", "Standard deviation of a batch from pass to pass, over all cells.", "pass_sd", "pass_df"),
    *_scatter(
        "noise_floor",
        "Standard deviation of a single cell from lap to lap, over all cells of the device. Smaller differences tie.",
        "lap_sd",
        "sitting_df",
    ),
    *_scatter(
        "common_scatter",
        "Standard deviation from lap to lap of the part that all cells of the device share.",
        "common_sd",
        "common_df",
    ),
]
