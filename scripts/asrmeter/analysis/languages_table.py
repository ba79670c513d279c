"""How well cells transcribed each language: error rates by cell and language."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path

import pyarrow as pa

from asrmeter.analysis.cell_parts.accuracy import error_rate
from asrmeter.analysis.cell_parts.languages import accuracy, error_unit
from asrmeter.analysis.columns import CELLS, TRANSCRIPTS
from asrmeter.analysis.score_columns import ERROR_UNIT, LANGUAGE_ACCURACY, NONE_FOUND
from asrmeter.analysis.table_rows import CELL_KEY, CELL_WORDS, cell_of, read_rows
from asrmeter.common.stats import ratio
from asrmeter.common.table_types import INTEGER, LABEL, NUMBER, Row, Source, column

_RATES = ("wer", "wer_ci_low", "wer_ci_high", "cer")

LANGUAGES = pa.schema(
    [
        *map(CELLS.field, CELL_KEY),
        TRANSCRIPTS.field("language"),
        column("n_segments", INTEGER, "The segments of the language.", Source.COUNTED, unit="segments"),
        column("n_words", INTEGER, "What was said of the language, in `error_unit`.", Source.SCORED, unit="words"),
        column("error_unit", LABEL, ERROR_UNIT, Source.SCORED),
        *map(CELLS.field, _RATES),
        column("language_accuracy", NUMBER, LANGUAGE_ACCURACY, Source.SCORED, unit="share", null_when=NONE_FOUND),
    ]
)


def read(path: Path) -> list[Row]:
    """Read the table.

    Raises:
        AsrmeterError: it is not there, or lacks a column.
    """
    return read_rows(path, LANGUAGES, CELL_KEY, CELL_WORDS)


def table(tables: Mapping[str, pa.Table]) -> pa.Table:
    """Return the table of a study, made of its table `transcripts`."""
    return pa.Table.from_pylist(rows(tables["transcripts"].to_pylist()), schema=LANGUAGES)


def rows(transcripts: Iterable[Row]) -> list[Row]:
    """Return a row for each cell that was scored and language, in this order; an unknown language comes last."""

    def key(row: Row) -> tuple[object, ...]:
        return cell_of(row), row["language"] is None, row["language"] or ""

    return [_row(list(own)) for _, own in groupby(sorted(transcripts, key=key), key=key)]


def _row(own: Sequence[Row]) -> Row:
    n_words, n_characters = (sum(row[name] for row in own) for name in ("n_words", "n_characters"))
    rates = (
        *error_rate(own, "n_errors", "n_words"),
        ratio(sum(row["n_character_errors"] for row in own), n_characters),
    )
    return (
        {name: own[0][name] for name in (*CELL_KEY, "language")}
        | {"n_segments": len(own), "n_words": n_words, "error_unit": error_unit([own[0]["language"]])}
        | dict(zip(_RATES, rates, strict=True))
        | {"language_accuracy": accuracy(own)}
    )
