"""What the report says of noise: how laps scatter, the machine's speed, disturbed sittings; on constructed tables."""

import re
from typing import Any

import pytest
from test_report import rendered, text_of

from asrmeter.analysis.variance_components import ONE_LAP, SINGLE_CELL
from helpers.tables import all_sittings, cell, failed, without_interval

Row = dict[str, Any]
STEAL = {"disturbed": True, "disturbance": "steal 9 %"}


def said(cells: list[Row], sittings: list[Row] | None = None) -> str:
    return text_of(rendered(cells, sittings=sittings))


def table_of(html: str, name: str) -> str:
    found = re.search(rf'<table id="table-{name}".*?</table>', html, flags=re.DOTALL)
    return text_of(found[0]) if found else ""


def changed(row: Row, *changes: Row) -> list[Row]:
    """Return the sittings of a cell, each with its changes."""
    return [sitting | change for sitting, change in zip(all_sittings([row]), changes, strict=True)]


def test_the_scatter_between_laps_is_the_noise_floor() -> None:
    text = said([cell(), cell(batch_size=2), cell(device="cuda")])
    assert "On cpu a cell differs by 1.20 % from lap to lap (one standard deviation, from all cells together)" in text
    assert "On cuda a cell differs by 0.400 % from lap to lap" in text
    assert "Not within the target" not in text and "Only one cell" not in text
    assert (
        "Scatter of latencies (cpu) 2.00 % from pass to pass (degrees of freedom: 120), 1.20 % from lap to lap "
        "(degrees of freedom: 50), 0.800 % with all cells of a lap (degrees of freedom: 2)"
    ) in text


def test_without_scatter_between_laps_intervals_decide() -> None:
    assert "On cpu laps differ by no more than passes do" in said([cell(noise_floor=0.0)])


def test_one_lap_says_that_nothing_is_known_and_what_to_do() -> None:
    html = rendered([without_interval(cell(noise_floor=None, common_scatter=None), ONE_LAP)])
    text = text_of(html)
    assert f"from lap to lap on cpu is unknown ({ONE_LAP}). Latencies there have no interval" in text
    assert f"Scatter of latencies (cpu) unknown, {ONE_LAP}" in text
    # An empty interval says why.
    assert html.count(f'title="{ONE_LAP}">–') >= 2


def test_a_single_cell_rests_on_its_own_laps() -> None:
    assert "Only one cell was measured on cpu, so its interval rests on its own laps alone." in said(
        [cell(interval_note=SINGLE_CELL)]
    )


@pytest.mark.parametrize(
    ("factor", "what_helps"),
    [
        (2.5, "About 2.50 times the time would bring most of them within the target: first more laps"),
        (None, "No amount of time would bring most of them within the target"),
        (1.0, ""),
    ],
)
def test_where_most_cells_miss_the_target_it_is_said_why(factor: float | None, what_helps: str) -> None:
    wide = {"status": "unconverged", "time_factor_for_target": factor, "pass_scatter": 0.031, "noise_floor": 0.052}
    cells = [cell(batch_size=batch, **wide) for batch in (1, 2)]
    text = said([*cells, cell(batch_size=4)])
    assert "2 of 3 cells on cpu are not within the target of ± 5.00 %: their interval is wider or missing." in text
    assert "Latencies scatter by 3.10 % from pass to pass, 5.20 % from lap to lap and 0.800 % with all cells" in text
    assert what_helps in text
    assert ("would bring most" in text) == bool(what_helps)
    most_do = said([cells[0], cell(batch_size=2), cell(batch_size=4)])
    assert (
        "1 of 3 cells on cpu are not within the target of ± 5.00 %" in most_do and "Latencies scatter by" not in most_do
    )


def test_what_was_never_repeated_has_no_scatter() -> None:
    unknown = {"pass_scatter": None, "pass_scatter_df": 0.0, "common_scatter": None, "status": "unconverged"}
    text = said([cell(**unknown)])
    assert "Latencies scatter by 1.20 % from lap to lap." in text
    assert "Scatter of latencies (cpu) 1.20 % from lap to lap (degrees of freedom: 50) Control" in text


