"""Runtimes: stages add up; folders of many kinds run, hear what transformers hears, or are refused in one line."""

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
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
from asrmeter.runtimes.base import Setup, Timeline, UnsupportedError
from asrmeter.runtimes.families import ctc, family_of
from asrmeter.runtimes.families.ctc_spelling import read_spelling
from asrmeter.runtimes.families.shared.ctc_greedy import collapse, shortest_input
from asrmeter.runtimes.families.whisper import FAMILY
from asrmeter.runtimes.families.whisper.vocabulary import END, START, Vocabulary
from helpers.model_folders import VOCABULARY, ctc_folder, edit, whisper_folder, write
from helpers.speech import english
from helpers.waveforms import noise

SPELLING = ["", "", "", "", " ", *"EATHLO"]
WITHOUT_SDPA = {"wavlm", "sew-d"}


pytestmark = pytest.mark.usefixtures("one_thread")


def load(folder: Path, attention: str = "sdpa", dtype: str = "float32", random_weights: bool = False) -> Any:
    family = family_of(json.loads((folder / "config.json").read_text())).name
    options = {"dtype": dtype, "attention": attention}
    return runtimes.load("transformers", Setup(folder, family, options, random_weights=random_weights))


def hear(runtime: Any, waveforms: list[np.ndarray], references: tuple[str, ...] = ()) -> list[Any]:
    return runtime.transcribe(english(waveforms, list(references)), Timeline())


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
    with pytest.raises(
        ValueError, match="'decode' is not a stage of a pass; stages are features, encoder, decoder, text"
    ):
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
            r"neither a CTC- nor a log-mel CTC- nor a Whisper-type model \(model_type bert\); .*wavlm, .*whisper$",
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
    ("vocabulary", "why"),
    [
        (None, "has no vocab.json"),
        ({"eng": {"a": 0}, "fra": {"a": 0}}, "for each language"),
        ({"a": "0"}, 'vocab.json gives the token a no number but "0"'),
        ({"a": 0, "b": None}, "vocab.json gives the token b no number but null"),
    ],
)
def test_vocabularies_that_cannot_be_read(tmp_path: Path, vocabulary: dict[str, Any] | None, why: str) -> None:
    if vocabulary:
        write(tmp_path / "vocab.json", vocabulary)
    with pytest.raises(AsrmeterError, match=f"^{tmp_path}: .*{why}"):
        read_spelling(tmp_path)


LETTERS = {
    token: number for number, token in enumerate(["<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVKXJQZ'"])
}


@pytest.mark.parametrize(
    ("config", "settings", "why"),
    [
        (
            {"pad_token_id": None},
            {},
            "pad_token_id is null; set it to the number of the blank; <pad>, the tokenizer's pad",
        ),
        ({"pad_token_id": "0"}, {}, 'pad_token_id is "0"; set it'),
        ({"pad_token_id": -1}, {}, "pad_token_id is -1; set it"),
        ({"pad_token_id": 32}, {}, "pad_token_id is 32; set it"),
        ({"pad_token_id": True}, {}, "pad_token_id is true; set it"),
        (
            {"pad_token_id": 5},
            {},
            "pad_token_id is 5, and that token spells E; <pad>, the tokenizer's pad_token, is 0:",
        ),
        ({}, {"pad_token": "E"}, "pad_token_id is 0, and that token spells <pad>; E, the tokenizer's pad"),
        ({"pad_token_id": 3}, {}, None),
        ({"pad_token_id": 5}, {"pad_token": "[PAD]"}, None),
        ({"pad_token_id": 5}, {"pad_token": None}, None),
        ({"pad_token_id": 0}, {}, None),
    ],
)
def test_the_blank_is_named(tmp_path: Path, config: dict[str, Any], settings: dict[str, Any], why: str | None) -> None:
    write(tmp_path / "vocab.json", LETTERS)
    write(tmp_path / "config.json", {"vocab_size": 32} | config)
    write(tmp_path / "tokenizer_config.json", settings)
    if why is None:
        ctc.FAMILY.complete(tmp_path)
        return
    with pytest.raises(AsrmeterError, match=f"^config.json: {re.escape(why)}"):
        ctc.FAMILY.complete(tmp_path)


