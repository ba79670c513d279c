"""The header of a cell's record: settings, machine and outcome. Standard library only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NotRequired, TypedDict, TypeVar

from asrmeter.common import typed_json
from asrmeter.common.errors import one_line
from asrmeter.common.typed_json import JsonObject
from asrmeter.machine.facts import MachineFacts
from asrmeter.records import events
from asrmeter.records.cell_settings import CellSettings
from asrmeter.records.events import Event

E = TypeVar("E", bound=Event)
# Older records name the version of each package apart.
_VERSION = "_version"


class Segment(TypedDict):
    """A segment of a class, and more that no table has. Older records do not say languages: all was English then."""

    segment_id: str
    audio_s: float
    text: str
    language: NotRequired[str | None]
    language_told: NotRequired[str | None]


class Activity(TypedDict, total=False):
    """How busy a machine is, and more that no table has; see `asrmeter.machine.probes.activity`."""

    load_1min: float | None


@dataclass(frozen=True, kw_only=True)
class RecordHeader(CellSettings, MachineFacts):
    """The content of a record besides its passes.

    Attributes:
        status, reason: how it went; no reason where all went well.
        events: the last event of each kind, by its name.
        before, after: how busy the machine was.
        started_at_s: seconds since the epoch.
        clock_jump_s: by how much the wall clock was set meanwhile.
        measured_at: the end in UTC, as ISO 8601.
        job_s: how long the job held the machine, until it wrote this down.
        kept: where recordings were added, what of the passes was measured before: `n_batches`, `n_passes`, and until
            when, `measured_at`.
    """

    segments: Sequence[Segment] = ()
    status: str
    reason: str | None = None
    events: Mapping[str, Event] = field(default_factory=dict)
    before: Activity = field(default_factory=Activity)
    after: Activity = field(default_factory=Activity)
    started_at_s: float | None = None
    clock_jump_s: float | None = None
    measured_at: str | None = None
    job_s: float | None = None
    kept: JsonObject | None = None

    def last(self, kind: type[E]) -> E | None:
        """Return the last event of a kind; None if the worker did not come that far."""
        found = self.events.get(kind.name)
        return found if isinstance(found, kind) else None

    def to_json(self) -> dict[str, Any]:
        """Return the header as a JSON object."""
        own = {name: event.to_json() for name, event in self.events.items()}
        return vars(self) | {"events": own}

    @classmethod
    def from_json(cls, content: JsonObject) -> "RecordHeader":
        """Return the header of a JSON object, of this version or an older one.

        Raises:
            ValueError: it is not that of a cell.
        """
        try:
            if not isinstance(content["events"], Mapping):
                raise TypeError("events is not an object")
            told = {name: events.from_json({"event": name} | event) for name, event in content["events"].items()}
            older = {key.removesuffix(_VERSION): value for key, value in content.items() if key.endswith(_VERSION)}
            older = {name: version for name, version in older.items() if name != "python" and version is not None}
            return typed_json.from_json(cls, {"versions": older} | dict(content) | {"events": told})
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"its header is not that of a cell: {one_line(error)}") from error
