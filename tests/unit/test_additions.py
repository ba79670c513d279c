"""Recordings that are added: what was measured of the others is kept by the content of their audio."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import measure
from asrmeter.corpora.batches import batches
from asrmeter.measure import job, supervisor
from asrmeter.measure.spec import CellSpec, Start
from asrmeter.measure.tasks.cell import CellMeasurement
from asrmeter.records import cell_record, earlier
from asrmeter.records.carried import carry, merged_passes
from asrmeter.records.events import Done, Energy, Event, Failed, Latency, Memory, Pass, Spent
from helpers.made_inputs import sign_corpus, sign_model
from helpers.records import header

Row = dict[str, Any]


def a_pass(batch: int, ids: list[str], texts: list[str], round: int = 0, latency_s: float = 0.005) -> Pass:
    lists: Any = {"segment_ids": ids, "texts": texts, "n_tokens": [1] * len(ids), "n_windows": [1] * len(ids)}
    lists |= {"processed_s": [30.0] * len(ids), "languages": [None] * len(ids)}
    return Pass(phase="latency", round=round, batch=batch, latency_s=latency_s, audio_s=5.0 * len(ids), **lists)


@given(st.integers(1, 9), st.integers(0, 5), st.integers(1, 4), st.integers(0, 3), st.booleans())
def test_passes_are_kept_by_the_audio_of_their_batch(
    n_before: int, n_added: int, size: int, seed: int, random_weights: bool
) -> None:
    before = [{"segment_id": f"s{i}", "sha256": f"audio {i}", "text": f"t{i}"} for i in range(n_before)]
    added = [
        {"segment_id": f"s{n_before + i}", "sha256": f"new {i}", "text": "", "addition": 1} for i in range(n_added)
    ]
    # All have other names now, and one another text.
    now = [row | {"segment_id": f"x{row['segment_id']}"} for row in (*before, *added)]
    now[0]["text"] = "put right"
    old, new = batches(before, size, seed), batches(now, size, seed)
    passes = [vars(a_pass(n, ids, list(ids), round)) for round in (1, 2) for n, ids in enumerate(old)]
    told = header(segments=before, weights="random" if random_weights else "pretrained")
    found = carry(told, passes, now, new)
    put_right = {n for n, ids in enumerate(old) if "s0" in ids} if random_weights else set()
    assert found.batches == set(range(len(old))) - put_right
    for entry in found.passes:
        assert entry["segment_ids"] == new[entry["batch"]] == [f"x{text}" for text in entry["texts"]]
    assert len(found.passes) == 2 * len(found.batches)


def test_other_audio_is_not_kept() -> None:
    before = [{"segment_id": "a", "sha256": "1", "text": ""}, {"segment_id": "b", "sha256": "2", "text": ""}]
    passes = [vars(a_pass(0, ["a", "b"], ["A", "B"])), vars(Pass(phase="warmup", latency_s=1.0, audio_s=5.0))]
    kept = carry(header(segments=before), passes, before, [["a", "b"]])
    assert len(kept.passes) == 1
    for order, changed in ((["b", "a"], before), (["a", "b"], [before[0] | {"sha256": "3"}, before[1]])):
        assert carry(header(segments=before), passes, changed, [order]).batches == frozenset()


@given(st.integers(0, 2), st.integers(1, 3), st.integers(0, 2), st.integers(1, 3))
def test_the_first_timed_round_has_all_batches(unsteady: int, timed: int, new_unsteady: int, new_timed: int) -> None:
    def rounds(batch: int, n_unsteady: int, n_timed: int) -> list[Row]:
        made = [vars(a_pass(batch, ["a"], [""], round)) for round in range(n_unsteady + n_timed)]
        return [one | {"phase": "warmup" if one["round"] < n_unsteady else "latency"} for one in made]

    known = carry(header(segments=[{"segment_id": "a"}]), rounds(0, unsteady, timed), [{"segment_id": "a"}], [["a"]])
    merged = merged_passes(known, rounds(1, new_unsteady, new_timed))
    first = min(one["round"] for one in merged if one["phase"] == "latency")
    assert {one["batch"] for one in merged if one["phase"] == "latency" and one["round"] == first} == {0, 1}
    assert min(one["round"] for one in merged) >= 0
    assert (
        len({(one["round"], one["batch"]) for one in merged})
        == len(merged)
        == unsteady + timed + new_unsteady + new_timed
    )


class Measured:
    """Runs measuring jobs of a class whose segments are single batches; the worker tells what `events` are."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ASRMETER_LOCK", str(tmp_path / "lock"))
        monkeypatch.setattr(job, "run_supervised", self.run)
        self._home = tmp_path
        self.spec: Any = None
        self.status = "ok"
        self.latency = Latency(n_rounds=2, timed_s=0.01, budget_s=1.0)
        self.took_s = 0.005
        (tmp_path / "m").mkdir()
        (tmp_path / "m" / "model.safetensors").write_text("weights")
        sign_model(tmp_path / "m")

    def run(self, spec: Any, *_: Any) -> supervisor.Outcome:
        """See `run_supervised`."""
        self.spec = spec
        if self.status != "ok":
            return supervisor.Outcome(self.status, "no room", [Failed(status=self.status, reason="no room")], 0.0)
        to_measure = range(len(spec.batches)) if spec.to_measure is None else spec.to_measure
        window: Any = {"n_passes": 1, "seconds": 1.0, "cpu_j": 2.0, "gpu_j": None, "ram_j": 1.0}
        told: list[Event] = [Memory(peak_rss_bytes=100 + len(to_measure)), Energy(windows=[window])]
        told += [a_pass(n, spec.batches[n], [f"heard {n}"], round, self.took_s) for round in (0, 1) for n in to_measure]
        return supervisor.Outcome("ok", None, [*told, self.latency, Spent(seconds={"rounds": 1.0}), Done()], 0.0)

    def __call__(self, n_segments: int, *more: str, seed: int = 1, lap: int = 1) -> Path:
        """Run the job of a corpus of so many segments, of which those beyond three were added; return the record."""
        corpus = self._home / "c"
        corpus.mkdir(exist_ok=True)
        rows = []
        for i in range(n_segments):
            (corpus / f"{i}.flac").write_text(f"audio {i}")
            told = {"segment_id": f"{n_segments}-{i}", "path": f"{i}.flac", "text": "", "addition": int(i >= 3)}
            rows.append({"duration_s": 5, "audio_s": 5.0} | told)
        key = f"of {n_segments}"
        sign_corpus(corpus, rows, key)
        output = self._home / "5s-b1" / f"lap{lap}.parquet"
        output.parent.mkdir(exist_ok=True)
        protocol = {"version": 2, "target": 0.1, "max_passes": 6, "budget_s": 1, "energy_window_s": 5}
        options = [
            "--model=m",
            f"--model-folder={self._home}/m",
            f"--segments={corpus}/segments.json",
            "--variant=fp32",
        ]
        options += ['--variant-options={"runtime": "transformers"}', "--device=cpu", "--duration-s=5", "--batch-size=1"]
        options += ["--threads=auto", f"--seed={seed}", f"--protocol={json.dumps(protocol)}", f"--output={output}"]
        self.spec = None
        measure.main([*options, f"--corpus-key={key}", f"--lap={lap}", "--laps=2", *more])
        return output


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Measured:
    return Measured(tmp_path, monkeypatch)


