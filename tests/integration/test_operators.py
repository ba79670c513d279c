"""The operators of a pass: what each took adds up to the pass, and nothing else is in the trace."""

import getpass
import gzip
import itertools
import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from torch.profiler import ProfilerActivity, profile

import profile_operators
from asrmeter import runtimes
from asrmeter.common.vocabulary import PROFILE_STAGES
from asrmeter.measure.operator_attribution import BETWEEN, Event, attribute, group_of, range_of
from asrmeter.measure.retries import Attempts
from asrmeter.measure.spec import ProfileSpec, Start
from asrmeter.measure.tasks import profile as profile_task
from asrmeter.measure.tasks import profiled_batch
from asrmeter.records import cell_record, events, operator_rows
from asrmeter.records.operator_rows import OPERATORS
from asrmeter.runtimes.base import Setup, UnsupportedError
from helpers.made_inputs import sign_corpus, sign_model
from helpers.model_folders import ctc_folder, whisper_folder
from helpers.records import header

MAIN, OTHER_THREAD, SYSTEM = 1, 2, 4711
CELL: dict[str, Any] = {
    **{"model": "m", "weights": "random", "variant": "fp32", "device": "cpu", "duration_s": 5, "batch_size": 2},
    "threads": 1,
}


# Events made by hand, in microseconds


def event(name: str, kind: str, start: int, end: int, thread: int = MAIN, **ids: int) -> Event:
    return Event(name, kind, start * 1000, end * 1000, thread, **ids)


def span(name: str, start: int, end: int) -> Event:
    return event(f"asrmeter::{name}", "user_annotation", start, end)


def op(name: str, start: int, end: int, correlation: int = 0, thread: int = MAIN) -> Event:
    return event(f"aten::{name}", "cpu_op", start, end, thread, correlation=correlation or start + 1000)


def call(name: str, start: int, end: int, correlation: int, linked: int = 0) -> Event:
    return event(name, "cuda_runtime", start, end, SYSTEM, correlation=correlation, linked=linked)


def on_device(name: str, start: int, end: int, correlation: int, linked: int = 0, stream: int = 7) -> Event:
    kind = {"Memcpy": "gpu_memcpy", "Memset": "gpu_memset"}.get(name.split()[0], "kernel")
    return event(name, kind, start, end, stream, correlation=correlation, linked=linked)


def spent(rows: list[dict[str, Any]], time: str = "cpu_self_s") -> dict[tuple[str, str, str], int]:
    """Microseconds by stage, group and operator without "aten::", of rows that took any."""
    us = {(row["stage"], row["group"], row["operator"].removeprefix("aten::")): round(row[time] * 1e6) for row in rows}
    return {key: value for key, value in us.items() if value}


def test_own_time_is_without_what_is_nested() -> None:
    events = [
        span("encoder", 0, 100),
        op("linear", 10, 60),
        op("t", 12, 17),
        op("transpose", 13, 15),
        op("addmm", 20, 58),
        op("gelu", 60, 70),
        op("gelu", 80, 85),
    ]
    rows, busy_s = attribute(events)
    assert spent(rows) == {
        ("encoder", "matmul", "linear"): 7,
        ("encoder", "memory", "t"): 3,
        ("encoder", "memory", "transpose"): 2,
        ("encoder", "matmul", "addmm"): 38,
        ("encoder", "activation", "gelu"): 15,
        ("encoder", "python", BETWEEN): 35,
    }
    assert {row["operator"]: row["n_calls"] for row in rows}["aten::gelu"] == 2
    assert {row["operator"]: row["n_calls"] for row in rows}[BETWEEN] is None
    assert busy_s is None and {row["cuda_self_s"] for row in rows} == {None}


