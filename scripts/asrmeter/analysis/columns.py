"""The columns of the tables `cells`, `passes` and `transcripts`. Those of `cells` are in `cell_columns`."""

from dataclasses import fields

import pyarrow as pa

from asrmeter.analysis.cell_columns import accuracy, costs, energy, identity, latency, machine, start, throughput, work
from asrmeter.analysis.cell_columns.values import CellColumn
from asrmeter.analysis.score_columns import COUNTED, NONE_FOUND, score_column
from asrmeter.analysis.table_rows import CELL_KEY
from asrmeter.common.table_types import FLAG, INTEGER, LABEL, MESSAGE, NUMBER, SPEECH, Source, column
from asrmeter.common.vocabulary import ENDINGS, Errors
from asrmeter.records import cell_record

# In the order of the table.
CELL_COLUMNS: list[CellColumn] = [
    *identity.NAMED,
    *start.EFFECTIVE,
    *identity.HOW_IT_WENT,
    *latency.LATENCY,
    *machine.DISTURBANCE,
    *throughput.THROUGHPUT,
    *energy.ENERGY,
    *costs.COSTS,
    *energy.MEMORY,
    *accuracy.ACCURACY,
    *work.WORK,
    *start.START,
    *machine.SPENT,
    *machine.PROVENANCE,
]
CELLS = pa.schema([field for field, _ in CELL_COLUMNS])
PASSES = pa.schema([*cell_record.CELL_FIELDS, *cell_record.PASS_FIELDS])


def _of_normaliser(ending: str) -> list[pa.Field]:
    """Return the columns of a transcript that a normaliser fills."""
    counts = ((count.name, *COUNTED[count.name]) for count in fields(Errors))
    return [
        score_column("normaliser", LABEL, "The normaliser and its version", ending),
        score_column("reference_normalised", SPEECH, "What was said, as it is scored", ending),
        score_column("hypothesis_normalised", SPEECH, "What was transcribed, as it is scored", ending),
        *(score_column(name, INTEGER, meaning, ending, unit=unit) for name, meaning, unit in counts),
    ]


TRANSCRIPTS = pa.schema(
    [
        *(field for field in cell_record.CELL_FIELDS if field.name in CELL_KEY),
        column("segment_id", LABEL, "The name of the segment.", Source.STUDY),
        column("audio_s", NUMBER, "The length of the segment.", Source.STUDY, unit="s"),
        column(
            "language",
            LABEL,
            "The language that is spoken, by its code.",
            Source.STUDY,
            null_when="it is unknown",
        ),
        column(
            "language_told",
            LABEL,
            "The language that the model was told.",
            Source.STUDY,
            null_when="it finds it out",
        ),
        column(
            "language_found",
            LABEL,
            "The language that the model found in the first pass over the segment.",
            Source.MEASURED,
            null_when=NONE_FOUND,
        ),
        column("reference", SPEECH, "What was said; what cannot be seen is escaped.", Source.STUDY),
        column(
            "hypothesis",
            SPEECH,
            "What the first pass over the segment transcribed; what cannot be seen is escaped.",
            Source.MEASURED,
        ),
        column(
            "scoring_note",
            MESSAGE,
            "What a normaliser refused in the texts, so that they were scored without reading numbers.",
            Source.SCORED,
            null_when="nothing",
        ),
        column("is_empty", FLAG, "Whether nothing was transcribed, though something was said.", Source.SCORED),
        column(
            "is_hallucinated",
            FLAG,
            "Whether the text repeats itself, or has half as many words inserted as were said (three at least; of "
            "characters ten).",
            Source.SCORED,
        ),
        *(field for ending in ENDINGS for field in _of_normaliser(ending)),
    ]
)
