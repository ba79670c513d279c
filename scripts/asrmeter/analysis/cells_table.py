"""The tables of a study's cells: records read and checked, laps put together, transcripts scored."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from asrmeter.analysis.cell_parts.accuracy import texts_of, wer_note
from asrmeter.analysis.cell_parts.languages import found_in, of_segment
from asrmeter.analysis.columns import CELL_COLUMNS, CELLS, PASSES, TRANSCRIPTS
from asrmeter.analysis.lap_estimates import estimates
from asrmeter.analysis.measured_cell import MeasuredCell
from asrmeter.analysis.measured_sitting import MeasuredSitting
from asrmeter.analysis.normalisers import ByLanguage
from asrmeter.analysis.scoring import compare, is_empty, is_hallucinated
from asrmeter.analysis.sitting_columns import SITTING_COLUMNS, SITTINGS
from asrmeter.analysis.table_rows import CELL_KEY
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.languages import has_spaces
from asrmeter.common.printable import printable
from asrmeter.common.table_types import Row
from asrmeter.common.vocabulary import UNREADABLE
from asrmeter.records import cell_record, disturbance
from asrmeter.records.header import RecordHeader, Segment
from asrmeter.study import grid
from asrmeter.study.fingerprints import NO_FINGERPRINTS, Fingerprints, check_records
from asrmeter.study.model import Study

Record = tuple[RecordHeader, list[dict[str, Any]]]


def gather(
    study: Study,
    measurements: Path,
    normalisers: ByLanguage,
    flops: Sequence[Row],
    fingerprints: Fingerprints = NO_FINGERPRINTS,
) -> dict[str, pa.Table]:
    """Return the tables `cells`, `sittings`, `passes` and `transcripts` of a complete study, cells sorted.

    `flops` are the rows of the table of that name; `fingerprints` say what had to be measured with. A record that is
    damaged, or has a value that cannot be, is left out: its row in `sittings` has the status `unreadable` and the
    reason, and so has its cell where no other lap stands.

    Raises:
        AsrmeterError: a record is missing, belongs to another study or version, or sittings that belong together were
            measured on different audio or weights.
    """
    records, unreadable = _read(study, measurements)
    headers = {_path(measurements, sitting): (sitting, header) for sitting, (header, _) in records.items()}
    check_records(study, headers, fingerprints)
    for name, group_by, what in (("corpus_sha256", "duration_s", "audio"), ("weights_sha256", "model", "weights")):
        _check_alike({str(path): header for path, (_, header) in headers.items()}, name, group_by, what)
    best = disturbance.best_controls(header for header, _ in records.values())
    sittings = {
        sitting: MeasuredSitting(*record, best, _path(measurements, sitting)) for sitting, record in records.items()
    }
    estimated = estimates(sittings.values())
    counted = {(row["model"], row["duration_s"], row["batch_size"]): row for row in flops if row["is_studied"]}

    rows: dict[str, list[Row]] = {"cells": [], "sittings": [], "passes": [], "transcripts": []}
    for cell in sorted(grid.cells(study)):
        every_lap = [grid.Sitting(cell, lap) for lap in grid.laps(study)]
        laps = [one for one in every_lap if one in records or one in unreadable]
        own = [sittings[one] for one in laps if one in sittings]
        lost = {one.lap: unreadable[one] for one in laps if one in unreadable}
        counts = estimated[cell].fitted.laps if cell in estimated else ()
        rows["sittings"] += [
            _unreadable_sitting(cell, one.lap, lost[one.lap])
            if one.lap in lost
            else _sitting_row(sittings[one], one.lap in counts)
            for one in laps
        ]
        if not own:
            rows["cells"].append(_unreadable_cell(study, cell, "; ".join(lost.values())))
            continue
        passes = [entry for one in own for entry in one.passes]
        scored = score(own[0].header, passes, normalisers)
        measured = MeasuredCell(
            own,
            estimated.get(cell),
            scored,
            study=study.name,
            target=study.protocol.target,
            unreadable=lost,
            flops=counted.get((cell.model, cell.duration_s, cell.batch_size), {}),
            tariff=study.report.tariff,
            equal_settings=study.variants[cell.variant].equal_settings,
        )
        rows["cells"].append({field.name: value(measured) for field, value in CELL_COLUMNS})
        rows["passes"] += passes
        rows["transcripts"] += [_key(cell) | row for row in scored]
    schemas = {"cells": CELLS, "sittings": SITTINGS, "passes": PASSES, "transcripts": TRANSCRIPTS}
    return {name: pa.Table.from_pylist(rows[name], schema=schema) for name, schema in schemas.items()}


def _read(study: Study, measurements: Path) -> tuple[dict[grid.Sitting, Record], dict[grid.Sitting, str]]:
    """Return the records of all sittings, and why those that cannot be used cannot.

    A cell that the machine cannot run has a record in the first lap only, where that was known beforehand.
    """
    records: dict[grid.Sitting, Record] = {}
    unreadable: dict[grid.Sitting, str] = {}
    for sitting in grid.execution_order(study):
        path = _path(measurements, sitting)
        try:
            records[sitting] = cell_record.read(path)
        except AsrmeterError as error:
            if not path.exists():
                first = records.get(grid.Sitting(sitting.cell, 1))
                if first is not None and first[0].status == "unsupported":
                    continue
                raise
            logging.warning("left out: %s", error)
            unreadable[sitting] = str(error)
    return records, unreadable


def _path(measurements: Path, sitting: grid.Sitting) -> Path:
    return measurements / f"{sitting.id}.parquet"


def _key(cell: grid.Cell) -> dict[str, Any]:
    return {name: getattr(cell, name) for name in CELL_KEY}


def _sitting_row(sitting: MeasuredSitting, counts: bool) -> dict[str, Any]:
    return {field.name: value(sitting) for field, value in SITTING_COLUMNS} | {"counts": counts}


def _unreadable_sitting(cell: grid.Cell, lap: int, why: str) -> dict[str, Any]:
    told = {"lap": lap, "status": UNREADABLE, "reason": why, "counts": False}
    return dict.fromkeys(SITTINGS.names) | _key(cell) | told


def _unreadable_cell(study: Study, cell: grid.Cell, why: str) -> dict[str, Any]:
    weights = "random" if study.models[cell.model].weights == "random" else "pretrained"
    told = {"study": study.name, "weights": weights, "status": UNREADABLE, "reason": why}
    return dict.fromkeys(CELLS.names) | _key(cell) | told


def score(header: RecordHeader, passes: Sequence[Row], normalisers: ByLanguage) -> list[dict[str, Any]]:
    """Return a row for each segment of the class: texts and errors; nothing where `wer_note` says why.

    `passes` are those of all laps, in their order.

    Decoding is deterministic, so the first text of a segment counts; `n_nondeterministic` says how many had others.
    `normalisers` are `normalisers.normalisers`; of those of a language the one without an ending decides what is empty
    or hallucinated.
    """
    if wer_note(header, passes):
        return []
    texts, found = texts_of(passes), found_in(passes)
    return [
        _scored(segment, texts[segment["segment_id"]][0], normalisers) | of_segment(segment, found)
        for segment in header.segments
    ]


def _scored(segment: Segment, hypothesis: str, normalisers: ByLanguage) -> dict[str, Any]:
    reference = segment["text"]
    language = of_segment(segment, {})["language"]
    spaces = has_spaces(language)
    row: dict[str, Any] = {}
    notes: list[str] = []
    for ending, normaliser in normalisers(language).items():
        said, heard, note = normaliser.pair(reference, hypothesis)
        shown = {"reference_normalised": printable(said), "hypothesis_normalised": printable(heard)}
        scores = {"normaliser": str(normaliser), **shown, **asdict(compare(said, heard, spaces))}
        row |= {f"{name}{ending}": value for name, value in scores.items()}
        notes += [f"{normaliser.name}: {note}"] if note else []
    return row | {
        "segment_id": segment["segment_id"],
        "audio_s": segment["audio_s"],
        "reference": printable(reference),
        "hypothesis": printable(hypothesis),
        "scoring_note": "; ".join(notes) or None,
        "is_empty": is_empty(row["hypothesis_normalised"]) and not is_empty(row["reference_normalised"]),
        "is_hallucinated": is_hallucinated(reference, hypothesis, row["n_insertions"], row["n_words"], language),
    }


def _check_alike(headers: Mapping[str, RecordHeader], name: str, group_by: str, what: str) -> None:
    """Sittings that agree in `group_by` must agree in `name`; the error names the fewest to measure again."""
    groups: dict[Any, dict[str, list[str]]] = {}
    for path, header in headers.items():
        of_group = groups.setdefault(getattr(header, group_by), {})
        of_group.setdefault(getattr(header, name), []).append(path)
    for group, by_value in groups.items():
        if len(by_value) > 1:
            fewest = min(by_value.values(), key=len)
            raise AsrmeterError(
                f"cells of {group} were measured on different {what}: delete {', '.join(fewest)} "
                "and run again, or delete all of them"
            )
