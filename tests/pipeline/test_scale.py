"""Studies that stand for themselves, and large ones."""

import json

import pytest

from asrmeter.study.model import BUDGET_S
from helpers.checkouts import Checkout, MakeCheckout, large

pytestmark = pytest.mark.pipeline


@pytest.fixture(scope="module")
def fresh(make_checkout: MakeCheckout) -> Checkout:
    """A checkout with the repository's own config.yaml and nothing made yet but the downloads."""
    return make_checkout("fresh")


def test_a_study_by_configfile_is_not_merged_with_config_yaml(fresh: Checkout) -> None:
    study = {"name": "own", "results": "results-own", "models": {"whisper-tiny.en": {}}, "devices": ["cpu"]}
    path = fresh.write(study, "own.yaml")
    jobs = fresh.plan("--configfile", path)
    # The defaults: four durations, two batch sizes, three laps, no limit to the audio at once, no silence; config.yaml
    # has a limit, and silence.
    assert "silence_cpu" not in jobs
    assert (jobs["model"], jobs["measure_cpu"], jobs["retry_disturbed_cpu"]) == (1, 4 * 2 * 3, 3)
    fresh.run("results-own/study.json", "--configfile", path)
    written = json.loads((fresh.folder / "results-own" / "study.json").read_text())
    schema = json.loads((fresh.folder / "schemas" / "study.schema.json").read_text())["$defs"]
    assert list(written["models"]) == ["whisper-tiny.en"]
    assert written["protocol"]["laps"] == schema["Protocol"]["properties"]["laps"]["default"]
    assert (written["protocol"]["minutes"], written["protocol"]["budget_s"]) == (None, BUDGET_S)
    packages = schema["PackagesCorpus"]["properties"]
    assert written["corpus"]["segments_per_class"] == packages["segments_per_class"]["default"]
    assert written["max_batch_audio_s"] is None


@pytest.mark.parametrize("more", [[], ["--config", "devices=[cpu,cuda]"]], ids=["as it is", "devices given"])
def test_the_grid_of_the_2025_study_is_planned(fresh: Checkout, more: list[str]) -> None:
    jobs = fresh.plan("--configfile", "studies/edlm2025.yaml", *more)
    # 5 models, 4 durations, 5 batch sizes; two laps.
    assert (jobs["measure_cpu"], jobs["measure_cuda"]) == (2 * 100, 2 * 100)
    assert (jobs["retry_disturbed_cpu"], jobs["retry_disturbed_cuda"]) == (2, 2)
    assert (jobs["model"], jobs["corpus"]) == (5, 1)


def test_the_time_to_plan_grows_with_the_cells_and_no_faster(fresh: Checkout) -> None:
    def cpu_s(n_durations: int) -> float:
        ran = fresh.run("--dry-run", "--quiet", "rules", "--configfile", fresh.write(large(n_durations), "large.yaml"))
        assert (ran.jobs["measure_cpu"], ran.jobs["model"]) == (n_durations * 200, 5)
        return ran.cpu_s

    # Starting takes a part of each. tests/check/plan_time.py times a study of 10,000.
    assert cpu_s(20) < 4 * cpu_s(5)
