"""Studies: defaults, and an error of one line for each mistake."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import check_study
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.paths import ROOT
from asrmeter.models.catalogue import catalogue
from asrmeter.study import grid, ownership, validation, yaml_file
from helpers.broken_studies import BROKEN, UNREADABLE, Broken
from tools import schema

LEAST = {"name": "mine", "models": {"whisper-base": {}}}


def test_schema_is_that_of_the_model() -> None:
    assert schema.PATH.read_text(encoding="utf-8") == schema.text(), "run: make schema"


def test_schema_describes_every_key_and_allows_no_other() -> None:
    made = json.loads(schema.text())
    parts = [made, *made["$defs"].values()]
    assert all(part["description"] and part["additionalProperties"] is False for part in parts if "properties" in part)
    keys = [(key, inner) for part in parts for key, inner in part["properties"].items()]
    assert [key for key, inner in keys if "description" not in inner] == []
    derived = {"name", "weights", "encoder_dtype", "decoder_dtype", "cache"}
    required = {key for part in parts for key in part.get("required", [])}
    assert {key for key, inner in keys if "default" not in inner} == derived | required


@pytest.mark.parametrize(
    "path", [ROOT / "config.yaml", *sorted((ROOT / "studies").glob("*.yaml"))], ids=lambda p: p.name
)
def test_shipped_studies_are_valid(path: Path) -> None:
    assert validation.with_defaults(yaml.safe_load(path.read_text()), path.name).name


def test_the_first_study_spans_models_classes_and_batches() -> None:
    whole = validation.with_defaults(
        yaml.safe_load((ROOT / "config.yaml").read_text()) | {"devices": ["cpu"]}, "config.yaml"
    )
    cells = grid.cells(whole)
    assert len(cells) == 12 and {cell.model for cell in cells} == {"whisper-tiny.en", "whisper-base"}
    assert {cell.variant for cell in cells} == {"fp32", "ct2-int8"}
    assert {(cell.duration_s, cell.batch_size) for cell in cells} == {(15, 1), (15, 4), (30, 1)}


def test_defaults_are_filled_in_at_every_level() -> None:
    whole = validation.with_defaults(LEAST, "mine.yaml")
    nothing = {"id": None, "revision": None, "path": None, "languages": None}
    said = whole.as_json()
    assert said["models"] == {"whisper-base": {"weights": "packaged"} | nothing}
    assert said["variants"] == {"fp32": {"runtime": "transformers", "dtype": "float32", "attention": "sdpa"}}
    assert (whole.protocol.target, whole.protocol.minutes, whole.protocol.budget_s) == (0.05, None, 10)
    assert said["corpus"] == {
        "kind": "packages",
        "name": "quickstart",
        "language": None,
        "segments_per_class": 8,
        "selection_sha256": None,
    }
    partly = validation.with_defaults(
        LEAST | {"protocol": {"budget_s": 3}, "variants": {"half": {"dtype": "float16"}}}, "mine.yaml"
    )
    assert partly.protocol == whole.protocol.model_copy(update={"budget_s": 3})
    assert partly.variants["half"].as_json()["attention"] == "sdpa"


def test_time_is_given_for_the_whole_or_for_each_cell() -> None:
    def times(**protocol: float | None) -> tuple[float | None, float | None]:
        found = validation.with_defaults(LEAST | {"protocol": protocol}, "mine.yaml").protocol
        return found.minutes, found.budget_s

    assert times(minutes=8) == times(minutes=8, budget_s=None) == (8, None)
    assert times(budget_s=3) == times(budget_s=3, minutes=None) == (None, 3)
    assert times(budget_s=None, minutes=None) == (None, 10)


def test_empty_entries_of_yaml_mean_defaults() -> None:
    whole = validation.with_defaults({"name": "mine", "models": {"whisper-base": None}, "variants": None}, "mine.yaml")
    assert whole.models["whisper-base"].weights == "packaged"
    assert list(whole.variants) == ["fp32"]


def test_whole_numbers_are_written_as_such_in_names() -> None:
    whole = validation.with_defaults(
        LEAST | {"durations_s": [5.0], "batch_sizes": "[1.0]", "devices": ["cpu"]}, "mine.yaml"
    )
    assert [cell.id for cell in grid.cells(whole)] == ["whisper-base/fp32/cpu/5s-b1"]


def test_check_study_names_the_study_or_the_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_study.main([str(ROOT / "studies" / "edlm2025.yaml")])
    assert capsys.readouterr().out.endswith("edlm2025.yaml: the study edlm2025, 200 cells, 2 laps, at least 2 h\n")
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: a\nmodels: {whisper-base: {}\n")
    with pytest.raises(AsrmeterError, match=r"broken.yaml, line 3, column 1: is not YAML"):
        check_study.main([str(broken)])


def test_check_study_tells_what_no_model_hears(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = tmp_path / "mine.yaml"
    corpus = "{kind: hub, id: a/b, split: test, language: ru}"
    study.write_text(f"name: a\nmodels: {{whisper-base: {{}}, whisper-tiny.en: {{}}}}\ncorpus: {corpus}\n")
    check_study.main([str(study)])
    why = "whisper-tiny.en knows English only, and the corpus has Russian (ru)"
    assert capsys.readouterr().out.splitlines()[1:] == [f"{study}: Not possible: {why}; its rows will say so."]


@pytest.mark.parametrize("broken", [*UNREADABLE, *BROKEN], ids=lambda broken: broken.what)
def test_broken_studies(broken: Broken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    path = tmp_path / "mine.yaml"
    path.write_bytes(broken.text if isinstance(broken.text, bytes) else broken.text.encode())
    with pytest.raises(AsrmeterError) as caught:
        validation.with_defaults(yaml_file.read(path), str(path))
    lines = str(caught.value).splitlines()
    assert all(line.isprintable() for line in lines)
    said = (broken.said,) if isinstance(broken.said, str) else broken.said
    for line, wanted in zip(lines, said, strict=True):
        assert line.startswith(f"{path}{wanted}")


def test_results_folder_belongs_to_one_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    whole = validation.with_defaults(LEAST, "mine.yaml")
    ownership.check_results_owner(whole)  # there is no folder yet
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / ".gitkeep").touch()
    ownership.check_results_owner(whole)  # as in a clone
    (tmp_path / "results" / ownership.FILE).write_text(json.dumps(whole.as_json()))
    ownership.check_results_owner(whole)
    with pytest.raises(AsrmeterError, match="results/ holds the results of the study mine, not of other"):
        ownership.check_results_owner(whole.model_copy(update={"name": "other"}))


@pytest.mark.parametrize("owner", ["[]", '"mine"', "{}", "{", ""])
def test_results_without_a_readable_study_belong_to_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / ownership.FILE).write_text(owner)
    ownership.check_results_owner(validation.with_defaults(LEAST, "mine.yaml"))


def test_results_go_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    whole = validation.with_defaults(LEAST | {"results": "mine//of/./today/"}, "mine.yaml")
    assert whole.results == "mine/of/today"
    folder = tmp_path / "mine" / "of" / "today"
    folder.mkdir(parents=True)
    ownership.check_results_owner(whole)
    (folder / "thesis.tex").touch()
    with pytest.raises(AsrmeterError, match="results: mine/of/today/ contains files that are not results; give this"):
        ownership.check_results_owner(whole)
    (folder / "downloads").mkdir()
    ownership.check_results_owner(whole)
    (tmp_path / "mine" / "file").touch()
    with pytest.raises(AsrmeterError, match="results: mine/file is a file; give this study a folder"):
        ownership.check_results_owner(whole.model_copy(update={"results": "mine/file"}))


@pytest.mark.parametrize(
    ("corpus", "name"),
    [
        ({"kind": "gigaspeech"}, "gigaspeech"),
        ({"kind": "hub", "id": "openslr/librispeech_asr", "config": "clean"}, "librispeech_asr-clean-test"),
        ({"kind": "hub", "id": "me/x", "split": "a/b c"}, "x-a-b-c"),
        ({"kind": "hub", "id": "me/x", "name": "mine"}, "mine"),
    ],
)
def test_corpus_without_a_name_gets_one(corpus: dict[str, Any], name: str) -> None:
    assert validation.with_defaults(LEAST | {"corpus": corpus}, "mine.yaml").corpus.name == name


def test_default_weights_follow_from_the_origin() -> None:
    known = {"id": "me/mine", "revision": "0" * 40}
    models = {"whisper-small": {"weights": "hub"}, "mine": known, "drawn": known | {"weights": "random"}}
    whole = validation.with_defaults(LEAST | {"models": models}, "mine.yaml")
    assert [settings.weights for settings in whole.models.values()] == ["hub", "hub", "random"]


def test_catalogue_entries_are_complete() -> None:
    for name, model in catalogue().items():
        assert set(model.hub) - {"sha256", "revision"} == {"id"}, name
        assert model.family in ("whisper", "ctc"), name
        assert model.tokenizer or model.vocabulary, name
        assert model.packages("random") or model.family == "ctc", name


@pytest.mark.parametrize("path", [ROOT / "config.yaml", *sorted((ROOT / "studies").glob("*.yaml"))])
def test_complete_study_is_valid_and_unchanged(path: Path) -> None:
    whole = validation.with_defaults(yaml.safe_load(path.read_text()), path.name)
    again = validation.with_defaults(json.loads(json.dumps(whole.as_json())), "study.json")
    # `auto` may have found no GPU on this machine; the complete study names its devices and has no note.
    assert again.model_copy(update={"device_note": whole.device_note}) == whole
