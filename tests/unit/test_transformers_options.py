"""The options of transformers: which contradict each other or this machine, and what each changes in a model."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from asrmeter import runtimes
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.vocabulary import DecoderWork
from asrmeter.machine.host import Host
from asrmeter.runtimes.base import Hypothesis, Setup, UnsupportedError
from asrmeter.runtimes.transformers import torch_runtime
from asrmeter.runtimes.transformers.compilation import Compilation, cache_of, compile_decoder, compile_encoder
from asrmeter.runtimes.transformers.loading import allow_tf32
from asrmeter.runtimes.transformers.options import TransformersOptions
from asrmeter.runtimes.transformers.transfers import OverlappedCopies
from helpers.model_folders import ctc_folder, that_tells_languages_apart, whisper_folder
from helpers.speech import told
from helpers.waveforms import noise

PLAIN = {"dtype": "float32", "attention": "sdpa"}
AMPERE, TURING = Host(compute_capability=(8, 0)), Host(compute_capability=(7, 5))


pytestmark = pytest.mark.usefixtures("one_thread")


def load(folder: Path, family: str = "whisper", random_weights: bool = False, **options: Any) -> Any:
    return runtimes.load("transformers", Setup(folder, family, PLAIN | options, random_weights=random_weights))


def run(
    runtime: Any, waveforms: list[np.ndarray], *references: str, languages: tuple[str | None, ...] = ()
) -> tuple[list[Hypothesis], DecoderWork]:
    timeline = runtime.timeline()
    heard = runtime.transcribe(told(waveforms, languages or ["en"] * len(waveforms), references), timeline)
    timeline.end()
    assert timeline.decoder_work is not None and all(type(n) is int for n in vars(timeline.decoder_work).values())
    return heard, timeline.decoder_work


@pytest.fixture
def whisper(tmp_path: Path) -> Path:
    return whisper_folder(tmp_path / "model")


# What a study says


def test_what_follows_from_other_options() -> None:
    plain, half = TransformersOptions(), TransformersOptions(dtype="float16", decoder_dtype="float32")
    assert (plain.cache, plain.encoder_dtype, plain.decoder_dtype) == ("dynamic", "float32", "float32")
    assert (half.encoder_dtype, half.decoder_dtype) == ("float16", "float32")
    assert TransformersOptions(compile="all").cache == "static"
    assert TransformersOptions(compile="encoder").cache == "dynamic"


def test_options_that_change_nothing_are_not_written_down() -> None:
    assert TransformersOptions(dtype="bfloat16").as_json() == {
        **{"runtime": "transformers", "dtype": "bfloat16", "attention": "sdpa"},
    }
    for options in (
        TransformersOptions(compile="all"),
        TransformersOptions(dtype="float16", decoder_dtype="float32", cache="none"),
        TransformersOptions(quantisation="int8-weights", transfers="pinned", tf32=True),
    ):
        assert runtimes.variant_options(options.as_json()) == options
    assert TransformersOptions(tf32=True).as_json() == PLAIN | {"runtime": "transformers", "tf32": True}


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"compile": "all", "cache": "dynamic"}, "^cache: compiled code has fixed shapes, and with dynamic"),
        ({"compile": "all", "cache": "none"}, "^cache: compiled code has fixed shapes, and with none"),
        ({"quantisation": "int8-weights", "dtype": "float16"}, "^quantisation: what is not in 8 bits is float32"),
        ({"quantisation": "int8-dynamic", "encoder_dtype": "bfloat16"}, "^quantisation: "),
        ({"tf32": True, "dtype": "float16"}, "^tf32: .* this variant has none"),
        ({"attention": "flash_attention_2"}, "^attention: flash_attention_2 computes in float16 and bfloat16 alone"),
    ],
)
def test_options_that_contradict_each_other(options: dict[str, Any], why: str) -> None:
    with pytest.raises(AsrmeterError, match=why):
        TransformersOptions(**options).check()


@pytest.mark.parametrize(
    "options",
    [
        {"compile": "all", "attention": "eager"},
        {"compile": "encoder", "quantisation": "int8-dynamic"},
        {"tf32": True, "encoder_dtype": "float16"},
        {"attention": "flash_attention_2", "dtype": "bfloat16"},
    ],
)
def test_options_that_go_together(options: dict[str, Any]) -> None:
    TransformersOptions(**options).check()


@pytest.mark.parametrize(
    ("options", "family", "device", "host", "why"),
    [
        ({}, "ctc", "cpu", Host(), None),
        ({"cache": "none"}, "ctc", "cpu", Host(), "a ctc model has no decoder; it keeps nothing from token to token"),
        ({"cache": "static"}, None, "cpu", Host(), None),
        ({"compile": "all"}, "ctc", "cpu", Host(), "a ctc model has no decoder; compile: encoder is all"),
        ({"tf32": True}, "ctc", "cpu", Host(), "tf32 needs a GPU"),
        ({"tf32": True}, "ctc", "cuda", AMPERE, None),
        ({"tf32": True}, "ctc", "cuda", Host(), None),
        (
            {"tf32": True},
            *("ctc", "cuda", TURING),
            "tf32 needs a GPU of compute capability 8.0 at least, and this one has 7.5",
        ),
        ({"transfers": "pinned"}, "ctc", "cpu", Host(), "transfers: pinned needs a GPU"),
        ({"transfers": "overlapped"}, "whisper", "cuda", TURING, None),
        ({"attention": "flash_attention_2"}, "whisper", "cpu", Host(), "flash_attention_2 needs a GPU"),
        ({"dtype": "float16"}, "whisper", "cpu", Host(), None),
        ({"quantisation": "int8-dynamic"}, "whisper", "cpu", Host(), None),
    ],
)
def test_what_a_machine_or_a_family_cannot_do(
    options: dict[str, Any], family: str | None, device: str, host: Host, why: str | None
) -> None:
    assert TransformersOptions(**options).why_not(family, device, host) == why


@pytest.mark.parametrize(
    ("device", "variable", "usual"), [("cpu", "CXX", "g++"), ("cuda", "CC", "gcc or clang")], ids=["cpu", "cuda"]
)
def test_compiling_needs_a_compiler(
    device: str, variable: str, usual: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = TransformersOptions(compile="encoder")
    monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    why = f"torch.compile needs a compiler, and there is no {usual} on this machine"
    assert compiled.why_not("whisper", device, Host()) == why
    assert TransformersOptions(attention="flex_attention").why_not("whisper", device, Host()) == why
    assert TransformersOptions().why_not("whisper", device, Host()) is None
    own = tmp_path / "own-compiler"
    own.touch(0o755)
    monkeypatch.setenv(variable, "own-compiler -O2")
    assert compiled.why_not("whisper", device, Host()) is None


def test_packages_that_a_variant_needs() -> None:
    quantised, flash = (
        TransformersOptions(quantisation="int8-weights"),
        TransformersOptions(attention="flash_attention_2"),
    )
    assert (TransformersOptions().environment, TransformersOptions().needs) == ("measure", ())
    assert (quantised.environment, quantised.needs) == ("torchao", ("torchao",))
    assert (flash.environment, flash.needs) == ("measure", ("flash_attn",))
    assert "torchao" in TransformersOptions().hidden and "torchao" not in quantised.hidden


@pytest.mark.parametrize(
    ("options", "dtype"),
    [
        ({}, "float32"),
        ({"dtype": "float16"}, "float16"),
        ({"encoder_dtype": "bfloat16", "decoder_dtype": "bfloat16"}, "bfloat16"),
        ({"encoder_dtype": "float16"}, None),
        ({"quantisation": "int8-weights"}, None),
        ({"tf32": True}, None),
    ],
)
def test_peaks_are_held_against_what_has_one_number_format(options: dict[str, Any], dtype: str | None) -> None:
    assert TransformersOptions(**options).wanted_dtype == dtype


# What changes in a model


def test_defaults_change_no_call(whisper: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = load(whisper)
    assert runtime.model.get_encoder().forward.__func__ is type(runtime.model.get_encoder()).forward
    assert runtime.model.get_decoder().forward.__func__ is type(runtime.model.get_decoder()).forward
    assert "_prepare_static_cache" not in vars(runtime.model)
    generate, told = runtime.model.generate, []
    monkeypatch.setattr(runtime.model, "generate", lambda **named: told.append({*named}) or generate(**named))
    run(runtime, noise(1))
    run(runtime, noise(31))
    every = {"input_features", "do_sample", "num_beams", "language", "task"}
    assert told == [every, every | {"attention_mask", "return_timestamps", "monitor_progress"}]
    assert (runtime.compile_s(), runtime.n_compile_cache_hits(), runtime.differences()) == (None, None, ())
    effective = runtime.effective()
    assert (effective.dtype, effective.emulated) == ("float32", False)
    assert effective.instructions == torch.backends.cpu.get_cpu_capability()
    assert "torch._inductor" not in str(effective.library)


@pytest.mark.parametrize("seconds", [(2.0, 1.0), (31.0, 5.0)], ids=["short", "long"])
@pytest.mark.parametrize("cache", ["static", "none"])
def test_caches_do_not_change_texts(whisper: Path, cache: str, seconds: tuple[float, ...]) -> None:
    heard, work = run(load(whisper), noise(*seconds))
    again, other = run(load(whisper, cache=cache), noise(*seconds))
    assert again == heard
    assert other.n_decoder_runs == work.n_decoder_runs


def test_work_with_a_static_cache_is_that_with_a_dynamic_one(whisper: Path) -> None:
    dynamic, static = load(whisper), load(whisper, cache="static")
    for seconds in ((2.0, 1.0), (3.0,), (2.0, 1.0)):
        assert run(static, noise(*seconds)) == run(dynamic, noise(*seconds))
    # Beyond a window rows that are over are kept.
    (_, work), (_, kept) = run(dynamic, noise(31, 5)), run(static, noise(31, 5))
    assert kept.n_decoder_rows == 2 * kept.n_decoder_runs > work.n_decoder_rows
    assert kept.n_decoder_positions > work.n_decoder_positions


def test_without_a_cache_everything_is_read_again(whisper: Path) -> None:
    _, work = run(load(whisper, cache="none"), noise(2, 1))
    lengths = [4 + i for i in range(work.n_decoder_runs)]
    assert work.n_decoder_tokens == 2 * sum(lengths)
    assert work.n_decoder_positions == 2 * sum(length**2 for length in lengths)


def test_a_static_cache_is_allocated_once(whisper: Path) -> None:
    runtime = load(whisper, random_weights=True, cache="static")
    caches: list[Any] = []
    runtime.model.get_decoder().register_forward_pre_hook(
        lambda _module, _arguments, named: caches.append(named["past_key_values"]), with_kwargs=True
    )
    for text in ("w1 w2 w3", "w1 " * 20):
        run(runtime, noise(2, 1), text, text)
    assert len({id(cache) for cache in caches}) == 1
    assert caches[0].self_attention_cache.get_max_length() == runtime.model.config.max_target_positions
    run(runtime, noise(2), "w1")
    assert len({id(cache) for cache in caches}) == 2


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
@pytest.mark.parametrize("caching", [{}, {"cache": "static"}, {"cache": "none"}], ids=str)
def test_encoder_and_decoder_of_different_formats(whisper: Path, half: str, caching: dict[str, str]) -> None:
    runtime = load(whisper, encoder_dtype=half, **caching)
    model, seen = runtime.model, set()
    model.get_decoder().register_forward_pre_hook(
        lambda _module, _arguments, named: seen.add(named["encoder_hidden_states"].dtype), with_kwargs=True
    )
    assert {p.dtype for p in model.get_encoder().parameters()} == {getattr(torch, half)}
    assert {p.dtype for p in model.get_decoder().parameters()} == {model.proj_out.weight.dtype} == {torch.float32}
    for seconds in ((2.0, 1.0), (31.0, 5.0)):
        heard, _ = run(runtime, noise(*seconds))
        assert all(h.text for h in heard)
    assert seen == {torch.float32}
    assert runtime.effective().dtype == f"{half} encoder, float32 decoder"
    assert runtime.differences() == ("activations",)


def test_a_decoder_alone_in_another_format(whisper: Path) -> None:
    runtime = load(whisper, decoder_dtype="bfloat16")
    assert runtime.model.proj_out.weight.dtype == torch.bfloat16
    assert runtime.model.proj_out.weight.data_ptr() == runtime.model.get_decoder().embed_tokens.weight.data_ptr()
    run(runtime, noise(2, 1))


def test_formats_of_encoder_and_head_of_a_ctc_model(tmp_path: Path) -> None:
    runtime = load(ctc_folder(tmp_path / "model", "wav2vec2", masked=True), "ctc", encoder_dtype="bfloat16")
    scores: list[torch.Tensor] = []
    runtime.head.register_forward_hook(lambda _module, _inputs, output: scores.append(output))
    run(runtime, noise(1, 0.6))
    assert scores[0].dtype == torch.float32 and runtime.effective().dtype == "bfloat16 encoder, float32 decoder"


@pytest.mark.parametrize(
    ("dtype", "flags", "emulated"),
    [
        ("float32", set(), False),
        ("bfloat16", {"avx512f", "avx512_fp16"}, True),
        ("bfloat16", {"avx512_bf16"}, False),
        ("bfloat16", {"amx_bf16"}, False),
        ("float16", {"avx512_bf16", "amx_bf16"}, True),
        ("float16", {"avx512_fp16"}, False),
    ],
)
def test_a_format_without_instructions_is_emulated(
    whisper: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, flags: set[str], emulated: bool
) -> None:
    monkeypatch.setattr(torch_runtime, "cpu_flags", lambda: frozenset(flags))
    assert load(whisper, dtype=dtype).effective().emulated is emulated
    assert load(whisper, encoder_dtype=dtype).effective().emulated is emulated


@pytest.mark.parametrize(
    ("dtype", "capability", "emulated"),
    [("bfloat16", (7, 5), True), ("bfloat16", (8, 0), False), ("float16", (7, 5), False)],
)
def test_a_gpu_emulates_formats_too(
    whisper: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, capability: tuple[int, int], emulated: bool
) -> None:
    runtime = load(whisper, dtype=dtype)
    monkeypatch.setattr(runtime, "host", lambda: Host(compute_capability=capability))
    assert runtime.is_emulated([dtype]) is emulated


def test_what_cannot_be_is_refused_when_a_model_is_loaded(whisper: Path) -> None:
    for options in ({"transfers": "pinned"}, {"tf32": True}, {"attention": "flash_attention_2", "dtype": "float16"}):
        with pytest.raises(UnsupportedError, match=r"needs a GPU$"):
            load(whisper, **options)


def test_products_are_rounded_where_it_is_asked_for() -> None:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    try:
        for is_allowed in (True, False):
            allow_tf32(is_allowed)
            assert torch.backends.cudnn.allow_tf32 is torch.backends.cuda.matmul.allow_tf32 is is_allowed
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


class CopiesOnTheHost(OverlappedCopies):
    """Parts that are copied where there is no GPU, and the order in which they are."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def copy(self, part: Any) -> tuple[dict[str, torch.Tensor], Callable[[], None]]:
        n_rows = len(next(iter(part.values())))
        self.told.append(f"copy {n_rows}")
        return {name: tensor.clone() for name, tensor in part.items()}, lambda: self.told.append(f"wait {n_rows}")


