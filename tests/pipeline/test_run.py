"""A run from pinned speech and weights to the report, and what its tables hold."""

import csv
import itertools
import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from asrmeter.common.vocabulary import STAGES
from asrmeter.machine.facts import machine_id
from asrmeter.report.figure_registry import FIGURES, labels
from asrmeter.study import grid, validation
from asrmeter.workflow import run_lock
from helpers.checkouts import CELLS, LAPS, MEASURED, PROFILED, SECRET, Checkout, Ran, small

pytestmark = pytest.mark.pipeline
Row = dict[str, Any]
NOT_ASKED = {"gpu_over_cpu", "optimisations", "silence", "capacity", "layouts"}
STEPS = ("study", "flops", "tables", "capacity", "bottlenecks", "figures", "report")


def rows(checkout: Checkout, table: str) -> list[Row]:
    return pq.read_table(checkout.results / "tables" / f"{table}.parquet").to_pylist()


@pytest.fixture(scope="module")
def cells(finished: Checkout) -> list[Row]:
    return rows(finished, "cells")


@pytest.fixture(scope="module")
def timed(finished: Checkout) -> list[Row]:
    return [row for row in rows(finished, "passes") if row["phase"] == "latency"]


def test_a_run_does_each_job_once_and_ends_well(finished_run: tuple[Checkout, Ran]) -> None:
    _, ran = finished_run
    print(f"first run: {ran.wall_s:.0f} s, {ran.cpu_s:.0f} CPU s")
    assert ran.code == 0
    expected = {"corpus": 1, "model": 2, "measure_cpu": len(MEASURED), "retry_disturbed_cpu": LAPS, "profile_cpu": 4}
    assert ran.jobs == expected | dict.fromkeys(("ceilings_cpu", "all", *STEPS), 1)


def test_a_run_makes_every_file(finished: Checkout) -> None:
    made = {str(path.relative_to(finished.results)) for path in finished.results.rglob("*") if path.is_file()}
    # README's command makes a converted folder by hand.
    others = ("downloads/", "models/", "converted/", "corpus/", "logs/", "measurements/", "profiles/", "ceilings/")
    top = {name for name in made if not name.startswith(others)}
    names = (
        "cells",
        "sittings",
        "passes",
        "transcripts",
        "languages",
        "optimisations",
        "start",
        "silence",
        "silence_models",
        "loads",
        "capacities",
        "layouts",
        "flops",
        "operators",
        "ceilings",
        "roofline",
        "scaling",
        "edlm2025",
    )
    tables = {f"tables/{table}.{ending}" for table in names for ending in ("parquet", "csv")}
    figures = {f"figures/{figure}.svg" for figure in FIGURES}
    assert top == {".gitkeep", run_lock.FILE, "report.html", "study.json"} | tables | figures
    assert finished.measured == sorted(MEASURED)
    profiles = {f"profiles/{cell}.{ending}" for cell in PROFILED for ending in ("parquet", "trace.json.gz")}
    assert {name for name in made if name.startswith(("profiles/", "ceilings/"))} == profiles | {
        f"ceilings/{machine_id()}/cpu.parquet"
    }


def test_every_job_has_a_log(finished: Checkout) -> None:
    logs = finished.results / "logs"
    jobs = {"corpus/quickstart", "model/whisper-tiny.en", "model/wav2vec2-base-960h"}
    jobs |= {f"measure/{sitting}" for sitting in MEASURED} | {f"profile/{cell}" for cell in PROFILED}
    jobs |= {f"measure/retried/cpu-lap{lap}" for lap in range(1, LAPS + 1)}
    jobs |= {f"ceilings/{machine_id()}/cpu", *STEPS, "progress"}
    assert {str(path.relative_to(logs)) for path in logs.rglob("*.log")} == {f"{job}.log" for job in jobs}
    for sitting in MEASURED:
        assert f"{sitting}: " in (logs / "measure" / f"{sitting}.log").read_text()


def test_snakemake_sleeps_while_jobs_run(finished_run: tuple[Checkout, Ran]) -> None:
    # Were it to look for jobs meanwhile, it would say so after a job began, and not again before the next.
    output = finished_run[1].output
    at_once = re.findall(r"^Select jobs to execute\.\.\.\nExecute ", output, re.MULTILINE)
    assert len(at_once) > 0.8 * output.count("Execute ") > 10


