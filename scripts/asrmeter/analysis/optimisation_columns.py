"""The columns of the table `optimisations`."""

import pyarrow as pa

from asrmeter.common.shared_columns import shared
from asrmeter.common.table_types import FLAG, INTEGER, LABEL, LABELS, MESSAGE, NUMBER, Source, column
from asrmeter.common.vocabulary import STAGES

# The stages that can be held against each other: making text of tokens takes next to nothing.
COMPARED_STAGES = STAGES[:-1]

_NO_CELLS = "no cell was measured with it and without it"
_NO_INTERVAL = f"{_NO_CELLS}, or there is no interval; `reason` says why"
_NO_TEXTS = "no text can be compared: weights are random, or nothing was transcribed"
_NOT_SCORED = "nothing was scored"
_NOT_IN_STUDY = "the variant is not in the study"


def _times(name: str, meaning: str, null_when: str, source: Source = Source.COMPUTED) -> pa.Field:
    return column(name, NUMBER, meaning, source, unit="times", null_when=null_when)


def _stage(stage: str) -> list[pa.Field]:
    null_when = f"{_NO_CELLS}, or the runtime does not mark its stages"
    seconds = f"The seconds of the stage `{stage}` for a segment, the geometric mean over the cells"
    return [
        _times(f"{stage}_ratio", f"`baseline_{stage}_s` over `{stage}_s`: above 1 it gained by the stage.", null_when),
        column(f"{stage}_s", NUMBER, f"{seconds}, with it.", Source.MEASURED, unit="s", null_when=null_when),
        column(
            f"baseline_{stage}_s", NUMBER, f"{seconds}, without it.", Source.MEASURED, unit="s", null_when=null_when
        ),
    ]


def _wer(name: str, meaning: str) -> pa.Field:
    return column(name, NUMBER, meaning, Source.SCORED, unit="share", null_when=_NOT_SCORED)


OPTIMISATIONS = pa.schema(
    [
        column(
            "proposal",
            LABEL,
            "What is proposed, by its key in `resources/proposals.toml`.",
            Source.STUDY,
            null_when="the variant is not a proposal",
        ),
        column(
            "wording",
            LABEL,
            "The proposal as the 2025 study words it; of an engine of today, what it is.",
            Source.STUDY,
            null_when="there is no proposal",
        ),
        column(
            "of_2025",
            FLAG,
            "Whether the 2025 study proposes it.",
            Source.STUDY,
            null_when="there is no proposal",
        ),
        column(
            "kind",
            LABEL,
            "Kind of comparison: `variant`, the variant against the baseline; `without`, the baseline against "
            "the variant, which leaves out what the baseline has; `batch`, the largest batch size against batch size "
            "1. In all three the ratios say what is gained by having what is proposed.",
            Source.STUDY,
        ),
        shared("variant"),
        column("baseline", LABEL, "The variant that it is compared with.", Source.STUDY),
        *map(shared, ("model", "weights", "device")),
        column(
            "n_cells", INTEGER, "The cells that were measured with it and without it.", Source.COUNTED, unit="cells"
        ),
        _times(
            "speed_ratio",
            "How many times as much audio a second is transcribed with it as without it, the geometric mean over the "
            "cells: above 1 it is faster.",
            _NO_CELLS,
        ),
        _times(
            "speed_ratio_low",
            "The lower end of the 95 % interval of `speed_ratio`, within laps: over these cells, not over others.",
            _NO_INTERVAL,
        ),
        _times(
            "speed_ratio_high",
            "The upper end of the 95 % interval of `speed_ratio`, within laps: over these cells, not over others.",
            _NO_INTERVAL,
        ),
        _times(
            "energy_ratio",
            "The energy of the cell's own device for an hour of audio without it, over that with it, the geometric "
            "mean over the cells: above 1 it takes less.",
            f"{_NO_CELLS}, or a cell has no energy, or by another method",
            Source.MEASURED_OR_MODELLED,
        ),
        column(
            "energy_method",
            LABEL,
            "Where the energies of `energy_ratio` come from; modelled ones only repeat the running time.",
            Source.RECORDED,
            null_when="there is no `energy_ratio`",
        ),
        _times(
            "memory_ratio",
            "The peak memory without it over that with it, of the process on cpu and of the GPU on cuda, the geometric "
            "mean over the cells: above 1 it takes less.",
            f"{_NO_CELLS}, or a peak is not known",
        ),
        column(
            "model_bytes",
            INTEGER,
            "The size of the files that the runtime loads, with it.",
            Source.MEASURED,
            unit="bytes",
            null_when="it is not known",
        ),
        column(
            "baseline_model_bytes",
            INTEGER,
            "The size of the files that the runtime loads, without it.",
            Source.MEASURED,
            unit="bytes",
            null_when="it is not known",
        ),
        *(field for stage in COMPARED_STAGES for field in _stage(stage)),
        column(
            "share_identical",
            NUMBER,
            "The share of the texts that are the same to the letter with it and without it, capitals and punctuation "
            "too; white space at the ends does not count. A variant is held against fp32 on its own device, else on "
            "the CPU.",
            Source.SCORED,
            unit="share",
            null_when=_NO_TEXTS,
        ),
        column(
            "n_texts",
            INTEGER,
            "The texts that were compared: those of the same segments of a class at the same batch size.",
            Source.COUNTED,
            unit="texts",
        ),
        _wer("wer_change", "The WER with it minus that without it, over the segments that both transcribed."),
        _wer("wer_change_low", "The lower end of the 95 % interval of `wer_change`, paired by segment."),
        _wer("wer_change_high", "The upper end of the 95 % interval of `wer_change`, paired by segment."),
        column(
            "equal_settings",
            FLAG,
            "Whether the variant decodes as the baseline does: greedily, with the same prompt, leaving nothing out.",
            Source.STUDY,
            null_when=_NOT_IN_STUDY,
        ),
        column(
            "differences",
            LABELS,
            "Inherent differences between the variant and fp32.",
            Source.RECORDED,
            null_when="the variant was not measured",
        ),
        column(
            "emulated",
            FLAG,
            "Whether the processor has no instructions for the variant's number format, so that it is emulated.",
            Source.MACHINE,
            null_when="it is not known",
        ),
        column(
            "verdict",
            LABEL,
            "`helps`, `no_difference`, `hurts`: by the interval of `speed_ratio` against 1 and the noise floor; "
            "`costs_accuracy`: a setting misses `report.accuracy_gate`; `not_possible` on this machine; "
            "`not_measured`.",
            Source.COMPUTED,
        ),
        column(
            "reason",
            MESSAGE,
            "Reasons for the verdict, and what it leaves open.",
            Source.COMPUTED,
            null_when="there is nothing to add",
        ),
    ]
)
