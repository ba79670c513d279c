"""The table of layouts, by hand: rates, ratios within laps, and what is missing."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from asrmeter.analysis.layouts import LAYOUTS, MeasuredLayout, read_all, rows
from asrmeter.common import parquet
from asrmeter.common.errors import AsrmeterError
from asrmeter.records.layout_rows import LAYOUT_PASSES, LayoutHeader
from asrmeter.study import validation
from asrmeter.study.fingerprints import NO_FINGERPRINTS, Fingerprints
from asrmeter.study.layouts import LayoutRun, layout_runs
from asrmeter.study.model import Study

LAPS = 3
OPTIONS = {"runtime": "transformers", "dtype": "float32", "attention": "sdpa"}


@pytest.fixture
def study() -> Study:
    written: dict[str, Any] = {
        "name": "s",
        "models": {"whisper-tiny.en": {}},
        "devices": ["cpu"],
        "batch_sizes": [2],
        "durations_s": [5],
        "layouts": [{"processes": 1, "threads": 2}, {"processes": 2, "threads": 1}],
        "protocol": {"laps": LAPS},
    }
    return validation.with_defaults(written, "a study")


def measured(run: LayoutRun, pass_s: float, n: int = 4, **header: Any) -> MeasuredLayout:
    """Return a layout each of whose processes makes `n` passes of `pass_s` over two segments of 4 s."""
    told: dict[str, Any] = {
        **vars(run.cell),
        **{"processes": run.processes, "threads": run.threads, "lap": run.lap, "seed": 42, "weights": "pretrained"},
        **{"options": OPTIONS, "status": "ok", "machine_id": "0123456789ab"},
        "pss_bytes": [100 + run.lap] * run.processes,
        "rss_bytes": [150] * run.processes,
        "peak_rss_bytes": [160] * run.processes,
    }
    passes = [
        {
            "process": process,
            "batch": 0,
            "began_s": place * pass_s,
            "ended_s": (place + 1) * pass_s,
            "latency_s": pass_s,
            "n_segments": 2,
            "audio_s": 8.0,
            "counts": True,
        }
        for process in range(run.processes)
        for place in range(n)
    ]
    header = told | header
    return MeasuredLayout(run, LayoutHeader(**header), passes if header["status"] == "ok" else [])


def found_of(study: Study, of_two: list[float], **header: Any) -> dict[LayoutRun, MeasuredLayout | str]:
    """Return the runs: one process takes a second a pass, each of two processes as long as `of_two` says by lap."""
    return {
        run: measured(run, 1.0) if run.processes == 1 else measured(run, of_two[run.lap - 1], **header)
        for run in layout_runs(study)
    }


def test_machine_does_what_its_processes_do(study: Study) -> None:
    first, second = rows(study, found_of(study, [1.25] * LAPS))
    assert (first["processes"], first["threads"], first["ratio_to_first"]) == (1, 2, 1.0)
    assert first["samples_per_s"] == pytest.approx(2.0) and second["samples_per_s"] == pytest.approx(2 * 2 / 1.25)
    assert first["rtfx"] == pytest.approx(8.0) and second["rtfx"] == pytest.approx(2 * 8 / 1.25)
    assert second["ratio_to_first"] == pytest.approx(1.6)
    assert second["latency_s_median"] == pytest.approx(1.25)
    assert (second["n_laps"], second["n_passes"]) == (3, 24)
    # What each keeps, and 10 more at its peak, in the lap that takes most.
    assert second["pss_bytes"] == 2 * (100 + LAPS + 10)
    assert (first["status"], first["disturbed"], first["weights"]) == ("ok", False, "pretrained")


def test_ratio_has_an_interval_of_what_laps_scatter(study: Study) -> None:
    _, steady = rows(study, found_of(study, [1.25, 1.26, 1.24]))
    _, unsteady = rows(study, found_of(study, [1.25, 1.45, 1.05]))
    widths = []
    for row in (steady, unsteady):
        assert row["ratio_to_first_low"] < row["ratio_to_first"] < row["ratio_to_first_high"]
        widths.append(row["ratio_to_first_high"] / row["ratio_to_first_low"])
    assert 1 < widths[0] < widths[1]


def test_what_a_whole_lap_was_is_no_part_of_the_ratio(study: Study) -> None:
    found = {
        run: measured(run, (1.0 if run.processes == 1 else 1.25) * (1.0, 1.4, 0.8)[run.lap - 1])
        for run in layout_runs(study)
    }
    _, row = rows(study, found)
    assert row["ratio_to_first"] == pytest.approx(1.6)
    assert row["ratio_to_first_high"] / row["ratio_to_first_low"] < 1.02
    assert row["samples_per_s_high"] / row["samples_per_s_low"] > 1.5


def test_disturbed_laps_count_only_where_no_other_stands(study: Study) -> None:
    found = found_of(study, [1.25] * LAPS)
    for run in list(found)[-1:]:
        found[run] = measured(run, 9.0, disturbance="process 1: others used it")
    _, row = rows(study, found)
    assert (row["n_laps"], row["disturbed"]) == (2, False) and row["samples_per_s"] == pytest.approx(3.2)
    _, row = rows(study, found_of(study, [1.25] * LAPS, disturbance="process 1: others used it"))
    assert (row["n_laps"], row["disturbed"]) == (3, True) and row["samples_per_s"] == pytest.approx(3.2)
    assert (
        row["ratio_to_first"] is row["ratio_to_first_low"] is None and row["disturbance"] == "process 1: others used it"
    )


def test_percentile_takes_enough_passes(study: Study) -> None:
    few = rows(study, {run: measured(run, 1.0, n=19) for run in layout_runs(study)})[0]
    many = rows(study, {run: measured(run, 1.0, n=20) for run in layout_runs(study)})[0]
    assert few["latency_s_p95"] is None and many["latency_s_p95"] == pytest.approx(1.0)


def test_layout_that_failed_says_why(study: Study) -> None:
    found = found_of(study, [1.25] * LAPS, status="oom", reason="process 2 of 2: the machine's memory ran out")
    first, second = rows(study, found)
    assert (second["status"], second["reason"]) == ("oom", "process 2 of 2: the machine's memory ran out")
    assert second["samples_per_s"] is second["ratio_to_first"] is second["pss_bytes"] is None
    assert (second["n_laps"], second["n_passes"]) == (0, 0) and first["status"] == "ok"
    without_first = {run: one for run, one in found_of(study, [1.25] * LAPS).items() if run.processes == 2}
    found = without_first | {run: "unreadable: delete it" for run in layout_runs(study) if run.processes == 1}
    first, second = rows(study, found)
    assert (first["status"], first["reason"]) == ("unreadable", "unreadable: delete it")
    assert second["samples_per_s"] == pytest.approx(3.2) and second["ratio_to_first"] is None


def test_layouts_of_other_machines_stay_apart(study: Study) -> None:
    found = {
        run: measured(run, 1.0, machine_id="b" * 12 if run.processes == 2 and run.lap > 1 else "a" * 12)
        for run in layout_runs(study)
    }
    first, second = rows(study, found)
    assert (first["n_laps"], second["n_laps"]) == (3, 1)


def test_table_has_no_row_of_what_was_not_tried(study: Study) -> None:
    assert rows(study, {}) == []
    assert pa.Table.from_pylist([], schema=LAYOUTS).num_rows == 0


def save(folder: Path, one: MeasuredLayout) -> Path:
    path = folder / f"{one.run.id}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.save(path, pa.Table.from_pylist([*one.passes], schema=LAYOUT_PASSES), vars(one.header))
    return path


def test_files_are_read_and_damaged_ones_say_so(study: Study, tmp_path: Path) -> None:
    runs = layout_runs(study)
    for run in runs:
        path = save(tmp_path, measured(run, 1.0))
    path.write_bytes(path.read_bytes()[:-20])
    found = read_all(study, tmp_path, NO_FINGERPRINTS)
    first = found[runs[0]]
    assert isinstance(first, MeasuredLayout) and first.passes == measured(runs[0], 1.0).passes
    assert isinstance(found[runs[-1]], str) and "delete it and run again" in str(found[runs[-1]])


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"seed": 7}, "seed 7, but 42"), ({"processes": 4}, "processes 4"), ({"corpus_key": "x"}, "corpus_key .*x")],
)
def test_files_of_another_study_are_refused(study: Study, tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    save(tmp_path, measured(layout_runs(study)[0], 1.0, **changed))
    with pytest.raises(AsrmeterError, match=f"belongs to another study or version .{said}"):
        read_all(study, tmp_path, Fingerprints({}, "right"))
