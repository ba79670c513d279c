"""Runtimes: stages add up; folders of many kinds run, hear what transformers hears, or are refused in one line."""

import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch
import transformers
from safetensors.torch import load_file, save_file

from asrmeter import runtimes
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.vocabulary import STAGES
from asrmeter.runtimes.base import Setup, Timeline
from asrmeter.runtimes.families import ctc, family_of
from asrmeter.runtimes.families.whisper import END, START
from asrmeter.runtimes.transformers.ctc import collapse, read_spelling
from asrmeter.runtimes.transformers.whisper import own_generation
from helpers.model_folders import VOCABULARY, ctc_folder, edit, whisper_folder, write

SPELLING = ["", "", "", "", " ", *"EATHLO"]
WITHOUT_SDPA = {"wavlm", "sew-d"}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def noise(*seconds: float) -> list[np.ndarray]:
    return [np.random.default_rng(i).standard_normal(int(16_000 * s)).astype(np.float32) for i, s in enumerate(seconds)]


def load(folder: Path, attention: str = "sdpa", dtype: str = "float32", random_weights: bool = False) -> Any:
    family = family_of(json.loads((folder / "config.json").read_text())).name
    options = {"dtype": dtype, "attention": attention}
    return runtimes.load("transformers", Setup(folder, family, options, random_weights=random_weights))


def hear(runtime: Any, waveforms: list[np.ndarray], references: tuple[str, ...] = ()) -> list[Any]:
    return runtime.transcribe(waveforms, list(references), Timeline())


# Stages


def test_stages_add_up_to_the_pass() -> None:
    timeline = Timeline()
    begin = time.perf_counter()
    for stage in ("features", "decoder", "encoder", "decoder", "text"):
        timeline.begin(stage)
        time.sleep(0.03)
    timeline.end()
    total = time.perf_counter() - begin
    seconds = timeline.seconds()
    assert tuple(seconds) == STAGES
    assert sum(seconds.values()) == pytest.approx(total, rel=0.01)
    assert seconds["decoder"] > 1.2 * seconds["encoder"]


def test_a_stage_that_never_began_has_no_time() -> None:
    timeline = Timeline()
    timeline.begin("encoder")
    timeline.end()
    assert timeline.seconds()["decoder"] is None


def test_a_mark_that_names_no_stage_is_refused() -> None:
    timeline = Timeline()
    timeline.begin("decode")
    timeline.end()
    with pytest.raises(ValueError, match="'decode' is no stage of a pass; stages are features, encoder, decoder, text"):
        timeline.seconds()


# Families


@pytest.mark.parametrize(
    ("config", "family"),
    [
        ({"model_type": "whisper", "architectures": ["WhisperForConditionalGeneration"]}, "whisper"),
        ({"model_type": "whisper"}, "whisper"),
        ({"model_type": "wavlm", "architectures": None}, "ctc"),
        *(({"model_type": kind, "architectures": [name]}, "ctc") for kind, name in ctc.FAMILY.classes.items()),
    ],
)
def test_family(config: dict[str, Any], family: str) -> None:
    assert family_of(config).name == family


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (
            {"model_type": "bert"},
            r"neither a CTC- nor a Whisper-type model \(model_type bert\); supported are .*wavlm, whisper$",
        ),
        ({}, "model_type None"),
        ({"model_type": "hubert", "architectures": ["HubertModel"]}, "no CTC head: .* HubertModel"),
        ({"model_type": "wav2vec2", "architectures": ["Wav2Vec2ForPreTraining"]}, "no CTC head"),
        ({"model_type": "whisper", "architectures": ["WhisperForAudioClassification"]}, "no decoder"),
    ],
)
def test_no_family(config: dict[str, Any], why: str) -> None:
    with pytest.raises(AsrmeterError, match=why):
        family_of(config)


