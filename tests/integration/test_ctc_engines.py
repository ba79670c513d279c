"""CTC by ONNX Runtime and OpenVINO: the graph has the network's scores, texts are those of transformers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asrmeter import runtimes
from asrmeter.runtimes.base import Setup, Timeline, UnsupportedError
from asrmeter.runtimes.families.shared.ctc_features import Batch
from asrmeter.runtimes.families.shared.ctc_network import CtcNetwork
from helpers.model_folders import ctc_folder, edit
from helpers.speech import english
from helpers.waveforms import noise

ENGINES = ("onnxruntime", "openvino")
LENGTHS = ((1.0, 0.7), (0.0125,), (0.4, 1.3, 0.9))


pytestmark = pytest.mark.usefixtures("one_thread")


def load(folder: Path, engine: str, form: str = "float32") -> Any:
    variant = {"runtime": engine, "format": form}
    conversion = runtimes.variant_options(variant).conversion()
    assert conversion is not None
    converted = folder.parent / conversion.format
    if not converted.exists():
        converted.mkdir()
        runtimes.convert(engine, folder, "ctc", conversion.settings, converted)
    return runtimes.load(engine, Setup(folder, "ctc", {"format": form}, converted=converted))


def baseline(folder: Path) -> Any:
    return runtimes.load("transformers", Setup(folder, "ctc", {"dtype": "float32", "attention": "sdpa"}))


def hear(runtime: Any, waveforms: list[np.ndarray]) -> list[Any]:
    return runtime.transcribe(english(waveforms), Timeline())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("model_type", ["wav2vec2", "wavlm", "sew"])
def test_scores_are_those_of_transformers(tmp_path: Path, model_type: str, masked: bool, engine: str) -> None:
    settings = {"feat_extract_norm": "layer"} if masked and model_type != "sew" else {}
    folder = ctc_folder(tmp_path / "model", model_type, masked, **settings)
    expected, runtime = baseline(folder), load(folder, engine)
    found: list[np.ndarray] = []
    expected.head.register_forward_hook(lambda _module, _inputs, output: found.append(output.numpy()))
    for lengths in ((1.0, 0.7), (0.4, 1.3, 0.9)):
        assert hear(runtime, noise(*lengths)) == hear(expected, noise(*lengths))
        # Of padding too, which no text shows.
        own = runtime.scores(runtime.features(noise(*lengths)))
        np.testing.assert_allclose(own, found[-1], atol=1e-3 * np.abs(found[-1][..., 5:]).max(), rtol=1e-6)
    assert hear(runtime, noise(1 / 16_000)) == hear(expected, noise(1 / 16_000))
    assert runtime.decoding() == expected.decoding() and runtime.differences() == ("features",)
    said = runtime.effective()
    assert (said.dtype, said.threads, said.emulated) == ("float32", 1, False)
    assert said.library.startswith(f"{engine} {runtime.versions()[engine][:6]}")


@pytest.mark.parametrize(
    ("engine", "form"), [("onnxruntime", "int8"), ("onnxruntime", "int8_dynamic"), ("openvino", "int8")]
)
def test_rounded_weights_are_smaller_and_nearly_the_same(tmp_path: Path, engine: str, form: str) -> None:
    large = {"hidden_size": 128, "intermediate_size": 256}
    folder = ctc_folder(tmp_path / "model", "wav2vec2", False, **large)
    exact, rounded = load(folder, engine), load(folder, engine, form)
    batch = exact.features(noise(1.0, 0.7))
    difference = np.abs(exact.scores(batch).copy() - rounded.scores(batch))[..., 5:].max()
    assert 0 < difference < 0.3 * np.abs(exact.scores(batch))[..., 5:].max()
    sizes = [sum(path.stat().st_size for path in made.folder.iterdir()) for made in (exact, rounded)]
    assert sizes[1] < 0.8 * sizes[0]
    assert rounded.effective().dtype == form
    assert "activations" in rounded.differences() or engine == "openvino"


@pytest.mark.parametrize("engine", ENGINES)
def test_scores_that_are_not_finite_are_rejected(tmp_path: Path, engine: str) -> None:
    runtime = load(ctc_folder(tmp_path / "model", "wav2vec2", False), engine)
    with runtime.check_scores():
        hear(runtime, noise(1.0))
    loud = [np.full(16_000, np.nan, np.float32)]
    with pytest.raises(FloatingPointError, match="infinite or not a number"), runtime.check_scores():
        hear(runtime, loud)
    hear(runtime, loud)


def test_a_graph_that_is_another_network_is_refused(tmp_path: Path) -> None:
    network = CtcNetwork(ctc_folder(tmp_path / "model", "wav2vec2", False))

    def run(batch: Batch) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(batch.values)).numpy()

    network.check(run)
    with pytest.raises(UnsupportedError, match="the graph of this wav2vec2 model has other scores"):
        network.check(lambda batch: 1.01 * run(batch))
    with pytest.raises(UnsupportedError, match="has other scores"):
        network.check(lambda batch: run(batch)[:, :5])  # a size that became a constant


@pytest.mark.parametrize("engine", ENGINES)
def test_features_that_are_not_made_here_are_refused(tmp_path: Path, engine: str) -> None:
    folder = ctc_folder(tmp_path / "model", "wav2vec2", False)
    edit(folder / "preprocessor_config.json", padding_side="left")
    with pytest.raises(UnsupportedError, match="has padding_side left, which only transformers does"):
        load(folder, engine)
