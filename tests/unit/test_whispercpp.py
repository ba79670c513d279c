"""whisper.cpp: files of ggml hold the model's numbers; texts are those of transformers; what cannot be is refused."""

import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import gguf
import numpy as np
import pytest
import torch
import transformers
from gguf.quants import dequantize

from asrmeter import runtimes
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.paths import SCRIPTS
from asrmeter.machine.host import Host
from asrmeter.runtimes.base import Setup, Timeline, UnsupportedError
from asrmeter.runtimes.whispercpp import OPTIONS, conversion
from asrmeter.runtimes.whispercpp.files import FILE
from helpers.model_folders import edit, whisper_folder, write
from helpers.speech import told
from helpers.waveforms import noise

# Half of them are for the text before, and 4 are kept: 16 tokens are the most of a window.
SIZES = {"d_model": 32, "encoder_ffn_dim": 128, "decoder_ffn_dim": 128, "max_target_positions": 40}

FFN = ("encoder_ffn_dim", "decoder_ffn_dim")


pytestmark = pytest.mark.usefixtures("one_thread")


def folder_of(tmp_path: Path, multilingual: bool = True, **settings: Any) -> Path:
    folder = whisper_folder(tmp_path / "model", multilingual, **SIZES | settings)
    edit(folder / "generation_config.json", max_length=16)
    return folder


def converted(folder: Path, number_format: str) -> Path:
    target = folder.parent / number_format
    target.mkdir()
    runtimes.convert("whispercpp", folder, "whisper", {"format": number_format}, target)
    return target


def load(folder: Path, number_format: str, **settings: Any) -> Any:
    setup = Setup(folder, "whisper", {"format": number_format}, converted=converted(folder, number_format), **settings)
    return runtimes.load("whispercpp", setup)


def baseline(folder: Path) -> Any:
    return runtimes.load("transformers", Setup(folder, "whisper", {"dtype": "float32", "attention": "sdpa"}))


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


# Files


class Read(NamedTuple):
    head: tuple[int, ...]
    filters: np.ndarray
    words: list[bytes]
    tensors: dict[str, tuple[int, np.ndarray]]