def by_audio(record: Path) -> dict[str, list[tuple[float, str]]]:
    told, passes = cell_record.read(record)
    sha = {row["segment_id"]: row["sha256"] for row in told.segments}  # type: ignore[typeddict-item]
    found: dict[str, list[tuple[float, str]]] = {}
    for entry in passes:
        found.setdefault(sha[entry["segment_ids"][0]], []).append((entry["latency_s"], entry["texts"][0]))
    return found


def test_only_batches_with_added_audio_are_measured(measured: Measured) -> None:
    record = measured(3)
    before, first = by_audio(record), cell_record.read(record)[0]
    assert earlier.set_aside(record, "of 5")
    record.unlink()
    measured.took_s = 0.007
    record = measured(5)
    assert sorted(measured.spec.to_measure) == [3, 4]
    after = by_audio(record)
    assert {sha: after[sha] for sha in before} == before
    assert [took_s for sha in set(after) - set(before) for took_s, _ in after[sha]] == [0.007] * 4
    told, _ = cell_record.read(record)
    assert (told.status, told.corpus_key, len(told.segments)) == ("ok", "of 5", 5)
    assert told.kept == {"n_batches": 3, "n_passes": 6, "measured_at": first.measured_at}
    assert told.started_at_s == first.started_at_s
    latency, memory, energy = told.last(Latency), told.last(Memory), told.last(Energy)
    assert latency and (latency.timed_s, latency.n_rounds, latency.disturbance) == (0.02, 4, None)
    assert memory and memory.peak_rss_bytes == 103
    assert energy and len(energy.windows) == 2
    # Files that are added to what was added before.
    assert earlier.set_aside(record, "of 6")
    told, _ = cell_record.read(measured(6))
    assert len(measured.spec.to_measure) == 1 and told.kept and told.kept["n_batches"] == 5


