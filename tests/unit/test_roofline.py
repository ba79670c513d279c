"""What holds a cell back follows from its work, its time and what its machine can do."""

from typing import Any

import pytest

from asrmeter.analysis import batch_scaling, roofline
from asrmeter.records.machine_peaks import PEAK_RATES

GIGA = 1e9


def a_ceiling(**changes: Any) -> dict[str, Any]:
    row = dict.fromkeys(PEAK_RATES.names) | {"machine_id": "m", "device": "cpu", "threads": 2, "status": "ok"}
    return row | changes


# 100 GFLOP/s, 10 GB/s.
CEILING_ROWS = [
    a_ceiling(kind="matmul", dtype="float32", flop_per_s=100 * GIGA),
    a_ceiling(kind="copy", working_set_bytes=2**20, bytes_per_s=10 * GIGA),
    a_ceiling(kind="read", working_set_bytes=2**30, bytes_per_s=10 * GIGA),
]
FLOPS: dict[str, Any] = {
    "model": "w",
    "is_studied": True,
    "duration_s": 5,
    "batch_size": 1,
    "encoder_parameters": 10_000_000,
    "encoder_elements_per_window": 1_000_000,
    "decoder_parameters": 50_000_000,
    "kv_elements_per_position": 2_000,
    "cross_positions": 1_500,
}


def a_cell(**changes: Any) -> dict[str, Any]:
    """40 GFLOP of encoder, 4 of decoder in 10 runs that read 0.2 GB each: 0.4 s and 0.2 s at the ceilings."""
    cell = {
        **{"model": "w", "has_decoder": True, "weights": "random", "variant": "fp32", "device": "cpu"},
        **{"duration_s": 5, "batch_size": 1, "machine_id": "m", "threads": 2, "latency_s_median": 1.0},
        **{"encoder_s_median": 0.5, "decoder_s_median": 0.4, "encoder_gflop": 40.0, "decoder_gflop": 4.0},
        **{"n_windows_mean": 1.0, "encoder_padding_share": 0.0, "decoder_padding_share": 0.0, "gflop_note": None},
        **{"n_decoder_runs_mean": 10.0, "n_decoder_rows_mean": 10.0, "n_decoder_positions_mean": 100.0},
        **{"samples_per_s": 1.0, "energy_j_per_sample": 8.0, "noise_floor": 0.01, "status": "ok", "reason": None},
        **{"disturbed": False, "disturbance": None, "device_name": "CPU", "laps": "1 2"},
        **dict.fromkeys(("latency_s_ci_low", "latency_s_ci_high", "latency_own_se", "latency_own_df")),
    }
    return cell | changes


def judged(*cells: dict[str, Any], ceilings: Any = CEILING_ROWS) -> dict[str, dict[str, Any]]:
    flops = [FLOPS | {"batch_size": cell["batch_size"]} for cell in cells]
    found = roofline.rows(cells, flops, ceilings, {"fp32": "float32"})
    return {row["stage"]: dict.fromkeys(roofline.ROOFLINE.names) | dict(row) for row in found}


def test_a_stage_is_bound_by_what_takes_longer() -> None:
    found = judged(a_cell())
    encoder, decoder = found["encoder"], found["decoder"]
    assert encoder["compute_share"] == pytest.approx(0.4 / 0.5)
    assert encoder["min_traffic_bytes"] == 4 * (10_000_000 + 1_000_000)
    assert encoder["memory_share"] == pytest.approx(4 * 11e6 / (10 * GIGA) / 0.5)
    assert encoder["flop_per_byte"] == pytest.approx(40e9 / 44e6)
    assert encoder["bound"] == "compute"
    # Weights ten times; keys and values of 1500 positions of the encoder's output ten times, of the others once each.
    min_traffic_bytes = 4 * (10 * 50_000_000 + (10 * 1500 + 100) * 2_000)
    assert decoder["min_traffic_bytes"] == min_traffic_bytes
    assert decoder["memory_share"] == pytest.approx(min_traffic_bytes / (10 * GIGA) / 0.4)
    assert decoder["bound"] == "memory"