def read(path: Path) -> Read:
    """Read a file as `whisper_model_load` of whisper.cpp does."""
    raw, at = path.read_bytes(), 0

    def numbers(n: int) -> tuple[int, ...]:
        nonlocal at
        at += 4 * n
        return struct.unpack_from(f"<{n}i", raw, at - 4 * n)

    def take(n: int) -> bytes:
        nonlocal at
        at += n
        return raw[at - n : at]

    head = numbers(12)
    shape = numbers(2)
    filters = np.frombuffer(take(4 * shape[0] * shape[1]), np.float32).reshape(shape)
    words = [take(*numbers(1)) for _ in range(*numbers(1))]
    tensors = {}
    while at < len(raw):
        n_dimensions, n_name, kind = numbers(3)
        own = tuple(reversed(numbers(n_dimensions)))
        name = take(n_name).decode()
        n_block, n_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType(kind)]
        flat = np.frombuffer(take(int(np.prod(own)) // n_block * n_bytes), np.uint8)
        tensors[name] = (kind, dequantize(flat, gguf.GGMLQuantizationType(kind)).reshape(own))
    return Read(head, filters, words, tensors)


@pytest.mark.parametrize(
    ("number_format", "kind", "step"), [("float16", 1, 2**-11), ("q8_0", 8, 1 / 254), ("q5_0", 6, 1 / 16)]
)
def test_a_file_holds_the_models_own_numbers(tmp_path: Path, number_format: str, kind: int, step: float) -> None:
    folder = folder_of(tmp_path)
    found = read(converted(folder, number_format) / FILE)
    assert found.head == (0x67676D6C, 51_865, 1500, 32, 2, 1, 40, 32, 2, 1, 80, {1: 1, 8: 2007, 6: 2008}[kind])
    assert np.array_equal(found.filters, transformers.WhisperFeatureExtractor().mel_filters.T.astype(np.float32))
    assert (len(found.words), found.words[7]) == (50_257, b"w7")
    state = transformers.WhisperForConditionalGeneration.from_pretrained(folder).model.state_dict()
    assert len(found.tensors) == len(state)
    own = state["decoder.embed_tokens.weight"].numpy()
    got, numbers = found.tensors["decoder.token_embedding.weight"]
    assert got == kind
    largest = np.abs(own.reshape(-1, 32)).max(axis=1, keepdims=True)
    assert (np.abs((numbers - own).reshape(-1, 32)) <= 1.13 * step * largest).all()
    for name in ("encoder.blocks.0.mlp_ln.bias", "decoder.positional_embedding", "encoder.conv1.bias"):
        assert found.tensors[name][0] == 0, name
    assert found.tensors["encoder.conv2.weight"][0] == 1
    exact = found.tensors["decoder.positional_embedding"][1]
    assert np.array_equal(exact, state["decoder.embed_positions.weight"].numpy())


def test_words_are_the_bytes_that_signs_stand_for() -> None:
    assert conversion._words({"Ġhe": 0, "é": 1, "ĊĀ": 2, "!~": 3}, 4) == [b" he", b"\xe9", b"\n\x00", b"!~"]


def untied(folder: Path) -> None:
    edit(folder / "config.json", tie_word_embeddings=False)
    model = transformers.WhisperForConditionalGeneration.from_pretrained(folder)
    with torch.no_grad():
        model.proj_out.weight += 1
    model.save_pretrained(folder)


def reordered(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    first, second = tokenizer["added_tokens"][:2]
    first["content"], second["content"] = second["content"], first["content"]
    write(folder / "tokenizer.json", tokenizer)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda folder: edit(folder / "config.json", vocab_size=51_870), "and this model has 51870$"),
        (reordered, "in another order than OpenAI's"),
        (lambda folder: edit(folder / "generation_config.json", is_multilingual=False), "in another order"),
        (lambda folder: edit(folder / "generation_config.json", no_repeat_ngram_size=3), "no_repeat_ngram_size 3"),
        (lambda folder: edit(folder / "preprocessor_config.json", hop_length=80), "hop_length 80, and whisper"),
        (lambda folder: edit(folder / "config.json", decoder_ffn_dim=64), "not four times as wide"),
        (lambda folder: edit(folder / "config.json", d_model=16, **dict.fromkeys(FFN, 64)), "into blocks of 32"),
        (untied, "is not its embedding"),
    ],
)  # fmt: skip
def test_models_that_whisper_cpp_takes_for_others_are_refused(tmp_path: Path, change: Any, why: str) -> None:
    folder = folder_of(tmp_path)
    change(folder)
    with pytest.raises(UnsupportedError, match=why):
        converted(folder, "float16")


# Texts


@pytest.mark.parametrize(("multilingual", "n_mels"), [(True, 80), (True, 128), (False, 80)])
def test_texts_and_work_are_those_of_transformers(tmp_path: Path, multilingual: bool, n_mels: int) -> None:
    folder = folder_of(tmp_path, multilingual, n_mels=n_mels)
    waveforms = noise(2, 0.5)
    wanted, _ = hear(baseline(folder), waveforms)
    runtime = load(folder, "float16")
    heard, timeline = hear(runtime, waveforms)
    assert [h.text for h in heard] == [h.text.replace(" ", "") for h in wanted]
    assert [(h.n_tokens, h.n_windows, h.processed_s) for h in heard] == [(16, 1, 30)] * 2
    assert len(set(wanted[0].text.split())) > 6
    assert timeline.stages == ["features", "encoder", "decoder", "text"] * 2 + [""]
    # transformers hears both rows at once.
    alone = [hear(baseline(folder), [waveform])[1].decoder_work for waveform in waveforms]
    total = {key: sum(vars(work)[key] for work in alone) for key in vars(alone[0])}
    assert vars(timeline.decoder_work) == total


