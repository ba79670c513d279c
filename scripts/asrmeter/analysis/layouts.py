"""The table of layouts: what a machine does with one model in so many processes of so many threads, over the laps.

The rate of a lap is that of all processes together. From lap to lap rates scatter as latencies of cells do, and ratios
within laps are free of what the machine was in a lap: both as `variance_components` has it.
"""

import logging
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from asrmeter.analysis.table_rows import CELL_WORDS, checked_rows, read_rows
from asrmeter.analysis.variance_components import Fitted, Sitting, fit
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.order_statistics import order_interval
from asrmeter.common.shared_columns import shared
from asrmeter.common.stats import Estimate, ratio_of
from asrmeter.common.table_types import INTEGER, NUMBER, Row, Source, column
from asrmeter.common.vocabulary import UNREADABLE
from asrmeter.records import layout_rows
from asrmeter.records.layout_rows import LAYOUT_PASSES, LayoutHeader, machine_rate
from asrmeter.study import grid
from asrmeter.study.fingerprints import Fingerprints, check_records
from asrmeter.study.layouts import LayoutRun, layout_runs
from asrmeter.study.model import Study

KEY = ("model", "variant", "device", "processes", "threads")
_FAILED = "it was measured in no lap; `reason` says why"
_NO_INTERVAL = f"there is one lap, or each was disturbed; or {_FAILED}"
_OK = "ok"

LAYOUTS = pa.schema(
    [
        *map(shared, ("model", "weights", "variant", "device", "duration_s", "batch_size")),
        column("processes", INTEGER, "The processes that run at once.", Source.STUDY, unit="processes"),
        column("threads", INTEGER, "The CPU threads of each process.", Source.STUDY, unit="threads"),
        column("n_laps", INTEGER, "The laps that the figures are of.", Source.COUNTED, unit="laps"),
        column("n_passes", INTEGER, "Their passes in which all processes were at work.", Source.COUNTED, unit="passes"),
        column(
            "samples_per_s",
            NUMBER,
            "The segments that all processes together transcribe in a second.",
            Source.MEASURED,
            unit="segments/s",
            null_when=_FAILED,
        ),
        *(
            column(
                f"samples_per_s_{end}",
                NUMBER,
                f"The {end} end of its 95 % interval.",
                Source.COMPUTED,
                unit="segments/s",
                null_when=_NO_INTERVAL,
            )
            for end in ("low", "high")
        ),
        column(
            "rtfx",
            NUMBER,
            "The seconds of audio that all processes together transcribe in a second.",
            Source.MEASURED,
            unit="times real time",
            null_when=_FAILED,
        ),
        column(
            "latency_s_median",
            NUMBER,
            "The median pass of all processes.",
            Source.MEASURED,
            unit="s",
            null_when=_FAILED,
        ),
        column(
            "latency_s_p95",
            NUMBER,
            "The time within which 95 % of the passes of all processes ended.",
            Source.MEASURED,
            unit="s",
            null_when=f"there are fewer than 59 passes, or {_FAILED}",
        ),
        column(
            "pss_bytes",
            INTEGER,
            "The peak memory of all processes; what several share counts once among them. The most in a lap.",
            Source.MEASURED,
            unit="bytes",
            null_when=f"the system did not tell it, or {_FAILED}",
        ),
        column(
            "peak_device_bytes",
            INTEGER,
            "The peak memory on the GPU of all processes, as their runtimes tell it. The most in a lap.",
            Source.MEASURED,
            unit="bytes",
            null_when=f"there is no GPU, the runtime does not report it, or {_FAILED}",
        ),
        column(
            "ratio_to_first",
            NUMBER,
            "`samples_per_s` over that of the first layout of the study, of the same model, variant and device.",
            Source.COMPUTED,
            unit="ratio",
            null_when=f"of the two, one was disturbed in every lap, or the first was not measured here; or {_FAILED}",
        ),
        *(
            column(
                f"ratio_to_first_{end}",
                NUMBER,
                f"The {end} end of its 95 % interval.",
                Source.COMPUTED,
                unit="ratio",
                null_when=f"it is the first layout; or {_NO_INTERVAL}",
            )
            for end in ("low", "high")
        ),
        shared("disturbed"),
        shared("disturbance"),
        shared("status"),
        shared("reason"),
        shared("machine_id"),
    ]
)


