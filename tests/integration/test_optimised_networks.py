"""What torch.compile, torchao and a GPU make of small models of transformers, each in a process of its own."""

import json
import os
import shutil
import subprocess
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import pytest
import torch

from asrmeter import runtimes
from asrmeter.runtimes.transformers.compilation import cache_of
from helpers.model_folders import ctc_folder, whisper_folder

# Hears batches of noise of the lengths on the command line; tells what a measurement asks of a runtime. The language of
# those below zero is not told.
HEAR = """
import json, sys
from pathlib import Path
import numpy as np
from asrmeter import runtimes
from asrmeter.runtimes.base import Setup
from helpers.speech import told as told_languages

folder, family, options, device, batches = sys.argv[1:]
options = {"dtype": "float32", "attention": "sdpa"} | json.loads(options)
runtimes.hide(runtimes.variant_options({"runtime": "transformers"} | options).hidden)
setup = Setup(Path(folder), family, options, device)
runtime = runtimes.load("transformers", setup)
told = {"texts": [], "languages": [], "compile_s": [], "work": [], "stages": []}
for seconds in json.loads(batches):
    waveforms = [
        np.random.default_rng(i).standard_normal(int(16_000 * abs(s))).astype(np.float32) for i, s in enumerate(seconds)
    ]
    timeline = runtime.timeline()
    languages = ["en" if s > 0 else None for s in seconds]
    heard = runtime.transcribe(told_languages(waveforms, languages), timeline)
    timeline.end()
    runtime.synchronize()
    told["texts"].append([hypothesis.text for hypothesis in heard])
    told["languages"].append([hypothesis.language for hypothesis in heard])
    told["compile_s"].append(runtime.compile_s())
    told["work"].append(vars(timeline.decoder_work))
    told["stages"].append(timeline.seconds())
weights = {type(p).__name__ for p in runtime.model.parameters()} | {type(runtime.head.weight).__name__}
told |= {"hits": runtime.n_compile_cache_hits(), "effective": vars(runtime.effective()), "weights": sorted(weights)}
told |= {"versions": runtime.versions(), "differences": runtime.differences()}
print(json.dumps(told))
"""
SHORT, LONG = [2.0, 1.0], [31.0, 5.0]

without_a_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler here")
without_torchao = pytest.mark.skipif(
    PathFinder.find_spec("torchao") is None, reason="torchao is not installed: make runtimes"
)
without_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")


def hear(folder: Path, batches: list[list[float]], family: str = "whisper", device: str = "cpu", **options: Any) -> Any:
    arguments = [str(folder), family, json.dumps(options), device, json.dumps(batches)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, map(str, sys.path))), "OMP_NUM_THREADS": "1"}
    # Inductor's code without vectors: it is compiled in a quarter less time, and what is compiled when is the same.
    environment["TORCHINDUCTOR_VEC_ISA_OK"] = "0"
    ran = subprocess.run(
        [sys.executable, "-c", HEAR, *arguments], capture_output=True, text=True, env=environment, check=False
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert "torchao" not in ran.stderr and "lru_cache" not in ran.stderr
    return json.loads(ran.stdout)


@pytest.fixture
def whisper(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    return whisper_folder(tmp_path / "model")


@without_a_compiler
def test_a_compiled_whisper_hears_the_same_and_is_compiled_once(whisper: Path) -> None:
    # To find a language the networks run in other shapes, once.
    batches = [[-2.0, -1.0], [-3.0, -2.0], [-31.0, -5.0], LONG, [31.0, 62.0]]
    plain, first = hear(whisper, batches), hear(whisper, batches, compile="all")
    assert (first["texts"], first["languages"]) == (plain["texts"], plain["languages"])
    assert all(plain["languages"][1]) and all(plain["languages"][2]) and not any(plain["languages"][3])
    assert first["effective"]["library"].endswith(", inductor") and first["differences"] == []
    assert (plain["compile_s"][-1], plain["hits"]) == (None, None)
    short_s, again_s, long_s, *others = first["compile_s"]
    assert 1 < short_s == again_s <= long_s and set(others) == {long_s}
    # Beside the model, for the next laps.
    assert any(cache_of(whisper).iterdir())
    second = hear(whisper, batches, compile="all")
    assert second["texts"] == plain["texts"]
    assert second["hits"] >= 2 > first["hits"] and second["compile_s"][0] < short_s


@without_torchao
@without_a_compiler
def test_a_compiled_ctc_model_in_eight_bits_takes_every_length(tmp_path: Path) -> None:
    torch.manual_seed(0)
    folder = ctc_folder(tmp_path / "model", "wav2vec2", masked=False, feat_extract_norm="group")
    batches, eight_bits = [[2.0, 1.0], [3.1, 1.0], [0.7, 0.6], [9.0, 4.0]], {"quantisation": "int8-weights"}
    compiled = hear(folder, batches, "ctc", compile="encoder", **eight_bits)
    assert compiled["texts"] == hear(folder, batches, "ctc", **eight_bits)["texts"]
    assert len(set(compiled["compile_s"])) == 1


@without_torchao
@pytest.mark.parametrize(("quantisation", "differences"), [("int8-weights", []), ("int8-dynamic", ["activations"])])
def test_linear_layers_in_eight_bits(whisper: Path, quantisation: str, differences: list[str]) -> None:
    told = hear(whisper, [SHORT, LONG], quantisation=quantisation)
    assert told["weights"] == ["Int8Tensor", "Parameter"]
    assert all(map(all, told["texts"]))
    assert told["effective"]["dtype"] == quantisation.replace("-", "_") and told["differences"] == differences
    assert {*told["versions"]} == {"torchao"}


@without_torchao
def test_torchao_is_hidden_from_who_does_not_need_it() -> None:
    assert runtimes.missing_packages({"runtime": "transformers", "quantisation": "int8-weights"}) == ["torchao"]


@without_a_gpu
@pytest.mark.parametrize(
    "options",
    [
        {"transfers": "pinned"},
        {"transfers": "overlapped"},
        {"cache": "static"},
        {"cache": "none"},
        {"compile": "encoder"},
        {"compile": "all"},
        {"compile": "all", "transfers": "overlapped"},
    ],
    ids=str,
)
def test_what_a_gpu_can_do_does_not_change_texts(whisper: Path, options: dict[str, str]) -> None:
    batches = [SHORT, SHORT, [-2.0, -1.0], LONG, LONG, [2.0, -1.0]]
    plain, other = hear(whisper, batches, device="cuda"), hear(whisper, batches, device="cuda", **options)
    assert (other["texts"], other["languages"]) == (plain["texts"], plain["languages"])
    if "compile" in options:
        # After the first passes of each form everything is compiled; compile_s() itself refuses what is no CUDA graph.
        assert other["compile_s"][2] == other["compile_s"][1] and other["compile_s"][5] == other["compile_s"][4]


@without_a_gpu
@pytest.mark.parametrize(
    "options",
    [{"dtype": "float16"}, {"dtype": "bfloat16"}, {"encoder_dtype": "float16"}, {"tf32": True}],
    ids=str,
)
def test_number_formats_on_a_gpu(whisper: Path, options: dict[str, Any]) -> None:
    told = hear(whisper, [SHORT, LONG], device="cuda", **options)
    assert all(map(all, told["texts"])) and told["differences"] == ["activations"]
