"""Proposals: what `variants: proposals` stands for, and which variant of a study measures one."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from asrmeter.common.constants import BASELINE
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.paths import ROOT
from asrmeter.study import proposals, validation
from asrmeter.study.model import Study
from asrmeter.study.proposals import Proposal
from helpers.optimisations import BATCHES_AND_EAGER

ADVICE = f"""{BATCHES_AND_EAGER}[half]
wording = "FP16"
variant = "half"
options = {{ dtype = "float16" }}
devices = ["cuda"]
"""


def study(**changes: Any) -> Study:
    return validation.with_defaults({"name": "mine", "models": {"whisper-base": {}}} | changes, "mine.yaml")


@pytest.fixture
def advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the list be a short one."""
    path = tmp_path / "proposals.toml"
    path.write_text(ADVICE)
    monkeypatch.setattr(proposals, "CATALOGUE", path)
    return path


@pytest.mark.usefixtures("advice")
def test_variants_can_be_all_proposals() -> None:
    whole = study(variants="proposals")
    assert {name: (one.as_json()["dtype"], one.as_json()["attention"]) for name, one in whole.variants.items()} == {
        "fp32": ("float32", "sdpa"),
        "eager": ("float32", "eager"),
        "half": ("float16", "sdpa"),
    }
    # The complete study says them one by one: a longer list makes no other study of it.
    assert validation.from_json(whole.as_json(), "study.json") == whole


@pytest.mark.parametrize("said", ["proposal", "auto", ["fp32"], {}])
@pytest.mark.usefixtures("advice")
def test_variants_are_named_or_all_proposals(said: Any) -> None:
    with pytest.raises(AsrmeterError, match=r'mine\.yaml: variants: .*, or "proposals"$'):
        study(variants=said)


def test_wrong_options_of_a_proposal_are_a_mistake_of_the_study(advice: Path) -> None:
    advice.write_text('[half]\nwording = "FP16"\nvariant = "half"\noptions = { dtype = "float8" }')
    with pytest.raises(AsrmeterError, match=r'variants\.half\.dtype: "float8" is not allowed'):
        study(variants="proposals")


@pytest.mark.parametrize("line", ["words = 1", "variants = 'x'"])
def test_an_entry_with_an_unknown_key_is_refused(advice: Path, line: str) -> None:
    advice.write_text(f'[half]\nwording = "FP16"\n{line}')
    with pytest.raises(AsrmeterError, match=r"proposals\.toml: half: unknown key"):
        proposals.known()


@pytest.mark.parametrize(
    ("options", "measures"),
    [
        ({"dtype": "float16"}, True),
        ({"runtime": "transformers", "dtype": "float16", "attention": "sdpa"}, True),
        ({"dtype": "float16", "attention": "eager"}, False),
        ({}, False),
        ({"runtime": {"path": str(ROOT / "scripts" / "measure.py")}}, False),
    ],
)
def test_a_variant_measures_a_proposal_by_its_options(options: dict[str, Any], measures: bool) -> None:
    half = Proposal("half", "FP16", variant="half", options={"dtype": "float16"})
    assert half.is_measured_by(study(variants={"any-name": options}).variants["any-name"]) is measures


def test_another_runtime_or_option_is_another_variant() -> None:
    variant = study().variants[BASELINE]
    for options in ({"cache": "static"}, {"runtime": "torch_loop"}):
        assert not Proposal("x", "x", variant="x", options=options).is_measured_by(variant)


def test_every_piece_of_advice_is_in_the_list() -> None:
    known = proposals.known()
    assert {one.wording for one in known if one.of_2025} == {
        "Larger batches", "Tensor Cores", "Caching", "Preallocation", "Pinned memory", "Fused operations",
        "Kernel fusion", "FP16", "INT8", "Key-value caching", "CUDA graphs", "Overlapping streams",
        "Less synchronisation", "Encoder FP16 with decoder FP32",
    }  # fmt: skip
    assert {one.variant for one in known} == {
        "fp32", "ct2-fp32", "ct2-int8", "ort-fp32", "ort-int8", "ort-int8-dynamic", "openvino-fp32", "openvino-int8",
        "torch-loop", "static-cache", "no-cache", "eager", "compiled-encoder", "compiled", "bf16", "fp16", "tf32",
        "int8-dynamic", "int8-weights", "encoder-fp16", "pinned", "streams", "less-sync", "faster-whisper",
        "whispercpp-q8_0", "whispercpp-q5_0",
    }  # fmt: skip


def test_entries_agree_with_each_other() -> None:
    known = proposals.known()
    of_variant: dict[str, Any] = {}
    for one in known:
        assert of_variant.setdefault(one.variant, one.options) == one.options, one.name
        assert one.kind in ("variant", "without", "batch") and set(one.devices) <= {"cpu", "cuda"}
        assert (one.kind == "batch") is (one.variant == BASELINE) is (not one.options), one.name
    assert {one.against for one in known} <= of_variant.keys()
    assert [one.name for one in known if one.against == one.variant and one.kind != "batch"] == []


@pytest.mark.parametrize("language", ["en", "ru"])
def test_each_proposal_has_its_words(language: str) -> None:
    words = tomllib.loads((ROOT / "report" / f"words.{language}.toml").read_text(encoding="utf-8"))
    known = {one.name: one.wording for one in proposals.known()}
    assert words["proposal_name"].keys() == words["proposal_wording"].keys() == known.keys()
    if language == "en":
        assert words["proposal_wording"] == known


def test_a_study_can_measure_the_whole_list() -> None:
    whole = study(variants="proposals")
    for proposal in proposals.known():
        assert proposal.is_measured_by(whole.variants[proposal.variant]), proposal.name