def test_the_progress_of_the_cells_is_told_and_kept(finished_run: tuple[Checkout, Ran]) -> None:
    checkout, ran = finished_run
    told = [line for line in ran.output.splitlines() if re.match(r"lap \d of \d: |\d+ cells, ", line)]
    first = grid.execution_order(validation.with_defaults(small(), "small.yaml"))[0]
    assert told[0] == "4 cells, 2 laps, at least 10 s"
    assert told[1] == f"lap 1 of 2: 0 of 4 cells done, 8 measurements left; now {first.id}"
    assert told[-1].startswith("lap 2 of 2: 4 of 4 cells done, no measurements left")
    # One line when a measurement begins and one when it ends; from the third on there is something to base a time on.
    ended = [(n + 1) // 2 for n in range(2 * len(MEASURED))]
    laps = [(min(n // len(CELLS), LAPS - 1), n) for n in ended]
    assert [line.partition(" cells")[0] for line in told[1:]] == [
        f"lap {lap + 1} of 2: {n - lap * len(CELLS)} of 4" for lap, n in laps
    ]
    assert [", about " in line for line in told[1:]] == [3 <= n < len(MEASURED) for n in ended]
    kept = (checkout.results / "logs" / "progress.log").read_text().splitlines()
    assert [line.partition(" ")[2] for line in kept[: len(told)]] == told


def test_csv_and_parquet_say_the_same(finished: Checkout, cells: list[Row]) -> None:
    with open(finished.results / "tables" / "cells.csv", newline="") as stream:
        from_csv = list(csv.DictReader(stream))
    assert list(from_csv[0]) == list(cells[0])
    for text, row in zip(from_csv, cells, strict=True):
        assert text["model"] == row["model"]
        assert float(text["latency_s_median"]) == pytest.approx(row["latency_s_median"])


def test_every_cell_was_measured(cells: list[Row]) -> None:
    assert [(row["model"], row["batch_size"]) for row in cells] == [
        ("wav2vec2-base-960h", 1),
        ("wav2vec2-base-960h", 2),
        ("whisper-tiny.en", 1),
        ("whisper-tiny.en", 2),
    ]
    for row in cells:
        assert row["status"] in ("ok", "unconverged")
        assert bool(row["reason"]) == (row["status"] == "unconverged")
        assert row["converged"] == (row["status"] == "ok")
        assert row["n_passes"] >= row["n_rounds"] >= 1 and row["n_batches"] >= 1
        assert row["latency_s_median"] > 0
        assert 0 < row["timed_s"] < row["job_s"]


def test_wer_is_given_for_pretrained_weights_only(cells: list[Row]) -> None:
    for row in cells:
        if row["weights"] == "pretrained":
            # Real speech through real weights: mistakes, but far from nonsense.
            assert 0 <= row["wer"] < 0.5
            assert row["wer_words"] > 0 and row["wer_note"] is None and row["n_segments"] == 2
        else:
            assert row["wer"] is None and row["wer_words"] is None
            assert "random weights" in row["wer_note"]


def test_the_transcripts_are_english(finished: Checkout) -> None:
    transcripts = rows(finished, "transcripts")
    assert len(transcripts) == 2 * 2
    assert {row["model"] for row in transcripts} == {"whisper-tiny.en"}
    for row in transcripts:
        spoken, heard = set(row["reference_normalised"].split()), set(row["hypothesis_normalised"].split())
        assert len(spoken & heard) >= len(spoken) / 2


@pytest.mark.parametrize("column", ["startup_cpu_s", "peak_rss_bytes", "machine_id", "energy_j_per_sample", "cpu_name"])
def test_no_cell_goes_without(cells: list[Row], column: str) -> None:
    assert all(row[column] for row in cells)


def test_the_parent_sleeps_while_a_cell_is_measured(cells: list[Row]) -> None:
    assert all(0 <= row["parent_cpu_s"] < 0.1 for row in cells)


def test_energy_says_where_it_comes_from(cells: list[Row]) -> None:
    for row in cells:
        assert row["energy_method_cpu"] in ("rapl", "cpu_load_model", "tdp_constant")
        assert row["energy_method_gpu"] == "none"
        assert row["energy_gpu_j_per_sample"] is None


def test_memory_holds_the_weights(cells: list[Row]) -> None:
    n_parameters = {"whisper-tiny.en": 37_760_256, "wav2vec2-base-960h": 94_396_320}
    assert all(row["peak_rss_bytes"] > 4 * n_parameters[row["model"]] for row in cells)


def test_passes_follow_one_another_and_their_clocks_agree(finished: Checkout) -> None:
    passes = sorted(rows(finished, "passes"), key=lambda row: row["started_at_s"])
    assert {row["phase"] for row in passes} == {"warmup", "latency"}
    for row in passes:
        assert row["ended_at_s"] - row["started_at_s"] == pytest.approx(row["latency_s"], abs=0.02)
    for earlier, later in itertools.pairwise(passes):
        assert earlier["ended_at_s"] <= later["started_at_s"]


def test_stages_add_up_to_the_latency(timed: list[Row]) -> None:
    for row in timed:
        assert sum(row[f"{stage}_s"] for stage in STAGES) == pytest.approx(row["latency_s"], rel=0.02)
        assert all(row[f"{stage}_s"] > 0 for stage in STAGES)


def test_stages_cover_the_pass_and_their_marks_cost_little(cells: list[Row]) -> None:
    for row in cells:
        assert row["stage_coverage"] == pytest.approx(1, abs=0.01)
        assert 0 < row["stage_timer_overhead_s"] < 0.001 * row["latency_s_median"]


def test_a_cell_has_an_interval_of_its_laps(finished: Checkout, cells: list[Row]) -> None:
    sittings = rows(finished, "sittings")
    assert len(sittings) == len(MEASURED)
    for row in cells:
        own = [one for one in sittings if (one["model"], one["batch_size"]) == (row["model"], row["batch_size"])]
        assert [one["lap"] for one in own] == [*range(1, LAPS + 1)]
        assert row["laps"] == " ".join(str(one["lap"]) for one in own if one["counts"])
        assert row["n_laps_disturbed"] == sum(one["disturbed"] for one in own)
        if row["latency_s_ci_low"] is None:
            assert row["n_laps"] < 2 and row["interval_note"]
        else:
            assert row["latency_s_ci_low"] < row["latency_s_median"] < row["latency_s_ci_high"], row["interval_note"]
            assert (
                row["latency_s_next_low"] < row["latency_s_ci_low"]
                and row["latency_s_ci_high"] < row["latency_s_next_high"]
            )
    # The first lap is over before the second begins.
    first, second = (
        [one["started_at"] for one in sittings if one["lap"] == lap and one["attempt"] == 1] for lap in (1, 2)
    )
    assert max(first) <= min(second)


def test_the_machine_was_watched(finished: Checkout, cells: list[Row]) -> None:
    for row in rows(finished, "sittings"):
        assert row["disturbed"] == bool(row["disturbance"])
        assert 0.5 < row["machine_speed"] <= 1
        assert row["attempt"] <= row["n_tries"] <= 3
    assert all(bool(row["disturbance"]) == (row["n_laps_disturbed"] > 0) for row in cells)


def test_a_pass_runs_a_batch(timed: list[Row]) -> None:
    for row in timed:
        assert len(row["segment_ids"]) == len(row["texts"]) == len(row["n_tokens"]) == row["batch_size"]
        # Segments of a class are joined of whole utterances: near five seconds each, not exactly.
        assert 3 <= row["audio_s"] / row["batch_size"] <= 7


def test_the_report_names_every_model(finished: Checkout) -> None:
    report = (finished.results / "report.html").read_text()
    assert report.lstrip().lower().startswith("<!doctype html>")
    assert all(model in report for model in small()["models"])
    shown = set(re.findall(r'<figure aria-labelledby="figure-(.*?)">', report))
    # There is one device and one variant; no silence, load or layout was asked for. Whether there is anything to choose
    # from depends on what was disturbed.
    assert {*shown, "alternatives", "pareto"} == {*FIGURES} - NOT_ASKED


def test_own_report_has_ours_and_each_figure_with_caption(finished: Checkout) -> None:
    target = finished.folder / "own.html"
    finished.run("--report", str(target))
    own = target.read_text()
    target.unlink()
    for figure in FIGURES:
        words = labels(figure, finished.folder / "report" / "words.en.toml")
        assert f"{figure}.svg" in own and all(json.dumps(text)[1:-1] in own or text in own for text in words.values())
    assert "report.html" in own


def test_no_secret_of_the_environment_is_written_down(finished: Checkout) -> None:
    looked_at = 0
    for folder in (finished.results, finished.folder / ".snakemake"):
        for path in folder.rglob("*"):
            if path.is_file() and "downloads" not in path.parts:
                assert SECRET.encode() not in path.read_bytes(), path
                looked_at += 1
    assert looked_at > 30


def test_nothing_is_left_behind(finished: Checkout) -> None:
    assert finished.processes("asrmeter") == []
    assert [path for path in finished.results.rglob(".*") if not is_meant(path)] == []


def is_meant(path: Path) -> bool:
    # What a run holds; a folder that is an output holds a time stamp; that a model was found whole, what an attempt has
    # measured, and what was disturbed in a lap, is remembered for the run.
    return path.name in (".gitkeep", run_lock.FILE, ".snakemake_timestamp", ".attempts", ".laps") or path.match(
        "models/.*.checked"
    )
