"""faster-whisper is run as its users run it: with its defaults, and the tokenizer and features of the model."""

import inspect
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import faster_whisper
import pytest
import torch

from asrmeter import runtimes
from asrmeter.common.paths import SCRIPTS
from asrmeter.machine.host import Host
from asrmeter.runtimes import ctranslate2
from asrmeter.runtimes.base import Setup, Timeline, UnsupportedError
from asrmeter.runtimes.faster_whisper import OPTIONS
from helpers.model_folders import edit, whisper_folder
from helpers.speech import english, told
from helpers.waveforms import noise


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    folder = whisper_folder(tmp_path / "model", n_mels=128, d_model=32, max_target_positions=448)
    edit(folder / "generation_config.json", max_length=448)
    return folder


@pytest.fixture
def converted(folder: Path) -> Path:
    target = folder.parent / "ctranslate2-float32"
    target.mkdir()
    runtimes.convert("faster_whisper", folder, "whisper", {"format": "float32"}, target)
    return target


def setup_of(folder: Path, converted: Path, **settings: Any) -> Setup:
    return Setup(folder, "whisper", {"format": "float32"}, converted=converted, **settings)


def plain(folder: Path, converted: Path) -> faster_whisper.WhisperModel:
    """The library's own way: all files in one folder."""
    for name in ("tokenizer.json", "preprocessor_config.json"):
        shutil.copy(folder / name, converted)
    return faster_whisper.WhisperModel(str(converted), device="cpu", compute_type="float32", cpu_threads=1)


def test_it_hears_what_its_users_hear(folder: Path, converted: Path) -> None:
    runtime: Any = runtimes.load("faster_whisper", setup_of(folder, converted))
    assert sorted(path.name for path in converted.iterdir()) == ["config.json", "model.bin", "vocabulary.json"]
    waveforms, timeline = noise(2, 35), Timeline()
    heard = runtime.transcribe(english(waveforms), timeline)
    timeline.end()
    by_hand = plain(folder, converted)
    for waveform, hypothesis in zip(waveforms, heard, strict=True):
        found = list(by_hand.transcribe(waveform, language="en")[0])
        assert hypothesis.text == "".join(segment.text for segment in found).strip()
        assert hypothesis.n_tokens == sum(token < 50_257 for segment in found for token in segment.tokens) > 0
        assert hypothesis.processed_s == 30 * hypothesis.n_windows
    assert heard[1].n_windows > 1
    assert timeline.stages.count("encoder") == sum(h.n_windows for h in heard)
    assert timeline.stages[:3] == ["features", "encoder", "decoder"] and timeline.stages[-2:] == ["text", ""]
    assert timeline.decoder_work is None


def test_languages_are_told_or_found_as_its_users_do(folder: Path, converted: Path) -> None:
    runtime: Any = runtimes.load("faster_whisper", setup_of(folder, converted))
    waveforms = noise(2, 1)
    timeline = Timeline()
    heard = runtime.transcribe(told(waveforms, ["jv", None]), timeline)
    timeline.end()
    by_hand = plain(folder, converted)
    for waveform, language, hypothesis in zip(waveforms, ("jw", None), heard, strict=True):
        segments, info = by_hand.transcribe(waveform, language=language)
        assert hypothesis.text == "".join(segment.text for segment in segments).strip()
        assert hypothesis.language == (None if language else {"jw": "jv"}.get(info.language, info.language))
    # The encoder runs once more where a language is looked for.
    assert timeline.stages.count("encoder") == sum(h.n_windows for h in heard)


def test_a_language_that_a_model_does_not_know_is_refused(folder: Path, converted: Path) -> None:
    edit(folder / "generation_config.json", lang_to_id={"<|ru|>": 50_263})
    runtime = runtimes.load("faster_whisper", setup_of(folder, converted))
    with pytest.raises(UnsupportedError, match=r"^model knows no Javanese \(jv\)$"):
        runtime.transcribe(told(noise(1, 1), ["ru", "jv"]), Timeline())