@dataclass(frozen=True)
class MeasuredLayout:
    """What came of a layout in a lap, with the passes of its processes (`LAYOUT_PASSES`)."""

    run: LayoutRun
    header: LayoutHeader
    passes: Sequence[Row]

    @cached_property
    def counting(self) -> list[Row]:
        """The passes in which all processes were at work."""
        return [row for row in self.passes if row["counts"]]

    @cached_property
    def samples_per_s(self) -> float | None:
        """The segments that the machine transcribed in a second; None if nothing was measured."""
        return machine_rate(self.passes, "n_segments") if self.header.status == _OK else None


def read(path: Path) -> list[Row]:
    """Read the table.

    Raises:
        AsrmeterError: it is not there, or lacks a column.
    """
    return read_rows(path, LAYOUTS, KEY, CELL_WORDS)


def read_record(run: LayoutRun, path: Path) -> MeasuredLayout:
    """Return what came of a layout in a lap.

    Raises:
        AsrmeterError: the file is missing or damaged, holds something else, or has an impossible value.
    """
    header, table = layout_rows.read(path)
    passes = checked_rows(path, table, LAYOUT_PASSES, {}) if header.status == _OK else []
    found = MeasuredLayout(run, header, passes)
    if header.status == _OK and found.samples_per_s is None:
        raise AsrmeterError(f"{path}: cannot be used: a process has no pass beside all others; delete it and run again")
    return found


def table(study: Study, found: Mapping[LayoutRun, MeasuredLayout | str]) -> pa.Table:
    """Return the table of a complete study; `found` is what came of each run, or why its file cannot be read."""
    return pa.Table.from_pylist(rows(study, found), schema=LAYOUTS)


def rows(study: Study, found: Mapping[LayoutRun, MeasuredLayout | str]) -> list[Row]:
    """Return a row for each layout of a complete study that was tried, by model, variant and device, in its order."""
    of_layout: dict[str, list[LayoutRun]] = {}
    for run in layout_runs(study):
        if run in found:
            of_layout.setdefault(run.layout, []).append(run)
    met = Counter(one.header.machine_id for one in found.values() if not isinstance(one, str) and one.samples_per_s)
    machine_id = max(met, key=lambda name: (met[name], str(name)), default=None)
    measured = {
        layout: [one for run in runs if (one := _measured(found[run])) and one.header.machine_id == machine_id]
        for layout, runs in of_layout.items()
    }
    fitted = _fitted([one for ones in measured.values() for one in ones])
    first: dict[grid.Cell, str] = {}
    made: list[Row] = []
    for layout, runs in of_layout.items():
        cell = runs[0].cell
        own, against = fitted.get(layout), fitted.get(first.setdefault(cell, layout))
        told = dict.fromkeys(LAYOUTS.names) | vars(cell) | {"processes": runs[0].processes, "threads": runs[0].threads}
        told["weights"] = "random" if study.models[cell.model].weights == "random" else "pretrained"
        counted = [one for one in measured[layout] if own and (one.run.lap in own.laps or not own.laps)]
        told |= {"n_laps": len(counted), "n_passes": sum(len(one.counting) for one in counted)}
        if own is None:
            made.append(told | _why_missing([found[run] for run in runs]))
            continue
        made.append(told | _figures(counted, own) | _ratio(own, against, layout == first[cell]))
    return made


def _measured(one: MeasuredLayout | str) -> MeasuredLayout | None:
    return one if isinstance(one, MeasuredLayout) and one.samples_per_s is not None else None


