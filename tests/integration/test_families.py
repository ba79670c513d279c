"""A family of models is one module: it is recognised, made, run and counted by what it states, and by nothing else."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from asrmeter import runtimes
from asrmeter.common.errors import AsrmeterError
from asrmeter.flops.architectures import Architecture
from asrmeter.flops.study_models import models_of
from asrmeter.flops.table import BatchGrid, CountedModel, rows
from asrmeter.models import build, networks
from asrmeter.models.catalogue import Model, catalogue
from asrmeter.records.flops_rows import FLOPS
from asrmeter.runtimes import families
from asrmeter.runtimes.base import Setup, Timeline, UnsupportedError
from asrmeter.runtimes.families.base import Family
from asrmeter.sources.integrity import PROVENANCE
from asrmeter.sources.packages import Archives
from asrmeter.study import validation
from helpers.made_inputs import sign_model
from helpers.model_folders import ctc_folder, edit
from helpers.records import header, measured
from helpers.speech import english

# A family as somebody would add it: CTC models whose class transformers does not know.
MADE_UP = """
from asrmeter.runtimes.families.ctc import Ctc


class MadeUp(Ctc):
    name = "made-up"
    title = "made-up"
    classes = {"murmur": "MurmurForCTC"}
    usual_type = "murmur"
    window_s = 2

    def network_class(self, model_type):
        from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

        config = type("MurmurConfig", (Wav2Vec2Config,), {"model_type": model_type})
        return type(self.classes[model_type], (Wav2Vec2ForCTC,), {"config_class": config})