def test_the_speed_of_the_machine_is_told_with_its_worst() -> None:
    speeds = [{"machine_speed": speed} for speed in (1.0, 0.9, 0.71)]
    text = said([cell()], changed(cell(), *speeds))
    assert (
        "By its control kernel the machine ran at 87.0 % of its best on cpu, and at 71.0 % during the slowest" in text
    )
    unknown = [{"machine_speed": None, "control_s": None}] * 3
    html = rendered([cell(machine_speed=None)], sittings=changed(cell(), *unknown))
    assert "control kernel the machine" not in text_of(html) and "Control kernel (cpu)" not in text_of(html)
    assert 'title="no control kernel ran">–' in html


@pytest.mark.parametrize(
    ("slope", "drift"),
    [
        (None, "it does not explain the differences between laps and is only reported"),
        (0.8, "it explains the differences between laps (slope 0.800), and the latencies are corrected for it"),
    ],
)
def test_what_the_control_kernel_did_is_in_provenance(slope: float | None, drift: str) -> None:
    rates = [{"control_matmul_flop_per_s_before": rate, "control_s": 0.1} for rate in (4e10, 5e10, 3e10)]
    text = said([cell(control_slope=slope)], changed(cell(), *rates))
    assert (
        f"at best 50.0 GFLOP/s in cache and 30.0 GB/s out of cache; 0.300 s in all sittings together; {drift}" in text
    )


def test_disturbed_sittings_are_counted_marked_and_listed() -> None:
    first = cell()
    again = changed(first, {"n_tries": 2}, {**STEAL, "n_tries": 3, "counts": False}, {})
    html = rendered([first], sittings=again)
    text = text_of(html)
    assert "2 of 3 sittings were disturbed by something else on the machine and measured again." in text
    assert "1 of 3 sittings are excluded from the estimates; see the reasons ." in text
    assert "Disturbed in every lap" not in text
    listed = table_of(html, "sittings")
    assert "whisper-base/fp32/cpu/30s-b1 2 3 steal 9 % no" in listed and listed.count("whisper-base") == 1
    assert "Disturbed sittings 1 / 3" in text
    assert table_of(rendered([cell()]), "sittings") == ""


def test_what_was_disturbed_in_every_lap_decides_nothing() -> None:
    told = {**STEAL, "n_laps": 0, "laps": "", "n_laps_disturbed": 3}
    always = without_interval(cell("whisper-tiny.en", wer=0.01)) | told
    html = rendered([always, cell(), cell(batch_size=2)])
    text = text_of(html)
    assert "and excluded from comparisons: whisper-tiny.en/fp32/cpu/30s-b1 ." in text
    assert 'title="steal 9 %">unconverged, disturbed<td' in html
    assert "Run whisper-base" not in text and "whisper-base on cpu at batch" in text
    assert "whisper-tiny.en on cpu at batch 1 could be better: its measurement was disturbed (steal 9 %)." in text
    assert "run python scripts/list_cells.py results --disturbed --delete and run again" in text
    assert "1 of 3 settings lack a value, so each of them could be the answer." in text


def test_a_lap_on_other_hardware_is_listed_with_it() -> None:
    sittings = changed(cell(), {}, {"counts": False, "device_name": "Slow CPU"}, {})
    listed = table_of(rendered([cell()], sittings=sittings), "sittings")
    assert "measured on different hardware from the cell's other laps (Slow CPU) no" in listed.replace("&#39;", "'")


def test_laps_and_the_interval_of_another_run_are_in_the_table() -> None:
    html = rendered(
        [cell(latency_s_median=1.0, latency_s_next_low=0.8, latency_s_next_high=1.3, n_laps=2, n_passes=34)]
    )
    speed = table_of(html, "speed")
    assert "95 % interval, another run (s)" in speed and "0.800 – 1.30" in speed.replace("\u2009", " ")
    assert " 2 34 " in speed


def test_the_share_of_time_in_passes_is_in_provenance() -> None:
    times = {"started_at": "2026-03-01T10:00:00+00:00", "measured_at": "2026-03-01T10:05:00+00:00"}
    text = said([cell(timed_s=150.0, job_s=200.0, **times)])
    assert "0:05:00 from the first job to the last, 0:03:20 of it in measuring jobs (h:min:s); 75.0 % of these" in text


def test_a_study_in_which_everything_failed_has_no_noise() -> None:
    text = said([failed(cell(), "oom", "too large")])
    assert "from lap to lap" not in text.split("Caveats")[1].split("Method")[0]
    assert "Scatter of latencies (cpu) unknown, not measured" in text