@pytest.mark.parametrize("seconds", [(2.0, 30.0), (31.0, 5.0)], ids=["short", "long"])
@pytest.mark.parametrize("languages", [(None, None), ("ru", None)], ids=str)
def test_options_do_not_change_which_language_is_found(
    whisper: Path, seconds: tuple[float, ...], languages: tuple[str | None, ...]
) -> None:
    that_tells_languages_apart(whisper, noise(2, 30))
    plain, work = run(load(whisper), noise(*seconds), languages=languages)
    assert [h.language is None for h in plain] == [language is not None for language in languages]
    for cache in ("static", "none"):
        heard, own_work = run(load(whisper, cache=cache), noise(*seconds), languages=languages)
        assert heard == plain and own_work.n_decoder_runs == work.n_decoder_runs
    compiled, shapes = load(whisper, cache="static"), NotCompiled()
    compile_encoder(shapes, compiled.model.get_encoder())
    compile_decoder(shapes, compiled.model.get_decoder())
    assert run(compiled, noise(*seconds), languages=languages)[0] == plain
    overlapped = load(whisper)
    overlapped.overlapped = CopiesOnTheHost()
    if max(seconds) <= 30:
        heard, _ = run(overlapped, noise(*seconds), languages=languages)
        # What the encoder heard serves both.
        once = [replace(h, n_windows=1, processed_s=30) for h in plain]
        assert heard == once and [h.n_windows for h in plain] == [1 + (h.language is not None) for h in plain]


