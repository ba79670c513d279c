"""Results that were damaged, locked, or left by another version: refused in one line, with the way out."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from helpers.checkouts import CELLS, MEASURED, Checkout, MakeCheckout, Ran, link, small

pytestmark = pytest.mark.pipeline


@pytest.fixture
def copied(make_checkout: MakeCheckout, finished: Checkout, request: pytest.FixtureRequest) -> Iterator[Checkout]:
    """A checkout with the results of a finished run, as if they had been copied: Snakemake remembers nothing of it."""
    checkout = make_checkout(request.node.name.replace("[", "-").strip("]"))
    shutil.rmtree(checkout.results)
    shutil.copytree(finished.results, checkout.results, copy_function=link)
    checkout.write(small())
    yield checkout
    shutil.rmtree(checkout.results)


def replaced(path: Path, content: bytes) -> None:
    """Write a file anew: the one that was there is another checkout's too."""
    path.unlink()
    path.write_bytes(content)


def damaged(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    replaced(path, content)


def refusal(ran: Ran) -> str:
    """Return the one line that says why a run ended."""
    assert ran.code != 0
    assert "Traceback" not in ran.output
    lines = dict.fromkeys(line for line in ran.output.splitlines() if line.startswith("error: "))
    assert len(lines) == 1, ran.output
    return next(iter(lines))


def test_what_is_damaged_is_named_where_it_would_be_used(copied: Checkout) -> None:
    cell = copied.record(f"{CELLS[0]}/lap1")
    good = cell.read_bytes()
    damaged(cell)
    said = copied.run("--forcerun", "tables", "--until", "tables").output
    assert f"left out: results/measurements/{CELLS[0]}/lap1.parquet: is damaged" in said
    rows = pq.read_table(copied.results / "tables" / "sittings.parquet", columns=["status", "reason"]).to_pylist()
    (lost,) = (row for row in rows if row["status"] == "unreadable")
    assert lost["reason"].endswith("delete it and run again")
    replaced(cell, good)

    for path in copied.results.glob("corpus/quickstart/audio/*.flac"):
        damaged(path)
    cell.unlink()
    said = refusal(copied.run(f"results/measurements/{CELLS[0]}/lap1.parquet", check=False))
    assert ".flac: is damaged or was changed" in said
    assert said.endswith("delete results/corpus/quickstart and run again")
    assert not cell.exists()


def of_another_study(checkout: Checkout) -> str:
    checkout.write(small(seed=7))
    return "results/study.json, results/models/wav2vec2-base-960h, results/corpus/quickstart"


def of_another_model(checkout: Checkout) -> str:
    path = checkout.results / "models" / "whisper-tiny.en" / "provenance.json"
    replaced(path, json.dumps(json.loads(path.read_text()) | {"key": "other"}).encode())
    return "results/models/whisper-tiny.en"


def of_another_corpus(checkout: Checkout) -> str:
    path = checkout.results / "corpus" / "quickstart" / "selection.json"
    replaced(path, json.dumps(json.loads(path.read_text()) | {"key": "other"}).encode())
    return "results/corpus/quickstart"


@pytest.mark.parametrize("another", [of_another_study, of_another_model, of_another_corpus])
def test_what_another_version_or_study_left_is_not_taken_over(copied: Checkout, another: Any) -> None:
    left = another(copied)
    said = refusal(copied.run("--dry-run", check=False))
    assert said.startswith(f"error: {left}: was made by another version or study")
    assert said.endswith("delete it and run again")
    for path in (copied.folder / name for name in left.split(", ")):
        path.unlink() if path.is_file() else shutil.rmtree(path)
    if another is of_another_study:  # and so are its cells
        said = refusal(copied.run("--dry-run", check=False))
        assert said.endswith("delete results/measurements and run again")
        shutil.rmtree(copied.results / "measurements")
        assert copied.plan()["measure_cpu"] == len(MEASURED)
    else:
        copied.run("--dry-run")


def test_second_study_over_the_same_results_is_refused(finished: Checkout) -> None:
    ran = finished.run("--dry-run", "--configfile", finished.write(small(name="second"), "second.yaml"), check=False)
    assert ran.code != 0
    assert "results/ holds the results of the study small, not of second" in ran.output
    assert "results: results-second" in ran.output
    assert "Traceback" not in ran.output
    way_out = finished.write(small(name="second", results="results-second"), "second.yaml")
    assert finished.plan("--configfile", way_out)["measure_cpu"] == len(MEASURED)


def test_records_of_another_study_are_not_taken_over(copied: Checkout) -> None:
    copied.write(small(protocol=small()["protocol"] | {"budget_s": 0.7}))
    (copied.results / "study.json").unlink()
    said = refusal(copied.run("--dry-run", check=False))
    assert "(budget_s 0.5, but 0.7 is planned)" in said
    assert said.endswith("as 8 of 8 are; delete results/measurements and run again")


def test_results_without_write_access_are_refused_at_start(copied: Checkout) -> None:
    for entry in copied.results.iterdir():
        if entry.name not in ("downloads", "models", "corpus"):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    places = [str(copied.results), str(copied.results)]
    if subprocess.run(["mount", "--bind", *places], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a folder")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", places[0]], check=True)
        said = refusal(copied.run(check=False))
        assert copied.plan()["measure_cpu"] == len(MEASURED), "planning takes nothing"
    finally:
        subprocess.run(["umount", places[0]], check=True)
    assert said.startswith("error: results/.running: cannot be written (Read-only file system)")
    assert copied.plan()["measure_cpu"] == len(MEASURED), "a lock was left behind"
