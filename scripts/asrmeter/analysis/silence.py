"""What models write of clips without speech: the tables `silence`, a row a clip, and `silence_models`."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa

from asrmeter.analysis.table_rows import CELL_WORDS, Words, checked_rows, read_rows
from asrmeter.common import parquet, typed_json
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.languages import languages
from asrmeter.common.misfits import misfit
from asrmeter.common.printable import printable
from asrmeter.common.shared_columns import shared
from asrmeter.common.stats import wilson_interval
from asrmeter.common.table_types import INTEGER, MESSAGE, NUMBER, SPEECHES, Row, Source, column
from asrmeter.common.vocabulary import SILENCE_KINDS, UNREADABLE
from asrmeter.records.silence_rows import CLIPS, RECORD, SilenceHeader
from asrmeter.study import grid
from asrmeter.study.fingerprints import Fingerprints, check_records
from asrmeter.study.model import Study

KEY = ("model", "variant", "device")
# As many inventions are named, and as much of each: a loop is as long as the model can write.
_MOST_NAMED, _MOST_CHARACTERS = 5, 120
_NONE_HEARD = "no clip was heard; `reason` says why"
_WORDS: Words = {**CELL_WORDS, "kind": frozenset(SILENCE_KINDS)}


def _counted(name: str, unit: str, meaning: str) -> pa.Field:
    return column(name, INTEGER, meaning, Source.COUNTED, unit=unit, null_when=_NONE_HEARD)


def _share(name: str, meaning: str) -> pa.Field:
    return column(name, NUMBER, meaning, Source.COMPUTED, unit="share", null_when=_NONE_HEARD)


SILENCE = pa.schema(
    [
        *CLIPS,
        column(
            "n_words",
            INTEGER,
            "The words of the text: what stands between spaces and has a letter or digit; in a language without spaces "
            "its characters.",
            Source.COUNTED,
            unit="words",
            null_when="it was not transcribed; `reason` says why",
        ),
    ]
)
SILENCE_MODELS = pa.schema(
    [
        *map(shared, KEY),
        column("n_clips", INTEGER, "The clips without speech that were heard.", Source.COUNTED, unit="clips"),
        _counted("n_with_text", "clips", "Clips with at least one transcribed word."),
        _share("share_with_text", "`n_with_text` of `n_clips`."),
        _share("share_ci_low", "The lower end of the 95 % interval of `share_with_text`, by Wilson's formula."),
        _share("share_ci_high", "The upper end of the 95 % interval of `share_with_text`."),
        column(
            "words_per_minute",
            NUMBER,
            "The words that were written, per minute of all clips that were heard.",
            Source.COMPUTED,
            unit="1/min",
            null_when=_NONE_HEARD,
        ),
        _counted("n_words_longest", "words", "The words of the longest text: many where a model repeats itself."),
        column(
            "commonest",
            SPEECHES,
            "The texts that were written most often, at most five; in lower case, without punctuation at the ends.",
            Source.COMPUTED,
            null_when=_NONE_HEARD,
        ),
        column(
            "n_commonest",
            pa.list_(INTEGER),
            "How often each of `commonest` was written.",
            Source.COUNTED,
            unit="clips",
            null_when=_NONE_HEARD,
        ),
        shared("status"),
        column(
            "reason",
            MESSAGE,
            "Reason why clips were not transcribed.",
            Source.RECORDED,
            null_when="all were, or none was planned",
        ),
    ]
)


def read(path: Path) -> list[Row]:
    """Read the table `silence`; see `table_rows.read_rows`."""
    return read_rows(path, SILENCE, KEY, _WORDS)


def read_models(path: Path) -> list[Row]:
    """Read the table `silence_models`; see `table_rows.read_rows`."""
    return read_rows(path, SILENCE_MODELS, KEY, _WORDS)


def tables(study: Study, records: Iterable[Path], made_of: Fingerprints) -> dict[str, pa.Table]:
    """Return the tables of a complete study, made of its records.

    A record that is damaged, or has a value that cannot be, is left out: a row says why.

    Raises:
        AsrmeterError: a record is of another study or version.
    """
    cells: dict[tuple[str, ...], grid.Cell] = {
        (cell.model, cell.variant, cell.device): cell for cell in grid.cells(study)
    }
    rows: list[Row] = []
    headers: dict[Path, tuple[grid.Cell, SilenceHeader]] = {}
    for path in records:
        place = path.with_suffix("").parts[-3:]
        try:
            header, own = _read_record(path)
        except AsrmeterError as error:
            logging.warning("left out: %s", error)
            named = dict(zip(KEY, place, strict=True)) | {"status": UNREADABLE, "reason": str(error)}
            rows.append(dict.fromkeys(SILENCE.names) | named)
            continue
        if cell := cells.get(place):
            headers[path] = cell, header
        rows += own
    check_records(study, headers, made_of)
    return {
        "silence": pa.Table.from_pylist([{name: row[name] for name in SILENCE.names} for row in rows], schema=SILENCE),
        "silence_models": pa.Table.from_pylist(model_rows(rows), schema=SILENCE_MODELS),
    }


def _read_record(path: Path) -> tuple[SilenceHeader, list[Row]]:
    """Return what a record is of, and its rows with the words of each.

    Raises:
        AsrmeterError: it is missing or damaged, or has an impossible value.
    """
    table = parquet.read(path)
    rows = checked_rows(path, table, RECORD, _WORDS)
    try:
        header = typed_json.from_json(SilenceHeader, parquet.header_of(table))
    except (KeyError, ValueError) as error:
        raise AsrmeterError(f"{path}: cannot be used: its header is damaged; delete it and run again") from error
    if fault := misfit(header):
        raise AsrmeterError(f"{path}: cannot be used: {fault}; delete it and run again")
    return header, [dict(row) | {"n_words": _n_words_of(row)} for row in rows]


def _n_words_of(row: Row) -> int | None:
    return None if row["text"] is None else n_words(row["text"], row["spoken_language"])


def n_words(text: str, language: str | None) -> int:
    """Return how many words a text has, or characters in a language whose words no spaces part.

    A lone full stop or note of music is no word.
    """
    known = languages().get(language or "")
    if known is not None and not known.spaces:
        return sum(map(str.isalnum, text))
    return sum(any(map(str.isalnum, word)) for word in text.split())


def model_rows(rows: Sequence[Row]) -> list[Row]:
    """Return a row for each model, variant and device, in their order; `rows` are those of the table `silence`."""

    def who(row: Row) -> tuple[Any, ...]:
        return tuple(row[name] for name in KEY)

    return [
        dict(zip(KEY, key, strict=True)) | _summary(list(own)) for key, own in groupby(sorted(rows, key=who), key=who)
    ]


def _summary(clips: Sequence[Row]) -> dict[str, Any]:
    heard = [row for row in clips if row["status"] == "ok"]
    lost = next((row for row in clips if row["status"] != "ok"), None)
    ended = {"status": lost["status"] if lost else "ok", "reason": lost["reason"] if lost else None}
    found: dict[str, Any] = dict.fromkeys(SILENCE_MODELS.names[len(KEY) :]) | {"n_clips": len(heard)} | ended
    if not heard:
        return found
    with_text = [row for row in heard if row["n_words"]]
    low, high = wilson_interval(len(with_text), len(heard))
    named = Counter(_plain(row["text"]) for row in with_text).most_common(_MOST_NAMED)
    return found | {
        "n_with_text": len(with_text),
        "share_with_text": len(with_text) / len(heard),
        "share_ci_low": low,
        "share_ci_high": high,
        "words_per_minute": sum(row["n_words"] for row in heard) / (sum(row["audio_s"] for row in heard) / 60),
        "n_words_longest": max(row["n_words"] for row in heard),
        "commonest": [printable(text, _MOST_CHARACTERS) for text, _ in named],
        "n_commonest": [n for _, n in named],
    }


def _plain(text: str) -> str:
    """Return a text in lower case, with single spaces and without punctuation at the ends."""
    words = " ".join(text.casefold().split())
    inner = [place for place, character in enumerate(words) if character.isalnum()]
    return words[inner[0] : inner[-1] + 1] if inner else words


def shares_by_kind(rows: Iterable[Row]) -> Mapping[tuple[str, ...], Mapping[str, float]]:
    """Return, for each model, variant and device that heard clips, of all of them the share with text, by kind."""
    heard: Counter[tuple[str, ...]] = Counter()
    with_text: dict[tuple[str, ...], Counter[str]] = {}
    for row in rows:
        if row["status"] == "ok":
            who = row["model"], row["variant"], row["device"]
            heard[who] += 1
            with_text.setdefault(who, Counter())[row["kind"]] += bool(row["n_words"])
    return {who: {kind: n / heard[who] for kind, n in counts.items()} for who, counts in with_text.items()}
