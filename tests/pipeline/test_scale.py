"""Studies that stand for themselves, and large ones."""

import json

import pytest

from checkouts import Checkout, MakeCheckout, small

pytestmark = [pytest.mark.pipeline, pytest.mark.alone]


@pytest.fixture(scope="module")
def fresh(make_checkout: MakeCheckout) -> Checkout:
    """A checkout with the repository's own config.yaml and nothing made yet but the downloads."""
    return make_checkout("fresh")


def test_a_study_by_configfile_is_not_merged_with_config_yaml(fresh: Checkout) -> None:
    study = {"name": "own", "results": "results-own", "models": {"whisper-tiny.en": {}}, "devices": ["cpu"]}
    path = fresh.write(study, "own.yaml")
    jobs = fresh.plan("--configfile", path)
    # The defaults: four durations, two batch sizes, one cell twice, no limit to the audio at once; config.yaml has one.
    assert (jobs["model"], jobs["measure_cpu"]) == (1, 4 * 2 + 1)
    fresh.run("results-own/study.json", "--configfile", path)
    written = json.loads((fresh.folder / "results-own" / "study.json").read_text())
    schema = json.loads((fresh.folder / "schemas" / "study.schema.json").read_text())["properties"]
    assert list(written["models"]) == ["whisper-tiny.en"]
    assert written["protocol"]["budget_s"] == schema["protocol"]["properties"]["budget_s"]["default"]
    packages = next(kind["properties"] for kind in schema["corpus"]["oneOf"] if kind["title"] == "packages")
    assert written["corpus"]["segments_per_class"] == packages["segments_per_class"]["default"]
    assert written["max_batch_audio_s"] is None


@pytest.mark.parametrize("more", [[], ["--config", "devices=[cpu,cuda]"]], ids=["as it is", "devices given"])
def test_the_grid_of_the_2025_study_is_planned(fresh: Checkout, more: list[str]) -> None:
    jobs = fresh.plan("--configfile", "studies/edlm2025.yaml", *more)
    # 5 models, 4 durations, 5 batch sizes; on each device one cell twice.
    assert (jobs["measure_cpu"], jobs["measure_cuda"]) == (100 + 1, 100 + 1)
    assert (jobs["model"], jobs["corpus"]) == (5, 1)


def test_ten_thousand_cells_are_planned_in_seconds(fresh: Checkout) -> None:
    models = ["whisper-tiny", "whisper-base", "whisper-small", "whisper-medium", "wav2vec2-base-960h"]
    study = small(
        name="large",
        results="results-large",
        models={model: {"weights": "random"} for model in models},
        durations_s=list(range(1, 51)),
        batch_sizes=list(range(1, 41)),
    )
    ran = fresh.run("--dry-run", "--quiet", "rules", "--configfile", fresh.write(study, "large.yaml"))
    print(f"10,000 cells: {ran.cpu_s:.1f} CPU s, {ran.wall_s:.1f} s")
    assert (ran.jobs["measure_cpu"], ran.jobs["model"]) == (10_001, 5)
    # 23 to 24 on a quiet machine of two cores; a busy neighbour costs caches and so CPU time.
    assert ran.cpu_s <= 40