def test_attribute_modules_are_stages_in_any_event_order() -> None:
    events = [
        span("features", 0, 10),
        op("stft", 2, 8),
        span("decoder_other", 10, 100),
        op("embedding", 12, 15),
        span("decoder_self_attention::attention", 20, 60),
        op("addmm", 20, 30),
        op("bmm", 30, 40),
        op("mul", 40, 45),
        op("copy_", 45, 50),
        span("decoder_feed_forward", 70, 80),
        op("addmm", 70, 80),
        op("bmm", 85, 90),
        op("add", 90, 95),
    ]
    expected = {
        ("features", "other", "stft"): 6,
        ("features", "python", BETWEEN): 4,
        ("decoder_other", "memory", "embedding"): 3,
        ("decoder_other", "matmul", "bmm"): 5,
        ("decoder_other", "other", "add"): 5,
        ("decoder_other", "python", BETWEEN): 27,
        ("decoder_self_attention", "matmul", "addmm"): 10,
        ("decoder_self_attention", "attention", "bmm"): 10,
        ("decoder_self_attention", "attention", "mul"): 5,
        ("decoder_self_attention", "memory", "copy_"): 5,
        ("decoder_self_attention", "python", BETWEEN): 10,
        ("decoder_feed_forward", "matmul", "addmm"): 10,
    }
    assert sum(expected.values()) == 100
    assert spent(attribute(events)[0]) == expected
    assert spent(attribute(events[::-1])[0]) == expected


def test_attribute_excludes_other_threads_and_times() -> None:
    events = [
        op("zeros", 0, 5),
        span("encoder", 10, 50),
        op("addmm", 10, 40),
        op("gelu", 15, 35, thread=OTHER_THREAD),
        op("gelu", 55, 60),
    ]
    assert spent(attribute(events)[0]) == {("encoder", "matmul", "addmm"): 30, ("encoder", "python", BETWEEN): 10}


GPU = [
    span("encoder", 0, 100),
    op("linear", 0, 40, correlation=1),
    op("addmm", 10, 40, correlation=2),
    call("cudaLaunchKernel", 20, 30, correlation=50, linked=2),
    on_device("gemm<float>", 30, 80, correlation=50, linked=2),
    op("zero_", 45, 60, correlation=3),
    call("cudaMemsetAsync", 50, 55, correlation=51, linked=3),
    on_device("Memset (Device)", 80, 85, correlation=51, linked=3),
    op("copy_", 60, 70, correlation=4),
    call("cudaMemcpyAsync", 62, 66, correlation=52, linked=4),
    on_device("Memcpy HtoD (Pageable -> Device)", 85, 90, correlation=52, linked=4),
    # Ranges come again on the device, and what the profiler itself does is an event.
    event("asrmeter::encoder", "gpu_user_annotation", 30, 90, 7),
    event("Buffer Request", "overhead", 0, 100, SYSTEM),
    span("decoder_other", 100, 200),
    op("item", 100, 180, correlation=5),
    op("_local_scalar_dense", 105, 180, correlation=6),
    call("cudaMemcpyAsync", 110, 150, correlation=53, linked=6),
    on_device("Memcpy DtoH (Device -> Pageable)", 140, 148, correlation=53, linked=6),
    call("cudaStreamSynchronize", 150, 181, correlation=54, linked=6),  # clocks are a little apart
    op("copy_", 182, 190, correlation=7),
    call("cudaMemcpyAsync", 183, 188, correlation=55, linked=7),
    on_device("Memcpy DtoH (Device -> Pinned)", 185, 187, correlation=55, linked=7),
    call("cudaDeviceSynchronize", 190, 199, correlation=56),
]


@pytest.mark.parametrize(
    ("name", "kind"), [("cudaStreamSynchronize_v3020", "cuda_runtime"), ("cuStreamSynchronize_ptsz", "cuda_driver")]
)
def test_waiting_by_another_name_is_waiting(name: str, kind: str) -> None:
    waited = [
        span("encoder", 0, 100),
        op("item", 0, 80, correlation=5),
        event(name, kind, 10, 60, SYSTEM, correlation=9, linked=5),
    ]
    assert spent(attribute(waited)[0])["encoder", "synchronisation", name] == 50


