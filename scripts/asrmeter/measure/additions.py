"""Sittings of a class to which recordings were added: the known part, and the part left to measure.

Reading earlier records needs pyarrow, which the job otherwise imports when the worker has ended. What a start-up takes
is taken over from the earlier record here.
"""

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrmeter.common.errors import AsrmeterError
from asrmeter.machine.facts import MachineFacts
from asrmeter.measure.spec import CellSpec
from asrmeter.records import earlier

if TYPE_CHECKING:
    from asrmeter.records.carried import Carried
    from asrmeter.records.events import Event
    from asrmeter.records.header import RecordHeader


def known_passes(
    record: Path, spec: CellSpec, facts: MachineFacts, begun_s: float
) -> "tuple[Carried, CellSpec] | None":
    """Return the known part of a sitting and the spec of the rest; None if the whole sitting must be measured.

    A batch that another lap has timed before is not measured again either: laps share out the batches. What sittings
    leave of the study's time, as they are mostly known, is not shared out. The job began at `begun_s`.
    """
    if not earlier.of_cell(record):
        return None
    from asrmeter.records import carried, cell_record  # pyarrow

    found: dict[int, Carried] = {}
    for lap, path in earlier.of_cell(record).items():
        try:
            header, passes = cell_record.read(path)
        except AsrmeterError as error:
            logging.warning("%s", error)
            continue
        if header.corpus_key != spec.corpus_key and carried.is_alike(header, spec.settings, facts):
            found[lap] = carried.carry(header, passes, spec.segments, spec.batches)
    own = found.get(spec.lap)
    if own is None or not own.batches:
        return None
    known = frozenset().union(*(one.batches for one in found.values()))
    to_measure = [position for position in range(len(spec.batches)) if position not in known]
    ends_at_s = spec.ends_at_s
    if ends_at_s is not None and spec.share_s is not None:
        ends_at_s = min(ends_at_s, begun_s + spec.share_s)
    return own, dataclasses.replace(spec, to_measure=to_measure, ends_at_s=ends_at_s)


def merged(
    known: "Carried", header: "RecordHeader", passes: list[dict[str, Any]]
) -> "tuple[RecordHeader, list[dict[str, Any]]]":
    """Return the record of a partly known sitting; `header` and `passes` belong to the new part."""
    from asrmeter.records import carried, disturbance

    before = known.header
    disturbed = disturbance.why(header, disturbance.best_controls([before, header])) if passes else None
    told = {"n_batches": len(known.batches), "n_passes": len(known.passes), "measured_at": before.measured_at}
    own: Mapping[str, Event] = carried.merged_events(known, header.events, disturbed)
    header = dataclasses.replace(
        header,
        events=own,
        kept=told,
        before=before.before,
        started_at_s=before.started_at_s,
        measured_at=header.measured_at if passes else before.measured_at,
        job_s=None if before.job_s is None else before.job_s + (header.job_s or 0.0),
    )
    return header, carried.merged_passes(known, passes)
