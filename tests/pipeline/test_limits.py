"""A cell that does not fit, or counts wrong, is a status with a reason; on CUDA where there is a GPU."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from asrmeter.machine import cuda
from asrmeter.records import cell_record
from asrmeter.records.events import Energy, Memory, Ready
from asrmeter.records.header import RecordHeader
from asrmeter.study import grid, validation
from asrmeter.study.fingerprints import fingerprints_of, measure_options
from helpers.checkouts import Checkout, one_cell
from helpers.made_inputs import sign_model

pytestmark = pytest.mark.pipeline
# Runs a script with less address space than it would like.
WITH_LITTLE_MEMORY = """
import resource, runpy, sys
limit = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
sys.argv.pop(0)
sys.path[0] = "scripts"
runpy.run_path(sys.argv[0], run_name="__main__")
"""
FEW = {"laps": 1, "budget_s": 0.1, "max_passes": 5}


def measured(
    checkout: Checkout,
    folder: Path,
    batch_size: int = 1,
    device: str = "cpu",
    variant: dict[str, Any] | None = None,
    command: tuple[str, ...] = (),
) -> RecordHeader:
    """Measure a cell of whisper-tiny.en by hand; return its header."""
    own = one_cell(devices=[device], batch_sizes=[batch_size], protocol=FEW, variants={"v": variant or {}})
    whole = validation.with_defaults(own, "t.yaml")
    cell = grid.cells(whole)[0]
    output = folder / f"{cell.duration_s}s-b{batch_size}" / "lap1.parquet"
    corpus = checkout.results / "corpus" / "quickstart" / "segments.json"
    model = folder / "model" if (folder / "model").is_dir() else checkout.results / "models" / cell.model
    places = [f"--model-folder={model}", f"--segments={corpus}", f"--output={output}"]
    options = measure_options(whole.as_json(), grid.Sitting(cell, 1), fingerprints_of(whole))
    ran = checkout.step(*command, "scripts/measure.py", *options, *places)
    assert ran.code == 0, ran.output
    return cell_record.read(output)[0]


def test_batch_out_of_memory_is_a_record_and_larger_are_skipped(inputs: Checkout, tmp_path: Path) -> None:
    (tmp_path / "limit.py").write_text(WITH_LITTLE_MEMORY)
    command = (str(tmp_path / "limit.py"), str(5 << 30))
    header = measured(inputs, tmp_path, batch_size=256, command=command)
    assert header.status == "oom", header.reason
    assert "memory" in header.reason
    larger = measured(inputs, tmp_path, batch_size=512)
    assert larger.status == "unsupported"
    assert "larger than the batch of 256 that ran out of memory" in larger.reason


def test_model_with_nan_scores_is_an_error(inputs: Checkout, tmp_path: Path) -> None:
    broken = tmp_path / "model"
    shutil.copytree(inputs.results / "models" / "whisper-tiny.en", broken, copy_function=shutil.copy)
    weights = load_file(broken / "model.safetensors")
    weights["model.decoder.layer_norm.weight"] = np.full_like(weights["model.decoder.layer_norm.weight"], np.nan)
    os.chmod(broken / "model.safetensors", 0o644)
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    sign_model(broken, "whisper", key=json.loads((broken / "provenance.json").read_text())["key"])
    header = measured(inputs, tmp_path)
    assert header.status == "error"
    assert "infinite or not a number" in header.reason


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_cell_on_cuda(inputs: Checkout, tmp_path: Path, dtype: str) -> None:
    header = measured(inputs, tmp_path, device="cuda", variant={"dtype": dtype})
    assert header.status in ("ok", "unconverged"), header.reason
    ready, memory, energy = header.last(Ready), header.last(Memory), header.last(Energy)
    assert ready.gpu_name == torch.cuda.get_device_name() == cuda.first_gpu().name
    assert ready.gpu_uuid == cuda.first_gpu().uuid
    assert memory.peak_device_bytes > ready.model_device_bytes > 50e6
    assert energy.method_gpu in ("nvml_counter", "nvml_power"), energy
    assert all(window["gpu_j"] > 0 for window in energy.windows)
    _, passes = cell_record.read(tmp_path / "5s-b1" / "lap1.parquet")
    timed = [entry for entry in passes if entry["phase"] == "latency"]
    for entry in timed:
        stages = sum(entry[f"{stage}_s"] for stage in ("features", "encoder", "decoder", "text"))
        assert stages == pytest.approx(entry["latency_s"], rel=0.1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
def test_a_batch_that_does_not_fit_onto_the_gpu_is_a_record(inputs: Checkout, tmp_path: Path) -> None:
    # The attention scores of a layer and their softmax take 4 bytes for each pair of 1500 frames in each of 6 heads.
    if torch.cuda.get_device_properties(0).total_memory > 2 * 1024 * 6 * 1500**2 * 4:
        pytest.skip("this GPU has room for the largest batch that a study may have")
    header = measured(inputs, tmp_path, batch_size=1024, device="cuda", variant={"attention": "eager"})
    assert header.status == "oom", header.reason
    assert "CUDA out of memory" in header.reason