@pytest.mark.parametrize("multilingual", [True, False])
def test_languages_are_those_of_transformers(tmp_path: Path, multilingual: bool) -> None:
    folder = folder_of(tmp_path, multilingual)
    own, other = baseline(folder), load(folder, "float16")
    for languages in (("ru", "jv"), (None, "fr"), (None, None)) if multilingual else (("en", None),):
        wanted, _ = hear(own, noise(2, 0.5), languages=languages)
        heard, timeline = hear(other, noise(2, 0.5), languages=languages)
        assert [h.text for h in heard] == [h.text.replace(" ", "") for h in wanted]
        assert [(h.language, h.n_windows, h.processed_s) for h in heard] == [
            (h.language, h.n_windows, h.processed_s) for h in wanted
        ]
        assert [h.language is not None for h in heard] == [multilingual and language is None for language in languages]
        alone = [
            hear(own, [waveform], languages=(language,))[1].decoder_work
            for waveform, language in zip(noise(2, 0.5), languages, strict=True)
        ]
        total = {key: sum(vars(work)[key] for work in alone) for key in vars(alone[0])}
        assert vars(timeline.decoder_work) == total
        assert timeline.stages.count("encoder") == sum(h.n_windows for h in heard)
    assert "language" not in other.decoding()


def test_a_language_is_found_once_in_a_segment(tmp_path: Path) -> None:
    (heard,), timeline = hear(load(folder_of(tmp_path), "q8_0"), noise(40), languages=(None,))
    n_prompts = timeline.stages.count("encoder") - 1
    assert heard.n_windows == n_prompts + 1 and heard.language
    assert timeline.stages[:3] == ["features", "encoder", "encoder"]
    write(tmp_path / "model" / "provenance.json", {"weights": "random"})
    shutil.rmtree(tmp_path / "q8_0")
    runtime = load(tmp_path / "model", "q8_0", random_weights=True)
    (heard,), _ = hear(runtime, noise(40), ("w1 w2 w3 w4",), (None,))
    assert (heard.n_windows, heard.n_tokens, heard.language is None) == (3, 4, False)


def test_languages_of_other_models_are_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    edit(folder / "generation_config.json", lang_to_id={"<|ru|>": 50_263, "<|kk|>": 50_300, "<|odd|>": 50_301})
    runtime = load(folder, "q8_0")
    assert hear(runtime, noise(1), languages=("ru",))[0][0].text
    with pytest.raises(UnsupportedError, match=r"^model knows no English \(en\)$"):
        hear(runtime, noise(1))
    for code in ("kk", "odd"):
        with pytest.raises(UnsupportedError, match=f"another token for the language {code} than the model"):
            hear(runtime, noise(1), languages=(code,))


def test_quantised_models_are_recorded_as_such(tmp_path: Path) -> None:
    runtime = load(folder_of(tmp_path), "q5_0")
    effective = runtime.effective()
    assert (effective.dtype, effective.threads) == ("q5_0", 1)
    assert effective.library == "whisper.cpp 1.8.5, ggml 0.13.1"
    flags = Path("/proc/cpuinfo").read_text()
    assert effective.instructions == ("AVX512" if "avx512f" in flags and "AVX512" in effective.instructions else "AVX2")
    assert runtime.differences() == ("features", "activations", "suppression")
    assert runtime.decoding()["suppress_nst"] is False


