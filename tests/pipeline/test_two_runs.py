"""`snakemake compare`: two finished runs side by side, and nothing measured for it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from helpers.checkouts import Checkout, Ran

pytestmark = pytest.mark.pipeline
LATENCY = ["latency_s_median", "latency_s_ci_low", "latency_s_ci_high"]


def compared(checkout: Checkout, **key: Any) -> Ran:
    """Run the comparison the way docs/comparing.md says; nothing but it may run."""
    said = ", ".join(f"{name}: {value}" for name, value in key.items())
    ran = checkout.shell(f"snakemake --cores 1 compare --config compare='{{{said}}}'")
    assert "rule measure" not in ran.output
    return ran


@pytest.fixture(scope="module")
def other_run(finished: Checkout) -> Callable[..., str]:
    """Make a results folder from the finished run's tables, every cell three times, its latency exact, another day."""

    def make(name: str, slower: float = 1.0, more_errors: int = 0) -> str:
        folder = finished.folder / name / "tables"
        shutil.rmtree(folder.parent, ignore_errors=True)
        shutil.copytree(finished.results / "tables", folder)
        for table, change in (("cells", _timed), ("transcripts", _heard)):
            path = folder / f"{table}.parquet"
            rows = pd.read_parquet(path)
            copies = [rows.assign(batch_size=rows["batch_size"] + 2 * n) for n in range(3)]
            if table == "cells":
                day = f"2026-01-0{1 + (name > 'results-a')}T10:00:00+00:00"
                copies = [one.assign(started_at=day, measured_at=day) for one in copies]
            change(pd.concat(copies, ignore_index=True), slower, more_errors).to_parquet(path)
        return name

    return make


def _timed(cells: pd.DataFrame, slower: float, more_errors: int) -> pd.DataFrame:
    slow = cells["model"] == "whisper-tiny.en"
    for column, width in zip(LATENCY, (1.0, 0.99, 1.01), strict=True):
        cells[column] = width * (1 + (slower - 1) * slow)
    return cells.assign(status="ok", reason=None, disturbed=False, noise_floor=0.01)


def _heard(transcripts: pd.DataFrame, slower: float, more_errors: int) -> pd.DataFrame:
    if more_errors:
        transcripts["hypothesis"] += " more"
        transcripts["n_insertions"] += more_errors
    return transcripts


def last_words(ran: Ran, begin: str) -> str:
    (line,) = {line for line in ran.output.splitlines() if line.startswith(begin)}
    return line


def test_a_run_is_not_compared_with_itself(finished: Checkout) -> None:
    ran = compared(finished, first="results", guard="true")
    assert ran.code != 0 and "Traceback" not in ran.output
    assert "are the same run; name two that differ" in ran.output.splitlines()[-1]


def test_a_run_is_the_same_as_its_copy(finished: Checkout, other_run: Callable[..., str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.results.rglob("*.parquet")}
    ran = compared(finished, first=other_run("results-a"), second=other_run("results-b"), guard="true")
    assert (ran.code, ran.jobs) == (0, {"compare": 1}), ran.output
    assert last_words(ran, "verdict: ").startswith("verdict: latency: no model changed; wer: no model changed")
    assert "latency of 2 of 2 models, wer of 1 of 1 models could be judged" in last_words(ran, "no regression")
    assert {path: path.stat().st_mtime_ns for path in finished.results.rglob("*.parquet")} == before
    assert finished.run().jobs == {}


def test_a_kept_run_is_compared_by_name(finished: Checkout) -> None:
    assert finished.shell("python scripts/runs.py keep before").code == 0
    try:
        ran = compared(finished, first="before")
        assert (ran.code, ran.jobs) == (0, {"compare": 1}), ran.output
        ran = compared(finished, first="before", guard="true")
        assert ran.code != 0 and "Traceback" not in ran.output
        said = last_words(ran, "NOTHING TO JUDGE: ")
        assert said == "NOTHING TO JUDGE: latency, wer: not measured again: both runs have the same measurement"
        assert finished.run().jobs == {}
    finally:
        assert finished.shell("python scripts/runs.py remove before").code == 0


def test_a_slower_run_fails_only_where_it_is_guarded_against(finished: Checkout, other_run: Callable[..., str]) -> None:
    runs = {"first": other_run("results-a"), "second": other_run("results-b", slower=1.5)}
    ran = compared(finished, **runs)
    assert ran.code == 0
    assert last_words(ran, "verdict: ").startswith("verdict: latency: whisper-tiny.en/fp32 slower; wer: no model")
    ran = compared(finished, **runs, guard="true")
    assert ran.code != 0 and "Traceback" not in ran.output
    assert last_words(ran, "REGRESSION: ") == "REGRESSION: latency: whisper-tiny.en/fp32 slower"
    assert (finished.results / "logs" / "compare.log").read_text() == f"{last_words(ran, 'REGRESSION: ')}\n"
    assert compared(finished, first="results-b", second="results-a", guard="true").code == 0
    by_hand = finished.shell("python scripts/compare.py results-a results-b --guard --csv pairs.csv")
    assert (
        by_hand.code != 0 and last_words(by_hand, "REGRESSION: ") == "REGRESSION: latency: whisper-tiny.en/fp32 slower"
    )
    assert "slower" in (finished.folder / "pairs.csv").read_text()


def test_worse_texts_fail_too(finished: Checkout, other_run: Callable[..., str]) -> None:
    runs = {"first": other_run("results-a"), "second": other_run("results-b", more_errors=1)}
    ran = compared(finished, **runs, guard="true")
    assert ran.code != 0
    assert last_words(ran, "REGRESSION: ") == "REGRESSION: wer: whisper-tiny.en/fp32 worse"


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (
            {"guard": "true"},
            "error: compare.first: name the results folder to compare with: snakemake --cores 1 compare",
        ),
        ({"first": "results-none"}, "error: compare.first: results-none: neither a results folder nor"),
    ],
)
def test_what_is_missing_is_said_in_one_line(finished: Checkout, key: dict[str, str], message: str) -> None:
    ran = compared(finished, **key)
    assert ran.code != 0 and "Traceback" not in ran.output
    assert ran.output.splitlines()[-1].startswith(message)
    assert "--config compare='{first: results-a, second: results-b}'" in ran.output.splitlines()[-1]


def test_report_has_a_section_for_a_compared_run(
    finished: Checkout, other_run: Callable[..., str], tmp_path: Path
) -> None:
    other_run("results-a")
    report = finished.results / "report.html"
    assert 'id="comparison"' not in report.read_text()
    with finished.put_back():
        ran = finished.run("--config", "compare={first: results-a}", limit_s=200)
        html = report.read_text()
        # Without the comparison the report is made again.
        jobs = finished.plan()
    assert 'id="comparison"' in html and 'id="table-compared-latency"' in html and 'id="table-compared-wer"' in html
    assert jobs == ran.jobs and "report" in jobs
    assert not {rule for rule in jobs if rule.startswith(("measure", "profile"))}
    assert finished.plan() == {}
