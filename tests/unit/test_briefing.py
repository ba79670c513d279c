"""What is told before a run: speech and what is left out of it, work, time, and which purposes can be answered."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asrmeter.common.constants import SAMPLE_RATE_HZ
from asrmeter.corpora import outlook
from asrmeter.corpora.build import build
from asrmeter.corpora.outlook import Outlook
from asrmeter.records import cell_record
from asrmeter.study import validation
from asrmeter.workflow import announcement
from asrmeter.workflow.briefing import Briefing
from asrmeter.workflow.laps import PlannedJob
from asrmeter.workflow.plan import Plan
from asrmeter.workflow.purposes import unanswerable
from helpers.records import header

PURPOSES = {
    "quick": {"prefer": "latency"},
    "right": {"prefer": "accuracy"},
    "good": {"max_wer": 0.2},
    "steady": {"max_latency_s_p95": 1},
    "there": {"devices": ["cuda"]},
}


def record(path: Path, length_s: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, round(length_s * SAMPLE_RATE_HZ)), SAMPLE_RATE_HZ)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of seven files of 2 s, one of 12 s, one that is no audio, and an empty one."""
    monkeypatch.chdir(tmp_path)
    for i in range(7):
        record(tmp_path / "f" / f"{i}.wav", 2)
    record(tmp_path / "f" / "long.flac", 12.04)
    (tmp_path / "f" / "notes.mp3").write_text("words")
    (tmp_path / "f" / "empty.wav").touch()
    return tmp_path / "f"


LAYOUTS = [f"whisper-base/fp32/cpu/{one}" for one in ("1x2/lap1", "2x1/lap1", "1x2/lap2")]


def a_plan(home: Path, **changes: Any) -> Plan:
    study = {
        "name": "t",
        "corpus": {"kind": "folder", "path": str(home), "durations": "natural", "language": "en"},
        "models": {"whisper-base": {"weights": "packaged"}},
        "devices": ["cpu"],
        "durations_s": [5],
        "batch_sizes": [1, 2],
        "report": {"scenarios": PURPOSES},
    }
    return Plan(validation.with_defaults(study | changes, "t.yaml"))


def jobs(plan: Plan, *measured: str) -> list[PlannedJob]:
    made = [
        PlannedJob(n, "measure_cpu", [plan.laps.record(one)], one not in measured, True)
        for n, one in enumerate(plan.laps.sittings)
    ]
    return [*made, PlannedJob(98, "model", ["results/models/whisper-base"], True, False)]


def make_corpus(plan: Plan) -> None:
    study = plan.study
    output = Path(plan.segments.output).parent
    build(study.corpus, list(study.durations_s), study.seed, Path("d"), output, plan.fingerprints.corpus)


LEFT_OUT = {
    "empty.wav": "is empty (0 bytes)",
    "long.flac": "12.0 s long: add 15 to durations_s",
    "notes.mp3": "is text; fetch the file itself",
}


def test_what_is_foreseen_is_what_is_made(home: Path) -> None:
    plan = a_plan(home)
    study = plan.study
    foreseen = outlook.foresee(study.corpus, study.durations_s, study.seed, Path(plan.segments.output))
    assert foreseen == Outlook({5: 7}, False, tuple(f"{i}.wav" for i in range(7)), LEFT_OUT, {})
    make_corpus(plan)
    assert outlook.of_made(Path(plan.segments.output)) == foreseen


