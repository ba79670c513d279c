"""Profiles of ONNX Runtime and OpenVINO by node: what each took adds up to the pass, by the same stages and groups."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import torch

import profile_operators
from asrmeter.common.vocabulary import PROFILE_STAGES
from asrmeter.measure.node_attribution import attribute, group_of
from asrmeter.measure.operator_attribution import BETWEEN
from asrmeter.measure.spec import NodeProfileSpec, Start
from asrmeter.measure.tasks.node_profile import NodeProfile
from asrmeter.models.convert import convert
from asrmeter.records import events
from asrmeter.records.operator_rows import OPERATORS
from asrmeter.runtimes.base import Conversion, NodeTime
from helpers.made_inputs import sign_corpus, sign_model
from helpers.model_folders import ctc_folder, whisper_folder

ENGINES = ("onnxruntime", "openvino")
N_LAYERS = 2


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models")
    sizes = {"d_model": 64, "encoder_ffn_dim": 128, "decoder_ffn_dim": 128, "decoder_layers": N_LAYERS}
    found = {
        "whisper": whisper_folder(folder / "whisper", **sizes),
        "ctc": ctc_folder(folder / "ctc", "wav2vec2", False),
    }
    for i in range(2):
        noise = np.random.default_rng(i).uniform(-0.5, 0.5, 5 * 16_000).astype(np.float32)
        soundfile.write(folder / f"{i}.flac", noise, 16_000)
    for family, model in found.items():
        sign_model(model, family)
        for engine in ENGINES:
            conversion = Conversion(f"{engine}-float32", {"format": "float32"})
            assert convert(model, engine, conversion, folder / f"{engine}-{family}") is None
    return found


def specify(model: Path, engine: str, family: str) -> NodeProfileSpec:
    segments = [
        {
            "segment_id": str(i),
            "audio_s": 5.0,
            "text": "w1 w2 w3",
            "language_told": "en",
            "file": str(model.parent / f"{i}.flac"),
        }
        for i in range(2)
    ]
    return NodeProfileSpec(
        **{"model": "m", "weights": "pretrained", "variant": "v", "device": "cpu", "duration_s": 5, "batch_size": 2},
        **{"threads": 1, "family": family, "model_folder": str(model), "seed": 1, "protocol": 2, "trace_file": ""},
        converted_folder=str(model.parent / f"{engine}-{family}"),
        options={"runtime": engine, "format": "float32"},
        **{"segments": segments, "batches": [["0", "1"]]},
    )


def profile(spec: NodeProfileSpec) -> events.Profile:
    told: list[events.Event] = []
    NodeProfile(spec, Start(), told.append).run()
    (found,) = (event for event in told if isinstance(event, events.Profile))
    return found


@pytest.mark.parametrize("engine", ENGINES)
def test_a_whisper_pass_is_its_nodes_and_the_time_between(models: dict[str, Path], engine: str) -> None:
    found = profile(specify(models["whisper"], engine, "whisper"))
    assert sum(row["cpu_self_s"] for row in found.rows) == pytest.approx(found.pass_s, rel=0.05)
    assert 0.95 < found.covered < 1.05 and found.plain_pass_s > 0
    assert {row["stage"] for row in found.rows} == {*PROFILE_STAGES}
    assert {row["cuda_self_s"] for row in found.rows} == {None}
    calls: dict[tuple[str, str], int] = {}
    for row in found.rows:
        key = row["stage"], row["group"]
        calls[key] = calls.get(key, 0) + (row["n_calls"] or 0)
    runs = calls["output_layer", "matmul"]
    # Projections: of queries, keys, values and what comes out; the encoder has two of cross-attention.
    assert calls["decoder_self_attention", "matmul"] == 4 * N_LAYERS * runs
    assert calls["decoder_cross_attention", "matmul"] == 2 * N_LAYERS * runs
    assert calls["decoder_feed_forward", "matmul"] == 2 * N_LAYERS * runs
    # OpenVINO tells nothing of nodes that take less than a microsecond, as these may in so small a model.
    most, least = N_LAYERS * runs, N_LAYERS * runs if engine == "onnxruntime" else 0
    assert least <= calls.get(("decoder_feed_forward", "normalisation"), 0) <= most
    for stage in ("decoder_self_attention", "decoder_cross_attention", "encoder"):
        assert calls[stage, "attention"] > 0
    assert calls["encoder", "convolution"] == 2
    by_hand = [row for row in found.rows if row["stage"] == "features"]
    assert [(row["operator"], row["n_calls"]) for row in by_hand] == [(BETWEEN, None)]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_ctc_pass_has_no_decoder(models: dict[str, Path], engine: str) -> None:
    found = profile(specify(models["ctc"], engine, "ctc"))
    assert {row["stage"] for row in found.rows} == {"features", "encoder", "output_layer", "text"}
    groups = {row["group"] for row in found.rows if row["stage"] == "encoder"}
    assert {"convolution", "matmul", "attention", "normalisation", "activation", "python"} <= groups | {"activation"}
    assert 0.95 < found.covered < 1.05


def test_nodes_without_a_place_belong_to_their_neighbours() -> None:
    def node(name: str, operator: str) -> NodeTime:
        return NodeTime("decoder", name, operator, 1.0)

    rows = attribute(
        [
            node("/model/preprocessing/Gather", "Gather"),
            node("/model/layers.0/attn/o_proj/MatMul", "MatMul"),
            node("SkipLayerNormalization", "SkipLayerNormalization"),
            node("/model/layers.0/cross_attn/q_proj/MatMul", "MatMul"),
            node("/model/layers.0/mlp/fc1/MatMul", "MatMul"),
            node("BiasGelu", "BiasGelu"),
        ],
        {"features": 0.5, "encoder": None, "decoder": 7.0, "text": 0.25},
    )
    assert {(row["stage"], row["group"], row["operator"]): row["cpu_self_s"] for row in rows} == {
        ("decoder_other", "memory", "Gather"): 1,
        ("decoder_self_attention", "matmul", "MatMul"): 1,
        ("decoder_cross_attention", "normalisation", "SkipLayerNormalization"): 1,
        ("decoder_cross_attention", "matmul", "MatMul"): 1,
        ("decoder_feed_forward", "matmul", "MatMul"): 1,
        ("decoder_feed_forward", "activation", "BiasGelu"): 1,
        ("decoder_other", "python", BETWEEN): 1,
        ("features", "python", BETWEEN): 0.5,
        ("text", "python", BETWEEN): 0.25,
    }


@pytest.mark.parametrize(
    ("operator", "scope", "group"),
    [
        ("MatMul", "/wav2vec2/encoder/layers.0/attention", "attention"),
        ("MatMul", "/wav2vec2/encoder/layers.0/attention/q_proj", "matmul"),
        ("FullyConnected", "__module.layers.0.self_attn", "matmul"),
        ("Subgraph", "__module._encoder.layers.0.self_attn", "attention"),
        ("Subgraph", "__module.layer_norm", "other"),
        ("MatMulNBits", "/lm_head", "matmul"),
        ("DynamicQuantizeMatMul", "/lm_head", "matmul"),
        ("DynamicQuantizeLinear", "", "memory"),
        ("Convert", "", "memory"),
        ("GroupConvolution", "", "convolution"),
        ("Add", "", "other"),
    ],
)
def test_groups_of_nodes(operator: str, scope: str, group: str) -> None:
    assert group_of(operator, scope) == group


@pytest.mark.parametrize(("device", "status"), [("cpu", "ok"), ("cuda", "unsupported")])
def test_a_cell_of_an_engine_is_profiled_and_written(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, status: str
) -> None:
    monkeypatch.setenv("ASRMETER_LOCK", str(tmp_path / "lock"))
    monkeypatch.setenv("ASRMETER_FORK_SERVER", "0")
    model = models["ctc"]
    spec = specify(model, "openvino", "ctc")
    sign_corpus(model.parent, [{**row, "path": Path(row["file"]).name, "duration_s": 5} for row in spec.segments])
    values = {
        **{"model": "m", "model-folder": model, "segments": model.parent / "segments.json", "variant": "v"},
        "variant-options": json.dumps(spec.options),
        "converted-folder": spec.converted_folder,
        **{"device": device, "duration-s": 5, "batch-size": 2, "threads": 1, "seed": 1, "protocol": '{"version": 2}'},
        **{"output": tmp_path / "v.parquet", "trace": tmp_path / "v.trace.json.gz"},
    }
    profile_operators.main([f"--{name}={value}" for name, value in values.items()])
    table = pq.read_table(tmp_path / "v.parquet")
    assert table.schema == OPERATORS
    rows: list[dict[str, Any]] = table.to_pylist()
    assert {row["status"] for row in rows} == {status}
    # An engine tells how long its nodes took, not when.
    assert {row["trace"] for row in rows} == {None}
    with gzip.open(tmp_path / "v.trace.json.gz") as stream:
        assert json.load(stream)["traceEvents"] == []
    if status == "ok":
        assert sum(row["cpu_share"] for row in rows) == pytest.approx(1, abs=0.05)
    else:
        assert rows[0]["reason"] == "openvino does not report the time of its operators on a GPU"