def test_attribute_waiting_is_apart_launch_is_operators() -> None:
    times = spent(attribute(GPU)[0])
    assert sum(times.values()) == 200
    assert times == {
        ("encoder", "matmul", "linear"): 10,
        ("encoder", "matmul", "addmm"): 30,
        ("encoder", "memory", "zero_"): 15,
        ("encoder", "memory", "copy_"): 10,
        ("encoder", "python", BETWEEN): 35,
        ("decoder_other", "memory", "item"): 5,
        ("decoder_other", "memory", "_local_scalar_dense"): 5,
        ("decoder_other", "synchronisation", "cudaMemcpyAsync"): 40,
        ("decoder_other", "synchronisation", "cudaStreamSynchronize"): 30,
        ("decoder_other", "memory", "copy_"): 8,
        ("decoder_other", "synchronisation", "cudaDeviceSynchronize"): 9,
        ("decoder_other", "python", BETWEEN): 3,
    }


def test_attribute_kernels_go_to_their_launcher() -> None:
    rows, busy_s = attribute(GPU)
    assert spent(rows, "cuda_self_s") == {
        ("encoder", "matmul", "addmm"): 50,
        ("encoder", "memory", "zero_"): 5,
        ("encoder", "memory", "copy_"): 5,
        ("decoder_other", "memory", "_local_scalar_dense"): 8,
        ("decoder_other", "memory", "copy_"): 2,
    }
    assert busy_s == pytest.approx(70e-6)


def test_attribute_overlapping_and_orphaned_kernels() -> None:
    events = [
        *(span("encoder", 0, 50), op("addmm", 0, 5, correlation=2)),
        *(span("text", 50, 100), op("sum", 55, 60, correlation=3, thread=OTHER_THREAD)),
        on_device("gemm", 10, 40, correlation=50, linked=2),
        on_device("gemm", 20, 45, correlation=51, linked=2, stream=8),
        on_device("gemm", 25, 30, correlation=52, linked=2, stream=9),
        on_device("flash_attention", 45, 48, correlation=53),
        on_device("reduce", 70, 80, correlation=54, linked=3),
    ]
    rows, busy_s = attribute(events)
    assert spent(rows, "cuda_self_s") == {
        ("encoder", "matmul", "addmm"): 35,
        ("encoder", "attention", "flash_attention"): 3,
        ("text", "other", "sum"): 10,
    }
    assert busy_s == pytest.approx(48e-6)
    assert sum(row["cpu_self_s"] for row in rows) == pytest.approx(100e-6)


# Groups and modules


@pytest.mark.parametrize(
    ("group", "names"),
    [
        ("matmul", "mm addmm bmm baddbmm linear matmul mv addmv _addmm_activation mkldnn_linear einsum _scaled_mm"),
        (
            "attention",
            "scaled_dot_product_attention _scaled_dot_product_flash_attention_for_cpu _flash_attention_forward",
        ),
        ("attention", "_efficient_attention_forward _scaled_dot_product_cudnn_attention"),
        ("convolution", "conv1d convolution _convolution mkldnn_convolution cudnn_convolution thnn_conv2d"),
        ("normalisation", "layer_norm native_layer_norm group_norm native_group_norm _weight_norm_interface"),
        ("activation", "gelu relu silu tanh sigmoid _softmax log_softmax glu leaky_relu"),
        ("memory", "empty empty_strided zeros full fill_ zero_ resize_ copy_ _to_copy to clone contiguous cat stack"),
        ("memory", "index index_select index_copy_ gather masked_fill_ embedding where view _unsafe_view reshape t"),
        ("memory", "transpose as_strided slice select unsqueeze expand constant_pad_nd item _local_scalar_dense"),
        ("synchronisation", "cudaStreamSynchronize cudaDeviceSynchronize cudaEventSynchronize cudaMemcpyAsync"),
        ("synchronisation", "cudaStreamSynchronize_ptsz cuCtxSynchronize cuStreamSynchronize"),
        ("other", "add mul sort isin arange argmax normal_ _fft_r2c cumsum topk dropout"),
    ],
)
def test_groups(group: str, names: str) -> None:
    assert {name: group_of(name, False) for name in names.split()} == dict.fromkeys(names.split(), group)


