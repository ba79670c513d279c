"""Find the records of a results folder, of cells and layouts in each lap and of load tests, filter and delete them."""

import datetime
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow
import pyarrow.parquet as pq

from asrmeter.common.errors import AsrmeterError
from asrmeter.common.vocabulary import MEASURED_STATUS, UNMEASURED_STATUS, UNREADABLE
from asrmeter.records import cell_record, disturbance, layout_rows, load_rows, status
from asrmeter.records.events import Ready
from asrmeter.records.header import RecordHeader
from asrmeter.records.layout_rows import LayoutHeader
from asrmeter.records.load_rows import LoadHeader

# Stands for every status of a sitting without a measurement.
FAILED = "failed"
FAILED_STATUS = (*UNMEASURED_STATUS, UNREADABLE)
# What records are of.
CELL, LAYOUT, LOAD = "cell", "layout", "load"
KINDS = (CELL, LAYOUT, LOAD)
_AGE = re.compile(r"(\d+)([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True)
class RecordSummary:
    """A record and its header. Without a header, `measured_at` is the time of the file.

    `disturbance` says what disturbed it, and `n_tries` how often it was tried. Only cells have a protocol and tries.
    """

    path: Path
    status: str
    reason: str
    measured_at: datetime.datetime
    machine: str = ""
    node: str = ""
    protocol: int | None = None
    processor: str = ""
    disturbance: str | None = None
    n_tries: int = 0
    kind: str = CELL

    @property
    def way(self) -> tuple[str, ...]:
        """Model, variant and device."""
        parts = self.path.with_suffix("").parts
        return parts[-3:] if self.kind == LOAD else parts[-5:-2]

    @property
    def name(self) -> str:
        """What was measured: a cell such as `m/fp32/cpu/30s-b4`, a layout (`m/fp32/cpu/4x2`), a load test's way."""
        return "/".join(self.way if self.kind == LOAD else (*self.way, self.path.parts[-2]))

    @property
    def lap(self) -> int | None:
        """The number of the lap; load tests have none."""
        return None if self.kind == LOAD else int(self.path.stem.removeprefix("lap"))

    @property
    def id(self) -> str:
        """The record's path below the folder of its kind, such as `whisper-base/fp32/cpu/30s-b4/lap1`."""
        return self.name if self.kind == LOAD else f"{self.name}/{self.path.stem}"

    @property
    def has_failed(self) -> bool:
        """True if nothing was measured, and the record only says why."""
        return self.status not in MEASURED_STATUS


@dataclass(frozen=True)
class Query:
    """The filters for records; None matches anything. `disturbed` matches only disturbed ones."""

    what: Sequence[str] | None = None
    status: Sequence[str] | None = None
    older_than: datetime.datetime | None = None
    newer_than: datetime.datetime | None = None
    machine: Sequence[str] | None = None
    protocol: Sequence[int] | None = None
    model: Sequence[str] | None = None
    variant: Sequence[str] | None = None
    device: Sequence[str] | None = None
    lap: Sequence[int] | None = None
    reason: str | None = None
    disturbed: bool = False

    @property
    def is_empty(self) -> bool:
        """True if every record matches."""
        return self == Query()

    def matches(self, record: RecordSummary) -> bool:
        """Return True if a record passes every filter."""
        model, variant, device = record.way
        return (
            (self.what is None or record.kind in self.what)
            and self._has_status(record)
            and (self.older_than is None or record.measured_at < self.older_than)
            and (self.newer_than is None or record.measured_at >= self.newer_than)
            and (self.machine is None or record.machine in self.machine or record.node in self.machine)
            and (self.protocol is None or record.protocol in self.protocol)
            and (self.model is None or model in self.model)
            and (self.variant is None or variant in self.variant)
            and (self.device is None or device in self.device)
            and (self.lap is None or record.lap in self.lap)
            and (not self.disturbed or record.disturbance is not None)
            and (self.reason is None or self.reason.lower() in record.reason.lower())
        )

    def _has_status(self, record: RecordSummary) -> bool:
        if self.status is None or record.status in self.status:
            return True
        return FAILED in self.status and record.has_failed


def find_records(results: Path) -> list[RecordSummary]:
    """Return the record of every sitting in a results folder, the oldest first.

    Raises:
        AsrmeterError: the folder has no measurements, or those of an older protocol.
    """
    if not (results / "measurements").is_dir():
        raise AsrmeterError(f"{results}: has no measurements; give the results folder of a run")
    status.check_protocol(results)
    found = list(map(_read_cell, (results / "measurements").glob("*/*/*/*/lap[0-9].parquet")))
    best = disturbance.best_controls(header for _, header in found if header)
    records = [
        replace(record, disturbance=disturbance.why(header, best)) if header else record for record, header in found
    ]
    return sorted(records, key=_age_key)


def find_all(results: Path) -> list[RecordSummary]:
    """Return all records in a results folder, those of layouts and load tests too, the oldest first.

    Raises:
        AsrmeterError: the folder has no measurements, or those of an older protocol.
    """
    return sorted([*find_records(results), *_find_further(results)], key=_age_key)


def _find_further(results: Path) -> list[RecordSummary]:
    layouts = (results / "layouts").glob("*/*/*/*/lap[0-9].parquet")
    loads = (results / "load").glob("*/*/*.parquet")
    return [*map(_read_layout, layouts), *map(_read_load, loads)]


def _age_key(record: RecordSummary) -> tuple[datetime.datetime, str]:
    return record.measured_at, record.id


def _read_cell(path: Path) -> tuple[RecordSummary, RecordHeader | None]:
    """Return the content of a record and its header.

    One that cannot be read has no header, and the status `unreadable` with the reason.
    """
    try:
        header = cell_record.read_header(path)
        ready = header.last(Ready)
        summary = replace(
            _summary(path, CELL, header),
            node=header.node or "",
            protocol=header.protocol,
            processor=(ready.gpu_name if ready else None) or header.cpu_name or "",
            n_tries=status.n_tries(path),
        )
        return summary, header
    except AsrmeterError as error:
        return _unreadable(path, CELL, error), None


def _read_layout(path: Path) -> RecordSummary:
    try:
        header, _ = layout_rows.read(path)
        found = _summary(path, LAYOUT, header)
    except AsrmeterError as error:
        return _unreadable(path, LAYOUT, error)
    return replace(
        found, node=header.node or "", processor=header.gpu_name or "", disturbance=header.disturbance or None
    )


def _read_load(path: Path) -> RecordSummary:
    try:
        header, rows = load_rows.read(path)
        found = _summary(path, LOAD, header)
    except AsrmeterError as error:
        return _unreadable(path, LOAD, error)
    return replace(found, node=header.node or "", disturbance=rows[0]["disturbance"])


def _summary(path: Path, kind: str, header: RecordHeader | LayoutHeader | LoadHeader) -> RecordSummary:
    """Return what all headers say.

    Raises:
        AsrmeterError: it does not say when it was measured.
    """
    if header.measured_at is None:
        raise AsrmeterError("its header does not say when it was measured; delete it and run again")
    return RecordSummary(
        path=path,
        status=header.status,
        reason=header.reason or "",
        measured_at=datetime.datetime.fromisoformat(header.measured_at).astimezone(),
        machine=header.machine_id or "",
        kind=kind,
    )


def _unreadable(path: Path, kind: str, error: AsrmeterError) -> RecordSummary:
    written_at = datetime.datetime.fromtimestamp(path.stat().st_mtime).astimezone()
    # Without the path, which the summary has already.
    return RecordSummary(path, UNREADABLE, str(error).removeprefix(f"{path}: "), written_at, kind=kind)


def parse_time(text: str) -> datetime.datetime:
    """Return the time that an age such as `7d`, or a time such as `2026-03-01T18:00`, means.

    Raises:
        ValueError: it is neither.
    """
    try:
        if age := _AGE.fullmatch(text):
            return datetime.datetime.now().astimezone() - datetime.timedelta(**{_UNITS[age[2]]: int(age[1])})
        return datetime.datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"{text} is neither an age (30m, 12h, 7d, 2w) nor a time (2026-03-01 or 2026-03-01T18:00)"
        ) from error