def test_the_pass_is_split_into_what_its_time_was_spent_on() -> None:
    found = judged(a_cell())["pass"]
    assert sum(found[f"{loss}_time_share"] for loss in roofline.LOSSES) == pytest.approx(1)
    assert found["compute_time_share"] == pytest.approx(0.5)
    assert found["memory_time_share"] == pytest.approx(0.4)
    assert found["overhead_time_share"] == pytest.approx(0.1)
    assert found["padding_time_share"] == 0
    assert (found["gflop"], found["gflop_per_s"], found["bound"]) == (44.0, 44.0, "compute")


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "compute"),
        ({"encoder_padding_share": 0.83}, "padding"),
        ({"decoder_s_median": 2.4, "latency_s_median": 3.0}, "overhead"),
        (
            {"encoder_gflop": 4.0, "encoder_s_median": 0.05, "decoder_s_median": 0.25, "latency_s_median": 0.31},
            "memory",
        ),
        ({"latency_s_median": 2.0}, "overhead"),
        ({"encoder_s_median": 1.3, "latency_s_median": 1.8}, "overhead"),
    ],
)
def test_the_largest_share_of_the_time_is_the_verdict(changes: dict[str, Any], verdict: str) -> None:
    assert judged(a_cell(**changes))["pass"]["bound"] == verdict


def test_waiting_rows_are_decoder_padding_shared_weights_are_not() -> None:
    two = {"batch_size": 2, "n_decoder_rows_mean": 20.0, "n_decoder_positions_mean": 200.0}
    found = judged(a_cell(decoder_padding_share=0.5, **two))
    weights, caches = 10 * 50_000_000, (20 * 1500 + 200) * 2_000
    assert found["decoder"]["padding_time_share"] == pytest.approx(0.5 * caches / (weights + caches))
    assert found["pass"]["padding_time_share"] == pytest.approx(found["decoder"]["padding_time_share"] * 0.4)
    # Where arithmetic takes longer, each row takes its own.
    found = judged(a_cell(decoder_padding_share=0.5, decoder_gflop=38.0, **two))
    assert (found["decoder"]["padding_time_share"], found["decoder"]["compute_time_share"]) == (0.5, 0.5)


def test_what_long_form_waits_for_is_not_known_and_said() -> None:
    assert judged(a_cell(decoder_padding_share=None))["pass"]["note"] is None  # alone, nothing waits
    found = judged(a_cell(decoder_padding_share=None, batch_size=2))
    assert "not known in long form" in found["decoder"]["note"] and "not known" in found["pass"]["note"]
    assert found["pass"]["bound"] == "compute"


def test_a_disturbed_cell_keeps_its_figures_and_has_no_verdict() -> None:
    found = judged(a_cell(disturbed=True, disturbance="others were busy"))
    for row in found.values():
        assert (row["bound"], row["overhead_time_share"], row["note"]) == (None, None, "disturbed: others were busy")
    assert found["pass"]["gflop_per_s"] == 44.0


@pytest.mark.parametrize("status", ["timeout", "oom", "killed", "error"])
def test_a_cell_that_failed_is_not_judged_by_what_it_had_done(status: str) -> None:
    assert judged(a_cell(status=status)) == {}
    assert list(batch_scaling.rows([a_cell(status=status)], [])) == []


def test_without_a_decoder_the_head_belongs_to_the_encoder() -> None:
    nothing = dict.fromkeys(("decoder_gflop", "decoder_padding_share", "n_decoder_runs_mean"))
    found = judged(a_cell(has_decoder=False, **nothing))
    assert set(found) == {"encoder", "pass"}
    assert found["encoder"]["seconds"] == 0.9
    assert found["pass"]["bound"] == "compute"


def test_nothing_is_above_a_ceiling() -> None:
    found = judged(a_cell(encoder_s_median=0.39))
    for stage in ("encoder", "pass"):
        assert found[stage]["compute_share"] is found[stage]["bound"] is None
        assert "faster than its ceilings" in found[stage]["note"]
    assert found["encoder"]["gflop_per_s"] == pytest.approx(40 / 0.39)


def test_ceilings_are_those_of_the_machine_and_dtype() -> None:
    others = [row | {"machine_id": "another"} for row in CEILING_ROWS]
    half = [row | ({"dtype": "bfloat16"} if row["kind"] == "matmul" else {}) for row in CEILING_ROWS]
    for ceilings in ([], others, half):
        found = judged(a_cell(), ceilings=ceilings)["pass"]
        assert (found["bound"], found["gflop"]) == (None, 44.0)
        assert "no ceilings were measured" in found["note"]


