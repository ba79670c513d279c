"""A cell in one lap, in this process: an engine that only waits, whatever else is real."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asrmeter.common.errors import AsrmeterError
from asrmeter.common.files import sha256_of
from asrmeter.measure import control, energy_counters, stop_rule
from asrmeter.measure.spec import CellSpec, Start
from asrmeter.measure.tasks import cell
from asrmeter.measure.tasks.cell import CellMeasurement
from asrmeter.records.events import Control, Energy, Event, Latency, Memory, Pass, Ready, Spent, Warm
from asrmeter.runtimes.own_file import OwnFileError

ENGINE = """
import time
import numpy as np
from asrmeter.runtimes.base import Hypothesis, Runtime
PASSES = []
class Engine(Runtime):
    def __init__(self, setup):
        pass
    def transcribe(self, speech, timeline):
        PASSES.append(([len(waveform) for waveform in speech.waveforms], speech.references))
        timeline.begin("encoder")
        time.sleep({pass_s})
        {more}
        return [Hypothesis(f"heard {{len(waveform)}}") for waveform in speech.waveforms]
    def decoding(self):
        return {{"passes": PASSES}}
"""
# The longest is the fourth, the shortest the third.
SECONDS = [7.0, 8.0, 6.0, 9.0, 6.5]


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Warm up, and run the control kernel, for a moment; this machine has no counter."""
    monkeypatch.setattr(stop_rule, "WARM_AFTER_S", 0.02)
    monkeypatch.setattr(control, "KERNEL_S", 0.0)
    monkeypatch.setattr(control, "COPY_BYTES", {"cpu": 2**16})
    monkeypatch.setattr(energy_counters.Rapl.__init__, "__defaults__", (tmp_path,))


def spec_of(folder: Path, pass_s: float = 0.01, more: str = "pass", batch_size: int = 1, **changes: Any) -> CellSpec:
    engine = folder / "engine.py"
    engine.write_text(ENGINE.format(pass_s=pass_s, more=more))
    segments = []
    for number, seconds in enumerate(SECONDS):
        file = folder / f"{number}.flac"
        soundfile.write(file, np.zeros(int(seconds * 16_000)), 16_000)
        text = " ".join(f"w{i}" for i in range(int(seconds * 10)))
        segments.append(
            {"segment_id": f"s{number}", "audio_s": seconds, "text": text, "language_told": "en", "file": str(file)}
        )
    ids = [str(row["segment_id"]) for row in segments]
    told: dict[str, Any] = {"model": "m", "family": "whisper", "weights": "random", "variant": "mine", "device": "cpu"}
    told |= {"options": {"runtime": {"path": str(engine), "sha256": sha256_of(engine)}}, "runtime": "own_file"}
    told |= {"duration_s": 7, "batch_size": batch_size, "threads": 1, "seed": 1, "protocol": 2, "max_passes": 300}
    told |= {"model_folder": str(folder), "segments": segments, "batches": [[i] for i in ids], "budget_s": 0.12}
    return CellSpec(**(told | changes))


def measured(spec: CellSpec) -> list[Event]:
    told: list[Event] = []
    CellMeasurement(spec, Start(), told.append).run()
    return told


def of_kind(told: list[Event], kind: type[Any]) -> list[Any]:
    return [event for event in told if isinstance(event, kind)]


def timed(told: list[Event]) -> list[Pass]:
    return [entry for entry in of_kind(told, Pass) if entry.phase == "latency"]


def test_the_phases_have_their_order(tmp_path: Path) -> None:
    told = measured(spec_of(tmp_path))
    kinds = [type(event) for event in told if not isinstance(event, Pass)]
    assert kinds == [Ready, Control, Warm, Memory, Latency, Energy, Control, Spent]
    (spent,) = of_kind(told, Spent)
    assert list(spent.seconds) == ["load", "control", "warmup", "rounds", "energy"]
    (latency,) = of_kind(told, Latency)
    assert spent.seconds["rounds"] >= latency.timed_s == pytest.approx(sum(entry.latency_s for entry in timed(told)))


def test_the_warm_up_hears_the_beginning_of_the_shortest_batch(tmp_path: Path) -> None:
    told = measured(spec_of(tmp_path))
    warm = [entry for entry in of_kind(told, Pass) if entry.phase == "warmup"]
    assert 1 <= len(warm) <= 3
    for entry in warm:
        # No segment, as its text would be taken for the transcript of all of it.
        assert (entry.segment_ids, entry.texts, entry.batch, entry.audio_s) == ((), (), None, 5.0)
    assert told.index(warm[-1]) < told.index(timed(told)[0])


def test_random_weights_say_no_more_than_was_heard(tmp_path: Path) -> None:
    file = tmp_path / "heard.json"
    measured(spec_of(tmp_path, more=f"import json; open({str(file)!r}, 'w').write(json.dumps(PASSES))"))
    (lengths, references), *_ = json.loads(file.read_text())
    assert lengths == [5 * 16_000]
    assert references == [" ".join(f"w{i}" for i in range(50))]


def test_the_first_timed_pass_is_the_longest_and_has_the_peaks(tmp_path: Path) -> None:
    told = measured(spec_of(tmp_path))
    first, second, *_ = timed(told)
    assert (first.batch, first.round) == (3, 0)
    (memory,) = of_kind(told, Memory)
    assert told.index(first) < told.index(memory) < told.index(second)


