"""Recorded Russian and French: heard as well as by a plain loop of transformers, and refused by who hears English."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import measure
from asrmeter import runtimes
from asrmeter.common.languages import scripts_of
from asrmeter.corpora.audio import decode
from asrmeter.models import build
from asrmeter.models.catalogue import ModelSettings
from asrmeter.records import cell_record
from asrmeter.runtimes.base import Hypothesis, Runtime, Setup, SpeechBatch, Timeline
from asrmeter.sources.integrity import PROVENANCE
from asrmeter.sources.packages import Archives
from check import plain_language
from check.plain_language import wer
from helpers.made_inputs import sign_corpus
from helpers.prompts import Prompt, prompts

N_PROMPTS = {"ru": 12, "fr": 6}
N_TOGETHER = 6


class Spoken(NamedTuple):
    """Clips of a language with their texts, the shortest first, and what the plain loop hears in them."""

    prompts: list[Prompt]
    plain: list[str]

    @property
    def texts(self) -> list[str]:
        return [prompt.text for prompt in self.prompts]


@pytest.fixture(scope="module")
def archives(downloads: Path) -> Archives:
    return Archives(downloads)


@pytest.fixture(scope="module")
def base(archives: Archives, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "whisper-base"
    build.build("whisper-base", ModelSettings(), 42, archives, folder)
    return folder


def spoken(base: Path, language: str) -> Spoken:
    found = sorted(prompts(language, N_PROMPTS[language]), key=lambda prompt: prompt.file.stat().st_size)
    clips = plain_language.waveforms([prompt.file for prompt in found])
    return Spoken(found, plain_language.transcribe(base, clips, language, N_TOGETHER))


@pytest.fixture(scope="module")
def russian(base: Path) -> Spoken:
    return spoken(base, "ru")


@pytest.fixture(scope="module")
def french(base: Path) -> Spoken:
    return spoken(base, "fr")


@pytest.fixture(scope="module")
def runtime(base: Path) -> Runtime:
    return runtimes.load("transformers", Setup(base, "whisper", {"dtype": "float32", "attention": "sdpa"}))


def hear(runtime: Runtime, prompts: Sequence[Prompt], told: str | None) -> list[Hypothesis]:
    """Transcribe as a measured pass does; None: the model is told no language."""
    heard: list[Hypothesis] = []
    for begin in range(0, len(prompts), N_TOGETHER):
        batch = prompts[begin : begin + N_TOGETHER]
        clips: list[np.ndarray] = [decode(prompt.file).samples for prompt in batch]
        heard += runtime.transcribe(
            SpeechBatch(clips, [prompt.text for prompt in batch], [told] * len(batch)), Timeline()
        )
    return heard


def texts(heard: list[Hypothesis]) -> list[str]:
    return [hypothesis.text for hypothesis in heard]


def test_russian_is_heard_as_by_a_plain_loop(runtime: Runtime, russian: Spoken) -> None:
    told = hear(runtime, russian.prompts, "ru")
    plain_wer, own_wer = wer(russian.texts, russian.plain), wer(russian.texts, texts(told))
    assert plain_wer < 0.3
    assert own_wer == pytest.approx(plain_wer, abs=0.02)
    # Names such as IP have Latin letters in Russian too.
    assert {max(scripts, key=scripts.__getitem__) for text in texts(told) if (scripts := scripts_of(text))} == {
        "CYRILLIC"
    }
    assert {hypothesis.language for hypothesis in told} == {None}
    # Where nobody tells it, the model finds it out; the longest say the most.
    longest = slice(-N_TOGETHER, None)
    found = hear(runtime, russian.prompts[longest], None)
    assert [hypothesis.language for hypothesis in found] == ["ru"] * N_TOGETHER
    assert texts(found) == texts(told)[longest]


def test_french_is_heard_as_by_a_plain_loop(runtime: Runtime, french: Spoken) -> None:
    told = texts(hear(runtime, french.prompts, "fr"))
    assert wer(french.texts, french.plain) < 0.3
    assert wer(french.texts, told) == pytest.approx(wer(french.texts, french.plain), abs=0.02)
    assert {script for text in told for script in scripts_of(text)} == {"LATIN"}


def test_an_english_model_is_not_tried_on_russian(
    archives: Archives, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASRMETER_LOCK", str(tmp_path / "lock"))
    model, corpus = tmp_path / "whisper-tiny.en", tmp_path / "prompts"
    build.build(model.name, ModelSettings(), 42, archives, model)
    hears = json.loads((model / PROVENANCE).read_text(encoding="utf-8"))
    assert (hears["languages"], hears["scripts"]) == (["en"], None)
    corpus.mkdir()
    rows = []
    for prompt in prompts("ru", 3):
        file = f"{prompt.file.stem}.wav"
        (corpus / file).write_bytes(prompt.file.read_bytes())
        rows.append({"segment_id": file, "duration_s": 15, "audio_s": 5.0, "path": file, "text": prompt.text})
    protocol = {"version": 2, "target": 0.1, "max_passes": 6, "budget_s": 600, "energy_window_s": 5}
    # Whether the model is told or is to find out by itself.
    for number, told in enumerate(("ru", None)):
        manifest = sign_corpus(corpus, [row | {"language": "ru", "language_told": told} for row in rows])
        output = tmp_path / f"{number}.parquet"
        measure.main(
            [
                *(f"--model={model.name}", f"--model-folder={model}", f"--segments={manifest}", "--variant=fp32"),
                *('--variant-options={"runtime": "transformers"}', "--device=cpu", "--duration-s=15"),
                *("--batch-size=2", "--threads=auto", "--seed=1", f"--protocol={json.dumps(protocol)}"),
                f"--output={output}",
            ]
        )
        header, passes = cell_record.read(output)
        assert (header.status, passes) == ("unsupported", [])
        assert header.reason == "whisper-tiny.en knows English only, and the corpus has Russian (ru)"
        assert header.job_s is not None and header.job_s < 60