def test_families_are_known_without_any_library() -> None:
    code = "import sys; from asrmeter.runtimes import families; families.known(); print({*sys.modules} & {*sys.argv})"
    environment = {"PYTHONPATH": str(Path(runtimes.__file__).parents[2])}
    command = [sys.executable, "-c", code, "numpy", "torch", "transformers", "tokenizers"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"


# CTC


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        ("HHEELL_LLOO", "HELLO"),  # a blank keeps double letters apart
        ("HELLLLO", "HELO"),
        ("__HE_|_|LO__", "HE  LO"),
        ("____", ""),
        ("", ""),
    ],
)
def test_ctc_collapse(frames: str, text: str) -> None:
    tokens = VOCABULARY | {"_": 0}
    assert "".join(collapse([tokens[letter] for letter in frames], SPELLING)) == text


def test_special_tokens_spell_nothing() -> None:
    assert collapse([1, 5, 3, 6, 2], SPELLING) == ["E", "A"]


def test_spelling_of_a_folder_that_says_nothing_more(tmp_path: Path) -> None:
    write(tmp_path / "vocab.json", VOCABULARY)
    assert read_spelling(tmp_path) == dict(enumerate(SPELLING))


def test_spelling_as_community_models_write_it(tmp_path: Path) -> None:
    write(tmp_path / "vocab.json", {"a": 0, "<": 1, "_": 2, "[UNK]": 3, "[PAD]": 4, "th": 5})
    write(tmp_path / "added_tokens.json", {"<s>": 6, "</s>": 7, "é": 8, "[NOISE]": 9, "[MUSIC]": 10})
    write(
        tmp_path / "tokenizer_config.json",
        {
            "pad_token": "[PAD]",
            "word_delimiter_token": "_",
            "eos_token": None,
            "added_tokens_decoder": {"9": {"content": "[NOISE]", "special": True}, "8": {"content": "é"}},
            "extra_special_tokens": {},
        },
    )
    write(
        tmp_path / "special_tokens_map.json",
        {
            "unk_token": {"content": "[UNK]", "lstrip": False},
            "eos_token": "</s>",
            "additional_special_tokens": [{"content": "[MUSIC]"}],
        },
    )
    spelling = read_spelling(tmp_path)
    assert [spelling[i] for i in range(11)] == ["a", "<", " ", "", "", "th", "", "", "é", "", ""]


@pytest.mark.parametrize(
    ("vocabulary", "why"), [(None, "has no vocab.json"), ({"eng": {"a": 0}, "fra": {"a": 0}}, "for each language")]
)
def test_vocabularies_that_cannot_be_read(tmp_path: Path, vocabulary: dict[str, Any] | None, why: str) -> None:
    if vocabulary:
        write(tmp_path / "vocab.json", vocabulary)
    with pytest.raises(AsrmeterError, match=f"^{tmp_path}: .*{why}"):
        read_spelling(tmp_path)


LAYER_NORM = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
GROUP_NORM = {"feat_extract_norm": "group"}


@pytest.mark.parametrize(
    ("model_type", "masked", "settings"),
    [
        ("wav2vec2", False, GROUP_NORM),
        ("wav2vec2", True, LAYER_NORM),
        ("wav2vec2", True, LAYER_NORM | {"add_adapter": True, "output_hidden_size": 32}),
        *((model_type, True, {}) for model_type in ctc.FAMILY.classes if model_type != "wav2vec2"),
    ],
    ids=str,
)
def test_ctc_models_hear_what_transformers_hears(
    tmp_path: Path, model_type: str, masked: bool, settings: dict[str, Any]
) -> None:
    folder = ctc_folder(tmp_path / "model", model_type, masked, **settings)
    waveforms = noise(1, 0.6)
    runtime = load(folder)
    assert runtime.attention == ("eager" if model_type in WITHOUT_SDPA else "sdpa")
    heard = hear(runtime, waveforms)

    features = transformers.Wav2Vec2FeatureExtractor.from_pretrained(folder)
    tokenizer = transformers.Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))
    model = ctc.FAMILY.network_class(model_type).from_pretrained(folder).eval()
    inputs = features(waveforms, sampling_rate=16_000, padding=True, return_tensors="pt")
    assert ("attention_mask" in inputs) == masked
    with torch.no_grad():
        tokens = model(**inputs).logits.argmax(-1)
        # How many frames a waveform has is what the model makes of it when it is alone.
        lengths = [model(torch.from_numpy(waveform)[None]).logits.shape[1] for waveform in waveforms]
    expected = [tokenizer.decode(row[:n]) for row, n in zip(tokens, lengths, strict=True)]
    assert [hypothesis.text for hypothesis in heard] == [" ".join(text.split()) for text in expected]
    assert all(hypothesis.n_tokens > 3 for hypothesis in heard)
    assert {hypothesis.processed_s for hypothesis in heard} == {1}


