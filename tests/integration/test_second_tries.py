"""A disturbed sitting is measured again by a real job; one that is killed in the middle leaves everything whole."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asrmeter.common.files import sha256_of
from asrmeter.common.paths import SCRIPTS
from asrmeter.records import cell_record, status
from asrmeter.study import grid, validation
from asrmeter.study.fingerprints import Fingerprints, measure_options
from helpers.made_inputs import sign_corpus, sign_model

ENGINE = """
import pathlib, time
from asrmeter.runtimes.base import *
class Engine(Runtime):
    def __init__(self, setup): pass
    def transcribe(self, speech, timeline):
        if pathlib.Path("wait").exists():
            pathlib.Path("begun").touch()
            time.sleep(600)
        time.sleep(0.01)
        return [Hypothesis('one two') for _ in speech.waveforms]
"""
RECORD = Path("results/measurements/whisper-base/mine/cpu/5s-b1/lap1.parquet")
OUTPUT = Path("results/measurements/.laps/cpu-lap1.json")


@pytest.fixture
def retry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The command that measures again what was disturbed, beside a study whose only record is disturbed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASRMETER_LOCK", str(tmp_path / "lock"))
    monkeypatch.setenv("ASRMETER_FORK_SERVER", "0")
    model, corpus = Path("results/models/whisper-base"), Path("results/corpus/quickstart")
    model.mkdir(parents=True)
    corpus.mkdir(parents=True)
    (model / "model.safetensors").write_text("weights")
    soundfile.write(corpus / "a.flac", np.zeros(5 * 16_000), 16_000)
    rows = [{"segment_id": "s", "duration_s": 5, "audio_s": 5.0, "path": "a.flac", "text": "x", "language_told": "en"}]
    sign_model(model, family="whisper", key="m")
    sign_corpus(corpus, rows, key="c")
    Path("engine.py").write_text(ENGINE)
    asked: dict[str, Any] = {"name": "t", "models": {"whisper-base": {}}, "devices": ["cpu"], "durations_s": [5]}
    asked["variants"] = {"mine": {"runtime": {"path": "engine.py", "sha256": sha256_of(Path("engine.py"))}}}
    asked |= {"batch_sizes": [1], "threads": 1, "protocol": {"laps": 1, "budget_s": 0.1, "timeout_s": 60}}
    study = validation.with_defaults(asked, "t.yaml").as_json()
    Path("results/study.json").write_text(json.dumps(study))
    made_of = Fingerprints({"whisper-base": "m"}, "c")
    (cell,) = grid.cells_of_saved(study)
    places = [f"--model-folder={model}", f"--segments={corpus}/segments.json"]
    first = [*measure_options(study, grid.Sitting(cell, 1), made_of), *places, "--laps=1", f"--output={RECORD}"]
    subprocess.run([sys.executable, SCRIPTS / "measure.py", *first], check=True)
    header, passes = cell_record.read(RECORD)
    told = header.to_json()
    told["events"]["latency"] |= {"disturbance": "others were busy"}
    cell_record.write(RECORD, type(header).from_json(told), passes)
    yield [
        *(sys.executable, str(SCRIPTS / "retry_disturbed.py"), "--study=results/study.json", "--device=cpu", "--lap=1"),
        *(f"--fingerprints={made_of.to_json()}", "--measurements=results/measurements", "--models=results/models"),
        "--converted=results/converted",
        *(f"--segments={corpus}/segments.json", "--timeout-s=60", "--time-s=600", f"--output={OUTPUT}", "--laps=1"),
    ]


def test_a_real_job_measures_it_again(retry: list[str]) -> None:
    before = RECORD.read_bytes()
    subprocess.run(retry, check=True)
    (entry,) = json.loads(OUTPUT.read_text())["disturbed"]
    header, passes = cell_record.read(RECORD)
    # What else runs on this machine decides which of the two it is.
    if entry["still_disturbed"]:
        assert RECORD.read_bytes() == before and entry["in_vain"].keys() == {"2", "3"}
    else:
        assert header.to_json()["attempt"] == entry["n_tries"] > 1 and header.status == "ok" and passes
        assert status.header(RECORD) == header
    assert [path.name for path in RECORD.parent.iterdir() if path.name.startswith(".")] == [".attempts"]


def test_a_job_that_is_killed_in_the_middle_leaves_all_as_it_was(retry: list[str]) -> None:
    before = RECORD.read_bytes()
    Path("wait").touch()
    job = subprocess.Popen(retry, start_new_session=True)
    try:
        _wait_for(Path("begun").exists)
        os.kill(job.pid, signal.SIGKILL)
        job.wait(10)
        # Its child goes with it, and the child's worker: nothing measures beside what comes next.
        _wait_for(lambda: not _alive(job.pid))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(job.pid, signal.SIGKILL)
    assert RECORD.read_bytes() == before and status.status(RECORD) == "ok"
    assert status.tries(RECORD) == {"2": "its job ended without a record"} and not OUTPUT.exists()
    Path("wait").unlink()
    subprocess.run(retry, check=True)
    (entry,) = json.loads(OUTPUT.read_text())["disturbed"]
    assert entry["n_tries"] == 3
    assert not list(RECORD.parent.glob(".retry*"))


def _alive(session: int) -> list[int]:
    """Return the processes of a session that have not ended."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit():
                state, _, _, own, *_ = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(own) == session and state not in "ZX":
                    found.append(int(entry.name))
    return found


def _wait_for(condition: Callable[[], bool], limit_s: float = 60) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