@pytest.mark.parametrize("n", [1, 3])
def test_halves_of_a_batch_are_copied_before_the_wait(whisper: Path, n: int) -> None:
    runtime = load(whisper)
    heard = run(runtime, noise(*range(1, n + 1)))
    runtime.overlapped = CopiesOnTheHost()
    assert run(runtime, noise(*range(1, n + 1))) == heard
    assert runtime.overlapped.told == (["copy 1", "wait 1"] if n == 1 else ["copy 2", "copy 1", "wait 2", "wait 1"])


@pytest.mark.parametrize("masked", [False, True])
def test_halves_of_a_ctc_batch(tmp_path: Path, masked: bool) -> None:
    settings = {"feat_extract_norm": "layer" if masked else "group", "do_stable_layer_norm": masked}
    runtime = load(ctc_folder(tmp_path / "model", "wav2vec2", masked, **settings), "ctc")
    heard = run(runtime, noise(1, 0.6, 0.8))
    runtime.overlapped = CopiesOnTheHost()
    assert run(runtime, noise(1, 0.6, 0.8)) == heard
    assert runtime.overlapped.told == ["copy 2", "copy 1", "wait 2", "wait 1"]


# Compilation, without what compiles: tests/integration has that


class NotCompiled(Compilation):
    """What would be compiled, with the rows of each call that it would be made for."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def of_fixed_shape(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            first = arguments[0] if arguments else named["input_ids"]
            self.rows.append(len(first))
            return forward(*arguments, **named)

        return run


def test_a_compiled_encoder_has_one_shape(whisper: Path) -> None:
    plain, compiled, shapes = load(whisper), load(whisper), NotCompiled()
    compile_encoder(shapes, compiled.model.get_encoder())
    for seconds in ((2.0, 1.0, 3.0), (31.0, 5.0, 31.0), (31.0, 61.0, 3.0)):
        assert run(compiled, noise(*seconds)) == run(plain, noise(*seconds))
    assert set(shapes.rows) == {3} and len(shapes.rows) >= 6


def test_silence_that_fills_up_a_batch_is_not_heard(whisper: Path) -> None:
    encoder, shapes = load(whisper).model.get_encoder(), NotCompiled()
    features = torch.randn(3, 80, 3000)
    with torch.inference_mode():
        expected = encoder(features).last_hidden_state
        compile_encoder(shapes, encoder)
        for n_rows in (3, 1, 2):
            heard = encoder(input_features=features[:n_rows]).last_hidden_state
            torch.testing.assert_close(heard, expected[:n_rows])
    assert shapes.rows == [3, 3, 3]


@pytest.mark.parametrize("seconds", [(2.0, 1.0), (31.0, 5.0)], ids=["short", "long"])
def test_a_compiled_decoder_runs_over_one_token(whisper: Path, seconds: tuple[float, ...]) -> None:
    plain, compiled, shapes = load(whisper, cache="static"), load(whisper, cache="static"), NotCompiled()
    compile_decoder(shapes, compiled.model.get_decoder())
    heard, work = run(compiled, noise(*seconds))
    assert (heard, work) == run(plain, noise(*seconds))
    n_prompts = max(h.n_windows or 0 for h in heard)
    assert shapes.rows == [2] * (work.n_decoder_runs - n_prompts)


def test_compiled_code_lies_beside_the_model(tmp_path: Path) -> None:
    assert cache_of(tmp_path / "whisper-base") == tmp_path / ".whisper-base.compiled"


def test_parts_that_are_no_cuda_graphs_are_noticed() -> None:
    compilation: Any = Compilation.__new__(Compilation)
    counters: dict[str, dict[str, int]] = {"inductor": {"cudagraph_skips": 0}}
    compilation._utils, compilation._n_graphs = SimpleNamespace(counters=counters), 2
    compilation.check_graphs()
    counters["inductor"]["cudagraph_skips"] = 1
    with pytest.raises(UnsupportedError, match=r"^torch made no CUDA graph of 1 compiled parts of the model$"):
        compilation.check_graphs()
    compilation._n_graphs = 0
    compilation.check_graphs()


# Eight bits


@pytest.fixture
def without_torchao() -> Iterator[None]:
    before = sys.modules.get("torchao", ...)
    sys.modules["torchao"] = None  # type: ignore[assignment]
    yield
    if before is ...:
        del sys.modules["torchao"]
    else:
        sys.modules["torchao"] = before  # type: ignore[assignment]


def test_quantisation_without_its_package_is_not_possible(whisper: Path, without_torchao: None) -> None:
    with pytest.raises(UnsupportedError, match=r"^quantisation: int8-weights needs the package torchao "):
        load(whisper, quantisation="int8-weights")
