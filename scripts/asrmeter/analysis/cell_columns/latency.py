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
    "features": "feature extraction takes",
    "encoder": "the encoder takes",
    "decoder": "the decoder takes (of a CTC model its output layer)",
    "text": "making text of tokens takes",
}


def _latency(name: str, meaning: str, part: str, null_when: str = NO_INTERVAL) -> CellColumn:
    return column(name, NUMBER, meaning, Source.COMPUTED, unit="s", null_when=null_when), fitted(part)


def _stage(name: str) -> CellColumn:
    meaning = f"The part of `latency_s_median` that {_OF_STAGE[name]}: its share of the passes, times the latency."
    null_when = "no pass was timed, or the runtime does not mark its stages"
    return (
        column(f"{name}_s_median", NUMBER, meaning, Source.MEASURED, unit="s", null_when=null_when),
        lambda cell: cell.timing.of_class(f"{name}_s"),
    )


def _scatter(name: str, meaning: str, part: str, df: str) -> list[CellColumn]:
    told = f"The degrees of freedom with which `{name}` is known."
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
            "Whether the interval of the latency is within `protocol.target` to both sides.",
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
            "The degrees of freedom with which `latency_own_se` is known.",
            Source.COMPUTED,
            unit="degrees of freedom",
            null_when=NO_INTERVAL,
        ),
        lambda cell: cell.own_df,
    ),
    (
        column("interval_note", MESSAGE, "Why there is no interval.", Source.RECORDED, null_when="there is one"),
        fitted("note"),
    ),
    (
        column(
            "time_factor_for_target",
            NUMBER,
            "How many times the time most cells of this kind would need to be within the target; 1 if they are.",
            Source.COMPUTED,
            unit="times",
            null_when="no time would do, or nothing tells how laps scatter",
        ),
        outcome("time_factor"),
    ),
    (
        column(
            "lap_scatter",
            NUMBER,
            "The standard deviation of the cell's latency from lap to lap on its own, moderated by all cells.",
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
            "The sum of the stages over the latency, the median of the passes: 1 if nothing is between them.",
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
            "What setting the marks of the stages adds to a pass.",
            Source.MEASURED,
            unit="s",
            null_when=NOT_TIMED,
        ),
        event(Latency, "stage_marks_s"),
    ),
    *_scatter(
        "pass_scatter", "The standard deviation from pass to pass of a batch, of all cells.", "pass_sd", "pass_df"
    ),
    *_scatter(
        "noise_floor",
        "The standard deviation of a cell from lap to lap on its own, of all cells of the device: nobody wins by less.",
        "lap_sd",
        "sitting_df",
    ),
    *_scatter(
        "common_scatter",
        "The standard deviation from lap to lap of what all cells of the device share.",
        "common_sd",
        "common_df",
    ),
]
