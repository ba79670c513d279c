"""Reuse of an earlier record after recordings were added: passes over batches with the same audio.

Only a record that was measured like this one counts: the same model, settings, protocol, machine and software, and
undisturbed. Its passes keep their latencies and texts; batches and segments get the names that they have now. Names of
segments say nothing: audio is the same by its hash.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from asrmeter.common.typed_json import JsonObject
from asrmeter.common.vocabulary import MEASURED_STATUS
from asrmeter.machine.facts import MachineFacts
from asrmeter.records import disturbance
from asrmeter.records.cell_settings import CellSettings
from asrmeter.records.events import Energy, Event, Latency, Memory, Spent
from asrmeter.records.header import RecordHeader

Passes = Sequence[Mapping[str, Any]]

# What may differ: it says of which corpus and lap a record is, and what checks took.
_OF_A_RECORD = {"check_cpu_s", "corpus_key", "corpus_sha256", "lap", "n_laps", "attempt", "share_s"}
_OF_SOFTWARE = ("machine_id", "visible_gpus", "cpu_name", "n_cpus", "python_version", "versions")


@dataclass(frozen=True)
class Carried:
    """The reusable part of an earlier record: its `passes`, with the current numbers of `batches`."""

    header: RecordHeader
    passes: Passes
    batches: frozenset[int]


def is_alike(earlier: RecordHeader, settings: Mapping[str, Any], facts: MachineFacts) -> bool:
    """Return whether a record was measured as a sitting with these settings is now, and nothing disturbed it."""
    alike = (field.name for field in fields(CellSettings) if field.name not in _OF_A_RECORD)
    return (
        earlier.status in MEASURED_STATUS
        and all(getattr(earlier, name) == settings[name] for name in alike)
        and all(getattr(earlier, name) == getattr(facts, name) for name in _OF_SOFTWARE)
        and disturbance.why(earlier, disturbance.best_controls([earlier])) is None
    )


def carry(
    header: RecordHeader, passes: Passes, segments: Sequence[JsonObject], batches: Sequence[Sequence[str]]
) -> Carried:
    """Return the reusable part of an earlier record for a class with these segments in these batches."""
    # Random weights say as much as the reference does.
    counts = ("sha256", "language_told", *(("text",) if header.weights == "random" else ()))
    before, now = (
        {row["segment_id"]: tuple(row.get(name) for name in counts) for row in rows}
        for rows in (header.segments, segments)
    )
    places: dict[tuple[Any, ...], list[int]] = {}
    for place in reversed(range(len(batches))):
        places.setdefault(tuple(now[name] for name in batches[place]), []).append(place)
    place_of: dict[int, int] = {}
    kept = []
    for entry in passes:
        if entry["batch"] is None or not entry["segment_ids"]:
            continue
        if entry["batch"] not in place_of:
            free = places.get(tuple(before[name] for name in entry["segment_ids"]))
            if not free:
                continue
            place_of[entry["batch"]] = free.pop()
        place = place_of[entry["batch"]]
        kept.append({**entry, "batch": place, "segment_ids": [*batches[place]]})
    timed = frozenset(entry["batch"] for entry in kept if entry["phase"] == "latency")
    return Carried(header, [entry for entry in kept if entry["batch"] in timed], timed)


def merged_passes(carried: Carried, passes: Passes) -> list[dict[str, Any]]:
    """Return the passes of both, the earlier ones first; rounds are numbered so that the first timed ones are one."""
    shift = _first_timed_round(carried.passes) - _first_timed_round(passes)
    lowest = min((entry["round"] + shift for entry in passes if entry["round"] is not None), default=0)
    up = max(0, -lowest)
    return [
        *(dict(entry) | _moved(entry, up) for entry in carried.passes),
        *(dict(entry) | _moved(entry, shift + up) for entry in passes),
    ]


def _moved(entry: Mapping[str, Any], by: int) -> dict[str, Any]:
    return {} if entry["round"] is None else {"round": entry["round"] + by}


def _first_timed_round(passes: Passes) -> int:
    return min((entry["round"] for entry in passes if entry["phase"] == "latency"), default=0)


def merged_events(carried: Carried, events: Mapping[str, Event], disturbed: str | None) -> dict[str, Event]:
    """Return the combined events: the earlier ones, extended by the new passes.

    The start-up and the speed of the machine are those of the earlier measurement. `disturbed` says what disturbed the
    new one: then the whole is disturbed.
    """
    earlier = carried.header.events
    found = {name: _merged(event, events.get(name)) for name, event in earlier.items()}
    latency = found.get(Latency.name)
    if disturbed and isinstance(latency, Latency):
        found[Latency.name] = replace(latency, disturbance=disturbed)
    return found


def _merged(own: Event, new: Event | None) -> Event:
    match own, new:
        case Latency(), Latency():
            return replace(
                own,
                n_rounds=_sum(own.n_rounds, new.n_rounds),
                timed_s=_sum(own.timed_s, new.timed_s),
                budget_s=_sum(own.budget_s, new.budget_s),
            )
        case Memory(), Memory():
            return Memory(**{name: _most(value, getattr(new, name)) for name, value in vars(own).items()})
        case Energy(), Energy() if (own.method_cpu, own.method_gpu) == (new.method_cpu, new.method_gpu):
            return replace(own, windows=[*own.windows, *new.windows])
        case Spent(), Spent():
            names = dict.fromkeys([*own.seconds, *new.seconds])
            return Spent(seconds={name: own.seconds.get(name, 0.0) + new.seconds.get(name, 0.0) for name in names})
    return own


def _sum(own: Any, new: Any) -> Any:
    return own if new is None else new if own is None else own + new


def _most(own: Any, new: Any) -> Any:
    return own if new is None else new if own is None else max(own, new)