IPA = ["<pad>", "ə", "n", "t", "s", "ɪ", "l", "d", "ɹ", "k", "ɛ", "iː", "ɐ", "ð", "eɪ", "oʊ", "ŋ", "ʃ", "θ"]
TIMIT = [
    *(
        "aa",
        "ae",
        "ah",
        "aw",
        "ay",
        "b",
        "ch",
        "d",
        "dh",
        "dx",
        "eh",
        "er",
        "ey",
        "f",
        "g",
        "hh",
        "ih",
        "iy",
        "jh",
        "k",
    ),
    *("l", "m", "n", "ng", "ow", "oy", "p", "r", "s", "sh", "sil", "t", "th", "uh", "uw", "v", "w", "y", "z"),
]


@pytest.mark.parametrize(
    ("tokens", "settings", "outputs"),
    [
        ([*LETTERS], {}, None),
        ([*LETTERS], {"tokenizer_class": "Wav2Vec2CTCTokenizer", "do_phonemize": False}, None),
        ([*LETTERS], {"tokenizer_class": "Wav2Vec2PhonemeCTCTokenizer"}, "phonemes"),
        ([*LETTERS], {"do_phonemize": True}, "phonemes"),
        (IPA, {}, "phonemes"),
        (TIMIT, {}, "phonemes"),
        ([token.upper() + "1" * (token[0] in "aeiou") for token in TIMIT], {}, "phonemes"),
        # Letters of English with its pairs, and of Ewe, Kabiye, Lushootseed, Icelandic, Greek.
        ([*"abcdefghijklmnopqrstuvwxyz", *TIMIT], {}, None),
        ([*"abdɖeɛfƒgɣhxiklmnŋoɔprstuvʋwyz"], {}, None),
        ([*"abcdɖeɛfgɣhiɩjklmnŋoɔprstuʊvwyz"], {}, None),
        ([*"abcdeəghijklɬƛmnpqstuwxyʔ"], {}, None),
        ([*"aábdðeéfghiíjklmnoóprstuúvxyýþæö"], {}, None),
        ([*"αβγδεζηθικλμνξοπρσςτυφχψω"], {}, None),
    ],
)
def test_what_the_tokens_of_a_model_spell(
    tmp_path: Path, tokens: list[str], settings: dict[str, Any], outputs: str | None
) -> None:
    write(tmp_path / "vocab.json", {token: number for number, token in enumerate(tokens)})
    write(tmp_path / "tokenizer_config.json", settings)
    assert ctc.FAMILY.outputs(tmp_path) == outputs
    assert FAMILY.outputs(tmp_path) is None


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


@pytest.mark.parametrize("model_type", ctc.FAMILY.classes)
def test_no_clip_is_too_short_for_a_ctc_model(tmp_path: Path, model_type: str) -> None:
    runtime = load(ctc_folder(tmp_path / "model", model_type, True))
    for lengths_s in ((1 / 16_000,), (0.0125, 1.0), (0.03, 0.02), (1.0, 0.1)):
        heard = hear(runtime, noise(*lengths_s))
        shortest_s = shortest_input(runtime.model.config.to_dict()) / 16_000
        assert [hypothesis.processed_s for hypothesis in heard] == [max(shortest_s, *lengths_s)] * len(lengths_s)


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
    torch.testing.assert_close(scores(folder, [long, short])[: len(alone)], alone, rtol=1e-6, atol=1e-4)
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
    task = {"task": "transcribe"} if multilingual else {}
    assert runtime.decoding() == {"do_sample": False, "num_beams": 1} | task
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
    assert given == {"input_features", "language", *runtime.decoding()}
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
    assert [heard.text] == greedy(folder, noise(1), ENGLISH_PROMPT, 9, ())
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


def vocabulary(start: int, *added: str, n_languages: int = 99, words: tuple[str, ...] = ()) -> Vocabulary:
    """OpenAI's order of tokens from `start` on, then what was added: at the end, or in place of the timestamps."""
    languages = ["<|en|>", *(f"<|l{i}|>" for i in range(n_languages - 1))] if n_languages else []
    tokens = [END, START, *languages, "<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>"]
    tokens += ["<|nospeech|>", "<|notimestamps|>", *added]
    return Vocabulary.of((token, start - 1 + i, token not in words) for i, token in enumerate(tokens))


