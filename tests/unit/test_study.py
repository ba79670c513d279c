"""Studies: defaults, and an error in one line for everything that is not allowed."""

import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from asrmeter import plan, study
from asrmeter.errors import AsrmeterError
from asrmeter.weights.catalogue import catalogue

ROOT = Path(__file__).parents[2]
LEAST = {"name": "mine", "models": {"whisper-base": {}}}


def test_schema_is_a_schema_and_describes_every_key() -> None:
    schema = json.loads(study.SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)

    def undescribed(part: dict[str, Any], path: str) -> list[str]:
        missing = []
        for name, inner in part.get("properties", {}).items():
            missing += [] if "description" in inner else [f"{path}.{name}"]
            missing += undescribed(inner, f"{path}.{name}")
            if isinstance(inner.get("additionalProperties"), dict):
                missing += undescribed(inner["additionalProperties"], f"{path}.{name}.*")
            for branch in inner.get("oneOf", []):
                missing += undescribed(branch, f"{path}.{name}({branch['title']})")
        return missing

    assert undescribed(schema, "study") == []


@pytest.mark.parametrize(
    "path", [ROOT / "config.yaml", *sorted((ROOT / "studies").glob("*.yaml"))], ids=lambda p: p.name
)
def test_shipped_studies_are_valid(path: Path) -> None:
    assert study.complete(yaml.safe_load(path.read_text()), path.name)["name"]


def test_config_plans_at_least_24_cells_in_all_classes() -> None:
    whole = study.complete(yaml.safe_load((ROOT / "config.yaml").read_text()) | {"devices": ["cpu"]}, "config.yaml")
    cells = plan.cells(whole)
    assert len(cells) >= 24
    assert {cell.duration_s for cell in cells} == {5, 15, 30, 60}
    assert plan.Cell("whisper-tiny.en", "fp32", "cpu", 15, 4) in cells


def test_defaults_are_filled_in_at_every_level() -> None:
    whole = study.complete(LEAST, "mine.yaml")
    nothing = {"id": None, "revision": None, "path": None}
    assert whole["models"] == {"whisper-base": {"weights": "packaged"} | nothing}
    assert whole["variants"] == {"fp32": {"runtime": "transformers", "dtype": "float32", "attention": "sdpa"}}
    assert whole["protocol"]["target"] == 0.025
    assert whole["corpus"] == {
        "kind": "packages",
        "name": "quickstart",
        "segments_per_class": 8,
        "selection_sha256": None,
    }
    partly = study.complete(
        LEAST | {"protocol": {"budget_s": 3}, "variants": {"half": {"dtype": "float16"}}}, "mine.yaml"
    )
    assert partly["protocol"] == whole["protocol"] | {"budget_s": 3}
    assert partly["variants"]["half"]["attention"] == "sdpa"


def test_empty_entries_of_yaml_mean_defaults() -> None:
    whole = study.complete({"name": "mine", "models": {"whisper-base": None}, "variants": None}, "mine.yaml")
    assert whole["models"]["whisper-base"]["weights"] == "packaged"
    assert list(whole["variants"]) == ["fp32"]