def format_age(since: datetime.datetime, now: datetime.datetime) -> str:
    """Return the time between two moments in its largest unit."""
    passed = max(now - since, datetime.timedelta())
    for unit, shown in (("d", "d"), ("h", "h"), ("m", "min")):
        if n := passed // datetime.timedelta(**{_UNITS[unit]: 1}):
            return f"{n} {shown}"
    return f"{passed.seconds} s"


def delete(records: Sequence[RecordSummary], results: Path) -> Counter[str]:
    """Delete records and failed files beside their cells; return the number of such files by their name.

    What failed holds only the reason, and would not be made again: a profile, a hearing of silence. The peaks stay.

    Raises:
        AsrmeterError: a file cannot be deleted; those before it are gone.
    """
    beside = _failed_beside(records, results)
    for n_deleted, path in enumerate((*(record.path for record in records), *beside)):
        for file in (path, status.json_of(path), path.with_suffix(".trace.json.gz")):
            try:
                file.unlink(missing_ok=True)
            except OSError as error:
                raise AsrmeterError(
                    f"{file}: cannot be deleted ({error.strerror}); {n_deleted} records before it were deleted"
                ) from error
    return Counter(beside.values())


def _failed_beside(records: Sequence[RecordSummary], results: Path) -> dict[Path, str]:
    """Return the files of what else has failed of the cells among some records, each with what it is.

    It holds only the reason, and would not be made again: a profile of a cell; a hearing of silence, layouts and the
    load test of its model, variant and device. The peaks stay.
    """
    cells = [record for record in records if record.kind == CELL]
    ways = {record.way for record in cells}
    made = {results / "profiles" / f"{record.name}.parquet": "profile" for record in cells}
    made |= {results / "silence" / f"{'/'.join(way)}.parquet": "hearing of silence" for way in sorted(ways)}
    failed = {path: what for path, what in made.items() if path.is_file() and not _is_ok(path)}
    listed = {record.path for record in records}
    return failed | {
        one.path: {LAYOUT: "layout", LOAD: "load test"}[one.kind]
        for one in _find_further(results)
        if one.has_failed and one.way in ways and one.path not in listed
    }


def _is_ok(path: Path) -> bool:
    """Return True if all rows of a file have measured values, rather than only a reason."""
    try:
        return set(pq.read_table(path, columns=["status"])["status"].to_pylist()) == {"ok"}
    except (OSError, ValueError, KeyError, pyarrow.ArrowException):
        return False
