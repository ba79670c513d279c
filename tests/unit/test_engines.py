"""What ONNX Runtime and OpenVINO can run, and what CTC models hear and make of it without torch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from asrmeter import runtimes
from asrmeter.machine.host import Host
from asrmeter.runtimes.base import Setup, UnsupportedError
from asrmeter.runtimes.families import ctc
from asrmeter.runtimes.families.shared.ctc_features import CtcFeatures
from asrmeter.runtimes.families.shared.ctc_greedy import n_frames, shortest_input
from asrmeter.runtimes.onnxruntime import OnnxRuntimeOptions
from asrmeter.runtimes.openvino import OpenVinoOptions

FEW_SAMPLES = st.lists(st.integers(1, 50), min_size=1, max_size=4)


@given(
    lengths=FEW_SAMPLES, loudness=st.sampled_from([1.0, 1e-3, 0.0]), normalises=st.booleans(), is_masked=st.booleans()
)
def test_features_are_those_of_transformers(
    lengths: list[int], loudness: float, normalises: bool, is_masked: bool
) -> None:
    random = np.random.default_rng(0)
    waveforms = [(loudness * random.standard_normal(n)).astype(np.float32) for n in lengths]
    baseline = transformers.Wav2Vec2FeatureExtractor(do_normalize=normalises, return_attention_mask=is_masked)
    expected = baseline(waveforms, sampling_rate=16_000, padding=True, return_tensors="np")
    values, mask = CtcFeatures(normalises, is_masked)(waveforms)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, expected["input_values"])
    assert (mask is not None) == is_masked
    if mask is not None:
        assert mask.dtype == np.int64
        np.testing.assert_array_equal(mask, expected["attention_mask"])


@pytest.mark.parametrize(
    ("model_type", "adapter"),
    [
        *((model_type, {}) for model_type in ctc.FAMILY.classes),
        *((model_type, {"add_adapter": True, "num_adapter_layers": 2}) for model_type in ("wav2vec2", "wavlm")),
    ],
    ids=str,
)
def test_frames_are_those_of_transformers(model_type: str, adapter: dict[str, Any]) -> None:
    kind = ctc.FAMILY.network_class(model_type)
    config = kind.config_class(vocab_size=32, **adapter)
    with torch.device("meta"):
        model = kind(config)
    n_shortest = shortest_input(config.to_dict())
    for n_samples in (n_shortest, n_shortest + 1, 7_919, 16_000, 100_003):
        expected = int(model._get_feat_extract_output_lengths(torch.tensor(n_samples)))
        assert n_frames(config.to_dict(), n_samples) == expected >= 1


@pytest.mark.parametrize(
    ("options", "family", "device", "why"),
    [
        (OnnxRuntimeOptions(), "whisper", "cuda", None),
        (OnnxRuntimeOptions(format="int8"), None, "cpu", None),
        (OnnxRuntimeOptions(), "ctc-mel", "cpu", "asrmeter cannot run ctc-mel models by ONNX Runtime"),
        (OnnxRuntimeOptions(format="float16"), "whisper", "cuda", None),
        (OnnxRuntimeOptions(format="float16"), None, "cpu", "ONNX Runtime computes in float16 on CUDA devices only"),
        (OnnxRuntimeOptions(format="float16"), "ctc", "cuda", "CTC models are not exported in float16"),
        (
            OnnxRuntimeOptions(format="int8_dynamic"),
            "ctc",
            "cuda",
            "ONNX Runtime has no dynamic int8 products on CUDA; they would run on the CPU",
        ),
        (OpenVinoOptions(), "ctc", "cpu", None),
        (OpenVinoOptions(), None, "cuda", "OpenVINO does not run on CUDA devices"),
        (OpenVinoOptions(), "external", "cpu", "asrmeter cannot run external models by OpenVINO"),
    ],
)
def test_what_cannot_run_is_known_beforehand(options: Any, family: str | None, device: str, why: str | None) -> None:
    assert options.why_not(family, device, Host()) == why
    if why and family and device == "cpu":
        for name in ("ctc-mel", "external"):
            with pytest.raises(UnsupportedError, match="cannot run"):
                runtimes.load(options.runtime, Setup(Path("x"), name, {}))
            with pytest.raises(UnsupportedError, match="cannot run"):
                runtimes.convert(options.runtime, Path("x"), name, {"format": "float32"}, Path("y"))


def test_what_engines_need() -> None:
    for options, packages in (
        (OnnxRuntimeOptions(format="int8"), {"onnxruntime", "onnxruntime-genai", "onnx", "onnx-ir"}),
        (OpenVinoOptions(format="int8"), {"openvino", "nncf"}),
        (OpenVinoOptions(), {"openvino"}),
    ):
        made = options.conversion()
        assert made.format == f"{options.runtime}-{options.format}" and made.settings == {"format": options.format}
        assert {*made.packages} == packages | {"torch", "transformers"}
        assert options.environment == options.runtime and options.runtime in options.needs
        assert {"torch", "transformers", "torchao"} <= {*options.hidden}
    assert OnnxRuntimeOptions().wanted_dtype == OpenVinoOptions().wanted_dtype == "float32"
    assert OnnxRuntimeOptions(format="float16").wanted_dtype == "float16"
    assert OnnxRuntimeOptions(format="int8_dynamic").wanted_dtype is OpenVinoOptions(format="int8").wanted_dtype is None


def test_a_missing_provider_is_unsupported() -> None:
    with pytest.raises(UnsupportedError, match="has no provider for CUDA: install onnxruntime-gpu"):
        runtimes.load("onnxruntime", Setup(Path("x"), "whisper", {"format": "float32"}, device="cuda"))
    with pytest.raises(UnsupportedError, match="does not run on CUDA"):
        runtimes.load("openvino", Setup(Path("x"), "ctc", {"format": "float32"}, device="cuda"))
