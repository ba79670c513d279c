"""Counted operations: exactly those of the closed formulas, of torch's counter, and of the passes that were run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch
from torch.nn.utils import parametrize
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils.flop_counter import FlopCounterMode

from asrmeter import runtimes
from asrmeter.flops import architectures
from asrmeter.flops.architectures import Architecture
from asrmeter.flops.counting import CONVOLUTION, LINEAR, Count, count
from asrmeter.flops.study_models import models_of
from asrmeter.flops.table import BatchGrid, CountedModel, rows
from asrmeter.models.catalogue import catalogue
from asrmeter.records.flops_rows import FLOPS
from asrmeter.runtimes.base import Setup, Timeline
from asrmeter.runtimes.families import ctc
from asrmeter.study import validation
from asrmeter.study.edlm2025 import MODELS
from helpers.made_inputs import sign_model
from helpers.model_folders import ctc_folder, whisper_folder
from helpers.speech import english

HZ = 16_000


def known(name: str) -> Architecture:
    return Architecture(config_of(name))


def config_of(name: str) -> dict[str, Any]:
    return {"model_type": "whisper"} | catalogue()[name].architecture


def edlm2025(model: Architecture, counted: Count) -> int:
    printed = model.encoder_operations.edlm2025(counted.macs[LINEAR] + counted.macs[CONVOLUTION], counted.normalised)
    assert printed is not None
    return printed


# GFLOP of a 30 s window, of one step after a token, of the cross-attention's keys and values; what the 2025 study
# printed for the encoder and for a step.
WHISPERS = {
    "whisper-tiny": (36.937728, 0.065575680, 3.538944, "23.2", "0.014"),
    "whisper-base": (87.367680, 0.115606528, 9.437184, "59.8", "0.038"),
    "whisper-small": (344.162304, 0.333215232, 42.467328, "261.4", "0.170"),
    "whisper-medium": (1138.065408, 0.958515200, 150.994944, "917.5", "0.604"),
}


@pytest.mark.parametrize("name", WHISPERS)
def test_whispers(name: str) -> None:
    encoder_gflop, step_gflop, cross_kv_gflop, printed, printed_step = WHISPERS[name]
    model = known(name)
    counted, decoder, stated = model.encoder(30 * HZ), model.decoder(), model.decoder_operations
    assert decoder is not None and stated is not None
    assert 2 * counted.total_macs == counted.torch_flop == round(encoder_gflop * 1e9)
    assert counted.total_macs == model.encoder_operations.closed_macs(30 * HZ)
    assert 2 * decoder.run(1, 2) == round(step_gflop * 1e9)
    assert decoder.run(1, 2) == stated.closed_macs(2)
    assert 2 * decoder.cross_kv == 2 * stated.closed_cross_kv_macs() == round(cross_kv_gflop * 1e9)
    assert f"{edlm2025(model, counted) / 1e9:.1f}" == printed
    assert f"{stated.edlm2025_step_flop() / 1e9:.3f}" == printed_step
    assert {"embedding", "gelu", "layer_norm"} <= set(counted.not_counted)


@pytest.mark.parametrize(
    ("duration_s", "gmac", "printed"),
    [(5, 35.842626560, 34.765323008), (15, 114.618946560, 104.475275008), (30, 250.063426560, 209.040203008),
     (60, 583.160386560, 418.170059008)],
)  # fmt: skip
def test_wav2vec2(duration_s: int, gmac: float, printed: float) -> None:
    model = known("wav2vec2-base-960h")
    counted = model.encoder(duration_s * HZ)
    assert counted.total_macs == round(gmac * 1e9) == model.encoder_operations.closed_macs(duration_s * HZ)
    assert 2 * counted.total_macs == counted.torch_flop
    assert edlm2025(model, counted) == round(printed * 1e9)
    assert {"group_norm", "layer_norm", "gelu"} <= set(counted.not_counted)
    assert model.decoder() is None


@pytest.mark.parametrize("model_type", sorted(ctc.FAMILY.classes))
def test_every_kind_of_ctc_model_is_counted_alike_by_both(model_type: str) -> None:
    model = Architecture(ctc.FAMILY.network_class(model_type).config_class(vocab_size=32).to_dict())
    for n_samples in (79_999, 100_001):
        counted = model.encoder(n_samples)
        assert counted.agrees
        assert model.encoder_operations.closed_macs(n_samples) in (None, counted.total_macs)
    assert model.model.config.num_hidden_layers > 2
    assert counted == count(model.model, (torch.zeros((1, n_samples), device="meta"),))


def test_a_batch_is_that_many_times_the_work_of_all_layers() -> None:
    model = known("whisper-tiny")
    one, three = (count(model.model.get_encoder(), (torch.zeros((n, 80, 3000), device="meta"),)) for n in (1, 3))
    assert model.model.config.encoder_layers > 2 and model.encoder(30 * HZ) == one
    assert three.total_macs == 3 * one.total_macs
    assert three.agrees


def test_not_counted_operators_are_named() -> None:
    class Odd(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.addbmm(x[0], x, x) @ x[0].cos()

    odd = count(Odd(), (torch.zeros((2, 4, 4), device="meta"),))
    assert odd.macs == {"matmul": 64}
    assert {"addbmm", "cos"} <= set(odd.not_counted)


def uncounted(function: Any, *arguments: Any, **named: Any) -> Any:
    """Feature extraction multiplies by a bank of filters, and is not counted."""
    with _disable_current_modes():
        return function(*arguments, **named)


@pytest.mark.parametrize("n_seconds", [(2, 1), (31, 5)])
@pytest.mark.parametrize("random_weights", [False, True])
def test_the_decoders_work_is_that_of_the_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_seconds: Any, random_weights: bool
) -> None:
    """What a record tells, times the counted coefficients, is what torch counts while the pass runs."""
    folder = whisper_folder(tmp_path / "model")
    options = {"dtype": "float32", "attention": "eager"}
    runtime: Any = runtimes.load("transformers", Setup(folder, "whisper", options, random_weights=random_weights))
    waveforms = [np.random.default_rng(0).standard_normal(n * HZ).astype(np.float32) for n in n_seconds]
    extract = runtime._extract
    monkeypatch.setattr(runtime, "_extract", lambda *audio, **options: uncounted(extract, *audio, **options))
    timeline = Timeline()
    with FlopCounterMode(display=False) as counter:
        heard = runtime.transcribe(english(waveforms, ["w1 w2 w3"] * len(waveforms)), timeline)
    model = Architecture(runtime.model.config.to_dict())
    decoder, work = model.decoder(), timeline.decoder_work
    assert decoder is not None and work is not None
    n_windows = sum(hypothesis.n_windows for hypothesis in heard)
    macs = n_windows * (model.encoder(0).total_macs + decoder.cross_kv)
    macs += work.n_decoder_tokens * decoder.per_token + work.n_decoder_positions * decoder.per_position
    assert 2 * macs == counter.get_total_flops()
    assert work.n_decoder_rows <= work.n_decoder_tokens < work.n_decoder_positions


@pytest.mark.parametrize("model_type", ["wav2vec2", "wavlm"])
def test_the_encoders_work_is_that_of_the_longest_of_a_batch(tmp_path: Path, model_type: str) -> None:
    folder = ctc_folder(tmp_path / "model", model_type, masked=True)
    runtime: Any = runtimes.load("transformers", Setup(folder, "ctc", {"dtype": "float32", "attention": "eager"}))
    for module in list(runtime.model.modules()):
        if parametrize.is_parametrized(module):  # torch's counter trips over it in inference mode
            parametrize.remove_parametrizations(module, "weight")
    waveforms = [np.random.default_rng(0).standard_normal(n).astype(np.float32) for n in (20_000, 31_001)]
    timeline = Timeline()
    with FlopCounterMode(display=False) as counter:
        runtime.transcribe(english(waveforms), timeline)
    assert counter.get_total_flops() == 2 * 2 * Architecture(runtime.model.config.to_dict()).encoder(31_001).total_macs
    assert timeline.decoder_work.n_decoder_runs == 0


def segments(duration_s: int, *seconds: float) -> list[dict[str, Any]]:
    return [
        {"segment_id": f"{duration_s}-{i}", "duration_s": duration_s, "audio_s": s, "text": "w1 w2 w3 w4"}
        for i, s in enumerate(seconds)
    ]


def test_the_2025_study_is_counted_only_if_asked_for(tmp_path: Path) -> None:
    folder = ctc_folder(tmp_path / "mine", "wav2vec2", masked=True)
    sign_model(folder)
    for wanted in (False, True):
        study = validation.with_defaults(
            {"name": "mine", "models": {folder.name: {"path": str(folder)}}, "report": {"study_2025": wanted}}, "a test"
        )
        assert [model.name for model in models_of(study, tmp_path)] == [folder.name, *(MODELS if wanted else ())]
    tiny = CountedModel("whisper-tiny", config_of("whisper-tiny"), True)
    assert [row["duration_s"] for row in rows(tiny, BatchGrid([(5, 1)]))] == [5]


def test_table_holds_the_grid_and_the_2025_study(tmp_path: Path) -> None:
    folder = whisper_folder(tmp_path / "model")
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    # As OpenAI's add the prompt and the end to every text, which are not its own.
    around = [(token, tokenizer.token_to_id(token)) for token in ("<|startoftranscript|>", "<|endoftext|>")]
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="<|startoftranscript|> $A <|endoftext|>", special_tokens=around
    )
    assert len(tokenizer.encode("w1 w2 w3 w4").ids) == 6
    batch_grid = BatchGrid([(5, 1), (5, 2)], segments(5, 4.0, 5.0), seed=1)
    own = {
        (row["duration_s"], row["batch_size"]): row
        for row in rows(CountedModel("whisper-tiny", config_of("whisper-tiny"), True, tokenizer, 4), batch_grid, True)
    }
    assert list(own) == [(5, 1), (5, 2), (15, 1), (30, 1), (60, 1)]
    assert [row["is_studied"] for row in own.values()] == [True, True, False, False, False]
    one, two, long = own[5, 1], own[5, 2], own[60, 1]
    assert set(one) == set(FLOPS.names)
    assert two["encoder_gflop"] == 2 * one["encoder_gflop"] == 4 * one["encoder_gmac"] == 2 * 36.937728
    assert long["encoder_gflop"] == 2 * 36.937728
    assert (one["n_tokens_mean"], one["checked_against"]) == (4.0, "torch's counter, closed formula")
    # Prompt of four in one run, then four tokens; the output layer in each.
    expected = 4 * 32_781_696 + 4 * 4 * 3072 + sum(32_781_696 + p * 3072 for p in (5, 6, 7, 8)) + 1_769_472_000
    assert one["decoder_gflop"] == pytest.approx(2e-9 * expected, rel=1e-12)
    assert one["total_gflop"] == one["encoder_gflop"] + one["decoder_gflop"]
    assert long["decoder_gflop"] is long["total_gflop"] is None
    assert "not in the study" in long["note"]


def test_a_ctc_model_is_counted_as_its_batches_are_padded() -> None:
    batch_grid = BatchGrid([(5, 1), (5, 2)], segments(5, 3.0, 4.0, 5.0), seed=1)
    config = config_of("wav2vec2-base-960h")
    own = {row["batch_size"]: row for row in rows(CountedModel("mine", config, True), batch_grid)}
    model = Architecture(config)
    each = {s: model.encoder(s * HZ).total_macs for s in (3, 4, 5)}
    assert own[1]["encoder_mac_per_window"] == round(sum(each.values()) / 3)
    # Two batches of two hold all three, one of them twice; the longer one counts.
    assert own[2]["encoder_mac_per_window"] > own[1]["encoder_mac_per_window"]
    assert own[2]["encoder_gmac"] == pytest.approx(2 * 35.84262656)
    assert own[1]["decoder_gflop_per_step"] is None


def test_a_closed_formula_tells_what_counting_every_batch_does(monkeypatch: pytest.MonkeyPatch) -> None:
    model = CountedModel("mine", config_of("wav2vec2-base-960h"), True)
    batch_grid = BatchGrid([(5, 1)], segments(5, 3.00005, 3.71, 4.4444, 4.99995))
    counted: list[int] = []
    encoder = Architecture.encoder
    monkeypatch.setattr(Architecture, "encoder", lambda self, n: counted.append(n) or encoder(self, n))
    (told,) = rows(model, batch_grid)
    assert sorted(counted) == [round(4.99995 * HZ), 5 * HZ]
    monkeypatch.setattr(ctc.CtcOperations, "closed_macs", lambda self, length: None)
    (every,) = rows(model, batch_grid)
    assert len(counted) == 2 + 5
    assert told["checked_against"] == "torch's counter, closed formula"
    assert told | {"checked_against": "torch's counter"} == every


def test_no_number_where_the_counters_disagree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctc.CtcOperations, "closed_macs", lambda self, length: 1)
    (row,) = rows(CountedModel("mine", config_of("wav2vec2-base-960h"), True), BatchGrid([(5, 1)], segments(5, 3.0)))
    assert row["encoder_gflop"] is row["total_gflop"] is row["encoder_mac_per_window"] is None
    assert row["note"] == "the closed formula disagrees"


def test_architecture_that_cannot_be_counted_has_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise TypeError("no such\noperator")

    monkeypatch.setattr(architectures, "count", fail)
    (row,) = rows(CountedModel("mine", config_of("wav2vec2-base-960h"), True), BatchGrid([(5, 1)], segments(5, 3.0)))
    assert (row["model"], row["total_gflop"]) == ("mine", None)
    assert row["note"] == "not counted: TypeError: no such operator"
    assert (row["family"], row["has_decoder"]) == ("ctc", False)
    assert set(row) == set(FLOPS.names)


def test_the_models_of_the_2025_study_are_known() -> None:
    assert set(MODELS) <= set(catalogue())


def test_a_distilled_decoder_is_counted_by_its_own_layers() -> None:
    model = Architecture({"model_type": "whisper", "d_model": 16, "encoder_layers": 3, "decoder_layers": 2,
                          "encoder_attention_heads": 2, "decoder_attention_heads": 2})  # fmt: skip
    decoder, stated = model.decoder(), model.decoder_operations
    assert decoder is not None and decoder.agrees and stated is not None
    assert decoder.run(3, 7) == 3 * (stated.closed_macs(7) or 0)
