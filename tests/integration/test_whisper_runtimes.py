"""Every runtime of a Whisper writes what transformers writes: within 30 s, beyond, with penalties, random weights."""

import dataclasses
import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from asrmeter import runtimes
from asrmeter.machine.host import Host, this_host
from asrmeter.runtimes.base import Setup, Timeline, UnsupportedError
from asrmeter.runtimes.ctranslate2 import CTranslate2Options, engine
from asrmeter.runtimes.ctranslate2.whisper import max_length
from asrmeter.runtimes.families.whisper.windowed import WindowedWhisper
from asrmeter.runtimes.torch_loop import TorchLoopOptions
from helpers.model_folders import edit, likelier_timestamps, that_tells_languages_apart, whisper_folder
from helpers.speech import told
from helpers.waveforms import noise

OTHERS = {
    "torch_loop": {"runtime": "torch_loop"},
    "torch_loop, seldom waiting": {"runtime": "torch_loop", "end_check_every": 5},
    "ctranslate2": {"runtime": "ctranslate2"},
    "onnxruntime": {"runtime": "onnxruntime"},
    "openvino": {"runtime": "openvino"},
}
WITHOUT_TORCH = ("ctranslate2", "onnxruntime", "openvino")
# Their loop is ours: it runs on what transformers' does.
LOOPS = ("torch_loop", "onnxruntime", "openvino")
# What the model's own settings may say besides.
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "own": {
        **{"suppress_tokens": [3, 7], "begin_suppress_tokens": [220, 11], "max_initial_timestamp_index": 3},
        **{"repetition_penalty": 1.4, "no_repeat_ngram_size": 2},
    },
}
SCRIPTS = Path(runtimes.__file__).parents[2]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module", params=[True, False], ids=["multilingual", "English"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    made = whisper_folder(tmp_path_factory.mktemp("whisper") / "model", request.param)
    likelier_timestamps(made, 10)
    that_tells_languages_apart(made, noise(2, 30))
    return made


@pytest.fixture(params=SETTINGS)
def model(request: pytest.FixtureRequest, folder: Path, tmp_path: Path) -> Path:
    made = tmp_path / "model"
    made.mkdir()
    for path in folder.iterdir():
        os.link(path, made / path.name)
    settings = json.loads((made / "generation_config.json").read_text())
    (made / "generation_config.json").unlink()
    (made / "generation_config.json").write_text(json.dumps(settings | SETTINGS[request.param]))
    return made


def load(model: Path, variant: dict[str, Any], random_weights: bool = False) -> Any:
    options = runtimes.variant_options(variant)
    converted = None
    if conversion := options.conversion():
        converted = model.parent / conversion.format
        if not converted.exists():
            converted.mkdir()
            runtimes.convert(variant["runtime"], model, "whisper", conversion.settings, converted)
    name, own = runtimes.runtime_of(options.as_json())
    setup = Setup(model, "whisper", own, random_weights=random_weights, converted=converted)
    return runtimes.load(name, setup)


def hear(
    runtime: Any,
    waveforms: list[np.ndarray],
    references: tuple[str, ...] = (),
    languages: tuple[str | None, ...] = (),
) -> tuple[list[Any], Timeline]:
    timeline = Timeline()
    heard = runtime.transcribe(told(waveforms, languages or ["en"] * len(waveforms), references), timeline)
    timeline.end()
    return heard, timeline


@pytest.mark.parametrize("variant", OTHERS.values(), ids=OTHERS)
def test_texts_are_those_of_transformers(model: Path, variant: dict[str, Any]) -> None:
    baseline, other = load(model, {"runtime": "transformers"}), load(model, variant)
    assert other.decoding() == baseline.decoding()
    assert other.differences() == ("features",)
    n_windows = 0
    tongues = itertools.cycle(["en", "ru", "en", "fr", "jv"]) if baseline.rules.languages else itertools.repeat("en")
    for lengths in ((2, 1), (30,), (30.005, 3), (61, 45, 10)):
        languages = tuple(itertools.islice(tongues, len(lengths)))
        (expected, work), (heard, own_work) = (
            hear(each, noise(*lengths), languages=languages) for each in (baseline, other)
        )
        assert heard == expected
        n_windows += sum(hypothesis.n_windows or 0 for hypothesis in heard)
        if variant["runtime"] in LOOPS and max(lengths) > 31:
            assert own_work.decoder_work == work.decoder_work
        assert own_work.stages[0] == "features" and {*own_work.stages} >= {"encoder", "decoder", "text"}
    assert n_windows > 10