@pytest.mark.parametrize("n_tokens", [51_864, 51_865, 51_866, 51_904, 60_000])
@pytest.mark.parametrize(
    ("start", "n_languages", "shipped", "is_multilingual"),
    [
        (50_257, 99, {}, False),
        (50_258, 99, {}, True),
        (50_258, 100, {}, True),  # large-v3
        (50_258, 0, {}, False),
        (50_257, 99, {"is_multilingual": True}, True),
        (50_258, 99, {"is_multilingual": False}, False),
        # Text was removed or added.
        (40_000, 0, {}, False),
        (40_000, 99, {"is_multilingual": False}, False),
        (40_000, 99, {"lang_to_id": {"<|en|>": 40_001}}, True),
        (40_000, 99, {"forced_decoder_ids": [[1, 40_001], [2, 40_101]]}, True),
    ],
)
def test_tokens_tell_whether_a_whisper_has_languages(
    start: int, n_languages: int, shipped: dict[str, Any], is_multilingual: bool, n_tokens: int
) -> None:
    own = vocabulary(start, n_languages=n_languages)
    assert own.is_multilingual(n_tokens, shipped, {}) is is_multilingual
    if "forced_decoder_ids" in shipped:
        assert own.is_multilingual(n_tokens, {}, shipped)
    settings = own.generation(n_tokens, shipped, {})
    assert ("lang_to_id" in settings) == is_multilingual
    if is_multilingual and not shipped:
        assert len(settings["lang_to_id"]) == n_languages and settings["lang_to_id"]["<|en|>"] == start + 1
        assert settings["task_to_id"] == {"transcribe": start + n_languages + 2, "translate": start + n_languages + 1}


@pytest.mark.parametrize(
    ("own", "shipped", "why"),
    [
        (vocabulary(40_000), {}, r"generation_config.json does not say is_multilingual, and the tokens do not tell"),
        (
            vocabulary(50_258),
            {"is_multilingual": "yes"},
            r"generation_config.json: is_multilingual is 'yes', and must be",
        ),
        (vocabulary(50_258, n_languages=0), {"is_multilingual": True}, r"have no language or no <\|transcribe\|>"),
        *(
            (vocabulary(50_258), {key: value}, f"generation_config.json: {key} cannot be ")
            for key, value in {
                **{"lang_to_id": 7, "task_to_id": {"transcribe": "1"}, "suppress_tokens": "x", "max_length": True},
                **{"begin_suppress_tokens": [None], "repetition_penalty": "high", "no_repeat_ngram_size": -1},
            }.items()
        ),
        (Vocabulary({END: 7, START: 8}), {}, r"tokenizer.json lacks <\|notimestamps\|>"),
        (Vocabulary({START: 8}), {}, r"tokenizer.json lacks <\|endoftext\|>"),
    ],
)
def test_what_tokens_do_not_tell_is_asked_for(own: Vocabulary, shipped: dict[str, Any], why: str) -> None:
    with pytest.raises(AsrmeterError, match=why):
        own.generation(51_865, shipped, {})


def test_a_folder_tells_the_languages_of_its_whisper(tmp_path: Path) -> None:
    folder = whisper_folder(tmp_path / "model")
    assert len(FAMILY.languages(folder)) == 99 and {"en", "ru", "jv"} <= {*FAMILY.languages(folder)}
    edit(folder / "generation_config.json", lang_to_id={"<|ru|>": 50_260})
    assert FAMILY.languages(folder) == ("ru",)
    (folder / "generation_config.json").unlink()
    assert len(FAMILY.languages(folder)) == 99
    assert FAMILY.languages(whisper_folder(tmp_path / "English", multilingual=False)) == ("en",)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(AsrmeterError, match="does not tell the languages of its model"):
        FAMILY.languages(folder)


def test_tokens_tell_whether_a_whisper_has_timestamps() -> None:
    # `START` is followed by 106 tokens before the first timestamp, of which older tokenizers name none.
    first = 50_258 + 106
    assert vocabulary(50_258).has_timestamps(first + 1501) and not vocabulary(50_258).has_timestamps(first + 1500)
    named = vocabulary(50_258, *(f"<|{i * 0.02:.2f}|>" for i in range(1501)), "word", words=("word",))
    assert named.has_timestamps(first + 1502) and named.words == {first + 1501}
    # The embedding of an older one was cut to the tokens that have a name, and padded.
    assert not vocabulary(50_258, "word", words=("word",)).has_timestamps(60_000)
    assert list(vocabulary(50_258).beyond(first + 1504)) == [first + 1501, first + 1502, first + 1503]
    assert list(vocabulary(50_258).beyond(50_368)) == list(range(first, 50_368))


