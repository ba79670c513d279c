"""The models known by name: as large as published, pinned where a commit was verified, asked for elsewhere."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import torch
from transformers import WhisperForConditionalGeneration

from asrmeter.common.errors import AsrmeterError
from asrmeter.models import catalogue as models
from asrmeter.models.catalogue import ModelSettings
from asrmeter.runtimes import families
from asrmeter.runtimes.families.base import Parts
from asrmeter.runtimes.families.whisper import FAMILY, folders
from asrmeter.runtimes.families.whisper.vocabulary import START, Vocabulary
from helpers.model_folders import whisper_folder

KNOWN = models.catalogue()
# Millions of parameters, as the tables of openai/whisper, huggingface/distil-whisper and wav2vec 2.0 (2020) have them.
PUBLISHED = {
    "whisper-tiny": 39, "whisper-tiny.en": 39, "whisper-base": 74, "whisper-base.en": 74, "whisper-small": 244,
    "whisper-small.en": 244, "whisper-medium": 769, "whisper-medium.en": 769, "whisper-large-v3": 1550,
    "whisper-large-v3-turbo": 809, "distil-large-v3": 756, "distil-small.en": 166, "wav2vec2-base-960h": 95,
}  # fmt: skip
COMMIT = "0123456789" * 4


@pytest.mark.parametrize("name", KNOWN)
def test_a_model_is_as_large_as_published(name: str) -> None:
    model = KNOWN[name]
    family = families.named(model.family)
    config = family.config_of(model.architecture)
    kind = family.network_class(config.pop("model_type"))
    with torch.device("meta"):
        network = kind(kind.config_class(**config))
    assert sum(parameter.numel() for parameter in network.parameters()) == model.parameters
    # OpenAI counts the largest sizes to ten millions, and the smallest with what is no parameter here.
    assert model.parameters / 1e6 == pytest.approx(PUBLISHED[name], rel=0.035)


def test_commits_are_verified_ones() -> None:
    assert {name for name, model in KNOWN.items() if "revision" not in model.hub} == {"distil-small.en"}
    commits = [model.hub["revision"] for model in KNOWN.values() if "revision" in model.hub]
    assert all(re.fullmatch("[0-9a-f]{40}", commit) for commit in commits) and len(set(commits)) == len(commits)


def test_a_model_without_a_commit_is_pinned_by_the_study() -> None:
    assert ModelSettings(revision=COMMIT).weights == "hub"
    for settings in (ModelSettings(weights="hub", revision=COMMIT), ModelSettings(revision=COMMIT)):
        origin = models.origin("distil-small.en", settings)
        assert (origin.repo, origin.revision, origin.sha256) == ("distil-whisper/distil-small.en", COMMIT, None)
        assert origin.entry is KNOWN["distil-small.en"]
    assert models.fingerprint_inputs("distil-small.en", settings) == ["distil-whisper/distil-small.en", COMMIT, ["en"]]
    drawn = models.origin("distil-small.en", ModelSettings(weights="random"))
    assert (drawn.repo, drawn.entry) == (None, KNOWN["distil-small.en"])


@pytest.mark.parametrize(
    ("name", "settings", "why"),
    [
        ("distil-small.en", {"weights": "hub"}, r"revision: give the commit of distil-whisper/distil-small\.en, 40 .*"
         r"https://huggingface\.co/distil-whisper/distil-small\.en/commits/main, and `git ls-remote https://.* main`"),
        ("mine", {"id": "me/mine"}, r"revision: give the commit of me/mine, 40 .* https://huggingface\.co/me/mine/comm"),
        ("distil-small.en", {"weights": "random", "revision": COMMIT}, "revision: is valid only with id; known"),
        ("whisper-large-v3", {"weights": "hub", "revision": COMMIT}, "revision: is valid only with id; known"),
        ("mine", {"revision": COMMIT}, "revision: is valid only with id; known"),
        ("distil-small.en", {}, "weights: no package has its pretrained weights; use hub, or random"),
    ],
)  # fmt: skip
def test_what_a_study_says_of_a_commit_is_checked(name: str, settings: dict[str, Any], why: str) -> None:
    with pytest.raises(AsrmeterError, match=rf"^models\.{name}\.{why}"):
        models.origin(name, ModelSettings(**settings))


# The third large Whisper


@pytest.fixture
def tokenizer(tmp_path: Path) -> bytes:
    return (whisper_folder(tmp_path / "model") / "tokenizer.json").read_bytes()


def test_the_vocabulary_of_the_third_large_whisper_has_cantonese(tokenizer: bytes) -> None:
    added = Vocabulary.of_json(folders.with_cantonese(tokenizer))
    # As openai/whisper-large-v3 numbers them.
    published = {"<|yue|>": 50_358, "<|translate|>": 50_359, "<|transcribe|>": 50_360, "<|startofprev|>": 50_362,
                 "<|notimestamps|>": 50_364, START: 50_258, "<|en|>": 50_259}  # fmt: skip
    assert {text: added.numbers[text] for text in published} == published
    assert len(added.languages(51_866)) == 100 and added.has_timestamps(51_866)
    assert folders.with_cantonese(folders.with_cantonese(tokenizer)) == folders.with_cantonese(tokenizer)


def test_what_a_tokenizer_puts_around_a_text_moves_too(tokenizer: bytes) -> None:
    whole = tokenizers.Tokenizer.from_buffer(tokenizer)
    tokens = [(text, whole.token_to_id(text)) for text in (START, "<|notimestamps|>")]
    whole.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{START} <|notimestamps|> $A", special_tokens=tokens
    )
    assert whole.encode("w7").ids == [50_258, 50_363, 7]
    moved = tokenizers.Tokenizer.from_buffer(folders.with_cantonese(whole.to_str().encode()))
    assert moved.encode("w7").ids == [50_258, 50_364, 7]
    assert moved.encode("w7").tokens[1] == "<|notimestamps|>"


def test_random_weights_of_such_a_model_have_its_tokens(tokenizer: bytes, tmp_path: Path) -> None:
    small = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
             "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}  # fmt: skip
    parts = Parts("x", small | {"vocab_size": 51_866, "num_mel_bins": 128}, tokenizer)
    network = folders.network(WhisperForConditionalGeneration, parts)
    settings = network.generation_config.to_dict()
    assert (settings["no_timestamps_token_id"], settings["task_to_id"]["transcribe"]) == (50_364, 50_360)
    FAMILY.write_preprocessing(parts, tmp_path)
    assert FAMILY.tokenizer(tmp_path).token_to_id("<|yue|>") == 50_358
    assert json.loads((tmp_path / "preprocessor_config.json").read_text())["feature_size"] == 128
