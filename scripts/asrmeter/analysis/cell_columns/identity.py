"""Which cell it is, how it went, and how much was measured of it."""

from asrmeter.analysis.cell_columns.values import NOT_LOADED, OLD_RECORD, CellColumn, event, header, outcome
from asrmeter.common.shared_columns import shared
from asrmeter.common.table_types import FLAG, INTEGER, LABEL, MESSAGE, Source, column
from asrmeter.records.events import Ready

NAMED: list[CellColumn] = [
    (column("study", LABEL, "The name of the study.", Source.STUDY), lambda cell: cell.study),
    (shared("model"), header("model")),
    (
        column("family", LABEL, "Family of the model, such as `whisper` or `ctc`.", Source.STUDY, null_when=OLD_RECORD),
        header("family"),
    ),
    (
        column(
            "has_decoder",
            FLAG,
            "Whether a decoder writes the text token by token; if not, the output layer counts as encoder.",
            Source.STUDY,
            null_when="the family is not known",
        ),
        lambda cell: cell.work.has_decoder,
    ),
    (shared("weights"), header("weights")),
    (shared("variant"), header("variant")),
    (
        column(
            "runtime",
            MESSAGE,
            "The runtime, or the user's file, that ran the model.",
            Source.STUDY,
            null_when=OLD_RECORD,
        ),
        lambda cell: cell.main.runtime,
    ),
    (
        column(
            "dtype",
            MESSAGE,
            "Number format in which the model really computes.",
            Source.RECORDED,
            null_when=NOT_LOADED,
        ),
        event(Ready, "dtype"),
    ),
    (shared("attention"), event(Ready, "attention")),
    (shared("device"), header("device")),
    (shared("device_name"), lambda cell: cell.main.device_name),
    (shared("duration_s"), header("duration_s")),
    (shared("batch_size"), header("batch_size")),
    (shared("threads"), header("threads")),
]
HOW_IT_WENT: list[CellColumn] = [
    (shared("status"), outcome("status")),
    (shared("reason"), outcome("reason")),
    (
        column("n_laps", INTEGER, "The laps that count.", Source.COUNTED, unit="laps", null_when=OLD_RECORD),
        lambda cell: len(cell.laps),
    ),
    (
        column(
            "laps", LABEL, 'The laps that count, such as "1 3"; "" if none does.', Source.COMPUTED, null_when=OLD_RECORD
        ),
        lambda cell: " ".join(map(str, cell.laps)),
    ),
    (
        column(
            "n_laps_disturbed",
            INTEGER,
            "The laps that were disturbed.",
            Source.COUNTED,
            unit="laps",
            null_when=OLD_RECORD,
        ),
        lambda cell: sum(bool(one.disturbance) for one in cell.sittings),
    ),
    (shared("n_tries"), lambda cell: sum(one.n_tries for one in cell.sittings)),
    (shared("n_passes"), lambda cell: len(cell.timing.passes)),
    (shared("n_rounds"), lambda cell: cell.timing.n_rounds),
    (shared("n_batches"), lambda cell: len(cell.content.by_batch)),
    (
        column(
            "n_warmup_passes",
            INTEGER,
            "Passes of the warm-up, which are not evaluated.",
            Source.COUNTED,
            unit="passes",
        ),
        lambda cell: len(cell.of_phase("warmup")),
    ),
]
