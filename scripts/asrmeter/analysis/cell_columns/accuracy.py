"""How well a cell transcribes."""

from dataclasses import fields

from asrmeter.analysis.cell_columns.values import NOT_LOADED, OLD_RECORD, CellColumn, Value, as_json
from asrmeter.analysis.cell_parts.accuracy import ERROR_RATES
from asrmeter.analysis.cell_parts.languages import DETECTED
from asrmeter.analysis.score_columns import (
    COUNTED,
    ERROR_UNIT,
    LANGUAGE_ACCURACY,
    NONE_FOUND,
    NORMALISED_BY,
    score_column,
)
from asrmeter.common.table_types import INTEGER, LABEL, MESSAGE, NUMBER, Source, column
from asrmeter.common.vocabulary import ENDINGS, Errors
from asrmeter.records.events import Ready

# `transcripts` and `cells` name their counts alike, but for these.
_COUNTS_OF_CELLS = {"n_errors": "wer_errors", "n_words": "wer_words"}
_NOT_SCORED = "nothing was scored; `wer_note` says why"
_RATES = {
    "wer": "Word error rate: all wrong words (substituted, deleted, inserted) over all words of the class; a character "
    "stands for a word where `error_unit` says so",
    "cer": "Character error rate: all wrong characters over all characters of the class",
}


def _count(name: str) -> Value:
    return lambda cell: cell.accuracy.count(name)


def _rate(name: str, meaning: str, ending: str, null_when: str = _NOT_SCORED) -> CellColumn:
    return (
        score_column(name, NUMBER, meaning, ending, unit="share", null_when=null_when),
        lambda cell: cell.accuracy.error_rates[f"{name}{ending}"],
    )


def _of_normaliser(ending: str) -> list[CellColumn]:
    """Return the columns that a normaliser fills."""
    found: list[CellColumn] = [
        (
            score_column("normaliser", LABEL, "The normaliser and its version", ending, null_when=_NOT_SCORED),
            lambda cell: cell.accuracy.normaliser(ending),
        )
    ]
    for rate in ERROR_RATES:
        found.append(_rate(rate, _RATES[rate], ending))
        for end, which in (("low", "lower"), ("high", "upper")):
            meaning = f"The {which} end of the 95 % interval of `{rate}{ending}`, by resampling segments"
            found.append(_rate(f"{rate}_ci_{end}", meaning, ending, f"fewer than two segments, or {_NOT_SCORED}"))
    for count in fields(Errors):
        meaning, unit = COUNTED[count.name]
        name = _COUNTS_OF_CELLS.get(count.name, count.name)
        found.append(
            (
                score_column(name, INTEGER, f"{meaning}, of all segments", ending, unit=unit, null_when=_NOT_SCORED),
                _count(f"{count.name}{ending}"),
            )
        )
    return found


ACCURACY: list[CellColumn] = [
    (
        column(
            "language",
            LABEL,
            "The language that is spoken, by its code; all of them where there are several.",
            Source.STUDY,
            null_when="it is unknown",
        ),
        lambda cell: cell.languages.spoken,
    ),
    (
        column(
            "language_told",
            LABEL,
            f"The language that the model was told; all of them; `{DETECTED}` where it finds it out.",
            Source.STUDY,
            null_when=OLD_RECORD,
        ),
        lambda cell: cell.languages.told,
    ),
    (
        column("language_accuracy", NUMBER, LANGUAGE_ACCURACY, Source.SCORED, unit="share", null_when=NONE_FOUND),
        lambda cell: cell.languages.accuracy,
    ),
    (
        column("error_unit", LABEL, ERROR_UNIT, Source.SCORED, null_when=OLD_RECORD),
        lambda cell: cell.languages.error_unit,
    ),
    *(one for ending in ENDINGS for one in _of_normaliser(ending)),
    (
        column(
            "n_empty",
            INTEGER,
            f"Segments with an empty transcript although something was said; {NORMALISED_BY['']}.",
            Source.SCORED,
            unit="segments",
            null_when=_NOT_SCORED,
        ),
        _count("is_empty"),
    ),
    (
        column(
            "n_hallucinated",
            INTEGER,
            "The segments whose text repeats itself, or has half as many words inserted as were said (three at least).",
            Source.SCORED,
            unit="segments",
            null_when=_NOT_SCORED,
        ),
        _count("is_hallucinated"),
    ),
    (
        column(
            "wer_note",
            MESSAGE,
            "Why there is no WER, or which segments were scored in another way.",
            Source.RECORDED,
            null_when="all segments were scored alike",
        ),
        lambda cell: cell.wer_note,
    ),
    (
        column(
            "n_segments", INTEGER, "The segments of the class.", Source.COUNTED, unit="segments", null_when=OLD_RECORD
        ),
        lambda cell: len(cell.header.segments),
    ),
    (
        column(
            "n_nondeterministic",
            INTEGER,
            "The segments whose text was not the same in every pass.",
            Source.SCORED,
            unit="segments",
            null_when="no segment was transcribed twice",
        ),
        lambda cell: cell.accuracy.n_nondeterministic,
    ),
    (
        column("decoding", MESSAGE, "The settings of decoding, as JSON.", Source.RECORDED, null_when=NOT_LOADED),
        lambda cell: as_json(cell.main.event(Ready, "decoding")),
    ),
]