def test_suppression_is_that_of_the_folder(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["Ġ"] = tokenizer["model"]["vocab"].pop("w220")
    write(folder / "tokenizer.json", tokenizer)
    edit(folder / "generation_config.json", suppress_tokens=[1, 2], begin_suppress_tokens=[220, 50_257])
    settings = load(folder, "float16").decoding()
    assert settings["suppress_nst"] and settings["suppress_blank"]


def test_a_file_that_does_not_load_is_an_error(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    file = converted(folder, "q8_0") / FILE
    file.write_bytes(b"????" + file.read_bytes()[4:])
    setup = Setup(folder, "whisper", {"format": "q8_0"}, converted=file.parent)
    with pytest.raises(AsrmeterError, match=r"cannot load .*failed to load model$"):
        runtimes.load("whispercpp", setup)


def test_no_clip_is_too_short(tmp_path: Path) -> None:
    heard, _ = hear(load(folder_of(tmp_path), "q8_0"), noise(0.01, 0.1))
    assert all(h.text and h.n_windows == 1 for h in heard)


def test_beyond_30_s_there_are_more_windows(tmp_path: Path) -> None:
    heard, timeline = hear(load(folder_of(tmp_path), "q8_0"), noise(40, 2))
    assert heard[0].n_windows >= 2 and heard[0].processed_s == 30 * heard[0].n_windows
    assert timeline.stages.count("encoder") == sum(h.n_windows for h in heard)


def test_a_distilled_model_is_cut_into_windows(tmp_path: Path) -> None:
    runtime = load(folder_of(tmp_path, decoder_layers=2), "q8_0")
    assert "windows" in runtime.differences()
    heard, _ = hear(runtime, noise(40))
    assert [h.n_windows for h in heard] == [2]


def test_random_weights_write_as_many_tokens_as_asked(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    # The end would be chosen at once: it is the sum of all that the decoder ever says.
    model = transformers.WhisperForConditionalGeneration.from_pretrained(folder)
    with torch.no_grad():
        end = model.generation_config.eos_token_id
        model.model.decoder.embed_tokens.weight[end] = 50 * model.model.decoder.layer_norm.weight
        model.model.decoder.layer_norm.bias += 1
    model.save_pretrained(folder)
    assert hear(load(folder, "float16"), noise(1))[0][0].n_tokens == 0
    shutil.rmtree(folder.parent / "float16")
    write(folder / "provenance.json", {"weights": "random"})
    runtime = load(folder, "float16", random_weights=True)
    heard, _ = hear(runtime, noise(1, 2), ("w1 w2 w3 w4 w5", "w1"))
    assert [(h.n_tokens, h.n_windows) for h in heard] == [(5, 1)] * 2
    heard, _ = hear(runtime, noise(40), (" ".join(["w1"] * 10),))
    assert [(h.n_tokens, h.n_windows) for h in heard] == [(10, 2)]
    (heard,), _ = hear(runtime, noise(1), (" ".join(["w1"] * 100),))
    assert heard.n_tokens == 16


# Options


def test_what_it_does_not_run_is_known_beforehand() -> None:
    options = OPTIONS()
    assert options.why_not("whisper", "cpu", Host()) is None
    assert options.why_not(None, "cpu", Host()) is None
    assert "asrmeter cannot run ctc models by" in (options.why_not("ctc", "cpu", Host()) or "")
    assert "on the CPU" in (options.why_not("whisper", "cuda", Host()) or "")
    assert options.conversion().format == "whispercpp-q8_0" and options.needs == ("_pywhispercpp", "gguf")
    assert (options.wanted_dtype, OPTIONS(format="float16").wanted_dtype) == (None, "float16")


def test_the_process_holds_no_torch(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    target = converted(folder, "q8_0")
    program = f"""
import sys; sys.path.insert(0, {str(SCRIPTS)!r})
from pathlib import Path
import numpy as np
from asrmeter import runtimes
from asrmeter.runtimes.base import Setup, SpeechBatch, Timeline
runtimes.preload("whispercpp")
setup = Setup(Path({str(folder)!r}), "whisper", {{"format": "q8_0"}}, converted=Path({str(target)!r}))
speech = SpeechBatch([np.ones(16000, np.float32)], [""], ["en"])
print(runtimes.load("whispercpp", setup).transcribe(speech, Timeline())[0].n_tokens)
print(sorted({{"torch", "transformers", "gguf", "scipy"}} & {{*sys.modules}}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout.split("\n")[:2], done.returncode) == (["16", "[]"], 0), done.stderr