def test_attention_written_out_is_attention() -> None:
    names = ("bmm", "baddbmm", "_softmax", "mul", "add", "scaled_dot_product_attention")
    assert {group_of(name, True) for name in names} == {"attention"}
    assert [group_of(name, True) for name in ("addmm", "linear", "copy_", "view")] == ["matmul"] * 2 + ["memory"] * 2


@pytest.mark.parametrize(
    ("path", "kind", "name"),
    [
        ("model.decoder.layers.0.self_attn", "WhisperAttention", "decoder_self_attention::attention"),
        ("model.decoder.layers.11.encoder_attn", "WhisperAttention", "decoder_cross_attention::attention"),
        ("model.decoder.layers.0.encoder_attn_layer_norm", "LayerNorm", "decoder_cross_attention"),
        ("model.decoder.layers.0.fc1", "Linear", "decoder_feed_forward"),
        ("model.decoder.layers.0.self_attn.q_proj", "Linear", None),
        ("model.decoder.layer_norm", "LayerNorm", None),
        ("model.encoder.layers.0.self_attn", "WhisperAttention", "encoder::attention"),
        ("model.encoder.layers.0.fc1", "Linear", None),
        ("wav2vec2.encoder.layers.0.attention", "Wav2Vec2Attention", "encoder::attention"),
    ],
)
def test_modules_with_a_range(path: str, kind: str, name: str | None) -> None:
    assert range_of(path, kind) == name


# Real profiles of small models


def specify(folder: Path, family: str, attention: str = "sdpa", device: str = "cpu") -> ProfileSpec:
    """Return the spec of a cell; its corpus is two segments of noise, long enough for a pass of about 0.1 s."""
    seconds = 30 if family == "ctc" else 5
    segments = []
    for i in range(2):
        file = folder.parent / f"{i}.flac"
        soundfile.write(file, np.random.default_rng(i).uniform(-0.5, 0.5, seconds * 16_000).astype(np.float32), 16_000)
        segments.append(
            {
                "segment_id": str(i),
                "audio_s": float(seconds),
                "text": "w1 w2 w3",
                "language_told": "en",
                "file": str(file),
            }
        )
    told = CELL | {"family": family, "weights": "pretrained", "model_folder": str(folder), "device": device}
    return ProfileSpec(
        **told,
        options={"runtime": "transformers", "dtype": "float32", "attention": attention},
        **{"segments": segments, "batches": [["0", "1"]], "seed": 1, "protocol": 2},
        trace_file=str(folder.parent / "trace.json.gz"),
    )


def events_of(spec: ProfileSpec) -> list[events.Event]:
    told: list[events.Event] = []
    threads = torch.get_num_threads()
    try:
        profile_task.CellProfile(spec, Start(), told.append).run()
    finally:
        torch.set_num_threads(threads)
    return told


def profiles_of(told: list[events.Event]) -> list[events.Profile]:
    return [event for event in told if isinstance(event, events.Profile)]


def plain_s(told: list[events.Event]) -> list[float]:
    return [event.latency_s for event in told if isinstance(event, events.Pass) and event.phase == "plain"]


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    sizes = {"d_model": 64, "encoder_ffn_dim": 128, "decoder_ffn_dim": 128, "decoder_layers": 2}
    return whisper_folder(tmp_path_factory.mktemp("whisper") / "model", **sizes)


@pytest.fixture(scope="module")
def ctc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    return ctc_folder(tmp_path_factory.mktemp("ctc") / "model", "wav2vec2", masked=False)


