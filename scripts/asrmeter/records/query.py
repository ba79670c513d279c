"""Find the records of cells in a results folder, filter them, and delete them."""

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow
import pyarrow.parquet as pq

from asrmeter.common.errors import AsrmeterError
from asrmeter.common.vocabulary import MEASURED_STATUS, UNMEASURED_STATUS, UNREADABLE
from asrmeter.records import cell_record
from asrmeter.records.events import Ready
from asrmeter.records.status import json_of

# Stands for every status of a cell without a measurement.
FAILED = "failed"
FAILED_STATUS = (*UNMEASURED_STATUS, UNREADABLE)
_AGE = re.compile(r"(\d+)([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True)
class RecordSummary:
    """The file of a cell and what its header says; without a header, `measured_at` is when the file was written."""

    path: Path
    status: str
    reason: str
    measured_at: datetime.datetime
    machine: str = ""
    node: str = ""
    protocol: int | None = None
    processor: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Model, variant, device, and duration with batch size: the parts of the cell's name."""
        return self.path.with_suffix("").parts[-4:]

    @property
    def cell(self) -> str:
        """The cell's name, such as `whisper-base/fp32/cpu/30s-b4`."""
        return "/".join(self.names)


@dataclass(frozen=True)
class Query:
    """What a cell has to match; None: anything."""

    status: Sequence[str] | None = None
    older_than: datetime.datetime | None = None
    newer_than: datetime.datetime | None = None
    machine: Sequence[str] | None = None
    protocol: Sequence[int] | None = None
    model: Sequence[str] | None = None
    variant: Sequence[str] | None = None
    device: Sequence[str] | None = None
    reason: str | None = None

    @property
    def is_empty(self) -> bool:
        """True if every cell matches."""
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
            and (self.reason is None or self.reason.lower() in record.reason.lower())
        )

    def _has_status(self, record: RecordSummary) -> bool:
        if self.status is None or record.status in self.status:
            return True
        return FAILED in self.status and record.status not in MEASURED_STATUS


def find_records(results: Path) -> list[RecordSummary]:
    """Return the record of every cell in a results folder, the oldest first.

    Raises:
        AsrmeterError: the folder has no measurements.
    """
    if not (results / "measurements").is_dir():
        raise AsrmeterError(f"{results}: has no measurements; name the results folder of a run")
    records = map(read_record, (results / "measurements").glob("*/*/*/*.parquet"))
    return sorted(records, key=lambda record: (record.measured_at, record.cell))


def read_record(path: Path) -> RecordSummary:
    """Return what the file of a cell says; a file that cannot be read has the status `unreadable`, with the reason."""
    written_at = datetime.datetime.fromtimestamp(path.stat().st_mtime).astimezone()
    try:
        header = cell_record.read_header(path)
        if header.measured_at is None:
            raise AsrmeterError("its header does not say when it was measured; delete it and run again")
        return RecordSummary(
            path=path,
            status=header.status,
            reason=header.reason or "",
            measured_at=datetime.datetime.fromisoformat(header.measured_at).astimezone(),
            machine=header.machine_id or "",
            node=header.node or "",
            protocol=header.protocol,
            processor=(ready.gpu_name if (ready := header.last(Ready)) else None) or header.cpu_name or "",
        )
    except AsrmeterError as error:
        # Without the path, which the summary has already.
        return RecordSummary(path, UNREADABLE, str(error).removeprefix(f"{path}: "), written_at)


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
    """Delete the files of cells, and their profiles if these failed; return the number of profiles deleted.

    A failed profile holds only the reason, and would not be made again. The machine's peaks stay.

    Raises:
        AsrmeterError: a file cannot be deleted; those before it are gone.
    """
    n_profiles = 0
    for n_deleted, record in enumerate(records):
        profile = results / "profiles" / f"{record.cell}.parquet"
        failed = profile.is_file() and not _is_profiled(profile)
        of_profile = (profile, profile.with_suffix(".trace.json.gz")) if failed else ()
        for path in (record.path, json_of(record.path), *of_profile):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise AsrmeterError(
                    f"{path}: cannot be deleted ({error.strerror}); {n_deleted} cells before it were deleted"
                ) from error
        n_profiles += failed
    return n_profiles


def _is_profiled(path: Path) -> bool:
    """Return True if the file of a profile holds one, and not only the reason why there is none."""
    try:
        return set(pq.read_table(path, columns=["status"])["status"].to_pylist()) == {"ok"}
    except (OSError, ValueError, KeyError, pyarrow.ArrowException):
        return False