def test_a_class_that_stays_is_not_measured(measured: Measured, tmp_path: Path) -> None:
    record = measured(3)
    before = by_audio(record)
    first, _ = cell_record.read(record)
    header_with_other_key = dataclasses.replace(first, corpus_key="of another")
    cell_record.write(record, header_with_other_key, cell_record.read(record)[1])
    assert earlier.set_aside(record, "of 3")
    record = measured(3)
    assert measured.spec is None and by_audio(record) == before
    told, _ = cell_record.read(record)
    assert (told.status, told.corpus_key, told.measured_at) == ("ok", "of 3", first.measured_at)
    assert told.events == first.events


def test_what_another_lap_knows_is_not_measured_again(measured: Measured, tmp_path: Path) -> None:
    for lap in (1, 2):
        record = measured(3, lap=lap)
        told, passes = cell_record.read(record)
        # Laps share out the batches.
        cell_record.write(record, told, [one for one in passes if one["batch"] in ((0, 1) if lap == 1 else (2,))])
        assert earlier.set_aside(record, "of 4")
    for lap, n in ((1, 3), (2, 2)):
        record = measured(4, lap=lap)
        assert measured.spec.to_measure == [3]
        assert len(by_audio(record)) == n


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({}, {"seed": 2}),
        ({"machine_id": "another"}, {}),
        ({"versions": {"torch": "1"}}, {}),
        ({"weights_sha256": "others"}, {}),
        ({"events": {"latency": Latency(disturbance="another process")}}, {}),
        ({"status": "killed", "reason": "gone"}, {}),
    ],
)
def test_what_was_measured_otherwise_is_measured_anew(
    changes: Row, options: dict[str, int], measured: Measured
) -> None:
    record = measured(3)
    told, passes = cell_record.read(record)
    cell_record.write(record, dataclasses.replace(told, **changes), passes)
    assert earlier.set_aside(record, "of 4")
    told, _ = cell_record.read(measured(4, **options))
    assert measured.spec.to_measure is None and told.kept is None


def test_a_second_try_measures_the_whole(measured: Measured) -> None:
    assert earlier.set_aside(measured(3), "of 4")
    measured(4, "--attempt-of-sitting=2")
    assert measured.spec.to_measure is None


def test_what_an_unfinished_run_has_set_aside_is_measured_again(
    measured: Measured,
) -> None:
    assert earlier.set_aside(measured(3), "of 4")
    measured(3)
    assert measured.spec.to_measure is None


def test_what_goes_wrong_with_added_audio_is_told(measured: Measured) -> None:
    record = measured(3)
    assert earlier.set_aside(record, "of 4")
    measured.latency = dataclasses.replace(measured.latency, disturbance="another process")
    latency = cell_record.read(measured(4))[0].last(Latency)
    assert latency and latency.disturbance == "another process"
    measured.status = "oom"
    told, passes = cell_record.read(measured(4))
    assert (told.status, told.kept, passes) == ("oom", None, [])


def test_records_are_set_aside_for_other_audio_only(measured: Measured, tmp_path: Path) -> None:
    record = measured(3)
    assert not earlier.set_aside(record, "of 3") and not earlier.set_aside(tmp_path / "lap9.parquet", "of 3")
    assert earlier.of_cell(record) == {}
    assert earlier.set_aside(record, "of 4") and list(earlier.of_cell(record)) == [1]
    record.unlink()
    assert cell_record.read(earlier.of_cell(record)[1])[0].corpus_key == "of 3"
    earlier.forget(record)
    assert earlier.of_cell(record) == {}


def test_a_worker_measures_its_batches_in_their_part_of_the_time() -> None:
    settings: Row = dict.fromkeys(("family", "weights", "variant"), "x") | {
        "model": "m",
        "options": {},
        "device": "cpu",
    }
    settings |= {"duration_s": 5, "batch_size": 1, "threads": 1, "seed": 1, "protocol": 2, "budget_s": 10.0}
    segments = [{"segment_id": f"s{i}", "audio_s": float(i)} for i in range(1, 5)]
    spec = CellSpec(**settings, model_folder="m", segments=segments, batches=[[row["segment_id"]] for row in segments])
    whole = CellMeasurement(spec, Start(), lambda _: None)
    assert (whole._ranked, whole._budget_s()) == ([3, 2, 1, 0], 10.0)
    part = CellMeasurement(dataclasses.replace(spec, to_measure=[0, 2]), Start(), lambda _: None)
    assert (part._ranked, part._budget_s()) == ([2, 0], 5.0)
