"""CTC models that hear log-mel features: they hear what transformers hears, whatever the length, and are counted."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from asrmeter import runtimes
from asrmeter.common.errors import AsrmeterError
from asrmeter.flops.architectures import Architecture
from asrmeter.flops.counting import count
from asrmeter.models import saved_files
from asrmeter.runtimes.base import Setup, Timeline
from asrmeter.runtimes.families import ctc_spelling, family_of
from asrmeter.runtimes.families.ctc_mel import FAMILY, FEATURES, n_outputs
from helpers.model_folders import PIECES, edit, mel_ctc_folder, write
from helpers.speech import english
from helpers.waveforms import noise

each = pytest.mark.parametrize("model_type", FAMILY.classes)
OPTIONS = {"dtype": "float32", "attention": "sdpa"}
TOKENIZERS = {
    "parakeet_ctc": transformers.ParakeetTokenizer,
    "lasr_ctc": transformers.ParakeetTokenizer,  # the same but for how it is built of SentencePiece's file
    "wav2vec2-bert": transformers.Wav2Vec2CTCTokenizer,
}


pytestmark = pytest.mark.usefixtures("one_thread")


def load(folder: Path, **options: str) -> Any:
    return runtimes.load("transformers", Setup(folder, "ctc-mel", OPTIONS | options))


def hear(runtime: Any, waveforms: list[np.ndarray]) -> list[Any]:
    return runtime.transcribe(english(waveforms), Timeline())


def extracted(folder: Path, model_type: str, waveforms: list[np.ndarray]) -> Any:
    features = getattr(transformers, FEATURES[model_type].extractor).from_pretrained(folder)
    return features(waveforms, sampling_rate=16_000, return_attention_mask=True, return_tensors="pt")


@each
def test_they_hear_what_transformers_hears(tmp_path: Path, model_type: str) -> None:
    folder = mel_ctc_folder(tmp_path / "model", model_type)
    assert family_of(json.loads((folder / "config.json").read_text())) is FAMILY
    waveforms = noise(3, 1.7)
    heard = hear(load(folder), waveforms)

    model = FAMILY.network_class(model_type).from_pretrained(folder).eval()
    inputs = extracted(folder, model_type, waveforms)
    with torch.no_grad():
        if model_type == "wav2vec2-bert":
            tokens = model(**inputs).logits.argmax(-1)
            tokens[1, inputs["attention_mask"][1].sum() :] = model.config.pad_token_id
        else:
            tokens = model.generate(**inputs)
    tokenizer = TOKENIZERS[model_type].from_pretrained(folder)
    # A CTC tokenizer of letters would leave out blanks before it merges repeats.
    skipped = {} if model_type == "wav2vec2-bert" else {"skip_special_tokens": True}
    expected = [tokenizer.decode(row, **skipped) for row in tokens]
    assert [h.text for h in heard] == [" ".join(text.split()) for text in expected]
    assert all(h.n_tokens > 3 for h in heard) and len(set(heard[0].text)) > 3
    assert [(h.n_windows, h.processed_s) for h in heard] == [(1, 3)] * 2


@each
def test_no_clip_is_too_short(tmp_path: Path, model_type: str) -> None:
    runtime = load(mel_ctc_folder(tmp_path / "model", model_type))
    frames: list[torch.Tensor] = []
    runtime.head.register_forward_hook(lambda _module, _inputs, output: frames.append(output))
    shortest_s = runtime.n_shortest / 16_000
    for lengths_s in ((1 / 16_000,), (0.02, 1.0), (0.03, 0.02), (shortest_s,)):
        heard = hear(runtime, noise(*lengths_s))
        assert [h.processed_s for h in heard] == [max(shortest_s, *lengths_s)] * len(lengths_s)
        assert frames[-1].isfinite().all() and frames[-1].shape[1] >= 1
    with pytest.raises((RuntimeError, AssertionError, ValueError, IndexError)):
        inputs = extracted(tmp_path / "model", model_type, [np.ones(runtime.n_shortest - 161, np.float32)])
        with torch.inference_mode():
            assert runtime.head(runtime._encoder(**inputs).last_hidden_state).isfinite().all()
            assert n_outputs(runtime.model, inputs["attention_mask"].sum()) > 0


@each
def test_the_mask_hides_the_padding(tmp_path: Path, model_type: str) -> None:
    runtime = load(mel_ctc_folder(tmp_path / "model", model_type))
    long, short = noise(2.5, 1.2)
    assert hear(runtime, [long, short])[1].text == hear(runtime, [short])[0].text


@each
def test_frames_are_those_of_the_extractor(tmp_path: Path, model_type: str) -> None:
    folder = mel_ctc_folder(tmp_path / "model", model_type)
    for n_samples in (2400, 2401, 2559, 2560, 2561, 2720, 48_000, 48_123):
        inputs = extracted(folder, model_type, [np.ones(n_samples, np.float32)])
        assert inputs["input_features"].shape[1] == FEATURES[model_type].n_frames(n_samples), n_samples


@each
def test_operations_are_counted_without_weights(tmp_path: Path, model_type: str) -> None:
    """As many as a whole network has: work is linear in the layers, whose number may be part of the configuration."""
    deep = Architecture(
        json.loads((mel_ctc_folder(tmp_path / "model", model_type, num_hidden_layers=5) / "config.json").read_text())
    )
    counted = deep.encoder(48_000)
    whole = count(*deep.encoder_operations.run(48_000))
    assert counted.total_macs == whole.total_macs > 0
    assert deep.decoder() is None
    assert deep.encoder_operations.closed_macs(48_000) is None
    n_frames, width = deep.encoder_operations.run(48_000)[1][0].shape[1:]
    assert width == {"parakeet_ctc": 80, "lasr_ctc": 128, "wav2vec2-bert": 160}[model_type]
    assert deep.encoder_operations.elements(48_000) > n_frames * width
    assert deep.encoder_operations.n_parameters == sum(p.numel() for p in deep.model.parameters())


# What is in a folder


def test_pieces_spell_words(tmp_path: Path) -> None:
    folder = mel_ctc_folder(tmp_path / "model", "parakeet_ctc")
    spelled = ctc_spelling.read_spelling(folder)
    assert [spelled[i] for i in range(len(PIECES))] == [
        "",
        " the",
        " a",
        "s",
        "ing",
        " |",
        "|",
        "é",
        " he",
        "llo",
        " ",
        "",
    ]
    assert FAMILY.outputs(folder) is None
    FAMILY.complete(folder)
    edit(folder / "config.json", pad_token_id=3)
    with pytest.raises(AsrmeterError, match="pad_token_id is 3, and that token spells s; <pad>"):
        FAMILY.complete(folder)


def test_pieces_of_other_tokenizers(tmp_path: Path) -> None:
    merged = {"model": {"vocab": {"<0x41>": 0, "<0xE2>": 1, "▁b": 2}}, "decoder": {"type": "ByteFallback"}}
    write(tmp_path / "tokenizer.json", merged | {"added_tokens": [{"content": "[noise]", "id": 3, "special": True}]})
    assert ctc_spelling.read_spelling(tmp_path) == {0: "A", 1: "\ufffd", 2: " b", 3: ""}
    write(tmp_path / "tokenizer.json", merged | {"decoder": {"type": "Sequence", "decoders": [{"type": "ByteLevel"}]}})
    with pytest.raises(AsrmeterError, match=f"^{tmp_path}: tokenizer.json spells with bytes"):
        ctc_spelling.read_spelling(tmp_path)


@pytest.mark.parametrize(("key", "value"), [("num_hidden_layers", 1000), ("hidden_size", 10**8)])
def test_sizes_within_a_part_of_the_configuration_are_checked(tmp_path: Path, key: str, value: int) -> None:
    folder = mel_ctc_folder(tmp_path / "model", "parakeet_ctc")
    saved_files.check(saved_files.in_folder(folder, True), True, "the folder")
    config = json.loads((folder / "config.json").read_text())
    config["encoder_config"][key] = value
    write(folder / "config.json", config)
    with pytest.raises(AsrmeterError, match=f"config.json: {key} is {value:,}, and no model has more"):
        saved_files.check(saved_files.in_folder(folder, True), True, "the folder")


def test_published_sizes() -> None:
    """Millions of parameters of nvidia/parakeet-ctc-0.6b and -1.1b, google/medasr and w2v-BERT 2.0."""
    published = [
        ({"model_type": "parakeet_ctc"}, 609),
        ({"model_type": "parakeet_ctc", "encoder_config": {"num_hidden_layers": 42}}, 1063),
        ({"model_type": "lasr_ctc"}, 105),
        ({"model_type": "wav2vec2-bert", "vocab_size": 32}, 581),
    ]
    for config, millions in published:
        assert Architecture(config).encoder_operations.n_parameters / 1e6 == pytest.approx(millions, rel=0.01)