def test_a_folder_that_takes_too_long_is_not_looked_at(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = a_plan(home)
    monkeypatch.setattr("asrmeter.corpora.kinds.folder._MOST_FORESEEN_S", -1)
    assert outlook.foresee(plan.study.corpus, [5], 1, Path(plan.segments.output)) is None
    assert Briefing(plan, jobs(plan)).lines()[0] == (
        "Speech: f (folder); its amount is known only after download and decoding."
    )


def test_what_is_told_before_the_first_run(home: Path) -> None:
    plan = a_plan(home, protocol={"minutes": 6, "laps": 2})
    assert Briefing(plan, jobs(plan)).lines() == [
        "Speech: f (folder), 7 recordings; segments: 7 of 5 s; no reference texts, so no WER.",
        f"Left out: {', '.join(f'{name} ({LEFT_OUT[name]})' for name in ('empty.wav', 'notes.mp3', 'long.flac'))}.",
        "Measurements: 1 model on cpu, 2 cells (model, variant, device, duration, batch size) in 2 laps: 4.",
        "Time: about 6 min of measuring (protocol.minutes), and about 20 s for everything else (a guess, without "
        "downloads).",
        "Can be answered: quick.",
        "Cannot be answered: right, because it limits or prefers accuracy, and the speech has no texts.",
        "Cannot be answered: good, because it limits or prefers accuracy, and the speech has no texts.",
        "Cannot be answered: steady, because to confirm max_latency_s_p95 takes 59 segments of 5 s, and there are 7.",
        "Cannot be answered: there, because it needs cuda, and the study measures on cpu.",
    ]


def test_a_class_without_a_segment_is_told(home: Path) -> None:
    plan = a_plan(home, durations_s=[5, 600])
    told = Briefing(plan, jobs(plan)).lines()
    assert "This run will stop: no speech is long enough" not in "".join(told)
    plan = a_plan(home, durations_s=[1, 5])
    assert (
        "This run will stop: no speech is long enough for 1 s; write durations_s: [5]."
        in Briefing(plan, jobs(plan)).lines()
    )


@pytest.mark.parametrize(
    ("language", "unheard"), [("ru", ["whisper-tiny.en", "distil-large-v3"]), ("en", []), ("auto", [])]
)
def test_models_that_do_not_hear_the_language_are_told(home: Path, language: str, unheard: list[str]) -> None:
    models = {
        **{"whisper-tiny.en": {}, "whisper-base": {}, "distil-large-v3": {"weights": "hub"}},
        **{"whisper-base.en": {"weights": "random"}, "mine": {"id": "me/mine", "revision": "0123456789" * 4}},
    }
    corpus = {"kind": "folder", "path": str(home), "durations": "natural", "language": language}
    plan = a_plan(home, corpus=corpus, models=models)
    told = [line for line in Briefing(plan, jobs(plan)).lines() if " knows " in line]
    assert told == [
        f"Not possible: {model} knows English only, and the corpus has Russian (ru); its rows will say so."
        for model in unheard
    ]
    assert told == [*announcement.unheard(plan.study)]


def test_time_is_that_of_this_machine_where_it_measured(home: Path) -> None:
    plan = a_plan(home, protocol={"budget_s": 10, "laps": 1})
    said = Briefing(plan, jobs(plan)).lines()
    assert any(
        "at least 30 s of measuring (protocol.budget_s; starting each takes 6 s, a guess)" in one for one in said
    )
    assert said[-1] == "No answer will be sure: intervals need two laps (protocol.laps: 2)."
    first, second = plan.laps.sittings
    told = {"latency": {"event": "latency", "timed_s": 10.0, "n_rounds": 1}}
    cell_record.write(Path(plan.laps.record(first)), header(job_s=60.0, events=told), [])
    said = Briefing(plan, jobs(plan, first)).lines()
    assert any(
        "at least 60 s of measuring (protocol.budget_s; starting each takes 50 s, as before)" in one for one in said
    )
    assert any(one.endswith("in 1 lap: 1 of 2 to do, the others exist.") for one in said)
    assert Briefing(plan, jobs(plan, first, second)).lines() == ["Measurements: all 2 exist; nothing is measured."]
    assert Briefing(plan, jobs(plan)[-1:]).lines() == []


def test_layouts_and_load_tests_are_told_with_their_time(home: Path) -> None:
    layouts = [{"processes": 1, "threads": 2}, {"processes": 2, "threads": 1}]
    plan = a_plan(home, protocol={"minutes": 4, "laps": 2}, layouts=layouts, load={"minutes": 2})
    further = [
        *(
            PlannedJob(50 + n, "layout_cpu", [f"results/layouts/{one}.parquet"], True, True)
            for n, one in enumerate(LAYOUTS)
        ),
        PlannedJob(60, "load_cpu", ["results/load/whisper-base/fp32/cpu.parquet"], True, True),
        PlannedJob(61, "predict_load", ["results/load/whisper-base/fp32/cpu.predicted.json"], True, False),
        PlannedJob(62, "layout_cpu", ["results/layouts/whisper-base/fp32/cpu/2x1/lap2.parquet"], False, True),
    ]
    said = Briefing(plan, [*jobs(plan), *further]).lines()
    work, time = (next(one for one in said if one.startswith(what)) for what in ("Measurements: ", "Time: "))
    assert work.endswith(" in 2 laps: 4; 3 layout measurements and 1 load test.")
    # Ten seconds more for each.
    assert (
        "(protocol.minutes), about 3 min for 3 layout measurements and 1 load test, and about 20 s for everything else"
        in time
    )
    done = Briefing(plan, [*jobs(plan, *plan.laps.sittings), further[3]]).lines()
    assert done == ["Measurements: all 4 exist; to do: 1 load test, about 2 min."]


def test_what_was_added_is_told(home: Path) -> None:
    plan = a_plan(home)
    make_corpus(plan)
    cell_record.write(Path(plan.laps.record(next(iter(plan.laps.sittings)))), header(), [])
    for name in ("x.wav", "y.wav", "z.wav"):
        record(home / name, 3)
    plan = a_plan(home)
    told = Briefing(plan, jobs(plan)).lines()
    assert told[2] == "Since the last run: 3 files added (x.wav, y.wav, z.wav)."
    assert told[3] == (
        "Kept: passes and transcripts of audio that stayed, in 1 measurement; only batches with other audio are "
        "measured. Tables and report are replaced; to keep the earlier ones, stop and run python scripts/runs.py "
        "keep before results"
    )
    # The start of each of six, and three of ten files.
    assert told[5].startswith("Time: at least 50 s of measuring (protocol.budget_s; starting each takes 6 s, a guess)")
    (home / "0.wav").unlink()
    plan = a_plan(home)
    assert Briefing(plan, jobs(plan)).lines()[2].endswith("3 files added (x.wav, y.wav, z.wav), 1 file gone (0.wav).")
    make_corpus(plan)
    record(home / "1.wav", 2.5)
    plan = a_plan(home)
    assert Briefing(plan, jobs(plan)).lines()[2] == "Since the last run: texts or files were changed."


@pytest.mark.parametrize(
    ("n_segments", "changes", "purpose", "why"),
    [
        ({5: 60}, {}, "steady", None),
        ({5: 60, 30: 6}, {}, "steady", "to confirm max_latency_s_p95 takes 59 segments of 30 s, and there are 6"),
        ({5: 60, 30: 5}, {}, "steady", None),
        ({5: 5, 30: 1}, {}, "quick", "it needs 6 segments of 5 s, and there are 5"),
        (
            {5: 9},
            {"models": {"whisper-base": {"weights": "random"}}},
            "right",
            "prefers accuracy, and all weights are random",
        ),
    ],
)
def test_a_purpose_needs_speech_that_answers_it(
    n_segments: dict[int, int], changes: dict[str, Any], purpose: str, why: str | None, home: Path
) -> None:
    missing = unanswerable(a_plan(home, **changes).study, Outlook(n_segments, True, (), {}, {}))[purpose]
    assert [why in one for one in missing] == [True] if why else missing == []


def test_a_manifest_that_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    assert outlook.of_made(tmp_path / "segments.json") is None
    for name in ("segments.json", "selection.json"):
        (tmp_path / name).write_text(json.dumps([1]))
    assert outlook.of_made(tmp_path / "segments.json") is None
