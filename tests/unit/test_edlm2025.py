"""The 2025 study's tables beside ours: every published row is there, with figures of ours or the reason for none."""

import csv
from typing import Any

import pytest

from asrmeter.analysis import edlm2025
from asrmeter.study.edlm2025 import MODELS


def a_cell(model: str, device: str, batch_size: int, **changes: Any) -> dict[str, Any]:
    values = {"latency_s_median": 2.0, "samples_per_s": batch_size / 2.0, "energy_j_per_sample": 30.0, "wer": 0.1}
    values |= {"status": "ok", "disturbed": False}
    place = {"model": model, "variant": "fp32", "device": device, "duration_s": 5, "batch_size": batch_size}
    return place | values | changes


CELLS = [
    a_cell("whisper-tiny", "cpu", 1),
    a_cell("whisper-tiny", "cpu", 16, latency_s_median=16.0, samples_per_s=1.0, energy_j_per_sample=15.0),
    a_cell("whisper-tiny", "cuda", 1, latency_s_median=0.1, samples_per_s=10.0, energy_j_per_sample=3.0),
    a_cell("whisper-tiny", "cuda", 4, latency_s_median=0.2, samples_per_s=20.0, energy_j_per_sample=1.5),
    a_cell("whisper-tiny", "cuda", 1, variant="fp16", latency_s_median=0.001),
]


def found(cells: Any = CELLS, flops: Any = (), operators: Any = ()) -> dict[tuple[str, str, str, str], dict[str, Any]]:
    rows = list(edlm2025.rows(edlm2025.Run(cells, flops, operators)))
    assert all(set(row) == set(edlm2025.EDLM2025.names) for row in rows)
    return {(row["table"], row["model"], row["device"], row["metric"]): row for row in rows}


def test_every_published_row_is_there_with_its_range() -> None:
    with open(edlm2025.PUBLISHED, encoding="utf-8") as stream:
        published = list(csv.DictReader(stream))
    rows = found(cells=[])
    assert len(rows) == len(published) > 50
    assert all(row["measured_low"] is None and row["note"] for row in rows.values())
    tiny = rows["latency", "whisper-tiny", "cpu", "latency_per_sample"]
    assert (tiny["published_low"], tiny["published_high"], tiny["unit"]) == (489, 1046, "ms")
    assert {row["model"] for row in rows.values() if row["table"] == "latency"} == set(MODELS)


def test_ranges_are_over_durations_and_batches_of_the_baseline() -> None:
    rows = found()
    latency = rows["latency", "whisper-tiny", "cpu", "latency_per_sample"]
    assert (latency["measured_low"], latency["measured_high"], latency["n"], latency["note"]) == (1000, 2000, 2, None)
    speedup = rows["speedup", "whisper-tiny", "cuda/cpu", "speedup"]
    assert (speedup["measured_low"], speedup["measured_high"], speedup["n"]) == (20, 20, 1)
    saving = rows["energy_saving", "whisper-tiny", "cuda/cpu", "saving"]
    assert saving["measured_low"] == 10
    assert rows["throughput", "whisper-tiny", "cuda", "max_samples_per_s"]["measured_high"] == 20
    assert rows["wer", "whisper-tiny", None, "wer"]["measured_low"] == 0.1
    assert rows["speedup", "whisper-base", "cuda/cpu", "speedup"]["note"] == "needs the CPU and a GPU"


def test_failed_and_disturbed_are_left_out_other_variant_named() -> None:
    bad = [CELLS[0] | {"status": "timeout"}, CELLS[1] | {"disturbed": True}]
    assert found(cells=bad)["latency", "whisper-tiny", "cpu", "latency_per_sample"]["n"] == 0
    half = [cell | {"variant": "bf16"} for cell in CELLS[:2]]
    assert found(cells=half)["latency", "whisper-tiny", "cpu", "latency_per_sample"]["note"] == "variant bf16"


def test_a_study_without_batch_1_has_its_own_steps() -> None:
    theirs = {"model": "whisper-tiny", "is_studied": False, "batch_size": 1, "duration_s": 5, "n_windows": 1}
    theirs |= {"encoder_gflop": 36.937728, "decoder_gflop_per_step": None, "edlm2025_encoder": 23.1552}
    theirs |= {"edlm2025_decoder_gflop_per_step": 0.014156, "decoder_mac_per_token": 1, "decoder_mac_per_position": 1}
    own = theirs | {
        "is_studied": True,
        "batch_size": 4,
        "encoder_gflop": 4 * 36.937728,
        "decoder_gflop_per_step": 0.264,
    }
    rows = found(flops=[own, theirs])
    assert rows["flops", "whisper-tiny", None, "encoder_gflops"]["measured_low"] == pytest.approx(36.937728)
    step = rows["flops", "whisper-tiny", None, "decoder_gflops_per_step"]
    assert (step["measured_low"], step["note"]) == (pytest.approx(0.066), None)


def test_batching_says_which_batch_it_took() -> None:
    rows = found()
    cpu = rows["batching", "all", "cpu", "batch16_over_batch1"]
    assert (cpu["measured_high"], cpu["note"]) == (2.0, None)
    cuda = rows["batching", "whisper-tiny", "cuda", "batch16_over_batch1"]
    assert (cuda["measured_high"], cuda["note"]) == (2.0, "batch 4 over 1, not 16")
    assert rows["energy_batching", "all", "cuda", "energy_saving_by_batching"]["measured_high"] == 2.0


def test_operations_come_as_they_are_and_by_the_studys_formula() -> None:
    counted = {
        "model": "whisper-tiny",
        "is_studied": False,
        "batch_size": 1,
        "duration_s": 60,
        "n_windows": 2,
        "encoder_gflop": 73.875456,
    }
    counted |= {"edlm2025_encoder": 23.1552, "edlm2025_decoder_gflop_per_step": 0.014156}
    counted |= {"decoder_gflop_per_step": None, "decoder_mac_per_token": 32_781_696, "decoder_mac_per_position": 3072}
    longer = counted | {"duration_s": 120, "encoder_gflop": 150.0}
    rows = found(flops=[counted, longer])
    encoder = rows["flops", "whisper-tiny", None, "encoder_gflops"]
    assert (encoder["measured_low"], encoder["reproduced_low"]) == (36.937728, 23.1552)
    assert round(encoder["reproduced_low"], 1) == encoder["published_low"]
    step = rows["flops", "whisper-tiny", None, "decoder_gflops_per_step"]
    assert step["measured_low"] == pytest.approx(0.06557568)
    assert "the first step" in step["note"]
    assert rows["flops", "whisper-base", None, "encoder_gflops"]["note"] == "not counted"


def test_operators_are_those_of_a_gpu() -> None:
    place = {"model": "whisper-tiny", "variant": "fp32", "duration_s": 5, "batch_size": 1, "repeat": 1}
    parts = [
        place | {"device": "cuda", "group": group, "cuda_share": share, "cpu_share": 0.0}
        for group, share in (("matmul", 0.3), ("matmul", 0.2), ("attention", 0.5))
    ]
    row = found(operators=parts)["operators", "whisper", "cuda", "addmm_share"]
    assert (row["measured_low"], row["measured_high"], row["n"]) == (50, 50, 1)
    other = [part | {"variant": "fp16", "group": "attention", "cuda_share": 1.0} for part in parts]
    assert found(operators=[*parts, *other])["operators", "whisper", "cuda", "attention_share"]["measured_high"] == 50
    on_cpu = [part | {"device": "cpu"} for part in parts]
    assert found(operators=on_cpu)["operators", "whisper", "cuda", "addmm_share"]["note"] == "no profile on a GPU"
