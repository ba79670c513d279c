"""Fingerprints of corpora and models, and options of measuring jobs: a change of one measures older cells again.

The values are those of the first version. A refactoring must not change them; a change of what a corpus or a model
folder holds raises the versions in `study.fingerprints` and may.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from asrmeter.common.paths import ROOT
from asrmeter.study import grid, validation
from asrmeter.study.fingerprints import (
    fingerprints_of,
    layout_options,
    load_options,
    measure_options,
    profile_options,
    silence_options,
)
from asrmeter.study.layouts import layout_runs
from asrmeter.workflow.plan import Plan

KNOWN = {
    "config.yaml": (
        "be0da253b4b38072",
        {
            "whisper-tiny.en": "225e95dfc6643e6d",
            "whisper-base": "1f81b287d53ef2a5",
        },
    ),
    "studies/architectures.yaml": (
        "9dc50c8b65574d04",
        {
            "whisper-tiny": "e18f8eab64fdbead",
            "whisper-base": "fd612389f54c5722",
            "whisper-small": "f3f38bea93cd8dc2",
            "whisper-medium": "1413853e0b755033",
            "wav2vec2-base-960h": "a6ca548f022bc81c",
        },
    ),
    "studies/edlm2025.yaml": (
        "77bce989803f2287",
        {
            "whisper-tiny": "ff22594979c03fec",
            "whisper-base": "581594742883fcb9",
            "whisper-small": "71499ce033674521",
            "whisper-medium": "8ba06c3b478fa844",
            "wav2vec2-base-960h": "c7ac0492081d6b1a",
        },
    ),
    "studies/librispeech.yaml": (
        "7543212a6e004a7d",
        {
            "whisper-tiny.en": "225e95dfc6643e6d",
            "whisper-base": "1f81b287d53ef2a5",
            "wav2vec2-base-960h": "c7ac0492081d6b1a",
        },
    ),
}

# Digests of the options of all measuring jobs in their order, and of all profiles, of protocol 2.
OPTIONS = {
    "config.yaml": ("52529860bc10d232", "5f8d72f6538a0359"),
    "studies/architectures.yaml": ("4b876ac6b649f535", "e1f0dab133a5213b"),
    "studies/edlm2025.yaml": ("6b1fc787dd2b3a4b", "89dd103dccb2783c"),
    "studies/librispeech.yaml": ("61418bb60aa51bef", "6a39dc568248eac2"),
}


# Of what hears silence in the first study, each model and variant once.
SILENCE = "c1b0aa286598daf5"


# Of load tests and of layouts, of protocols of their own.
FURTHER = ("b3977e8117937cfb", "07d1127b3f9181d8")


def digest(options: list[list[str]]) -> str:
    return hashlib.sha256(json.dumps(options).encode()).hexdigest()[:16]


def fingerprints(study: dict[str, Any]) -> tuple[str | None, dict[str, str]]:
    complete = validation.with_defaults(study | {"devices": ["cpu"]}, "a study")
    made_of = fingerprints_of(complete)
    return made_of.corpus, made_of.models


@pytest.mark.parametrize("path", KNOWN)
def test_fingerprints_of_shipped_studies(path: str) -> None:
    assert fingerprints(yaml.safe_load((ROOT / path).read_text())) == KNOWN[path]


@pytest.mark.parametrize("path", OPTIONS)
def test_options_of_jobs_are_those_of_the_protocol(path: str) -> None:
    written = yaml.safe_load((ROOT / path).read_text()) | {"devices": ["cpu", "cuda"]}
    study = validation.with_defaults(written, path)
    made_of = fingerprints_of(study)
    measured = [measure_options(study.as_json(), sitting, made_of) for sitting in grid.execution_order(study)]
    profiled = [profile_options(study.as_json(), cell, made_of) for cell in grid.profiled(study)]
    assert (digest(measured), digest(profiled)) == OPTIONS[path]


def test_options_of_who_hears_silence() -> None:
    study = validation.with_defaults(yaml.safe_load((ROOT / "config.yaml").read_text()) | {"devices": ["cpu"]}, "x")
    made_of, hearings = fingerprints_of(study), Plan(study, on_cluster=True).hearings
    assert len(hearings) == len(study.models) * len(study.variants)
    assert digest([silence_options(study.as_json(), cell, made_of) for cell in hearings.values()]) == SILENCE


def further_options(study: dict[str, Any]) -> tuple[list[list[str]], list[list[str]]]:
    """Return the options of the load tests and of the layouts of a small study with these keys."""
    asked = {"name": "x", "models": {"whisper-base": {}}, "devices": ["cpu", "cuda"], "threads": 2, "load": {}}
    asked |= {"variants": {"fp32": {}, "fast": {"runtime": "ctranslate2", "format": "int8"}}}
    asked |= {"protocol": {"laps": 2}, "layouts": [{"processes": 2, "threads": 1}, {"processes": 1, "threads": 2}]}
    complete = validation.with_defaults(asked | study, "a study")
    made_of, saved = fingerprints_of(complete), complete.as_json()
    return (
        [load_options(saved, tested, made_of) for tested in grid.load_tested(complete)],
        [layout_options(saved, run, made_of) for run in layout_runs(complete)],
    )


def test_options_of_load_tests_and_layouts() -> None:
    loads, layouts = further_options({})
    assert (len(loads), len(layouts)) == (2 * 2, 2 * 2 * 2 * 2)
    assert (digest(loads), digest(layouts)) == FURTHER


@pytest.mark.parametrize(
    ("changes", "loads_stay", "layouts_stay"),
    [
        ({"load": {"target_latency_s": 0.5}}, False, True),
        ({"load": {"duration_s": 30}}, False, True),
        ({"load": {"percentile": 0.9, "max_wait_ms": 0}}, False, True),
        ({"load": {"models": ["whisper-base"], "variants": ["fp32", "fast"], "devices": ["cuda", "cpu"]}}, True, True),
        ({"protocol": {"laps": 2, "budget_s": 7}}, True, False),
        ({"protocol": {"laps": 2, "timeout_s": 700, "target": 0.2}}, True, True),
        ({"report": {"tariff": {"currency": "EUR", "price_per_device_hour": {"cpu": 1}}}}, True, True),
        ({"batch_sizes": [1, 2, 4]}, True, True),
        ({"seed": 7}, False, False),
        # A layout has threads of its own.
        ({"threads": 1}, False, True),
    ],
)
def test_a_load_test_or_layout_is_made_again_by(changes: dict[str, Any], loads_stay: bool, layouts_stay: bool) -> None:
    (loads, layouts), (before, layouts_before) = further_options(changes), further_options({})
    assert (loads == before, layouts == layouts_before) == (loads_stay, layouts_stay)


def test_a_layout_more_leaves_those_that_were_measured() -> None:
    _, before = further_options({})
    more = [{"processes": 1, "threads": 2}, {"processes": 4, "threads": 1}, {"processes": 2, "threads": 1}]
    _, after = further_options({"layouts": more, "protocol": {"laps": 3}})
    assert all(options in after for options in before) and len(after) == 2 * 2 * 3 * 3


def test_options_keep_whole_numbers_whole_and_their_order() -> None:
    study = validation.with_defaults(
        {"name": "x", "models": {"whisper-base": {}}, "protocol": {"energy_window_s": 7.0, "target": 0.5}}, "a study"
    )
    sitting = grid.Sitting(grid.cells(study)[0], 2)
    lap, *_, protocol = measure_options(study.as_json(), sitting, fingerprints_of(study))
    assert lap == "--lap=2"
    assert protocol == (
        '--protocol={"version": 2, "budget_s": 10, "target": 0.5, "max_passes": 300, "energy_window_s": 7}'
    )


def test_fingerprints_of_local_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {
        "speech/metadata.csv": "file_name,text\na/1.wav,one two\n2.flac,three\n",
        "speech/a/1.wav": "1",
        "speech/2.flac": "22",
        "own/config.json": '{"model_type": "wav2vec2"}',
        "own/vocab.json": '{"<pad>": 0}',
        "own/preprocessor_config.json": "{}",
        "own/model.safetensors": "\2\0\0\0\0\0\0\0{}",
        "own/README.md": "x",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        os.utime(tmp_path / name, ns=(0, 1_700_000_000_123_456_789))
    monkeypatch.chdir(tmp_path)
    hub = {"id": "me/own", "revision": "0123456789abcdef0123456789abcdef01234567", "weights": "random"}
    study = {
        "name": "mine",
        "models": {"own": {"path": "own"}, "hubbed": hub},
        "corpus": {"kind": "folder", "path": "speech"},
    }
    assert fingerprints(study) == ("2d26d7746f2fbbe8", {"own": "71443759dff5e425", "hubbed": "c2f30398708d2eaf"})
