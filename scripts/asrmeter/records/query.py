"""Find the records of a results folder, one a cell and lap, filter them, and delete them."""

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow
import pyarrow.parquet as pq

from asrmeter.common.errors import AsrmeterError
from asrmeter.common.vocabulary import MEASURED_STATUS, UNMEASURED_STATUS, UNREADABLE
from asrmeter.records import cell_record, disturbance, status
from asrmeter.records.events import Ready
from asrmeter.records.header import RecordHeader

# Stands for every status of a sitting without a measurement.
FAILED = "failed"
FAILED_STATUS = (*UNMEASURED_STATUS, UNREADABLE)
_AGE = re.compile(r"(\d+)([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True)
class RecordSummary:
    """The file of a sitting and its header. Without a header, `measured_at` is the time of the file.

    `disturbance` says what disturbed it, and `n_tries` how often it was tried.
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

    @property
    def names(self) -> tuple[str, ...]:
        """Model, variant, device, and duration with batch size: the parts of the cell's name."""
        return self.path.parts[-5:-1]

    @property
    def cell(self) -> str:
        """The cell's name, such as `whisper-base/fp32/cpu/30s-b4`."""
        return "/".join(self.names)

    @property
    def lap(self) -> int:
        """The number of the lap."""
        return int(self.path.stem.removeprefix("lap"))

    @property
    def sitting(self) -> str:
        """The sitting's name, such as `whisper-base/fp32/cpu/30s-b4/lap1`."""
        return f"{self.cell}/{self.path.stem}"


@dataclass(frozen=True)
class Query:
    """The filters for sittings; None matches anything. `disturbed` matches only disturbed ones."""

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
        """True if every sitting matches."""
        return self == Query()

    def matches(self, record: RecordSummary) -> bool:
        """Return True if a record passes every filter."""
        model, variant, device, _ = record.names
        return (
            self._has_status(record)
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
        return FAILED in self.status and record.status not in MEASURED_STATUS


def find_records(results: Path) -> list[RecordSummary]:
    """Return the record of every sitting in a results folder, the oldest first.

    Raises:
        AsrmeterError: the folder has no measurements, or those of an older protocol.
    """
    if not (results / "measurements").is_dir():
        raise AsrmeterError(f"{results}: has no measurements; give the results folder of a run")
    status.check_protocol(results)
    found = list(map(_read, (results / "measurements").glob("*/*/*/*/lap[0-9].parquet")))
    best = disturbance.best_controls(header for _, header in found if header)
    records = [
        replace(record, disturbance=disturbance.why(header, best)) if header else record for record, header in found
    ]
    return sorted(records, key=lambda record: (record.measured_at, record.sitting))


def _read(path: Path) -> tuple[RecordSummary, RecordHeader | None]:
    """Return the content of a record and its header.

    One that cannot be read has no header, and the status `unreadable` with the reason.
    """
    written_at = datetime.datetime.fromtimestamp(path.stat().st_mtime).astimezone()
    try:
        header = cell_record.read_header(path)
        if header.measured_at is None:
            raise AsrmeterError("its header does not say when it was measured; delete it and run again")
        summary = RecordSummary(
            path=path,
            status=header.status,
            reason=header.reason or "",
            measured_at=datetime.datetime.fromisoformat(header.measured_at).astimezone(),
            machine=header.machine_id or "",
            node=header.node or "",
            protocol=header.protocol,
            processor=(ready.gpu_name if (ready := header.last(Ready)) else None) or header.cpu_name or "",
            n_tries=status.n_tries(path),
        )
        return summary, header
    except AsrmeterError as error:
        # Without the path, which the summary has already.
        return RecordSummary(path, UNREADABLE, str(error).removeprefix(f"{path}: "), written_at), None


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


def delete(records: Sequence[RecordSummary], results: Path) -> int:
    """Delete the files of sittings and failed files beside their cells; return the number of deleted profiles.

    What failed holds only the reason, and would not be made again: a profile, a hearing of silence. The peaks stay.

    Raises:
        AsrmeterError: a file cannot be deleted; those before it are gone.
    """
    n_profiles = 0
    for n_deleted, record in enumerate(records):
        profile = results / "profiles" / f"{record.cell}.parquet"
        hearing = results / "silence" / f"{record.cell.rpartition('/')[0]}.parquet"
        failed = profile.is_file() and not _is_ok(profile)
        beside = [profile, profile.with_suffix(".trace.json.gz")] if failed else []
        if hearing.is_file() and not _is_ok(hearing):
            beside.append(hearing)
        for path in (record.path, status.json_of(record.path), *beside):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise AsrmeterError(
                    f"{path}: cannot be deleted ({error.strerror}); {n_deleted} files before it were deleted"
                ) from error
        n_profiles += failed
    return n_profiles


def _is_ok(path: Path) -> bool:
    """Return True if all rows of a file have measured values, rather than only a reason."""
    try:
        return set(pq.read_table(path, columns=["status"])["status"].to_pylist()) == {"ok"}
    except (OSError, ValueError, KeyError, pyarrow.ArrowException):
        return False