def shares(rows: Sequence[Mapping[str, Any]], by: str) -> dict[str, float]:
    total: dict[str, float] = {}
    for row in rows:
        total[row[by]] = total.get(row[by], 0) + row["cpu_self_s"]
    return {name: seconds / sum(total.values()) for name, seconds in total.items()}


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_whisper_pass_is_its_operators(whisper: Path, attention: str, capfd: pytest.CaptureFixture[str]) -> None:
    spec = specify(whisper, "whisper", attention)
    told = events_of(spec)
    assert "USDT" not in capfd.readouterr().err
    assert isinstance(told[-1], events.Profile)
    (entry,) = profiles_of(told)
    assert entry.repeat == 1
    assert sum(row["cpu_self_s"] for row in entry.rows) == pytest.approx(entry.pass_s, rel=0.02)
    assert set(shares(entry.rows, "stage")) == set(PROFILE_STAGES)
    assert entry.plain_pass_s == np.median(plain_s(told))
    assert entry.overhead == pytest.approx(entry.pass_s / entry.plain_pass_s - 1)
    called = {(row["stage"], row["group"], row["operator"]) for row in entry.rows}
    written_out = ("encoder", "attention", "aten::bmm") in called
    assert written_out == (attention == "eager")
    assert (("encoder", "attention", "aten::scaled_dot_product_attention") in called) == (not written_out)
    # Two layers, an own norm each of self-attention, cross-attention and feed-forward; fc1, fc2 and the head once.
    calls = {(row["stage"], row["operator"]): row["n_calls"] for row in entry.rows}
    runs = calls["output_layer", "aten::linear"]
    assert (
        calls["decoder_feed_forward", "aten::linear"]
        == 2 * calls["decoder_feed_forward", "aten::layer_norm"]
        == 4 * runs
    )
    assert calls["decoder_self_attention", "aten::linear"] == 4 * 2 * runs