def resized(folder: Path, target: Path, n_tokens: int, *words: str) -> Path:
    """A copy of a Whisper with other words in its tokenizer's end, and an embedding of `n_tokens`."""
    shutil.copytree(folder, target)
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = transformers.WhisperForConditionalGeneration.from_pretrained(folder)
    old = model.get_input_embeddings().weight.detach()
    stamps = [f"<|{i * 0.02:.2f}|>" for i in range(1501)]
    if words:
        tokenizer.add_tokens(stamps + list(words))
        assert tokenizer.token_to_id(words[0]) == len(old)
        tokenizer.save(str(target / "tokenizer.json"))
    new = torch.zeros(n_tokens, old.shape[1])
    new[: len(old)] = old[:n_tokens]
    weights = load_file(folder / "model.safetensors") | {"model.decoder.embed_tokens.weight": new}
    save_file(weights, target / "model.safetensors", {"format": "pt"})
    edit(target / "config.json", vocab_size=n_tokens, max_length=12, begin_suppress_tokens=None)
    return target


@pytest.fixture(scope="module", params=[True, False], ids=["multilingual", "English"])
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    return whisper_folder(tmp_path_factory.mktemp("original") / "model", request.param)


@pytest.mark.parametrize(("n_more", "words"), [(1, ("word",)), (39, ()), (-1500, ())])
def test_fine_tuned_whispers_of_other_sizes_hear_the_same(
    original: Path, tmp_path: Path, n_more: int, words: tuple[str, ...]
) -> None:
    runtime = load(original)
    expected = [h.text for h in hear(runtime, noise(2, 1))]
    other = resized(original, tmp_path / "other", runtime.model.config.vocab_size + n_more, *words)
    assert [h.text for h in hear(load(other), noise(2, 1))] == expected
    (other / "generation_config.json").unlink()
    bare = load(other)
    assert [h.text for h in hear(bare, noise(2, 1))] == expected
    assert bare.decoding() == runtime.decoding()
    FAMILY.complete(other)
    settings = json.loads((other / "generation_config.json").read_text())
    assert settings["is_multilingual"] is ("task" in runtime.decoding()) and settings["max_length"] == 12


def test_words_that_were_added_are_text_and_no_timestamps(tmp_path: Path) -> None:
    folder = whisper_folder(tmp_path / "model")
    n_tokens = json.loads((folder / "config.json").read_text())["vocab_size"]
    long = [h.text for h in hear(load(folder), noise(31))]
    other = resized(folder, tmp_path / "other", n_tokens + 3, "added")
    assert [h.text for h in hear(load(other), noise(31))] == long
    runtime = load(other)
    assert runtime.rules.hypothesis([1, n_tokens, n_tokens + 1, 2], 1).n_tokens == 3
    assert "added" in runtime.rules.hypothesis([1, n_tokens, n_tokens + 1, 2], 1).text


def test_a_whisper_without_timestamps_hears_one_window(tmp_path: Path) -> None:
    folder = whisper_folder(tmp_path / "model")
    n_tokens = json.loads((folder / "config.json").read_text())["vocab_size"]
    runtime = load(resized(folder, tmp_path / "other", n_tokens - 1497))
    assert hear(runtime, noise(30))[0].n_tokens == 12
    with pytest.raises(UnsupportedError, match=r"the model lacks tokens for timestamps, .* up to that"):
        hear(runtime, noise(31))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (
            {"feature_size": 128},
            "preprocessor_config.json gives feature_size 128, and by config.json the model hears 80",
        ),
        (
            {"nb_max_frames": 1500, "chunk_length": 15},
            "preprocessor_config.json gives nb_max_frames 1500, .* hears 3000",
        ),
    ],
)
def test_features_of_another_whisper_are_refused(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    folder = whisper_folder(tmp_path / "model")
    edit(folder / "preprocessor_config.json", **changes)
    with pytest.raises(AsrmeterError, match=f"^{folder}: {why}"):
        load(folder)


def test_whisper_folders_without_a_tokenizer_are_refused(tmp_path: Path) -> None:
    folder = whisper_folder(tmp_path / "model")
    tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0}, unk_token="a")).save(str(folder / "tokenizer.json"))
    with pytest.raises(AsrmeterError, match=r"lacks <\|startoftranscript\|>"):
        load(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(AsrmeterError, match=r"has no tokenizer.json"):
        load(folder)