def test_what_is_recorded_is_what_was_done(folder: Path, converted: Path) -> None:
    runtime: Any = runtimes.load("faster_whisper", setup_of(folder, converted))
    _, info = plain(folder, converted).transcribe(noise(1)[0], language="en")
    said, done = runtime.decoding(), info.transcription_options
    for key in ("beam_size", "best_of", "patience", "condition_on_previous_text", "without_timestamps"):
        assert said[key] == getattr(done, key), key
    assert (said["temperature"], said["vad_filter"]) == (done.temperatures, False) and "language" not in said
    # The library's own default: it says nothing of silence unless it is asked to.
    assert inspect.signature(faster_whisper.WhisperModel.transcribe).parameters["vad_filter"].default is False
    assert runtime.differences() == ("features", "padding", "beam", "fallback", "prompt")
    effective = runtime.effective()
    assert (effective.dtype, effective.threads) == ("float32", 1)
    assert runtime.versions()["faster-whisper"] == faster_whisper.__version__
    assert OPTIONS.equal_settings is False


def test_scores_that_are_not_finite_are_rejected(
    folder: Path, converted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime: Any = runtimes.load("faster_whisper", setup_of(folder, converted))
    with runtime.check_scores():
        runtime.transcribe(english(noise(1)), Timeline())
    own = faster_whisper.WhisperModel.generate_with_fallback

    def broken(*arguments: Any) -> Any:
        result, _, *others = own(*arguments)
        return (result, float("nan"), *others)

    monkeypatch.setattr(faster_whisper.WhisperModel, "generate_with_fallback", broken)
    with pytest.raises(FloatingPointError), runtime.check_scores():
        runtime.transcribe(english(noise(1)), Timeline())


def test_random_weights_are_refused(folder: Path, converted: Path) -> None:
    with pytest.raises(UnsupportedError, match="texts of a given length"):
        runtimes.load("faster_whisper", setup_of(folder, converted, random_weights=True))


def test_the_features_may_be_part_of_the_processor(folder: Path, converted: Path) -> None:
    features = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    (folder / "processor_config.json").write_text(json.dumps({"feature_extractor": features}))
    runtime: Any = runtimes.load("faster_whisper", setup_of(folder, converted))
    (heard,) = runtime.transcribe(english(noise(1)), Timeline())
    assert heard.text


def test_what_it_does_not_run_is_known_beforehand() -> None:
    options = OPTIONS()
    assert options.why_not("whisper", "cpu", Host()) is None is options.why_not(None, "cpu", Host())
    assert "asrmeter cannot run ctc models by" in (options.why_not("ctc", "cpu", Host()) or "")
    half = OPTIONS(format="float16")
    assert "float16" in (half.why_not("whisper", "cpu", Host()) or "")
    assert (half.wanted_dtype, options.wanted_dtype) == ("float16", None)


def test_the_folder_is_that_of_ctranslate2() -> None:
    for name in ("int8", "float32"):
        own = OPTIONS(format=name).conversion()
        assert own == ctranslate2.OPTIONS(format=name).conversion()


def test_the_process_holds_no_torch(folder: Path, converted: Path) -> None:
    program = f"""
import sys; sys.path.insert(0, {str(SCRIPTS)!r})
from pathlib import Path
import numpy as np
from asrmeter import runtimes
from asrmeter.runtimes.base import Setup, SpeechBatch, Timeline
runtimes.hide(runtimes.variant_options({{"runtime": "faster_whisper"}}).hidden)
runtimes.preload("faster_whisper")
setup = Setup(Path({str(folder)!r}), "whisper", {{"format": "float32"}}, converted=Path({str(converted)!r}))
speech = SpeechBatch([np.ones(16000, np.float32)], [""], ["en"])
heard = runtimes.load("faster_whisper", setup).transcribe(speech, Timeline())
print(heard[0].n_windows > 0)
print([name for name in ("torch", "transformers", "scipy", "onnxruntime") if sys.modules.get(name)])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout.split("\n")[:2], done.returncode) == (["True", "[]"], 0), done.stderr