def _fitted(measured: Iterable[MeasuredLayout]) -> dict[str, Fitted]:
    """Return the time for a segment of each layout; those of one device and runtime scatter alike."""
    groups: defaultdict[tuple[str, str], list[Sitting]] = defaultdict(list)
    for one in measured:
        assert one.samples_per_s is not None
        groups[one.run.cell.device, str(one.header.options.get("runtime"))].append(
            Sitting(
                cell=one.run.layout,
                lap=one.run.lap,
                batches={0: [1 / one.samples_per_s]},
                disturbed=one.header.disturbance is not None,
            )
        )
    return {str(layout): one for sittings in groups.values() for layout, one in fit(sittings).items()}


def _estimate(fitted: Fitted) -> Estimate:
    """Return the segments a second; estimates of one fit share their laps."""
    laps = f"laps {fitted.laps}" if fitted.laps else None
    return 1 / Estimate(fitted.value, fitted.low, fitted.high, None, fitted.own_se, fitted.own_df, laps)


def _figures(counted: Sequence[MeasuredLayout], fitted: Fitted) -> dict[str, Any]:
    rate, header = _estimate(fitted), counted[-1].header
    latencies = [row["latency_s"] for one in counted for row in one.counting]
    enough = order_interval(len(latencies), 0.95) is not None
    memory = [bytes_ for one in counted if (bytes_ := one.header.peak_pss_bytes) is not None]
    on_device = [sum(told) for one in counted if None not in (told := one.header.peak_device_bytes)]  # type: ignore[arg-type]
    disturbed = not fitted.laps
    return {
        "samples_per_s": rate.value,
        "samples_per_s_low": rate.low,
        "samples_per_s_high": rate.high,
        "rtfx": statistics.geometric_mean([machine_rate(one.passes, "audio_s") or 0 for one in counted]),
        "latency_s_median": statistics.median(latencies),
        "latency_s_p95": float(np.quantile(latencies, 0.95)) if enough else None,
        "pss_bytes": max(memory, default=None),
        "peak_device_bytes": max(on_device, default=None) if header.device == "cuda" else None,
        "disturbed": disturbed,
        "disturbance": header.disturbance if disturbed else None,
        "status": _OK,
        "machine_id": header.machine_id,
    }


def _ratio(own: Fitted, first: Fitted | None, is_first: bool) -> dict[str, Any]:
    if not own.laps:  # what was disturbed in every lap decides nothing
        return {}
    if is_first:
        return {"ratio_to_first": 1.0}
    ratio = ratio_of(_estimate(own), _estimate(first)) if first and first.laps else None
    if ratio is None:
        return {}
    return {"ratio_to_first": ratio.value, "ratio_to_first_low": ratio.low, "ratio_to_first_high": ratio.high}


def _why_missing(found: Sequence[MeasuredLayout | str]) -> dict[str, Any]:
    """Return status and reason of a layout that was measured in no lap that counts: those of its first one."""
    first = found[0]
    if isinstance(first, str):
        return {"status": UNREADABLE, "reason": first}
    told = {"status": first.header.status, "reason": first.header.reason, "machine_id": first.header.machine_id}
    return told if first.samples_per_s is None else told | {"reason": "measured on another machine than most layouts"}


def read_all(study: Study, folder: Path, made_of: Fingerprints) -> dict[LayoutRun, MeasuredLayout | str]:
    """Return what came of each run of a study whose file is in a folder, or why that cannot be read.

    Raises:
        AsrmeterError: a file is of another study or version.
    """
    found: dict[LayoutRun, MeasuredLayout | str] = {}
    headers: dict[Path, tuple[LayoutRun, LayoutHeader]] = {}
    for run in layout_runs(study):
        path = folder / f"{run.id}.parquet"
        if not path.exists():
            continue
        try:
            found[run] = one = read_record(run, path)
            headers[path] = (run, one.header)
        except AsrmeterError as error:
            logging.warning("left out: %s", error)
            found[run] = str(error)
    check_records(study, headers, made_of)
    return found