FAMILY = MadeUp()
"""


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    (tmp_path / "families").mkdir()
    (tmp_path / "families" / "made_up.py").write_text(MADE_UP)
    monkeypatch.setattr(families, "__path__", [*families.__path__, str(tmp_path / "families")])
    importlib.invalidate_caches()
    yield importlib.import_module("asrmeter.runtimes.families.made_up")
    del sys.modules["asrmeter.runtimes.families.made_up"]


@pytest.fixture
def murmur(made_up: ModuleType, tmp_path: Path) -> Path:
    """The folder of a small model of the made-up family."""
    torch.manual_seed(0)
    folder = ctc_folder(tmp_path / "murmur", "wav2vec2", masked=True)
    edit(folder / "config.json", model_type="murmur", architectures=["MurmurForCTC"])
    return folder


def config_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())


HERE = {name: family for name, family in families.known().items() if name != "external"}


@pytest.mark.parametrize("family", HERE.values(), ids=HERE)
def test_what_a_family_names_exists(family: Family) -> None:
    module, name = family.transformers_runtime.split(":")
    assert callable(getattr(importlib.import_module(module), name))
    assert family.usual_type in family.classes
    for model_type, name in family.classes.items():
        kind = family.network_class(model_type)
        assert kind.__name__ == name and name.endswith(family.ending)
        assert kind.config_class.model_type == model_type
    family.preload()


@pytest.mark.parametrize("family", HERE.values(), ids=HERE)
def test_a_family_has_a_decoder_if_one_is_counted(family: Family) -> None:
    architecture = Architecture({"model_type": family.usual_type})
    assert (architecture.decoder_operations is not None) == family.has_decoder


def test_every_known_model_is_of_a_family() -> None:
    for model in catalogue().values():
        family = families.named(model.family)
        assert families.family_of(family.config_of(model.architecture)) is family


def test_made_up_family_is_recognised(made_up: ModuleType) -> None:
    assert list(families.known()) == ["ctc", "ctc-mel", "external", "whisper", "made-up"]
    assert families.named("made-up") is families.family_of({"model_type": "murmur"}) is made_up.FAMILY
    with pytest.raises(AsrmeterError, match=r"has no CTC head: config\.json says that it is a MurmurModel"):
        families.family_of({"model_type": "murmur", "architectures": ["MurmurModel"]})
    with pytest.raises(
        AsrmeterError, match=r"neither a CTC- nor a log-mel CTC- nor a Whisper- nor a made-up-type .*, whisper, murmur$"
    ):
        families.family_of({"model_type": "bert"})


def test_unknown_family_is_named() -> None:
    with pytest.raises(
        AsrmeterError, match=r"has no family of models made-up; known are ctc, ctc-mel, ext.*, whisper$"
    ):
        families.named("made-up")


@pytest.mark.parametrize("weights", [{}, {"weights": "random"}], ids=["own", "random"])
def test_made_up_folder_is_made_and_heard(murmur: Path, tmp_path: Path, weights: dict[str, str]) -> None:
    study = {"name": "x", "models": {"mine": {"path": str(murmur), **weights}}, "devices": ["cpu"]}
    settings = validation.with_defaults(study, "x.yaml").models["mine"]
    build.build("mine", settings, 42, Archives(tmp_path), tmp_path / "model")
    told = json.loads((tmp_path / "model" / PROVENANCE).read_text())
    assert (told["family"], config_of(tmp_path / "model")["model_type"]) == ("made-up", "murmur")
    setup = Setup(tmp_path / "model", "made-up", {"dtype": "float32", "attention": "sdpa"})
    runtime: Any = runtimes.load("transformers", setup)
    waveform = np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    (heard,) = runtime.transcribe(english([waveform]), Timeline())
    assert type(runtime.model).__name__ == "MurmurForCTC"
    assert heard.processed_s == 1


def test_made_up_entry_of_the_catalogue_is_made(made_up: ModuleType, tmp_path: Path) -> None:
    architecture = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    entry = Model("mine", "made-up", 0, architecture, hub={}, vocabulary=["<pad>", "|", "A"])
    facts = networks.make_known(entry, "random", 42, Archives(tmp_path), tmp_path)
    assert facts["family"] == "made-up"
    assert config_of(tmp_path)["architectures"] == ["MurmurForCTC"]
    assert json.loads((tmp_path / "vocab.json").read_text()) == {"<pad>": 0, "|": 1, "A": 2}


def test_made_up_model_is_counted(murmur: Path) -> None:
    sign_model(murmur, family="made-up")
    study = validation.with_defaults(
        {"name": "x", "models": {murmur.name: {"path": str(murmur)}}, "devices": ["cpu"]}, "x"
    )
    (counted,) = (model for model in models_of(study, murmur.parent) if model.is_studied)
    segments = [{"segment_id": "a", "duration_s": 5, "audio_s": 4.0, "text": "w1"}]
    (row,) = rows(counted, BatchGrid([(5, 1)], segments))
    assert set(row) == set(FLOPS.names) and row["note"] is None
    assert (row["model"], row["family"], row["has_decoder"]) == ("murmur", "made-up", False)
    # Three windows of two seconds.
    assert row["n_windows"] == 3
    assert row["encoder_gmac"] == pytest.approx(3 * row["encoder_mac_per_window"] / 1e9)
    assert row["total_gflop"] == row["encoder_gflop"] == 2 * row["encoder_gmac"] > 0
    # The closed formula is wav2vec 2.0's alone.
    assert row["checked_against"] == "torch's counter"
    assert measured((header(weights="random"), []), flops=row).work.has_decoder is False


@pytest.mark.parametrize(("config", "known"), [({"model_type": "murmur", "conv_dim": 3}, True), ({}, False)])
def test_made_up_model_that_cannot_be_counted(made_up: ModuleType, config: dict[str, Any], known: bool) -> None:
    (row,) = rows(CountedModel("murmur", config, True), BatchGrid([(5, 1)]))
    assert row["note"].startswith("not counted: ") and row["encoder_gmac"] is None
    assert (row["family"], row["has_decoder"]) == (("made-up", False) if known else (None, None))


def test_fixed_work_is_the_windows_and_their_tokens(made_up: ModuleType) -> None:
    work = made_up.FAMILY.fixed_work([16_000, 80_000], [3, 7], most_tokens=100)
    assert work.windows == [slice(0, 32_000), slice(32_000, 64_000), slice(64_000, 96_000)]
    assert work.n_tokens == 3
    assert made_up.FAMILY.fixed_work([16_000], [7], most_tokens=5).n_tokens == 5
    whole = families.named("ctc").fixed_work([16_000, 80_000], [3, 7], most_tokens=100)
    assert whole.windows == [slice(0, 80_000)]


def test_external_model_is_a_name_and_nothing_more(tmp_path: Path) -> None:
    said = {"name": "x", "models": {"mine": {"weights": "external"}}, "devices": ["cpu"]}
    study = validation.with_defaults(said, "x.yaml")
    build.build("mine", study.models["mine"], 42, Archives(tmp_path), tmp_path / "mine")
    told = json.loads((tmp_path / "mine" / PROVENANCE).read_text())
    assert (told["family"], told["parameters"], told["origin"]) == ("external", None, "elsewhere")
    assert config_of(tmp_path / "mine") == {"model_type": "external"}
    with pytest.raises(UnsupportedError, match="the model is external; only your own engine can run it"):
        runtimes.load("transformers", Setup(tmp_path / "mine", "external", {}))
    (counted,) = (model for model in models_of(study, tmp_path) if model.is_studied)
    (row,) = rows(counted, BatchGrid([(5, 1)]))
    assert row["note"] == "not counted: the model is elsewhere, with its architecture"
    assert (row["family"], row["has_decoder"], row["encoder_gmac"]) == ("external", None, None)