def test_whole_numbers_are_written_as_such_in_names() -> None:
    whole = study.complete(LEAST | {"durations_s": [5.0], "batch_sizes": "[1.0]", "devices": ["cpu"]}, "mine.yaml")
    assert [cell.id for cell in plan.cells(whole)] == ["whisper-base/fp32/cpu/5s-b1"]


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"models": LEAST["models"]}, "the key name is missing"),
    ({"name": "x"}, "the key models is missing"),
    (LEAST | {"modles": {}}, "unknown key modles; allowed are name, "),
    (LEAST | {"name": "a b"}, 'name: "a b" may hold only letters'),
    (LEAST | {"models": {}}, "models: {} must not be empty"),
    (LEAST | {"models": {"whisper-tinny": {}}}, "models.whisper-tinny: unknown model; known are whisper-tiny, "),
    (
        LEAST | {"models": {"whisper-base": {"weigths": "random"}}},
        "models.whisper-base: unknown key weigths; allowed are weights, id",
    ),
    (
        LEAST | {"models": {"whisper-base": {"weights": "cloud"}}},
        'models.whisper-base.weights: "cloud" is not allowed; allowed are packaged, hub, local, random',
    ),
    (
        LEAST | {"models": {"mine": {"id": "me/mine"}}},
        "models.mine.revision: give the commit of me/mine, 40 hexadecimal digits",
    ),
    (
        LEAST | {"models": {"mine": {"id": "me/mine", "revision": "main"}}},
        'models.mine.revision: "main" must be a commit, 40 hexadecimal digits',
    ),
    (LEAST | {"models": {"mine": {"id": "mine"}}}, 'models.mine.id: "mine" must be of the form owner/name'),
    (
        LEAST | {"models": {"mine": {"id": "me/mine", "revision": "0" * 40, "weights": "packaged"}}},
        "models.mine.weights: packaged does not go with id; allowed are hub, random",
    ),
    (
        LEAST | {"models": {"mine": {"path": "x", "weights": "hub"}}},
        "models.mine.weights: hub does not go with path; allowed are local, random",
    ),
    (
        LEAST | {"models": {"mine": {"id": "me/mine", "path": "x"}}},
        "models.mine: id and path contradict each other; give one of them",
    ),
    (LEAST | {"models": {"whisper-base": {"revision": "0" * 40}}}, "models.whisper-base.revision: goes with id"),
    (LEAST | {"models": {"mine": {"weights": "local"}}}, "models.mine.path: give the folder of the weights"),
    (LEAST | {"models": {"mine": {"weights": "hub"}}}, "models.mine: unknown model; known are whisper-tiny, "),
    (LEAST | {"models": {"mine": {"path": "no/such"}}}, "models.mine.path: no/such is no folder"),
    (LEAST | {"models": {"mine": {"path": "tests"}}}, "models.mine.path: tests has no config.json"),
    (
        LEAST | {"models": {"whisper-small": {}}},
        "models.whisper-small.weights: no package holds pretrained weights of it",
    ),
    (LEAST | {"models": ["whisper-base"]}, 'models: ["whisper-base"] is not of type object'),
    (
        LEAST | {"corpus": {"kind": "youtube"}},
        'corpus.kind: "youtube" is not allowed; allowed are packages, gigaspeech, hub, folder',
    ),
    (LEAST | {"corpus": {"name": "x"}}, "corpus: the key kind is missing; it is one of packages, gigaspeech, hub"),
    (LEAST | {"corpus": {"kind": "packages"}}, "corpus: the key name is missing"),
    (LEAST | {"corpus": {"kind": "hub"}}, "corpus: the key id is missing"),
    (LEAST | {"corpus": {"kind": "hub", "id": "librispeech"}}, 'corpus.id: "librispeech" must be of the form owner'),
    (LEAST | {"corpus": {"kind": "folder"}}, "corpus: the key path is missing"),
    (
        LEAST | {"corpus": {"kind": "folder", "path": "x", "durations": "exact"}},
        'corpus.durations: "exact" is not allowed; allowed are joined, natural',
    ),
    (LEAST | {"corpus": {"kind": "folder", "path": "no/such/folder"}}, "corpus.path: no/such/folder"),
    (LEAST | {"corpus": {"kind": "gigaspeech", "path": "x"}}, "corpus: unknown key path; allowed are kind, name, id"),
    (
        LEAST | {"corpus": {"kind": "gigaspeech", "selection_sha256": "abc"}},
        'corpus.selection_sha256: "abc" must be a sha256, 64 hexadecimal digits',
    ),
    (LEAST | {"corpus": {"kind": "packages", "name": "x"}}, "corpus.name: unknown corpus x; known are quickstart"),
    (LEAST | {"devices": "gpu"}, 'devices: "gpu" is not of type array, or "auto"'),
    (LEAST | {"devices": ["gpu"]}, 'devices.0: "gpu" is not allowed; allowed are cpu, cuda, or "auto"'),
    (LEAST | {"durations_s": [5, 5]}, "durations_s: [5, 5] must not say anything twice"),
    (LEAST | {"durations_s": ["five"]}, 'durations_s.0: "five" is not of type integer'),
    (LEAST | {"durations_s": []}, "durations_s: [] must not be empty"),
    (LEAST | {"batch_sizes": [0]}, "batch_sizes.0: 0 must be at least 1"),
    (LEAST | {"threads": 0}, 'threads: 0 must be at least 1, or "auto"'),
    (LEAST | {"seed": -1}, "seed: -1 must be at least 0"),
    (LEAST | {"protocol": {"target": 0}}, "protocol.target: 0 must be more than 0"),
    (LEAST | {"protocol": {"targt": 0.1}}, "protocol: unknown key targt; allowed are version, target"),
    (LEAST | {"protocol": {"version": 2}}, "protocol.version: 2 is not allowed; it must be 1"),
    (LEAST | {"protocol": {"energy_window_s": 1}}, "protocol.energy_window_s: 1 must be at least 5"),
    (LEAST | {"protocol": {"min_passes": 9, "max_passes": 8}}, "protocol.min_passes is more than protocol.max_passes"),
    (LEAST | {"profile": {"durations_s": [7]}}, "profile.durations_s: 7 is not among durations_s: 5, 15, 30, 60"),
    (LEAST | {"profile": {"batch_sizes": [0]}}, 'profile.batch_sizes.0: 0 must be at least 1, or "auto"'),
    (
        LEAST | {"variants": {"fp32": {"dtype": "float8"}}},
        'variants.fp32.dtype: "float8" is not allowed; allowed are float32',
    ),
    (LEAST | {"variants": {"a/b": {}}}, 'variants: "a/b" may hold only letters'),
    (LEAST | {"report": {"language": "xx"}}, 'report.language: "xx" is not allowed; allowed are en, ru'),
    (
        LEAST | {"report": {"scenarios": {"mine": {"max_wr": 0.1}}}},
        "report.scenarios.mine: unknown key max_wr; allowed are description, devices, duration_s, max_wer",
    ),
    (
        LEAST | {"report": {"scenarios": {"mine": {"max_wer": 15}}}},
        "report.scenarios.mine.max_wer: 15 must be at most 1",
    ),
    (
        LEAST | {"report": {"scenarios": {"mine": {"prefer": "price"}}}},
        'report.scenarios.mine.prefer: "price" is not allowed; allowed are throughput, latency, energy, accuracy',
    ),
    (
        LEAST | {"report": {"scenarios": {"mine": {"duration_s": 7}}}},
        "report.scenarios.mine.duration_s: 7 is not among durations_s: 5, 15, 30, 60",
    ),
    (LEAST | {"report": {"tariff": {"price_per_kwh": 0.3}}}, "report.tariff: give a currency with a price"),
    (LEAST | {"report": {"tariff": {"currency": "EUR"}}}, "report.tariff: give a currency with a price"),
    (LEAST | {"results": "results\n"}, 'results: "results\\n" must be one line'),
    (LEAST | {"protocol": {"target": math.nan}}, "protocol.target: nan must be a finite number"),
    (LEAST | {"protocol": {"target": "NaN"}}, "protocol.target: nan must be a finite number"),
    (LEAST | {"protocol": {"budget_s": math.inf}}, "protocol.budget_s: inf must be a finite number"),
    (LEAST | {"protocol": {"budget_s": "1e999"}}, "protocol.budget_s: inf must be a finite number"),
    (LEAST | {"batch_sizes": "[1, -Infinity]"}, "batch_sizes.1: -inf must be a finite number"),
    (LEAST | {"report": {"accuracy_gate": math.nan}}, "report.accuracy_gate: nan must be a finite number"),
    (LEAST | {"durations_s": [5, 5.5]}, "durations_s.1: 5.5 is not of type integer"),
    (LEAST | {"durations_s": [5, 5.0]}, "durations_s: [5, 5] must not say anything twice"),
    (LEAST | {"models": {1: {}}}, 'models.1 is no text; put it in quotes ("1")'),
    (LEAST | {"results": "/tmp/x"}, 'results: "/tmp/x" may hold only letters'),
    (LEAST | {"results": "../x"}, 'results: "../x" may hold only letters'),
]


