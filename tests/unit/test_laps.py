"""A cell is made of all its laps: which of them count, what it is called, and what is told of each."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_tables import FLOPS, STUDY, a_header, a_round, no_archive

from asrmeter.analysis import cells_table
from asrmeter.analysis.lap_estimates import estimates
from asrmeter.analysis.measured_sitting import MeasuredSitting
from asrmeter.common.errors import AsrmeterError
from asrmeter.records import cell_record, status
from asrmeter.study.grid import Cell
from helpers.records import control, measured

MODEL, OTHER = STUDY.models
# So that scatter is known, most cells are of three laps.
LAPS = 3


def study(laps: int = LAPS, target: float = 0.05) -> Any:
    return STUDY.model_copy(update={"protocol": STUDY.protocol.model_copy(update={"laps": laps, "target": target})})


def gathered(
    tmp_path: Path,
    latencies_s: Mapping[int, float],
    told: Mapping[int, dict[str, Any]] | None = None,
    target: float = 0.05,
) -> dict[str, list[dict[str, Any]]]:
    """Return the tables of a cell with those latencies by lap, and one beside it that is quiet."""
    for lap in latencies_s:
        for model, latency_s in ((MODEL, latencies_s[lap]), (OTHER, 3.0 + lap / 100)):
            changes = {"job_s": 10.0, **((told or {}).get(lap, {}) if model == MODEL else {})}
            header = a_header(model, lap=lap, **changes)
            passes = [entry | {"lap": lap} for n in range(2) for entry in a_round(n, latency_s, 2 * latency_s)]
            path = tmp_path / f"{model}/fp32/cpu/5s-b2/lap{lap}.parquet"
            cell_record.write(path, header, passes if header.status == "ok" else [])
    made = cells_table.gather(study(len(latencies_s), target), tmp_path, no_archive, FLOPS)
    return {name: table.to_pylist() for name, table in made.items()}


def events(lap: int = 1, **changes: Any) -> dict[str, Any]:
    return dict(a_header(MODEL).to_json()["events"]) | changes


def cell_of(made: Mapping[str, Sequence[dict[str, Any]]]) -> dict[str, Any]:
    return next(row for row in made["cells"] if row["model"] == MODEL)


def sittings_of(made: Mapping[str, Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [row for row in made["sittings"] if row["model"] == MODEL]


def test_a_row_is_made_of_all_laps(tmp_path: Path) -> None:
    made = gathered(tmp_path, {1: 1.0, 2: 1.01, 3: 0.99})
    cell = cell_of(made)
    assert (cell["status"], cell["reason"], cell["converged"]) == ("ok", None, True)
    assert (cell["n_laps"], cell["laps"], cell["n_laps_disturbed"], cell["n_tries"]) == (3, "1 2 3", 0, 3)
    assert (cell["n_passes"], cell["n_rounds"], cell["n_batches"]) == (12, 6, 2)
    assert cell["latency_s_median"] == pytest.approx(1.5, rel=1e-3)
    assert cell["latency_s_next_low"] < cell["latency_s_ci_low"] < 1.5 < cell["latency_s_ci_high"]
    assert cell["latency_s_ci_high"] < cell["latency_s_next_high"]
    # Throughput has the latency's interval, turned over: 7 s of audio in 1.5 s.
    assert cell["rtfx"] == pytest.approx(7 / 1.5, rel=0.01)
    assert cell["rtfx_ci_low"] == pytest.approx(cell["rtfx"] * cell["latency_s_median"] / cell["latency_s_ci_high"])
    assert cell["samples_per_s_ci_high"] == pytest.approx(2 / cell["latency_s_ci_low"])
    assert cell["tokens_per_s_ci_low"] < cell["tokens_per_s"] < cell["tokens_per_s_ci_high"]
    assert 0 < cell["noise_floor"] < 0.05 and cell["latency_own_se"] > 0 < cell["latency_own_df"]
    assert (cell["timed_s"], cell["job_s"]) == (18.0, 30.0)
    sittings = sittings_of(made)
    assert [(row["lap"], row["status"], row["counts"], row["disturbed"]) for row in sittings] == [
        (lap, "ok", True, False) for lap in (1, 2, 3)
    ]
    assert [row["latency_s"] for row in sittings] == pytest.approx([1.5, 1.515, 1.485])
    assert [row["lap"] for row in made["passes"]] == [1] * 4 + [2] * 4 + [3] * 4 + [1] * 4 + [2] * 4 + [3] * 4


def test_wider_than_the_target_is_unconverged(tmp_path: Path) -> None:
    loud = {1: 1.0, 2: 1.3, 3: 0.8}
    cell = cell_of(gathered(tmp_path, loud))
    assert (cell["status"], cell["converged"]) == ("unconverged", False)
    half_width = max(cell["latency_s_ci_high"] / cell["latency_s_median"] - 1, 0.05)
    assert cell["reason"] == f"the interval is {100 * half_width:.2g} % wide to a side, the target is 5 %"
    assert cell_of(gathered(tmp_path, loud, target=1.0))["status"] == "ok"
    quiet = cell_of(gathered(tmp_path, {1: 1.0, 2: 1.01, 3: 0.99}))
    assert quiet["time_factor_for_target"] == 1.0
    assert cell_of(gathered(tmp_path, {1: 1.0, 2: 1.06, 3: 0.96}))["time_factor_for_target"] > 1


def test_one_lap_has_no_interval_and_says_what_to_do(tmp_path: Path) -> None:
    cell = cell_of(gathered(tmp_path, {1: 1.0}))
    assert (cell["status"], cell["converged"], cell["latency_s_median"]) == ("unconverged", False, 1.5)
    assert cell["latency_s_ci_low"] is cell["latency_own_se"] is cell["time_factor_for_target"] is None
    assert "protocol.laps" in cell["reason"] and cell["reason"] == cell["interval_note"]


def test_a_disturbed_lap_does_not_count_where_others_stand(tmp_path: Path) -> None:
    steal = events(latency={"disturbance": "steal 9 %", "timed_s": 1.0})
    made = gathered(tmp_path, {1: 1.0, 2: 4.0, 3: 1.01}, {2: {"events": steal, "attempt": 3}})
    cell = cell_of(made)
    assert cell["latency_s_median"] == pytest.approx(1.5, rel=0.02)
    assert (cell["n_laps"], cell["laps"], cell["n_laps_disturbed"], cell["n_tries"]) == (2, "1 3", 1, 5)
    assert (cell["disturbed"], cell["disturbance"]) == (False, "lap 2: steal 9 %")
    assert [(row["counts"], row["disturbance"], row["attempt"]) for row in sittings_of(made)] == [
        (True, None, 1),
        (False, "steal 9 %", 3),
        (True, None, 1),
    ]


def test_disturbed_in_every_lap_keeps_a_value_alone(tmp_path: Path) -> None:
    steal = {"events": events(latency={"disturbance": "steal 9 %"})}
    gathered(tmp_path, {1: 1.0, 2: 1.0, 3: 1.0}, dict.fromkeys((1, 2, 3), steal))
    for attempt in (2, 3):
        status.note_try(tmp_path / f"{MODEL}/fp32/cpu/5s-b2/lap2.parquet", attempt, "steal 8 %")
    tables = cells_table.gather(study(), tmp_path, no_archive, FLOPS)
    made = {name: table.to_pylist() for name, table in tables.items()}
    cell = cell_of(made)
    assert (cell["disturbed"], cell["n_laps_disturbed"], cell["status"]) == (True, 3, "unconverged")
    assert (cell["n_tries"], [row["n_tries"] for row in sittings_of(made)]) == (5, [1, 3, 1])
    assert cell["latency_s_median"] == pytest.approx(1.5) and cell["latency_s_ci_low"] is None
    assert (cell["n_laps"], cell["laps"], cell["n_passes"]) == (0, "", 12)
    assert cell["encoder_s_median"] == pytest.approx(0.2)
    assert not any(row["counts"] for row in sittings_of(made))


def test_a_slow_control_kernel_disturbs_and_the_speed_is_told(tmp_path: Path) -> None:
    speeds = {1: 1.0, 2: 0.9, 3: 0.3}
    told = {lap: {"events": events(control=control(1e11 * s, 1e10 * s))} for lap, s in speeds.items()}
    made = gathered(tmp_path, {1: 1.0, 2: 1.01, 3: 1.02}, told)
    cell = cell_of(made)
    assert (cell["laps"], cell["n_laps_disturbed"]) == ("1 2", 1)
    assert cell["machine_speed"] == pytest.approx(0.95)
    assert cell["control_matmul_flop_per_s"] == pytest.approx(0.95e11)
    assert [row["machine_speed"] for row in sittings_of(made)] == pytest.approx([1.0, 0.9, 0.3])
    assert sittings_of(made)[1]["control_copy_bytes_per_s_after"] == pytest.approx(0.9e10)
    assert sittings_of(made)[2]["disturbance"] == "the machine ran at 30 % of its best (control kernel)"


def test_a_lap_that_failed_is_named_and_the_others_stand(tmp_path: Path) -> None:
    gone = {"status": "killed", "reason": "gone", "events": {}}
    cell = cell_of(gathered(tmp_path, {1: 1.0, 2: 1.0, 3: 1.0}, {1: gone}))
    assert (cell["status"], cell["reason"], cell["laps"]) == ("ok", "lap 1: killed, gone", "2 3")
    oom = {"status": "oom", "reason": "too large", "events": {}}
    cell = cell_of(gathered(tmp_path, {1: 1.0, 2: 1.0}, {1: gone, 2: oom}))
    assert (cell["status"], cell["reason"], cell["n_laps"], cell["disturbed"]) == ("killed", "gone", 0, None)
    assert cell["latency_s_median"] is cell["converged"] is cell["noise_floor"] is None


def test_a_damaged_lap_is_named_and_the_others_stand(tmp_path: Path) -> None:
    gathered(tmp_path, {1: 1.0, 2: 1.0, 3: 1.0})
    path = tmp_path / f"{MODEL}/fp32/cpu/5s-b2/lap2.parquet"
    path.write_bytes(path.read_bytes()[:-9] + b"damaged!!")
    tables = cells_table.gather(study(), tmp_path, no_archive, FLOPS)
    made = {name: table.to_pylist() for name, table in tables.items()}
    cell = cell_of(made)
    assert (cell["status"], cell["laps"]) == ("ok", "1 3")
    assert cell["reason"].startswith("lap 2: ") and str(path) in cell["reason"]
    lost = sittings_of(made)[1]
    assert (lost["lap"], lost["status"], lost["counts"], lost["latency_s"]) == (2, "unreadable", False, None)
    path.unlink()
    with pytest.raises(AsrmeterError, match=r"lap2\.parquet"):
        cells_table.gather(study(), tmp_path, no_archive, FLOPS)


def test_all_laps_together_transcribe_every_segment() -> None:
    ids = (["a", "b"], ["c", "a"])
    texts = (["one two three", "four"], ["five", "another"])
    records = [
        (a_header(MODEL, lap=lap), [a_round(0, 1.0)[0] | {"lap": lap, "segment_ids": own, "texts": heard}])
        for lap, own, heard in zip((1, 2), ids, texts, strict=True)
    ]
    cell = measured(*records)
    scored = cells_table.score(cell.header, cell.passes, no_archive)
    assert {row["segment_id"]: row["hypothesis"] for row in scored} == {"a": "one two three", "b": "four", "c": "five"}
    assert cell.wer_note is None and cell.accuracy.n_nondeterministic == 1
    alone = measured(records[0])
    assert alone.wer_note and alone.wer_note.startswith("2 of 3 segments were transcribed")


def test_sittings_on_other_hardware_do_not_count() -> None:
    def sitting(lap: int, machine_id: str, model: str = MODEL, **changes: Any) -> MeasuredSitting:
        passes = [entry | {"lap": lap} for entry in a_round(0, 1.0 if machine_id == "m" else 9.0)]
        return MeasuredSitting(a_header(model, lap=lap, machine_id=machine_id, **changes), passes)

    found = estimates([sitting(1, "slow"), sitting(2, "m"), *(sitting(lap, "m", OTHER) for lap in (1, 2))])
    own, other = found[Cell(MODEL, "fp32", "cpu", 5, 2)], found[Cell(OTHER, "fp32", "cpu", 5, 2)]
    assert ([one.lap for one in own.counted], own.fitted.value) == ([2], 1.0)
    assert [one.lap for one in other.counted] == [1, 2]


def test_runtimes_are_fitted_apart_and_variants_of_one_together() -> None:
    def sittings(variant: str, latencies_s: Sequence[float], **options: Any) -> list[MeasuredSitting]:
        told = {"runtime": "transformers", "dtype": "float32"} | options
        return [
            MeasuredSitting(a_header(MODEL, lap=lap, variant=variant, options=told), a_round(0, latency_s))
            for lap, latency_s in enumerate(latencies_s, 1)
        ]

    quiet, loud = (1.0, 1.001, 0.999), (1.0, 1.5, 0.7)
    cell = Cell(MODEL, "a", "cpu", 5, 2)
    alone = estimates(sittings("a", quiet))[cell].fitted.components.lap_sd
    apart = estimates([*sittings("a", quiet), *sittings("b", loud, runtime="onnx")])
    assert apart[cell].fitted.components.lap_sd == alone
    together = estimates([*sittings("a", quiet), *sittings("b", loud, dtype="bfloat16")])
    assert together[cell].fitted.components == together[replace(cell, variant="b")].fitted.components
    assert together[cell].fitted.components.lap_sd != alone