def test_a_long_batch_runs_once_a_short_one_three_times(ctc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = specify(ctc, "ctc")
    monkeypatch.setattr(profiled_batch, "PLAIN_S", 1e-6)
    assert [entry.phase for entry in events_of(spec) if isinstance(entry, events.Pass)] == ["warmup", "plain"]
    monkeypatch.setattr(profiled_batch, "PLAIN_S", 1e6)
    assert len(plain_s(events_of(spec))) == 3


def test_a_disturbed_profile_is_marked_and_not_made_again(ctc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile_task, "why_disturbed", lambda report, threads: f"{threads} thread waited")
    (entry,) = profiles_of(events_of(specify(ctc, "ctc")))
    assert entry.disturbance == "1 thread waited"


@pytest.mark.alone
def test_profiling_twice_ranks_the_groups_the_same(whisper: Path) -> None:
    # Without the features: their large buffers are of fresh pages or not, by what the process has freed before, and in
    # a model as small as this one that is a tenth of the pass.
    profiles = [
        [row for row in entry.rows if row["stage"] != "features"]
        for _ in range(10)
        for entry in profiles_of(events_of(specify(whisper, "whisper")))
    ]
    calls = [{(row["stage"], row["operator"], row["n_calls"]) for row in rows} for rows in profiles]
    assert all(other == calls[0] for other in calls)

    def quietest(profiles: list[list[dict[str, Any]]]) -> dict[str, float]:
        """The shares of the shortest times: a neighbour on the machine takes of one pass or another."""
        shortest = {group: min(spent_s(rows, group) for rows in profiles) for group in shares(profiles[0], "group")}
        return {group: seconds / sum(shortest.values()) for group, seconds in shortest.items()}

    def spent_s(rows: list[dict[str, Any]], group: str) -> float:
        return sum(row["cpu_self_s"] for row in rows if row["group"] == group)

    one, two = quietest(profiles[::2]), quietest(profiles[1::2])  # in turn, as a neighbour comes and goes
    large = [group for group, share in one.items() if min(share, two[group]) >= 0.02]
    assert len(large) >= 4
    for a, b in itertools.combinations(large, 2):
        assert (one[a] - one[b]) * (two[a] - two[b]) > 0 or abs(one[a] - one[b]) < 0.05


def test_a_ctc_pass_has_no_decoder(ctc: Path) -> None:
    for entry in profiles_of(events_of(specify(ctc, "ctc"))):
        assert set(shares(entry.rows, "stage")) == {"features", "encoder", "output_layer", "text"}
        assert 0.98 < entry.covered < 1.02


def test_trace_opens_and_holds_nothing_private(whisper: Path) -> None:
    spec = specify(whisper, "whisper")
    events_of(spec)
    text = gzip.decompress(Path(spec.trace_file).read_bytes()).decode()
    trace = json.loads(text)
    assert set(trace) == {"traceEvents"}
    assert {key for slice_ in trace["traceEvents"] for key in slice_} == {
        *("ph", "name", "cat", "pid", "tid", "ts", "dur", "args")
    }
    assert {key for slice_ in trace["traceEvents"] for key in slice_.get("args", {})} == {"shapes"}
    names = {slice_["name"] for slice_ in trace["traceEvents"]}
    assert {"asrmeter::encoder", "aten::addmm"} <= names
    assert all(re.fullmatch(r"(aten|asrmeter)::[\w:]+", name) for name in names)
    assert min(slice_["ts"] for slice_ in trace["traceEvents"]) == 0
    for private in (platform.node(), getpass.getuser(), str(Path.home()), str(whisper.parent), os.getcwd()):
        assert not re.search(rf"\b{re.escape(private)}\b", text)


def test_hooks_are_gone_afterwards_and_passes_are_the_same(whisper: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[Any] = []
    load = runtimes.load
    monkeypatch.setattr(runtimes, "load", lambda *args, **named: loaded.append(load(*args, **named)) or loaded[0])
    events_of(specify(whisper, "whisper"))

    def hooks(model: torch.nn.Module) -> list[tuple[str, int]]:
        modules = model.named_modules()
        return [(path, len(module._forward_hooks) + len(module._forward_pre_hooks)) for path, module in modules]

    again: Any = load("transformers", Setup(whisper, "whisper", {"dtype": "float32", "attention": "sdpa"}))
    assert hooks(loaded[0].model) == hooks(again.model)


def test_only_the_profilers_notices_are_kept_back(capfd: pytest.CaptureFixture[str]) -> None:
    with profile_task._without_notices():
        os.write(2, b"USDT:2026-11-24 profiler_start\nsomething is wrong\n")
    with pytest.raises(ValueError), profile_task._without_notices():
        os.write(2, b"out of luck\n")
        raise ValueError
    assert capfd.readouterr().err == "something is wrong\nout of luck\n"


def test_covered_share_of_a_pass() -> None:
    rows, busy_s = attribute([span("encoder", 0, 100_000)])
    assert profile_task._shares(rows, busy_s, 0.102)["covered"] == pytest.approx(0.98, abs=0.001)
    assert profile_task._shares(rows, busy_s, 0.2)["covered"] == pytest.approx(0.5)


def test_profile_without_cuda_is_unsupported(ctc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UnsupportedError, match="no CUDA device on this machine"):
        events_of(specify(ctc, "ctc", device="cuda"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_a_pass_on_cuda_is_its_kernels_and_its_waiting(whisper: Path) -> None:
    for entry in profiles_of(events_of(specify(whisper, "whisper", device="cuda"))):
        cuda_s = sum(row["cuda_self_s"] for row in entry.rows)
        assert 0 < cuda_s == pytest.approx((1 - (entry.device_idle_share or 0)) * entry.pass_s)
        assert 0.98 < entry.covered < 1.02
        assert "synchronisation" in shares(entry.rows, "group")
        of_matmul = {row["stage"] for row in entry.rows if row["group"] == "matmul" and row["cuda_self_s"]}
        assert {"encoder", "decoder_self_attention", "output_layer"} <= of_matmul
    with profile(activities=[ProfilerActivity.CUDA]):  # no profiler was left running
        pass


# A pass of `whisper` and one of `ctc` as the profiler of torch 2.11 told them on an NVIDIA H200, without shapes.
RECORDED = Path(__file__).with_name("recorded")


def recorded(name: str) -> list[Event]:
    told = json.loads(gzip.decompress((RECORDED / f"h200-{name}.json.gz").read_bytes()))
    made: Any = Event
    return [made(*told["names"][of], start_ns, start_ns + ns, *ids) for of, start_ns, ns, *ids in told["events"]]


# Whisper's attention also scales and masks, by kernels of any name.
KERNELS = {"matmul": r"xmma_gemm|gemmSN", "convolution": r"implicit_|genericTranspose", "attention": r"^fmha_"}


@pytest.mark.parametrize(("name", "groups"), [("whisper", ("matmul", "convolution")), ("ctc", tuple(KERNELS))])
def test_a_recorded_pass_on_a_gpu(name: str, groups: tuple[str, ...]) -> None:
    events = recorded(name)
    rows, busy_s = attribute(events)
    ran = [event for event in events if event.kind in ("kernel", "gpu_memcpy")]
    # One stream: nothing overlaps.
    assert busy_s == pytest.approx(sum(event.end_ns - event.start_ns for event in ran) / 1e9)
    for group in groups:
        own = [event for event in ran if re.search(KERNELS[group], event.name)]
        by_kernel_s = sum(event.end_ns - event.start_ns for event in own) / 1e9
        by_operator_s = sum(row["cuda_self_s"] for row in rows if row["group"] == group)
        assert by_operator_s == pytest.approx(by_kernel_s) and by_kernel_s > 0, group
    stages = [event for event in events if event.name in ("asrmeter::features", "asrmeter::text")]
    pass_s = (max(event.end_ns for event in stages) - min(event.start_ns for event in stages)) / 1e9
    assert sum(row["cpu_self_s"] for row in rows) == pytest.approx(pass_s)
    # Each copy to the host is waited for, in the copy or after it.
    n_copies = sum("DtoH" in event.name for event in ran)
    waits = [row for row in rows if row["group"] == "synchronisation"]
    assert sum(row["n_calls"] for row in waits) >= n_copies > 0
    assert not any(row["cuda_self_s"] for row in waits)


# The table


def profile_event(repeat: int, **values: Any) -> events.Profile:
    row = {
        "stage": "encoder",
        "group": "matmul",
        "operator": "aten::mm",
        "n_calls": 3,
        "cpu_self_s": 0.5,
        "cuda_self_s": None,
    }
    facts = {"pass_s": 2.0, "plain_pass_s": 1.6, "overhead": 0.25, "covered": 0.99, "device_idle_share": None}
    facts |= {"disturbance": None}
    return events.Profile(repeat=repeat, rows=[row | values], **facts)


HEADER = CELL | {"machine_id": "x", "status": "ok", "reason": None, "trace": "t.json.gz"}
READY = events.Ready(attention="sdpa")


def test_rows_of_a_cell() -> None:
    rows = operator_rows.rows_of(HEADER, [READY, profile_event(1), profile_event(2)])
    assert [row["repeat"] for row in rows] == [1, 2]
    assert set(rows[0]) == set(OPERATORS.names)
    assert (rows[0]["cpu_share"], rows[0]["cuda_self_s"], rows[0]["cuda_share"]) == (0.25, None, None)
    assert rows[0]["cuda_note"] == "a CPU cell has no CUDA time"
    assert pa.Table.from_pylist(rows, schema=OPERATORS).num_rows == 2
    assert profile_operators.summary(rows) == ("matmul 25% of the pass; profiling added 25%; 99.0% of the pass covered")


def test_rows_of_a_cuda_cell() -> None:
    on_cuda = HEADER | {"device": "cuda"}
    found = replace(profile_event(1, cuda_self_s=0.8), device_idle_share=0.6)
    row = operator_rows.rows_of(on_cuda, [READY, found])[0]
    assert (row["cuda_share"], row["device_idle_share"], row["cuda_note"]) == (1, 0.6, None)
    assert "matmul 100% of the device's busy time; device idle 60%" in profile_operators.summary([row])
    blind = operator_rows.rows_of(on_cuda, [READY, profile_event(1)])[0]
    assert blind["cuda_share"] is None and "CUPTI" in blind["cuda_note"]


def test_a_cell_that_failed_has_one_row_of_nulls() -> None:
    header = HEADER | {"device": "cuda", "status": "oom", "reason": "CUDA out of memory", "trace": None}
    (row,) = operator_rows.rows_of(header, [READY, profile_event(1)])
    assert (row["status"], row["reason"], row["attention"]) == ("oom", "CUDA out of memory", "sdpa")
    assert row["cuda_note"] == "oom"
    assert {row[name] for name in ("repeat", "stage", "group", "cpu_self_s", "pass_s", "overhead", "trace")} == {None}
    assert profile_operators.summary([row]) == "oom: CUDA out of memory"


# The command line

PLACE = "profiles/m/fp32/cpu/5s-b2"


@pytest.fixture
def command_line(ctc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("ASRMETER_LOCK", str(tmp_path / "lock"))
    monkeypatch.setenv("ASRMETER_FORK_SERVER", "0")
    segments = [
        {**row, "path": Path(row["file"]).name, "duration_s": 5, "audio_s": 5.0} for row in specify(ctc, "ctc").segments
    ]
    sign_corpus(ctc.parent, segments)
    sign_model(ctc)
    values = {
        **{"model": "m", "model-folder": ctc, "segments": ctc.parent / "segments.json", "variant": "fp32"},
        "variant-options": '{"runtime": "transformers", "dtype": "float32", "attention": "sdpa"}',
        **{"device": "cpu", "duration-s": 5, "batch-size": 2, "threads": 1, "seed": 1},
        "protocol": '{"version": 2}',
        **{"output": tmp_path / f"{PLACE}.parquet", "trace": tmp_path / f"{PLACE}.trace.json.gz"},
    }
    return [f"--{name}={value}" for name, value in values.items()]


def written(folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    table = pq.read_table(folder / f"{PLACE}.parquet")
    assert table.schema == OPERATORS
    with gzip.open(folder / f"{PLACE}.trace.json.gz") as stream:
        return table.to_pylist(), json.load(stream)["traceEvents"]


def test_a_cell_is_profiled_and_written(command_line: list[str], tmp_path: Path) -> None:
    profile_operators.main(command_line)
    rows, trace = written(tmp_path)
    assert {row["status"] for row in rows} == {"ok"}
    assert {row["trace"] for row in rows} == {f"{PLACE}.trace.json.gz"}
    assert sum(row["cpu_share"] for row in rows) == pytest.approx(1, abs=0.02)
    assert len(trace) > 100


@pytest.mark.parametrize(
    ("option", "status", "reason"),
    [
        ("--timeout-s=0.05", "timeout", "timeout_s = 0.05"),
        ("--attempt=3", "killed", "ended 2 times without a record"),
    ],
)
def test_a_worker_that_fails_leaves_a_row_and_an_empty_trace(
    command_line: list[str], tmp_path: Path, option: str, status: str, reason: str
) -> None:
    for attempt in (1, 2):
        assert Attempts(tmp_path / f"{PLACE}.parquet", attempt).begin() is None
    profile_operators.main([*command_line, option])
    (row,), trace = written(tmp_path)
    assert row["status"] == status and reason in row["reason"]
    assert row["operator"] is None and row["trace"] is None and trace == []


def test_a_cell_that_could_not_be_measured_is_not_profiled(command_line: list[str], tmp_path: Path) -> None:
    place = tmp_path / PLACE.replace("profiles", "measurements")
    cell_record.write(place / "lap1.parquet", header(status="oom", reason="too much"), [])
    profile_operators.main(command_line)
    (row,), trace = written(tmp_path)
    assert (row["status"], row["operator"], trace) == ("oom", None, [])
    assert row["reason"] == f"the cell could not be measured: {place}/lap1.parquet says why"


def test_a_cell_that_was_measured_in_one_lap_is_profiled(tmp_path: Path) -> None:
    for lap, status in ((1, "killed"), (2, "ok")):
        cell_record.write(tmp_path / f"measurements/m/5s-b1/lap{lap}.parquet", header(status=status, lap=lap), [])
    assert profile_operators.why_not_measured(tmp_path, "m/5s-b1") is None
    assert profile_operators.why_not_measured(tmp_path, "m/5s-b2") is None
