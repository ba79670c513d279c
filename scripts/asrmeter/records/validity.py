"""Check once, on reading, that the values of a cell's record are possible.

Whatever is worked out from a record that passes has no case for a value that cannot be.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from asrmeter.common.misfits import misfit
from asrmeter.common.quantities import fault_of, is_time
from asrmeter.common.vocabulary import DEVICES, MEASURED_STATUS, STATUSES, WEIGHTS
from asrmeter.records.events import Energy
from asrmeter.records.header import RecordHeader

Columns = Mapping[str, Sequence[Any]]
# Lists with a value for each segment of the pass; what a runtime does not tell may be null.
_BY_SEGMENT = ("texts", "n_tokens", "n_windows", "processed_s", "languages")


def fault_of_header(header: RecordHeader) -> str | None:
    """Return why a header cannot be right, naming the field; None if it can."""
    return misfit(header) or next(_odd_in_header(header), None)


def fault_of_passes(header: RecordHeader, columns: Columns, numbers: Iterable[str]) -> str | None:
    """Return why the passes below a header that can be right cannot, naming the column; None if they can.

    `numbers` are the names of the columns that are numbers, or lists of numbers.
    """
    return fault_of(columns, numbers) or next(_odd_in_passes(header, columns), None)


def _odd_in_header(header: RecordHeader) -> Iterator[str]:
    for name, allowed in (("status", STATUSES), ("device", DEVICES), ("weights", WEIGHTS)):
        if (value := getattr(header, name)) not in allowed:
            yield f'{name} is "{value[:60]}", not one of {", ".join(sorted(allowed))}'
    if header.measured_at is not None and not is_time(header.measured_at):
        yield f'measured_at is "{header.measured_at[:60]}", not a time'
    for name in ("lap", "n_laps", "attempt"):
        if getattr(header, name) < 1:
            yield f"{name} is {getattr(header, name)}, which is impossible"
    if len({segment["segment_id"] for segment in header.segments}) < len(header.segments):
        yield "segments has a segment_id twice"
    energy = header.last(Energy) or Energy()
    if not all(window["n_passes"] for window in (*energy.windows, *energy.idle)):
        yield "n_passes is 0 in a window of events.energy, which is impossible"


def _odd_in_passes(header: RecordHeader, columns: Columns) -> Iterator[str]:
    for name in ("phase", "segment_ids", "latency_s", "audio_s", "texts"):
        if None in columns[name]:
            yield f"{name} is null in a pass"
    ids = columns["segment_ids"]
    lengths = list(map(len, ids))
    for name in _BY_SEGMENT:
        given = zip(lengths, columns[name], strict=True)
        if [n if values is None else len(values) for n, values in given] != lengths:
            yield f"{name} does not have one value for each segment of its pass"
    if None in itertools.chain.from_iterable(columns["texts"]):
        yield "texts has a null"
    if unknown := set().union(*ids) - {segment["segment_id"] for segment in header.segments}:
        yield f'segment_ids has "{str(min(map(str, unknown)))[:60]}", which is not in the header'
    places = zip(columns["phase"], columns["round"], columns["batch"], strict=True)
    timed = Counter((number, batch) for phase, number, batch in places if phase == "latency")
    if any(None in place for place in timed):
        yield "round or batch is null in a timed pass"
    if set(timed.values()) - {1}:
        yield "two passes of a round have the same batch"
    n_batches = len({batch for _, batch in timed})
    if header.status in MEASURED_STATUS and n_batches not in Counter(number for number, _ in timed).values():
        yield f"status is {header.status}, but no round of passes was timed"
