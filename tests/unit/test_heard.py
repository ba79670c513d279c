"""The languages that models hear: told, read from their files, and what becomes of speech in another."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from asrmeter.common.errors import AsrmeterError
from asrmeter.models import catalogue, heard
from asrmeter.models.catalogue import ModelSettings
from asrmeter.runtimes.families import ctc
from asrmeter.runtimes.families.whisper import FAMILY as WHISPER
from helpers.model_folders import whisper_folder, write

RUSSIAN = "абвгдежзийклмнопрстуфхцчшщъыьэюя"


def rows(*languages: str | None, told: bool = True) -> list[dict[str, Any]]:
    return [{"language": code, "language_told": code if told else None} for code in languages]


def record(languages: Sequence[str] | None, scripts: Sequence[str] | None = None, **more: Any) -> dict[str, Any]:
    return {"weights": "pretrained", "languages": languages, "scripts": scripts} | more


@pytest.mark.parametrize(
    ("of", "spoken", "why"),
    [
        (record(["en"]), ["en", "en"], None),
        (record(["en"]), ["ru", "ru"], "m knows English only, and the corpus has Russian (ru)"),
        (record(["en"]), ["ru", "fr"], "m knows English only, and the corpus has French (fr) and Russian (ru)"),
        (record(["en"]), ["en", "ru", "en"], "m knows English only, and 1 of 3 segments are in Russian (ru)"),
        (record(["en"]), [None, "ru"], "m knows English only, and 1 of 2 segments are in Russian (ru)"),
        (record(["en"]), [None], None),
        (record(["en", "fr"]), ["de"], "m knows English and French only, and the corpus has German (de)"),
        (record(["de", "en", "fr", "ru"]), ["ru", "de"], None),
        (record(["de", "en", "fr", "ru"]), ["ky"], "m knows 4 languages, and the corpus has another: Kyrgyz (ky)"),
        # What it was trained on is not known, and its letters tell as much as they can.
        (record(None), ["ru"], None),
        (record(None, ["LATIN"]), ["en", "fr"], None),
        (
            record(None, ["LATIN"]),
            ["ru"],
            "the letters of m are Latin, and the corpus has Russian (ru), written in Cyrillic",
        ),
        (
            record(None, ["CYRILLIC", "LATIN"]),
            ["ru", "el", "ja"],
            "the letters of m are Cyrillic and Latin, and 2 of 3 segments are in Greek (el) and Japanese (ja), written "
            "in Greek and Chinese characters",
        ),
        (record(None, ["HIRAGANA"]), ["ja"], None),
        (record(["ru"], ["LATIN"]), ["ru"], None),
        # Random weights hear nothing, in any language.
        (record(["en"], weights="random"), ["ru"], None),
        # Records of hand-made folders say nothing.
        ({"weights": "pretrained"}, ["ru"], None),
    ],
)
def test_why_a_model_does_not_hear_some_speech(of: dict[str, Any], spoken: list[str | None], why: str | None) -> None:
    assert heard.why_not("m", of, rows(*spoken)) == why
    # The same where models find out by themselves.
    assert heard.why_not("m", of, rows(*spoken, told=False)) == why


def test_what_is_told_counts_before_what_is_spoken() -> None:
    told_english = [{"language": "ru", "language_told": "en"}]
    assert heard.why_not("m", record(["en"]), told_english) is None


@pytest.mark.parametrize(
    ("tokens", "scripts"),
    [
        (["<pad>", "<unk>", "|", "'", *"etaoin"], ["LATIN"]),
        (["[PAD]", "[UNK]", "|", "-", *RUSSIAN], ["CYRILLIC"]),
        (["<pad>", "|", *RUSSIAN, *"abc"], ["CYRILLIC", "LATIN"]),
        # A sound mark and a modifier are of no language's script.
        (["<pad>", "|", *"アイウー", "ʼ"], ["KATAKANA"]),
        (["<pad>", "|", "1", "2"], None),
        (["<pad>", "|", "ə", "ɪ", "ʃ", "θ", "ŋ", "ɹ", "iː"], None),
    ],
)
def test_the_scripts_of_a_vocabulary(tmp_path: Path, tokens: list[str], scripts: list[str] | None) -> None:
    write(tmp_path / "vocab.json", {token: number for number, token in enumerate(tokens)})
    assert heard.facts(ctc.FAMILY, tmp_path, None) == {"languages": None, "scripts": scripts}
    assert heard.facts(ctc.FAMILY, tmp_path, ["ru"]) == {"languages": ["ru"], "scripts": scripts}


@pytest.mark.parametrize(("multilingual", "n"), [(True, 99), (False, 1)])
def test_a_whisper_names_its_languages_itself(tmp_path: Path, multilingual: bool, n: int) -> None:
    folder = whisper_folder(tmp_path / "model", multilingual)
    WHISPER.complete(folder)
    own = heard.facts(WHISPER, folder, None)
    assert (len(own["languages"]), own["scripts"]) == (n, None)
    assert {"en", "fr", "jv", "ru"} & {*own["languages"]} == ({"en", "fr", "jv", "ru"} if multilingual else {"en"})
    assert heard.facts(WHISPER, folder, ["fr", "ru"])["languages"] == ["fr", "ru"]


def test_models_known_by_name_hear_what_they_were_trained_on() -> None:
    english = {name for name, model in catalogue.catalogue().items() if model.languages == ["en"]}
    by_name = {name for name in catalogue.catalogue() if name.endswith(".en")}
    assert english == by_name | {"distil-large-v3", "wav2vec2-base-960h"}
    assert {model.languages is None for name, model in catalogue.catalogue().items() if name not in english} == {True}
    # What a study says counts before that, and a repository of another name is another model.
    assert catalogue.languages_of("whisper-tiny.en", ModelSettings(languages=["ru"])) == ["ru"]
    hub = ModelSettings(id="me/mine", revision="0123456789" * 4)
    assert catalogue.languages_of("whisper-tiny.en", hub) is None


def test_languages_of_a_model_make_its_folder_again(tmp_path: Path) -> None:
    for name, more in {"whisper-base": {}, "mine": {"path": str(tmp_path)}, "far": {"weights": "external"}}.items():
        told = [catalogue.fingerprint_inputs(name, ModelSettings(**more, languages=one)) for one in (None, ["ru"])]
        assert told[0] != told[1]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("xx", "unknown language xx; give an ISO 639-1 code, such as ru"),
        ("rus", r"unknown language rus \(did you mean ru\?\)"),
        ("English", r"unknown language English \(did you mean en\?\)"),
    ],
)
def test_a_code_of_no_language_is_named(code: str, said: str) -> None:
    with pytest.raises(AsrmeterError, match=rf"^models\.whisper-base\.languages: {said}"):
        catalogue.check("whisper-base", ModelSettings(languages=["en", code]))