@pytest.fixture(scope="module")
def multilingual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    made = whisper_folder(tmp_path_factory.mktemp("multilingual") / "model")
    likelier_timestamps(made, 10)
    that_tells_languages_apart(made, noise(2, 30))
    return made


def alike(heard: list[Any]) -> list[Any]:
    return [(each.text, each.n_tokens, each.language) for each in heard]


@pytest.mark.parametrize("variant", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("random_weights", [False, True], ids=["texts", "fixed work"])
def test_languages_are_found_as_transformers_finds_them(
    multilingual: Path, variant: dict[str, Any], random_weights: bool
) -> None:
    baseline, other = (load(multilingual, each, random_weights) for each in ({"runtime": "transformers"}, variant))
    found = set()
    for lengths, languages in (
        ((2, 30, 1), (None,) * 3),
        ((30, 2, 1), (None, "ru", None)),
        ((40, 35), (None, None)),
        ((61, 45, 10), (None, "fr", None)),
    ):
        references = ("w1 w2 w3 w4 w5",) * len(lengths)
        (expected, timeline), (heard, own_timeline) = (
            hear(each, noise(*lengths), references, languages) for each in (baseline, other)
        )
        assert alike(heard) == alike(expected)
        assert [own.language is None for own in heard] == [language is not None for language in languages]
        found |= {own.language for own in heard}
        # transformers runs the encoder once more, and its decoder reads the first token again. In a long form others do
        # so too for a segment that ends within a window: what is heard after its end differs.
        is_short = random_weights or max(lengths) <= 30
        again = [own.language is not None and (is_short or n > 30) for n, own in zip(lengths, heard, strict=True)]
        n_windows = [own.n_windows + more for own, more in zip(heard, again, strict=True)]
        assert n_windows == [each.n_windows for each in expected]
        assert all(own.processed_s == 30 * own.n_windows for own in (*heard, *expected))
        if variant["runtime"] in LOOPS and "end_check_every" not in variant and is_short:
            own_work, work = own_timeline.decoder_work, timeline.decoder_work
            assert own_work and work and own_work.n_decoder_runs == work.n_decoder_runs
            assert own_work.n_decoder_tokens == work.n_decoder_tokens - sum(again)
    assert found == {None, "jv", "fa"}


@pytest.mark.parametrize("variant", [{"runtime": "transformers"}, *OTHERS.values()], ids=["transformers", *OTHERS])
def test_languages_that_a_model_does_not_know_are_refused(
    multilingual: Path, tmp_path: Path, variant: dict[str, Any]
) -> None:
    model = tmp_path / "whisper-ours"
    shutil.copytree(multilingual, model)
    edit(model / "generation_config.json", lang_to_id={"<|ru|>": 50_263, "<|kk|>": 50_316})
    runtime = load(model, variant)
    with pytest.raises(UnsupportedError, match=r"^whisper-ours knows no English \(en\)$"):
        hear(runtime, noise(2, 1), languages=("ru", "en"))
    with pytest.raises(UnsupportedError, match=r"^whisper-ours knows no language xx$"):
        hear(runtime, noise(31), languages=("xx",))
    # A model without English.
    (heard,), _ = hear(runtime, noise(2), languages=(None,))
    assert heard.language in ("ru", "kk") and heard.text


def test_generate_finds_the_same_language_by_itself(multilingual: Path) -> None:
    runtime = load(multilingual, {"runtime": "transformers"})
    for lengths in ((2, 30), (31, 3)):
        heard, timeline = hear(runtime, noise(*lengths), languages=(None, None))
        options = {"return_attention_mask": True, "truncation": False, "padding": "longest"} if lengths[0] > 30 else {}
        inputs = runtime._extract(noise(*lengths), **{"padding": "max_length", **options})
        with torch.inference_mode():
            tokens = runtime.model.generate(
                **inputs, **runtime.decoding(), language=None, return_timestamps=lengths[0] > 30
            )
        assert [runtime.rules.hypothesis(row, 1).text for row in tokens.tolist()] == [each.text for each in heard]
        assert timeline.stages[:6] == ["features", "decoder", "encoder", "decoder", "encoder", "decoder"]


@pytest.mark.parametrize("variant", OTHERS.values(), ids=OTHERS)
def test_random_weights_do_a_fixed_amount_of_work(folder: Path, variant: dict[str, Any]) -> None:
    baseline, other = (load(folder, each, random_weights=True) for each in ({"runtime": "transformers"}, variant))
    most = other.rules.max_tokens
    for references, n in ((("w1 w2 w3", "w4"), 3), (("w1 " * 100, "w4"), most)):
        rules = other.rules.window(other.rules.told(["en", "en"]), n_forced=n)
        tokens = other.write(other.encode(other.log_mel(noise(2, 1))), rules, None)
        assert [len(row) for row in tokens] == [n, n]
        assert rules.end not in {token for row in tokens for token in row}
        (expected, work), (heard, own_work) = (hear(each, noise(2, 1), references) for each in (baseline, other))
        assert heard == expected
        if variant["runtime"] in LOOPS:
            assert own_work.decoder_work == work.decoder_work
    (expected, _), (heard, _) = (hear(each, noise(65, 31), ("w1 w2 w3 w4 w5", "w4")) for each in (baseline, other))
    assert heard == expected and [h.n_windows for h in heard] == [3, 3]


@pytest.mark.parametrize("variant", OTHERS.values(), ids=OTHERS)
def test_scores_that_are_not_finite_are_rejected(folder: Path, tmp_path: Path, variant: dict[str, Any]) -> None:
    model = tmp_path / "model"
    model.mkdir()
    for path in folder.iterdir():
        os.link(path, model / path.name)
    weights = load_file(folder / "model.safetensors")
    weights["model.decoder.layer_norm.bias"][0] = float("nan")
    (model / "model.safetensors").unlink()
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    runtime = load(model, variant)
    with pytest.raises(FloatingPointError, match="infinite or not a number"), runtime.check_scores():
        hear(runtime, noise(2))
    good = load(folder, variant)
    with good.check_scores():
        hear(good, noise(2))


def test_the_timestamps_loop_rejects_scores_too(folder: Path) -> None:
    runtime = load(folder, OTHERS["torch_loop"])
    with torch.no_grad():
        runtime.head.weight[0] = float("inf")
    with pytest.raises(FloatingPointError), runtime.check_scores():
        hear(runtime, noise(31))


class Stuck(WindowedWhisper):
    """An engine whose every window ends where it began, by a pair of timestamps of 0 s."""

    def encode(self, features: np.ndarray) -> None: ...

    def detect(self, state: Any, n_rows: int, work: Any) -> list[int]:
        raise AssertionError("it is told English")

    def write(self, state: Any, rules: Any, work: Any) -> list[list[int]]:
        return [[rules.timestamps.first, 1, rules.timestamps.first, rules.timestamps.first] for _ in rules.prompts]


def test_a_long_form_always_ends(folder: Path) -> None:
    (heard,), _ = hear(Stuck(Setup(folder, "whisper")), noise(61))
    assert (heard.text, heard.n_windows, heard.processed_s) == ("w1 w1 w1", 3, 90)


def test_what_the_loop_runs_at(folder: Path) -> None:
    runtime = load(folder, {"runtime": "torch_loop", "dtype": "bfloat16"})
    assert (runtime.effective().dtype, runtime.effective().attention) == ("bfloat16", "sdpa")
    assert len(hear(runtime, noise(2, 1))[0]) == 2
    options = TorchLoopOptions()
    assert options.wanted_dtype == "float32" and options.why_not("whisper", "cuda", Host()) is None
    assert options.why_not(None, "cpu", Host()) is None
    assert options.why_not("ctc", "cpu", Host()) == "asrmeter cannot run ctc models by torch_loop"
    with pytest.raises(UnsupportedError, match="cannot run ctc models by torch_loop"):
        runtimes.load("torch_loop", Setup(folder, "ctc", {}))


# CTranslate2


@pytest.mark.parametrize(
    ("wanted", "effective"), [("float32", "float32"), ("int8", "int8_float32"), ("int8_float32",) * 2]
)
def test_number_formats_of_a_cpu(folder: Path, wanted: str, effective: str) -> None:
    runtime = load(folder, {"runtime": "ctranslate2", "format": wanted})
    said = runtime.effective()
    assert (said.dtype, said.threads, said.emulated) == (effective, 1, False)
    assert said.library.startswith(f"ctranslate2 {runtime.versions()['ctranslate2']}, ")
    assert ("activations" in runtime.differences()) == wanted.startswith("int8")
    assert len(hear(runtime, noise(2, 1))[0]) == 2


@pytest.mark.parametrize("wanted", ["bfloat16", "float16", "int8_float16"])
def test_number_formats_that_no_cpu_has(folder: Path, wanted: str) -> None:
    options = CTranslate2Options(format=wanted)
    assert options.why_not("whisper", "cpu", this_host()) == f"CTranslate2 computes in {wanted} on CUDA devices only"
    with pytest.raises(UnsupportedError, match=f"do not support efficient {wanted} computation"):
        load(folder, {"runtime": "ctranslate2", "format": wanted})


@pytest.mark.parametrize(
    ("wanted", "capability", "why"),
    [
        ("float32", (3, 5), None),
        ("bfloat16", (8, 0), None),
        ("bfloat16", None, None),
        ("bfloat16", (7, 5), "CTranslate2 computes in bfloat16 from compute capability 8.0 on; the GPU has 7.5"),
        ("float16", (6, 1), "CTranslate2 computes in float16 from compute capability 7.0 on; the GPU has 6.1"),
        ("int8", (6, 1), None),
        ("int8", (6, 2), "CTranslate2 computes in int8 from compute capability 7.0 on; the GPU has 6.2"),
    ],
)
def test_number_formats_of_a_gpu(wanted: str, capability: tuple[int, int] | None, why: str | None) -> None:
    options = CTranslate2Options(format=wanted)
    assert options.why_not("whisper", "cuda", Host(compute_capability=capability)) == why
    assert options.why_not(None, "cuda", Host(compute_capability=capability)) == why
    assert options.why_not("external", "cuda", Host()) == "asrmeter cannot run external models by CTranslate2"


def test_only_formats_of_torch_are_wanted_dtypes() -> None:
    assert CTranslate2Options().wanted_dtype == "float32"
    assert CTranslate2Options(format="int8_float16").wanted_dtype is None
    assert CTranslate2Options(format="bfloat16").wanted_dtype == "bfloat16"


@pytest.mark.parametrize(("n_most", "n_prompt"), [(444, 4), (1, 4), (3, 4), (224, 2), (446, 2), (36, 4)])
def test_ctranslate2_writes_as_many_tokens(n_most: int, n_prompt: int) -> None:
    length = max_length(n_most, n_prompt)
    assert min(length // 2, length - (n_prompt - 1)) == n_most


@pytest.mark.parametrize("told", [{}, {"CT2_USE_MKL": "0"}, {"CT2_FORCE_CPU_ISA": "GENERIC"}], ids=str)
def test_ctranslate2_computes_with_what_is_recorded(
    folder: Path, told: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    load(folder, OTHERS["ctranslate2"])
    for key, value in told.items():
        monkeypatch.setenv(key, value)
    code = "import ctranslate2, sys; ctranslate2.models.Whisper(sys.argv[1])"
    ran = subprocess.run(
        [sys.executable, "-c", code, str(folder.parent / "ctranslate2-float32")],
        env=os.environ | {"CT2_VERBOSE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"Selected ISA: {engine.instructions(this_host())}\n" in ran.stderr
    backend = {"MKL": "MKL", "oneDNN": "DNNL"}[engine.backend("cpu", this_host())]
    assert f"SGEMM backend: {backend} " in ran.stderr


ALONE = """
import json, signal, sys, time
from pathlib import Path
import numpy as np
from asrmeter.measure import child
from asrmeter import runtimes
from asrmeter.runtimes.base import Setup, SpeechBatch, Timeline
name = sys.argv[3]
runtimes.hide(runtimes.variant_options({"runtime": name, "format": "float32"}).hidden)
child.preload(name)
threads = [line for line in open("/proc/self/status") if line.startswith("Threads")]
setup = Setup(Path(sys.argv[1]), "whisper", {"format": "float32"}, converted=Path(sys.argv[2]))
runtime = runtimes.load(name, setup)
for seconds in (2, 31):
    runtime.transcribe(SpeechBatch([np.zeros(16_000 * seconds, np.float32)], [""], ["en"]), Timeline())
found = sorted(name for name, module in sys.modules.items() if module and "." not in name)
# A library with a stack for signals of its own has not taken it along.
del runtime
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.01)
time.sleep(0.05)
print(json.dumps({"modules": found, "threads": threads[0].split()[1]}))
"""


@pytest.mark.parametrize("engine", WITHOUT_TORCH)
def test_a_process_of_an_engine_holds_no_torch(folder: Path, engine: str) -> None:
    load(folder, OTHERS[engine])
    command = [sys.executable, "-c", ALONE, str(folder), str(folder.parent / f"{engine}-float32"), engine]
    ran = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": str(SCRIPTS), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(ran.stdout.splitlines()[-1])
    unused = {
        "torch",
        "transformers",
        "scipy",
        "pyarrow",
        "pandas",
        "huggingface_hub",
        "nncf",
        "onnx",
        "openvino_telemetry",
    }
    assert not unused & {*found["modules"]}
    assert {engine, "numpy", "tokenizers"} <= {*found["modules"]}
    # The server forks: a thread would be lost.
    assert found["threads"] == "1"


def test_ctranslate2_finds_no_language_of_an_odd_vocabulary(multilingual: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(multilingual, model)
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["odd"] = tokenizer["model"]["vocab"].pop("")
    (model / "tokenizer.json").write_text(json.dumps(tokenizer))
    runtime = load(model, OTHERS["ctranslate2"])
    with pytest.raises(UnsupportedError, match="takes the model for an English-only one by its vocabulary"):
        hear(runtime, noise(2), languages=(None,))
    assert hear(runtime, noise(2), languages=("ru",))[0]


def test_what_ctranslate2_needs_is_converted() -> None:
    conversion = CTranslate2Options(format="int8").conversion()
    assert dataclasses.asdict(conversion) == {
        "format": "ctranslate2-int8",
        "settings": {"format": "int8"},
        "packages": ("ctranslate2", "torch", "transformers"),
    }
    with pytest.raises(UnsupportedError, match="asrmeter cannot run external models by CTranslate2"):
        runtimes.convert("ctranslate2", Path("x"), "external", {"format": "int8"}, Path("y"))


# ONNX Runtime and OpenVINO

GRAPHS = ("onnxruntime", "openvino")


@pytest.mark.parametrize("engine", GRAPHS)
def test_large_models_of_other_shapes_are_exported(tmp_path: Path, engine: str) -> None:
    # As large-v3-turbo is: 128 mels, fewer layers in the decoder than in the encoder.
    torch.manual_seed(0)
    model = whisper_folder(tmp_path / "model", n_mels=128, encoder_layers=3, decoder_layers=2, d_model=32)
    baseline, other = load(model, {"runtime": "transformers"}), load(model, {"runtime": engine})
    for lengths in ((2, 1), (30,)):
        assert hear(other, noise(*lengths))[0] == hear(baseline, noise(*lengths))[0]


@pytest.mark.parametrize(
    ("engine", "form"), [("onnxruntime", "int8"), ("onnxruntime", "int8_dynamic"), ("openvino", "int8")]
)
def test_rounded_weights_are_smaller(tmp_path: Path, engine: str, form: str) -> None:
    torch.manual_seed(0)
    model = whisper_folder(tmp_path / "model", d_model=128, encoder_ffn_dim=256, decoder_ffn_dim=256)
    exact, rounded = (load(model, {"runtime": engine, "format": each}) for each in ("float32", form))
    sizes = [sum(path.stat().st_size for path in runtime.folder.iterdir()) for runtime in (exact, rounded)]
    assert sizes[1] < 0.8 * sizes[0]
    assert rounded.effective().dtype == form
    assert "activations" in rounded.differences() or engine == "openvino"
    tokens = [
        runtime.write(
            runtime.encode(runtime.log_mel(noise(2))),
            runtime.rules.window(runtime.rules.told(["en"]), n_forced=8),
            None,
        )
        for runtime in (exact, rounded)
    ]
    assert [len(row) for row in tokens[1]] == [8] and tokens[1][0][0] == tokens[0][0][0]


def test_what_the_builder_does_not_build_is_refused(tmp_path: Path) -> None:
    model = whisper_folder(tmp_path / "model", activation_function="relu", scale_embedding=True)
    with pytest.raises(UnsupportedError, match="has activation_function relu"):
        load(model, {"runtime": "onnxruntime"})
    baseline, other = load(model, {"runtime": "transformers"}), load(model, {"runtime": "openvino"})
    assert hear(other, noise(2, 1))[0] == hear(baseline, noise(2, 1))[0]


def test_openvino_says_what_it_computes_with(folder: Path) -> None:
    said = load(folder, OTHERS["openvino"]).effective()
    best = next(name for flag, name in (("avx512f", "AVX512"), ("avx2", "AVX2")) if not this_host().lacks(flag))
    assert said.instructions == best and said.threads == 1


def test_exporting_tells_nobody(folder: Path) -> None:
    load(folder, OTHERS["onnxruntime"])
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
    load(folder, OTHERS["openvino"])
    assert sys.modules["openvino_telemetry"] is None