def test_rounds_over_all_batches_as_often_as_they_fit(tmp_path: Path) -> None:
    told = measured(spec_of(tmp_path, budget_s=0.12))
    (latency,) = of_kind(told, Latency)
    passes = timed(told)
    assert [entry.batch for entry in passes[:5]] == [3, 0, 1, 2, 4]
    assert [entry.texts[0] for entry in passes[:5]] == [f"heard {int(SECONDS[i] * 16_000)}" for i in (3, 0, 1, 2, 4)]
    assert latency.n_rounds == passes[-1].round + 1 == 2
    assert (latency.reason, latency.budget_s) == ("no further round fits into 0.12 s", 0.12)


@pytest.mark.parametrize(("lap", "batches"), [(1, [3, 0, 2]), (2, [3, 1, 4])])
def test_a_lap_makes_its_share_where_all_do_not_fit(tmp_path: Path, lap: int, batches: list[int]) -> None:
    told = measured(spec_of(tmp_path, pass_s=0.03, budget_s=0.1, lap=lap, n_laps=2))
    assert [entry.batch for entry in timed(told)] == batches


def test_one_round_is_made_whatever_the_time(tmp_path: Path) -> None:
    told = measured(spec_of(tmp_path, budget_s=None, ends_at_s=0.0, lap=1, n_laps=5))
    assert [entry.batch for entry in timed(told)] == [3]
    assert of_kind(told, Latency)[0].budget_s == 0


def test_the_time_of_a_job_is_left_for_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cell, "WRITING_S", 1000.0)
    told = measured(spec_of(tmp_path, budget_s=None, ends_at_s=time.monotonic() + 1060, max_passes=5))
    (latency,), (spent,) = of_kind(told, Latency), of_kind(told, Spent)
    before_s = sum(spent.seconds[name] for name in ("load", "control", "warmup"))
    assert 50 < latency.budget_s < 60 - before_s / 2


def test_energy_is_that_of_the_timed_passes(tmp_path: Path) -> None:
    told = measured(
        spec_of(
            tmp_path,
            pass_s=0.001,
            more="end = time.process_time() + 0.03\n        while time.process_time() < end: pass",
        )
    )
    (energy,) = of_kind(told, Energy)
    (latency,) = of_kind(told, Latency)
    (window,) = energy.windows
    assert energy.method_cpu in ("cpu_load_model", "tdp_constant") and energy.idle == ()
    assert window["n_passes"] == len(timed(told))
    assert latency.timed_s <= window["seconds"] < latency.timed_s + 0.2
    assert window["cpu_j"] > 0


def test_a_pass_that_fails_loses_nothing_before_it(tmp_path: Path) -> None:
    told: list[Event] = []
    spec = spec_of(tmp_path, more="assert len(speech.waveforms[0]) != 8 * 16_000, 'no luck'")
    with pytest.raises(OwnFileError, match="no luck"):
        CellMeasurement(spec, Start(), told.append).run()
    assert [entry.batch for entry in timed(told)] == [3, 0]
    assert of_kind(told, Memory) and of_kind(told, Control)


def test_a_meter_that_fails_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from codecarbon import OfflineEmissionsTracker

    def breaks(*_: Any, **__: Any) -> None:
        raise OSError("no such luck")

    monkeypatch.setattr(OfflineEmissionsTracker, "__init__", breaks)
    told = measured(spec_of(tmp_path))
    (energy,) = of_kind(told, Energy)
    assert (energy.method_cpu, energy.windows[0]["cpu_j"]) == ("none", None)
    assert "no such luck" in energy.note
    assert isinstance(told[-1], Spent)


COMPILES = """
    def compile_s(self):
        return self.seconds()
    def n_compile_cache_hits(self):
        return 3
    def seconds(self):
"""


def compiling(folder: Path, seconds: str) -> CellSpec:
    """A cell whose engine has compiled for `seconds`, an expression of the number of passes."""
    spec = spec_of(folder)
    engine = folder / "engine.py"
    engine.write_text(engine.read_text() + COMPILES + f"        return {seconds}\n")
    told = {"path": str(engine), "sha256": sha256_of(engine)}
    return replace(spec, options={"runtime": told})


def test_what_compiles_hears_the_longest_batch_whole(tmp_path: Path) -> None:
    told = measured(compiling(tmp_path, "min(sum(n == [9 * 16_000] for n, _ in PASSES), 3) + 0.5"))
    whole = [entry for entry in of_kind(told, Pass) if entry.phase == "warmup" and entry.audio_s == 9.0]
    assert len(whole) == 4  # the last compiled nothing
    (warm,) = of_kind(told, Warm)
    assert (warm.compile_s, warm.n_compile_cache_hits) == (3.5, 3)
    assert of_kind(told, Latency)


def test_what_was_compiled_at_once_is_heard_whole_twice(tmp_path: Path) -> None:
    told = measured(compiling(tmp_path, "0.5"))
    assert len([entry for entry in of_kind(told, Pass) if entry.phase == "warmup" and entry.audio_s == 9.0]) == 2


def test_compiling_within_timed_passes_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        AsrmeterError, match=r"^the model was compiled again in the timed passes, for \d+\.\d s of them:"
    ):
        measured(compiling(tmp_path, "len(PASSES) / 10"))
