"""The tables of a study's cells: records read and checked, transcripts scored, one row for each cell."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from asrmeter.analysis import repeatability
from asrmeter.analysis.cell_parts.accuracy import texts_of, wer_note
from asrmeter.analysis.columns import CELL_COLUMNS, CELLS, PASSES, REPEATABILITY, TRANSCRIPTS
from asrmeter.analysis.measured_cell import MeasuredCell
from asrmeter.analysis.scoring import Normaliser, compare, is_empty, is_hallucinated
from asrmeter.analysis.table_rows import CELL_KEY
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.printable import printable
from asrmeter.common.table_types import Row
from asrmeter.common.vocabulary import UNREADABLE
from asrmeter.records import cell_record
from asrmeter.records.header import RecordHeader
from asrmeter.study import grid
from asrmeter.study.fingerprints import NO_FINGERPRINTS, Fingerprints, check_records
from asrmeter.study.model import Study

Record = tuple[RecordHeader, list[dict[str, Any]]]


def gather(
    study: Study,
    measurements: Path,
    normalisers: Mapping[str, Normaliser],
    flops: Sequence[Row],
    fingerprints: Fingerprints = NO_FINGERPRINTS,
) -> dict[str, pa.Table]:
    """Return the tables `cells`, `passes`, `transcripts` and `repeatability` of a complete study, cells sorted.

    `flops` are the rows of the table of that name; `fingerprints` say what had to be measured with. A cell whose file
    is damaged, or has a value that cannot be, is left out: its row has the status `unreadable` and the reason.

    Raises:
        AsrmeterError: a cell's file is missing, belongs to another study or version, or cells that belong together were
            measured on different audio or weights.
    """
    records, left_out = _read(study, measurements)
    check_records(
        study, {_path(measurements, cell): (cell, header) for cell, (header, _) in records.items()}, fingerprints
    )
    headers = {str(_path(measurements, cell)): header for cell, (header, _) in records.items()}
    _check_alike(headers, "corpus_sha256", ("duration_s",), "audio")
    _check_alike(headers, "weights_sha256", ("model",), "weights")
    pairs = [
        repeatability.pair(*(left_out.get(cell) or _latency(MeasuredCell(*records[cell])) for cell in (first, again)))
        for first, again in grid.aa_pairs(study)
    ]
    counted = {(row["model"], row["duration_s"], row["batch_size"]): row for row in flops if row["is_studied"]}

    cells: list[Row] = []
    passes: list[dict[str, Any]] = []
    transcripts: list[dict[str, Any]] = []
    for cell in sorted(grid.cells(study)):
        if cell in left_out:
            cells.append(left_out[cell])
            continue
        header, own_passes = records[cell]
        scored = score(header, own_passes, normalisers)
        own_flops = counted.get((cell.model, cell.duration_s, cell.batch_size), {})
        measured = MeasuredCell(header, own_passes, scored, study.name, pairs, own_flops)
        cells.append({name: value(measured) for name, _, value in CELL_COLUMNS})
        passes += own_passes
        identity = {name: getattr(header, name) for name in TRANSCRIPTS.names if hasattr(header, name)}
        transcripts += [identity | row for row in scored]
    return {
        "cells": pa.Table.from_pylist(cells, schema=CELLS),
        "passes": pa.Table.from_pylist(passes, schema=PASSES),
        "transcripts": pa.Table.from_pylist(transcripts, schema=TRANSCRIPTS),
        "repeatability": pa.Table.from_pylist(pairs, schema=REPEATABILITY),
    }


def _read(study: Study, measurements: Path) -> tuple[dict[grid.Cell, Record], dict[grid.Cell, Row]]:
    """Return the records of all cells, and the rows of the cells whose records cannot be used."""
    records: dict[grid.Cell, Record] = {}
    left_out: dict[grid.Cell, Row] = {}
    for cell in grid.execution_order(study):
        path = _path(measurements, cell)
        try:
            records[cell] = cell_record.read(path)
        except AsrmeterError as error:
            if not path.exists():
                raise
            logging.warning("left out: %s", error)
            left_out[cell] = dict.fromkeys(CELLS.names) | {
                **{name: getattr(cell, name) for name in CELL_KEY},
                "study": study.name,
                "weights": "random" if study.models[cell.model].weights == "random" else "pretrained",
                "status": UNREADABLE,
                "reason": str(error),
            }
    return records, left_out


def _path(measurements: Path, cell: grid.Cell) -> Path:
    return measurements / f"{cell.id}.parquet"


def _latency(cell: MeasuredCell) -> dict[str, Any]:
    """Return the columns of `cells` that a pair is compared by."""
    return {name: value(cell) for name, _, value in CELL_COLUMNS if name in repeatability.CELL_COLUMNS}


def score(header: RecordHeader, passes: Sequence[Row], normalisers: Mapping[str, Normaliser]) -> list[dict[str, Any]]:
    """Return a row for each segment of the class: texts and errors; nothing where `wer_note` says why.

    Decoding is deterministic, so the first text of a segment counts; `n_nondeterministic` says how many had others.
    `normalisers` are those of `scoring.normalisers`; the one without an ending decides what is empty or hallucinated.
    """
    if wer_note(header, passes):
        return []
    texts = texts_of(passes)
    return [_scored(segment, texts[segment["segment_id"]][0], normalisers) for segment in header.segments]


def _scored(segment: Row, hypothesis: str, normalisers: Mapping[str, Normaliser]) -> dict[str, Any]:
    reference = segment["text"]
    row: dict[str, Any] = {}
    notes: list[str] = []
    for ending, normaliser in normalisers.items():
        *texts, note = normaliser.pair(reference, hypothesis)
        shown = dict(zip(("reference_normalised", "hypothesis_normalised"), map(printable, texts), strict=True))
        scores = {"normaliser": str(normaliser), **shown, **asdict(compare(*texts))}
        row |= {f"{name}{ending}": value for name, value in scores.items()}
        notes += [f"{normaliser.name}: {note}"] if note else []
    return row | {
        "segment_id": segment["segment_id"],
        "audio_s": segment["audio_s"],
        "reference": printable(reference),
        "hypothesis": printable(hypothesis),
        "scoring_note": "; ".join(notes) or None,
        "is_empty": is_empty(row["hypothesis_normalised"]) and not is_empty(row["reference_normalised"]),
        "is_hallucinated": is_hallucinated(reference, hypothesis, row["n_insertions"], row["n_words"]),
    }


def _check_alike(headers: Mapping[str, RecordHeader], name: str, group_by: tuple[str, ...], what: str) -> None:
    """Cells that agree in `group_by` must agree in `name`; the error names the fewest to measure again."""
    groups: dict[tuple[Any, ...], dict[str, list[str]]] = {}
    for path, header in headers.items():
        group = tuple(getattr(header, key) for key in group_by)
        groups.setdefault(group, {}).setdefault(getattr(header, name), []).append(path)
    for group, by_value in groups.items():
        if len(by_value) > 1:
            fewest = min(by_value.values(), key=len)
            raise AsrmeterError(
                f"cells of {' '.join(map(str, group))} were measured on different {what}: delete {', '.join(fewest)} "
                "and run again, or delete all of them"
            )
