"""The job of a load test, with an engine that only waits: what its record says, however it ends."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import measure_load
from asrmeter.analysis.capacity_model import Modelled, Target
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.files import sha256_of
from asrmeter.records import load_rows
from asrmeter.records.load_rows import LoadHeader
from helpers.made_inputs import sign_corpus, sign_model

pytest.importorskip("mlperf_loadgen")
PASS_S = 0.02
ENGINE = """
import time
from asrmeter.runtimes.base import Hypothesis, Runtime
class Engine(Runtime):
    def __init__(self, setup):
        self.n = 0
    def transcribe(self, speech, timeline):
        self.n += 1
        time.sleep({pass_s})
        {more}
        return [Hypothesis("one two") for _ in speech.waveforms]
"""
LOAD = {
    "duration_s": 2.5,
    "target_latency_s": 0.15,
    "percentile": 0.95,
    "max_batch": 1,
    "max_wait_ms": 0,
    "minutes": 0.4,
}
Tested = Callable[..., tuple[LoadHeader, list[dict[str, Any]]]]


@pytest.fixture
def tested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tested:
    """Tests the load of an engine in a worker of its own."""
    monkeypatch.setenv("ASRMETER_LOCK", str(tmp_path / "lock"))
    monkeypatch.setenv("ASRMETER_FORK_SERVER", "0")
    model, corpus, engine = tmp_path / "m", tmp_path / "c", tmp_path / "engine.py"
    model.mkdir()
    corpus.mkdir()
    (model / "model.safetensors").write_text("weights", encoding="utf-8")
    sign_model(model, weights="random")
    rows = []
    for name in ("a", "b"):
        soundfile.write(corpus / f"{name}.flac", np.zeros(5 * 16_000), 16_000)
        rows.append({"segment_id": name, "duration_s": 5, "audio_s": 5.0, "path": f"{name}.flac", "text": "x"})
    sign_corpus(corpus, [row | {"language_told": "en"} for row in rows])

    def test_it(
        start_per_s: float | None, *more: str, code: str = "pass", **load: Any
    ) -> tuple[LoadHeader, list[dict[str, Any]]]:
        engine.write_text(ENGINE.format(pass_s=PASS_S, more=code), encoding="utf-8")
        predicted = {"start_per_s": start_per_s, "status": "oom", "reason": "no cell fitted"}
        (tmp_path / "predicted.json").write_text(json.dumps(predicted), encoding="utf-8")
        options = {"runtime": {"path": str(engine), "sha256": sha256_of(engine)}}
        measure_load.main(
            [
                *(f"--model-folder={model}", f"--segments={corpus}/segments.json", "--variant=mine", "--model=m"),
                *("--device=cpu", "--duration-s=5", "--batch-size=1", "--threads=1", "--seed=1"),
                *(f"--variant-options={json.dumps(options)}", f"--load={json.dumps(LOAD | load)}"),
                *(f"--predicted={tmp_path}/predicted.json", f"--output={tmp_path}/cpu.parquet"),
                *('--protocol={"version": 1}', *more),
            ]
        )
        return load_rows.read(tmp_path / "cpu.parquet")

    return test_it


@pytest.mark.alone
def test_the_capacity_is_that_of_theory(tested: Tested) -> None:
    modelled = Modelled({1: [PASS_S]}, Target(0.15, 0.95, 1, 0.0, 2.5)).load_test_per_s
    header, rows = tested(modelled)
    assert header.low_per_s and header.low_per_s == pytest.approx(modelled, rel=0.2)
    assert header.high_per_s is None or header.high_per_s > header.low_per_s
    assert header.load == LOAD and header.load_version == 1 and header.options and header.seed == 1
    valid = [row for row in rows if row["is_valid"]]
    assert valid and all(row["latency_s_p95"] <= 0.15 for row in valid)
    assert all(row["n_answered"] == row["n_requests"] == len(row["latencies_s"]) for row in valid)
    assert all("Result is : VALID" in row["summary"] for row in valid)
    assert all(row["generator_cpu_share"] < 0.05 and 0 < row["busy_share"] <= 1 for row in rows)
    # A model of energy, or a counter: of the whole run of the rate.
    assert all(row["energy_method"] == "none" or row["energy_j"] > 0 for row in rows)


def test_above_capacity_is_a_record_too(tested: Tested) -> None:
    # A machine of 50 a second; the time limit of the job is far beyond the search's.
    header, rows = tested(300.0, duration_s=4, target_latency_s=0.05, minutes=0.1)
    assert header.status == "unconverged" and header.low_per_s is None
    assert str(header.reason).startswith("over capacity at every tested rate, down to")
    first = rows[0]
    assert first["gave_up"] and first["is_valid"] is False and first["target_per_s"] == 300.0
    assert 0 < first["n_answered"] < first["n_requests"] and first["latency_s_p95"] is None
    for row in rows:
        # What was answered is kept, each with its latency, and nothing that was answered in vain.
        assert row["n_answered"] == len(row["latencies_s"]) == sum(row["batch_sizes"])
        assert max(row["latencies_s"]) < 10 * 0.05 + PASS_S + 0.3
        assert abs(row["n_requests"] / row["offered_per_s"] - 4) < 1, "requests come for the time that was asked for"
    # Six seconds, and a probe that was begun within them.
    assert sum(row["n_answered"] / row["completed_per_s"] for row in rows) < 6 + 1.5 * 4


def test_an_engine_that_fails_leaves_its_rates(tested: Tested) -> None:
    header, rows = tested(20.0, code="if self.n > 150: raise MemoryError('no room')")
    assert (header.status, rows[0]["status"]) == ("oom", "oom") and "no room" in str(header.reason)
    assert [row["probe"] for row in rows] == [1]


def test_what_could_not_be_measured_is_not_tested(tested: Tested) -> None:
    header, [row] = tested(None)
    assert (header.status, header.reason) == ("oom", "no cell fitted") and row["probe"] is None
    header, _ = tested(5.0, "--refused=needs AVX2")
    assert (header.status, header.reason) == ("unsupported", "needs AVX2")


def test_a_prediction_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "predicted.json").write_text("[]", encoding="utf-8")
    with pytest.raises(AsrmeterError, match=r"predicted\.json: is not a prediction"):
        measure_load.read_prediction(tmp_path / "predicted.json")