@pytest.mark.parametrize("model_type", ["wav2vec2", "hubert", "wavlm"])
def test_the_attention_mask_hides_the_padding(tmp_path: Path, model_type: str) -> None:
    def scores(folder: Path, waveforms: list[np.ndarray]) -> torch.Tensor:
        runtime = load(folder)
        found: list[torch.Tensor] = []
        runtime.head.register_forward_hook(lambda _module, _inputs, output: found.append(output))
        hear(runtime, waveforms)
        return found[0][-1]

    long, short = noise(1.5, 0.5)
    folder = ctc_folder(tmp_path / "model", model_type, True, **LAYER_NORM)
    alone = scores(folder, [short])
    torch.testing.assert_close(scores(folder, [long, short])[: len(alone)], alone, rtol=0, atol=1e-4)
    edit(folder / "preprocessor_config.json", return_attention_mask=False)
    assert (scores(folder, [long, short])[: len(alone)] - alone).abs().max() > 0.1


def test_attention_is_that_of_the_variant_where_it_can_be(tmp_path: Path) -> None:
    folder = ctc_folder(tmp_path / "model", "wav2vec2", False)
    sdpa, eager = load(folder, "sdpa"), load(folder, "eager")
    assert (sdpa.attention, eager.attention) == ("sdpa", "eager")
    assert hear(sdpa, noise(1)) == hear(eager, noise(1))


@pytest.mark.parametrize("model_type", ["hubert", "wavlm"])
def test_half_precision(tmp_path: Path, model_type: str) -> None:
    runtime = load(ctc_folder(tmp_path / "model", model_type, True), dtype="bfloat16")
    assert runtime.head.weight.dtype == torch.bfloat16
    assert len(hear(runtime, noise(0.5, 0.4))) == 2


def test_scores_that_are_not_finite_are_rejected(tmp_path: Path) -> None:
    runtime = load(ctc_folder(tmp_path / "model", "wav2vec2", False))
    with runtime.check_scores():
        hear(runtime, noise(0.5))
    with torch.no_grad():
        runtime.head.bias[0] = float("nan")
    with pytest.raises(FloatingPointError, match="float32 is infinite or not a number"), runtime.check_scores():
        hear(runtime, noise(0.5))
    hear(runtime, noise(0.5))  # the check ends with its block


def test_outputs_that_no_file_names_spell_nothing(tmp_path: Path) -> None:
    folder = ctc_folder(tmp_path / "model", "wav2vec2", False)
    write(folder / "vocab.json", {"<pad>": 0})
    assert [(h.text, h.n_tokens) for h in hear(load(folder), noise(0.5))] == [("", 0)]


def test_the_blank_is_that_of_the_config(tmp_path: Path) -> None:
    folder = ctc_folder(tmp_path / "model", "wav2vec2", False)
    before = hear(load(folder), noise(1))[0].text
    edit(folder / "config.json", pad_token_id=VOCABULARY["E"])
    after = hear(load(folder), noise(1))[0].text
    assert "E" in before
    assert after == " ".join(before.replace("E", "").split())


def test_weights_under_their_old_names(tmp_path: Path) -> None:
    folder = ctc_folder(tmp_path / "model", "wav2vec2", False)
    before = hear(load(folder), noise(1))
    weights = load_file(folder / "model.safetensors")
    old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    for new, name in old.items():
        for key in [key for key in weights if key.endswith(new)]:
            weights[key.replace(new, name)] = weights.pop(key)
    del weights["wav2vec2.masked_spec_embed"]
    assert sum("weight_g" in key or "weight_v" in key for key in weights) == 2
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert hear(load(folder), noise(1)) == before