def test_what_was_not_counted_has_no_verdict_and_a_reason() -> None:
    found = judged(a_cell(decoder_gflop=None, gflop_note="the record does not tell"))
    assert found["pass"]["bound"] is found["decoder"]["gflop"] is None
    assert found["pass"]["note"] == "the record does not tell"
    assert judged(a_cell(latency_s_median=None)) == {}


def scaled(*cells: dict[str, Any], verdicts: Any = ()) -> dict[str, Any]:
    (row,) = batch_scaling.rows(cells, verdicts)
    assert set(row) == set(batch_scaling.SCALING.names)
    return row


def at(batch_size: int, samples_per_s: float | None, **changes: Any) -> dict[str, Any]:
    latency_s = batch_size / samples_per_s if samples_per_s else None
    return a_cell(batch_size=batch_size, samples_per_s=samples_per_s, latency_s_median=latency_s, **changes)


@pytest.mark.parametrize(("changes", "ceilings"), [({"decoder_gflop": None}, CEILING_ROWS), ({}, [])])
def test_scaling_is_given_where_no_bound_is_known(changes: dict[str, Any], ceilings: Any) -> None:
    cell = a_cell(**changes)
    verdicts = list(roofline.rows([cell], [FLOPS], ceilings, {"fp32": "float32"}))
    assert scaled(cell, verdicts=verdicts)["bound"] is None


def test_saturation_is_the_smallest_batch_none_larger_beats() -> None:
    verdict = {"stage": "pass", "batch_size": 4, "bound": "compute", **{n: a_cell()[n] for n in batch_scaling.GROUP}}
    cells = [at(1, 1.0), at(2, 1.8, energy_j_per_sample=5.0), at(4, 3.0, energy_j_per_sample=4.0), at(8, 3.1)]
    row = scaled(*cells, verdicts=[verdict])
    assert (row["saturation_batch"], row["saturated"], row["bound"], row["note"]) == (4, True, "compute", None)
    assert (row["speedup_over_smallest"], row["energy_saving_over_smallest"]) == (pytest.approx(3.0), 2.0)
    assert row["batch_sizes"] == [1, 2, 4, 8]


def test_what_the_noise_hides_is_no_gain() -> None:
    assert scaled(at(1, 1.0, noise_floor=0.2), at(2, 1.15))["saturation_batch"] == 1
    assert scaled(at(1, 1.0), at(2, 1.15))["saturation_batch"] == 2


def test_a_gain_is_judged_within_laps() -> None:
    def interval(samples_per_s: float, own_se: float, batch_size: int) -> dict[str, Any]:
        latency_s = batch_size / samples_per_s
        ends = {"latency_s_ci_low": latency_s / 1.5, "latency_s_ci_high": latency_s * 1.5}
        return at(batch_size, samples_per_s, **ends, latency_own_se=own_se, latency_own_df=50.0)

    row = scaled(interval(1.0, 0.02, 1), interval(1.2, 0.02, 2))
    assert row["saturation_batch"] == 2 and 1.1 < row["speedup_ci_low"] < 1.2 < row["speedup_ci_high"] < 1.3
    assert scaled(interval(1.0, 0.1, 1), interval(1.2, 0.1, 2))["saturation_batch"] == 1
    apart = scaled(interval(1.0, 0.02, 1), interval(1.2, 0.02, 2) | {"laps": "2"})
    assert apart["saturation_batch"] == 1


def test_where_nothing_larger_was_measured_it_says_why() -> None:
    assert scaled(at(1, 1.0), at(2, 2.0))["note"] == "no larger batch was measured"
    assert scaled(at(1, 1.0))["note"] == "only one batch size was measured"
    failed = at(4, None, status="oom", reason="MemoryError")
    row = scaled(at(1, 1.0), at(2, 2.0), failed)
    assert (row["saturated"], row["note"]) == (False, "batch 4: oom: MemoryError")
    assert list(batch_scaling.rows([failed], [])) == []


def test_a_disturbed_batch_does_not_saturate() -> None:
    row = scaled(at(1, 1.0), at(2, 0.3, disturbed=True))
    assert (row["batch_sizes"], row["saturated"], row["note"]) == ([1], False, "batch 2: disturbed")
    assert scaled(at(1, 1.0), at(2, 0.3, disturbed=True), at(4, 3.0))["saturation_batch"] == 4