@pytest.mark.parametrize(("broken", "message"), BROKEN, ids=[message[:40] for _, message in BROKEN])
def test_broken_studies(broken: dict[str, Any], message: str) -> None:
    with pytest.raises(AsrmeterError) as caught:
        study.complete(broken, "mine.yaml")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("mine.yaml: ")
    assert message in str(caught.value)


def test_every_mistake_is_named_at_once() -> None:
    with pytest.raises(AsrmeterError) as caught:
        study.complete(LEAST | {"sead": 1, "threads": 0}, "mine.yaml")
    assert len(str(caught.value).splitlines()) == 2


def test_a_results_folder_belongs_to_one_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    whole = study.complete(LEAST, "mine.yaml")
    study.claim(whole)  # nothing there yet
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / study.FILE).write_text(json.dumps(whole))
    study.claim(whole)
    with pytest.raises(AsrmeterError, match="results/ holds the results of the study mine, not of other"):
        study.claim(whole | {"name": "other"})


@pytest.mark.parametrize(
    ("corpus", "name"),
    [
        ({"kind": "gigaspeech"}, "gigaspeech"),
        ({"kind": "hub", "id": "openslr/librispeech_asr", "config": "clean"}, "librispeech_asr-clean-test"),
        ({"kind": "hub", "id": "me/x", "split": "a/b c"}, "x-a-b-c"),
        ({"kind": "hub", "id": "me/x", "name": "mine"}, "mine"),
    ],
)
def test_a_corpus_without_a_name_gets_one(corpus: dict[str, Any], name: str) -> None:
    assert study.complete(LEAST | {"corpus": corpus}, "mine.yaml")["corpus"]["name"] == name


def test_what_weights_a_model_has_follows_from_where_it_is() -> None:
    known = {"id": "me/mine", "revision": "0" * 40}
    models = {"whisper-small": {"weights": "hub"}, "mine": known, "drawn": known | {"weights": "random"}}
    whole = study.complete(LEAST | {"models": models}, "mine.yaml")
    assert [settings["weights"] for settings in whole["models"].values()] == ["hub", "hub", "random"]


def test_catalogue_entries_are_complete() -> None:
    for name, model in catalogue().items():
        assert set(model.hub) - {"sha256"} == {"id", "revision"} and len(model.hub["revision"]) == 40, name
        assert model.family in ("whisper", "ctc"), name
        assert model.tokenizer or model.vocabulary, name
        assert model.packages("random") or model.family == "ctc", name


@pytest.mark.parametrize("path", [study.ROOT / "config.yaml", *sorted((study.ROOT / "studies").glob("*.yaml"))])
def test_a_complete_study_is_a_study_that_says_the_same(path: Path) -> None:
    whole = study.complete(yaml.safe_load(path.read_text()), path.name)
    again = study.complete(json.loads(json.dumps(whole)), "study.json")
    # On this machine `auto` may have found no GPU, which is then no longer a finding but a choice.
    assert again | {"device_note": whole["device_note"]} == whole
