"""The file of a layout in a lap: a row a pass of each of its processes, and a header with all the rest."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from asrmeter.common import parquet, typed_json
from asrmeter.common.errors import AsrmeterError, one_line
from asrmeter.common.misfits import misfit
from asrmeter.common.table_types import Row
from asrmeter.common.typed_json import JsonObject
from asrmeter.records.events import Event, ProcessPasses, Ready, Together

# What the columns mean is said in the table that they become. `began_s` and `ended_s` are from the first pass on, and
# `counts` says whether all processes were at work from the beginning of the pass to its end.
LAYOUT_PASSES = pa.schema(
    {
        "process": pa.int32(),
        "batch": pa.int32(),
        "began_s": pa.float64(),
        "ended_s": pa.float64(),
        "latency_s": pa.float64(),
        "n_segments": pa.int32(),
        "audio_s": pa.float64(),
        "counts": pa.bool_(),
    }
)


@dataclass(frozen=True, kw_only=True)
class LayoutHeader:
    """The header of a layout's file; see `records.cell_settings.CellSettings`. Lists have a value for each process.

    Attributes:
        processes, threads: the layout: so many processes of so many threads each.
        budget_s: for how many seconds all ran passes.
        cpus: the CPUs of each process; None where they had none of their own.
        disturbance: what disturbed any of them.
        load_s: the wall time of loading the model, all at once.
        pss_bytes: the memory after the passes, what several processes share divided among them.
        rss_bytes, peak_rss_bytes: the resident memory at the same time, and its peak in the passes.
        peak_device_bytes: the peak memory on the GPU.
    """

    model: str
    weights: str
    model_key: str | None = None
    corpus: str | None = None
    corpus_key: str | None = None
    conversion_key: str | None = None
    variant: str
    options: JsonObject
    device: str
    duration_s: int
    batch_size: int
    processes: int
    threads: int
    lap: int
    seed: int
    layout_version: int | None = None
    budget_s: float | None = None
    status: str
    reason: str | None = None
    disturbance: str | None = None
    cpus: Sequence[Sequence[int] | None] = ()
    load_s: Sequence[float | None] = ()
    pss_bytes: Sequence[int | None] = ()
    rss_bytes: Sequence[int | None] = ()
    peak_rss_bytes: Sequence[int | None] = ()
    peak_device_bytes: Sequence[int | None] = ()
    machine_id: str | None = None
    node: str | None = None
    gpu_name: str | None = None
    measured_at: str | None = None
    versions: JsonObject = field(default_factory=dict)

    @property
    def peak_pss_bytes(self) -> int | None:
        """The peak memory of all processes; None if it could not be read.

        What a process takes beyond what it keeps after its passes is its own.
        """
        total = 0
        for pss, now, peak in zip(self.pss_bytes, self.rss_bytes, self.peak_rss_bytes, strict=True):
            if pss is None or now is None or peak is None:
                return None
            total += pss + max(0, peak - now)
        return total or None


def told_by(events: Sequence[Event]) -> dict[str, Any]:
    """Return the values for the header from the events of all processes."""
    done = _done(events)
    ready = [event for event in events if isinstance(event, Ready)]
    found: dict[str, Any] = {
        name: [getattr(one, name) for one in done]
        for name in ("cpus", "rss_bytes", "peak_rss_bytes", "peak_device_bytes")
    }
    why = (f"process {one.process + 1}: {one.disturbance}" for one in done if one.disturbance)
    told: dict[str, Any] = {
        "disturbance": "; ".join(why) or None,
        "load_s": [one.load_s for one in ready],
        "pss_bytes": next((list(one.pss_bytes) for one in events if isinstance(one, Together)), []),
        "gpu_name": ready[0].gpu_name if ready else None,
        "versions": dict(ready[0].versions or {}) if ready else {},
    }
    return found | told


def rows_of(
    events: Iterable[Event], batches: Sequence[Sequence[str]], audio_s: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Return the rows of the passes of all processes, `LAYOUT_PASSES`.

    The common window is from the moment when all have begun to that when the first has stopped.
    """
    done = _done(events)
    if not done:
        return []
    zero_s = min(one.began_s[0] for one in done)
    begins_s, ends_s = max(one.began_s[0] for one in done), min(one.ended_s[-1] for one in done)
    rows = []
    for one in done:
        for batch, began_s, ended_s, latency_s in zip(
            one.batches, one.began_s, one.ended_s, one.latency_s, strict=True
        ):
            ids = batches[batch]
            rows.append(
                {
                    "process": one.process,
                    "batch": batch,
                    "began_s": began_s - zero_s,
                    "ended_s": ended_s - zero_s,
                    "latency_s": latency_s,
                    "n_segments": len(ids),
                    "audio_s": sum(audio_s[i] for i in ids),
                    "counts": begins_s <= began_s and ended_s <= ends_s,
                }
            )
    return rows


def read(path: Path) -> tuple[LayoutHeader, pa.Table]:
    """Return what the file of a layout in a lap is of, and its passes.

    Raises:
        AsrmeterError: it is missing or damaged, holds something else, or has a header with a value that cannot be.
    """
    table = parquet.read(path)
    try:
        header = typed_json.from_json(LayoutHeader, parquet.header_of(table))
    except (KeyError, TypeError, ValueError) as error:
        raise AsrmeterError(f"{path}: is not a layout's file ({one_line(error)}); delete it and run again") from error
    if fault := misfit(header):
        raise AsrmeterError(f"{path}: cannot be used: {fault}; delete it and run again")
    return header, table


def machine_rate(rows: Iterable[Row], what: str) -> float | None:
    """Return how much of a column a machine does in a second: the sum over its processes; None if one has no pass.

    The rate of a process is over its passes that count, from the beginning of the first to the end of the last one:
    what is cut off at the ends of the window would else be missing.
    """
    of_process: dict[int, list[Row]] = {}
    for row in rows:
        of_process.setdefault(row["process"], [])
        if row["counts"]:
            of_process[row["process"]].append(row)
    if not of_process or not all(of_process.values()):
        return None
    return sum(
        sum(row[what] for row in own) / (max(row["ended_s"] for row in own) - min(row["began_s"] for row in own))
        for own in of_process.values()
    )


def _done(events: Iterable[Event]) -> list[ProcessPasses]:
    return sorted((one for one in events if isinstance(one, ProcessPasses)), key=lambda one: one.process)