def test_a_model_without_its_head_is_refused(tmp_path: Path) -> None:
    folder = ctc_folder(tmp_path / "model", "hubert", True)
    weights = load_file(folder / "model.safetensors")
    save_file(
        {key: tensor for key, tensor in weights.items() if "lm_head" not in key},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    edit(folder / "config.json", architectures=None)
    with pytest.raises(AsrmeterError, match=rf"^{folder}: .* missing: lm_head.bias, lm_head.weight$"):
        load(folder)


def test_a_model_for_another_sampling_rate_is_refused(tmp_path: Path) -> None:
    folder = ctc_folder(tmp_path / "model", "wav2vec2", False)
    edit(folder / "preprocessor_config.json", sampling_rate=8_000)
    with pytest.raises(AsrmeterError, match=rf"^{folder}: .* 8000 Hz"):
        load(folder)


# Whisper


def greedy(folder: Path, waveforms: list[np.ndarray], prompt: list[str], n: int, suppressed: tuple[int, ...]) -> Any:
    """The text by the definition of greedy decoding: the best token that is not suppressed, again and again."""
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = transformers.WhisperForConditionalGeneration.from_pretrained(folder).eval()
    features = transformers.WhisperFeatureExtractor.from_pretrained(folder, return_attention_mask=False)
    inputs = features(waveforms, sampling_rate=16_000, return_tensors="pt")
    tokens = torch.tensor([[tokenizer.token_to_id(token) for token in prompt]] * len(waveforms))
    with torch.no_grad():
        encoded = model.get_encoder()(**inputs)
        for _ in range(n):
            scores = model(encoder_outputs=encoded, decoder_input_ids=tokens).logits[:, -1]
            scores[:, suppressed] = -torch.inf
            tokens = torch.cat([tokens, scores.argmax(-1, keepdim=True)], dim=1)
    return [tokenizer.decode(row[len(prompt) :]) for row in tokens.tolist()]


MULTILINGUAL_PROMPT = [START, "<|en|>", "<|transcribe|>", "<|notimestamps|>"]
ENGLISH_PROMPT = [START, "<|notimestamps|>"]


@pytest.mark.parametrize(("multilingual", "n_mels"), [(True, 80), (True, 128), (False, 80)])
def test_whispers_hear_what_greedy_decoding_hears(tmp_path: Path, multilingual: bool, n_mels: int) -> None:
    folder = whisper_folder(tmp_path / "model", multilingual, n_mels)
    runtime = load(folder)
    language = {"language": "en", "task": "transcribe"} if multilingual else {}
    assert runtime.decoding() == {"do_sample": False, "num_beams": 1} | language
    assert runtime.attention == "sdpa"
    heard = hear(runtime, noise(2, 1))
    prompt = MULTILINGUAL_PROMPT if multilingual else ENGLISH_PROMPT
    assert [h.text for h in heard] == greedy(folder, noise(2, 1), prompt, 12, ())
    assert [(h.n_tokens, h.n_windows, h.processed_s) for h in heard] == [(12, 1, 30)] * 2
    assert len(set(heard[0].text.split())) > 6


# What folders have in them that would change the decoding, or break it.
SHIPPED: dict[str, Any] = {
    **{"num_beams": 5, "num_return_sequences": 2, "do_sample": True, "temperature": 0.7, "top_k": 3},
    **{"no_speech_threshold": 0.6, "logprob_threshold": -1.0, "compression_ratio_threshold": 1.3},
    **{"return_timestamps": True, "return_dict_in_generate": True, "output_scores": True},
    **{"forced_decoder_ids": [[1, None], [2, 50_358]], "language": "de", "task": "translate"},
    **{"eos_token_id": [50_257, 50_256], "pad_token_id": 50_256, "decoder_start_token_id": None},
}


def test_saved_decoding_settings_are_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = whisper_folder(tmp_path / "model")
    edit(folder / "generation_config.json", **SHIPPED)
    edit(folder / "preprocessor_config.json", return_attention_mask=True)
    runtime = load(folder)
    generate, given = runtime.model.generate, set()
    monkeypatch.setattr(runtime.model, "generate", lambda **inputs: given.update(inputs) or generate(**inputs))
    heard = hear(runtime, noise(2, 1))
    assert given == {"input_features", *runtime.decoding()}
    assert [h.text for h in heard] == greedy(folder, noise(2, 1), MULTILINGUAL_PROMPT, 12, ())
    assert {h.n_tokens for h in heard} == {12}


def test_suppressed_tokens_and_penalties_are_the_models_own(tmp_path: Path) -> None:
    folder = whisper_folder(tmp_path / "model")
    (text,) = greedy(folder, noise(1), MULTILINGUAL_PROMPT, 1, ())
    best = int(text.removeprefix("w"))
    edit(folder / "generation_config.json", suppress_tokens=[best], repetition_penalty=1.0)
    runtime = load(folder)
    assert runtime.decoding()["repetition_penalty"] == 1.0
    (heard,) = hear(runtime, noise(1))
    assert [heard.text] == greedy(folder, noise(1), MULTILINGUAL_PROMPT, 12, (best,))
    assert text not in heard.text.split()


def test_english_whisper_without_generation_config(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = whisper_folder(tmp_path / "model", multilingual=False)
    (folder / "generation_config.json").unlink()
    transformers.utils.logging.enable_propagation()
    edit(folder / "config.json", max_length=9, forced_decoder_ids=[[1, 50_300]], num_beams=5)
    (heard,) = hear(load(folder), noise(1))
    transformers.utils.logging.disable_propagation()
    assert [heard.text] == greedy(folder, noise(1), [START], 9, ())
    assert "forced_decoder_ids" not in caplog.text


@pytest.mark.parametrize("multilingual", [True, False])
def test_random_weights_stay_within_the_decoders_positions(tmp_path: Path, multilingual: bool) -> None:
    runtime = load(whisper_folder(tmp_path / "model", multilingual), random_weights=True)
    few = hear(runtime, noise(2, 1), ("w1 w2 w3", "w4"))
    assert [h.n_tokens for h in few] == [3, 3]
    many = hear(runtime, noise(2, 1), ("w1 " * 100, "w4"))
    assert [h.n_tokens for h in many] == [36, 36] if multilingual else [38, 38]


def test_beyond_30_s_a_whisper_takes_more_windows(tmp_path: Path) -> None:
    heard = hear(load(whisper_folder(tmp_path / "model")), noise(31, 5))
    assert [(h.n_windows, h.processed_s) for h in heard] == [(2, 60), (1, 30)]
    # What fills up the shorter text, and timestamps, do not count.
    assert [h.n_tokens for h in heard] == [len(h.text.split()) for h in heard]


@pytest.mark.parametrize(
    ("shipped", "vocab_size", "is_multilingual"),
    [({}, 51_864, False), ({}, 51_865, True), ({}, 51_866, True), ({"is_multilingual": True}, 51_864, True)],
)
def test_what_generation_settings_leave_open(shipped: dict[str, Any], vocab_size: int, is_multilingual: bool) -> None:
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({END: 7, START: 8}, unk_token=END))
    config = SimpleNamespace(max_target_positions=448, vocab_size=vocab_size)
    model: Any = SimpleNamespace(config=config, generation_config=SimpleNamespace(**shipped))
    settings = own_generation(model, tokenizer)
    assert settings.is_multilingual is is_multilingual
    assert settings.max_length == 448
    special = (settings.eos_token_id, settings.pad_token_id, settings.bos_token_id, settings.decoder_start_token_id)
    assert special == (7, 7, 7, 8)


def test_whisper_folders_without_a_tokenizer_are_refused(tmp_path: Path) -> None:
    folder = whisper_folder(tmp_path / "model")
    tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0}, unk_token="a")).save(str(folder / "tokenizer.json"))
    with pytest.raises(AsrmeterError, match=r"lacks <\|startoftranscript\|>"):
        load(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(AsrmeterError, match=r"has no tokenizer.json"):
        load(folder)
